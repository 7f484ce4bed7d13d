"""Our stores in other libraries, and theirs in ours: equal values, and not one warning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the Blosc filter with h5py
import numpy as np
import pytest
import tensorstore
import xarray
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ShardingCodec, ZstdCodec

import ptystore
from chunk_places import chunk_places
from ptystore import InputError
from scans import DTYPES, Array, assert_same, document, put, scan, values

# fields that another library would take for something else: dimensions and coordinates
CLASHING = ("x", "y", "kx", "scan", "mode", "note_0", "diff3d_0", "object_y")


def arrays() -> dict[str, Array]:
    """Every dtype, sharded and not, 0-d, empty, one row."""
    found = {f"n_{dtype.strip('?')}": values(dtype, (5, 7)) for dtype in DTYPES if dtype != "U7"}
    found |= {"0d": np.array(2.5), "empty": np.zeros((3, 0)), "none": np.zeros((0, 3), "u2")}
    return {**found, **scan(300, 32, 30), "text": np.array(["µm", "", "two words"])}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    put(folder, ".h5", arrays(), document())
    return put(folder, ".zarr", arrays(), document())


def test_zarr_python_reads_ours(ours: Path) -> None:
    group = zarr.open_group(str(ours), mode="r")
    assert set(group.array_keys()) == set(arrays())
    assert dict(group.attrs)["metadata"] == document().document
    for name, value in arrays().items():
        found = np.asarray(group[name][...])  # type: ignore[index]
        if value.dtype.kind == "U":
            assert found.tolist() == value.tolist()
        else:
            assert_same(found, value)
    # Without the root's copy of the documents, too: array by array.
    alone = zarr.open_array(str(ours), path="diff3d", mode="r")
    assert_same(np.asarray(alone[37:41, 3]), arrays()["diff3d"][37:41, 3])


def test_xarray_opens_ours_as_it_is(ours: Path) -> None:
    with xarray.open_zarr(str(ours)) as dataset:
        assert set(dataset.variables) == set(arrays())
        assert dataset["diff3d"].dims == ("scan", "ky", "kx")
        assert dataset["objectGuess"].dims == ("object_y", "object_x")
        assert dataset["xcoords"].dims == ("scan",)
        assert dataset["n_f4"].dims == ("n_f4_0", "n_f4_1")
        assert dataset["xcoords"].attrs["units"] == "pixel"
        for name, value in arrays().items():
            found = dataset[name].to_numpy()
            if value.dtype.kind == "U":
                assert found.tolist() == value.tolist()
            else:
                assert_same(found, value)


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_fields_named_like_dimensions(tmp_path: Path, suffix: str) -> None:
    clashing = {name: np.arange(12.0).reshape(3, 4) for name in CLASHING}
    clashing["y"] = np.arange(21.0)
    clashing["scan"] = np.arange(84.0).reshape(21, 4)
    clashing["note"] = np.zeros((3, 3))
    given = {**scan(), **clashing}
    path = put(tmp_path, suffix, given)
    if suffix == ".zarr":
        with xarray.open_zarr(str(path)) as dataset:
            for name, value in given.items():
                assert_same(dataset[name].to_numpy(), value)
    else:
        with h5py.File(path) as file:
            for name, value in given.items():
                assert_same(file[name][...], value)
                assert len({dim.label for dim in file[name].dims}) == value.ndim
    found = ptystore.open(path)
    for name, value in given.items():
        assert_same(found[name].values(), value)


def test_no_name_stands_for_two_sizes(tmp_path: Path) -> None:
    """Frames and probe of different sizes, two probe modes, Y beside them."""
    given = {
        **scan(),
        "Y": values("c8", (21, 4, 4)),
        "probeGuess": values("c8", (2, 6, 10)),
        "xcoords_start": np.zeros(21),
    }
    path = put(tmp_path, ".zarr", given)
    with xarray.open_zarr(str(path)) as dataset:
        assert dataset["probeGuess"].dims == ("mode", "probe_y", "probe_x")
        assert dataset["Y"].dims == ("scan", "y", "x")
        assert dict(dataset.sizes)["scan"] == 21


def tensor(path: Path) -> Any:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return tensorstore.open(spec, read=True).result()


def test_tensorstore_reads_ours(ours: Path) -> None:
    for name, value in arrays().items():
        if value.dtype.kind == "U":
            continue
        array = tensor(ours / name)
        document_ = json.loads((ours / name / "zarr.json").read_text("utf-8"))
        assert list(array.domain.labels) == document_.get("dimension_names", [])
        assert_same(np.asarray(array.read().result()), value)


def test_h5py_reads_ours(ours: Path) -> None:
    with h5py.File(ours.with_suffix(".h5")) as file:
        for name, value in arrays().items():
            if value.dtype.kind == "U":
                assert file[name].asstr()[...].tolist() == value.tolist()
            else:
                assert_same(file[name][...], value)
        assert_same(file["diff3d"][37:41, 3], arrays()["diff3d"][37:41, 3])


LAYOUT = {
    "chunks": (2, 32, 30),
    "shards": (128, 32, 30),
    "compressors": [
        BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=2),
        Crc32cCodec(),
    ],
}


@pytest.mark.parametrize("separator", [".", "/"])
def test_a_zarr_python_store_of_our_layout(tmp_path: Path, separator: str) -> None:
    given = scan(300, 32, 30)
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    array = group.create_array(
        "diff3d",
        shape=given["diff3d"].shape,
        dtype="u2",
        chunk_key_encoding={"name": "default", "separator": separator},
        config={"write_empty_chunks": True},
        **LAYOUT,
    )
    array[...] = given["diff3d"]
    for name, value in given.items():
        if name != "diff3d":
            group.create_array(name, data=value)
    group.attrs["metadata"] = document().document
    found = ptystore.open(tmp_path / "a.zarr")
    assert found.metadata == document()
    assert found["diff3d"].role == "per_frame"
    for name, value in given.items():
        assert_same(found[name].values(), value)
    picked = [299, 0, 7, 7]
    assert_same(found["diff3d"][picked], given["diff3d"][picked])
    for suffix in (".npz", ".h5", ".zarr"):
        report = ptystore.write(found, tmp_path / f"out{suffix}")
        assert report.digests == ptystore.digest(ptystore.dataset_of(given))[0]


def test_shards_by_hand_and_by_zarr_python_mean_the_same(tmp_path: Path) -> None:
    """The same document with the other's shard files gives the same values, both ways."""
    frames = values("u2", (5000, 40, 41))
    path = put(tmp_path, ".zarr", {"diffraction": frames})
    before = json.loads((path / "diffraction" / "zarr.json").read_text("utf-8"))
    by_hand = [file.read_bytes() for file in sorted((path / "diffraction").glob("c.*"))]
    spec = zarr.open_array(str(path), path="diffraction", mode="r")
    theirs = zarr.create_array(
        str(tmp_path / "theirs"),
        shape=spec.shape,
        dtype=spec.dtype,
        chunks=spec.chunks,
        shards=spec.shards,
        compressors=spec.compressors,
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=spec.metadata.dimension_names,  # type: ignore[union-attr]
        attributes=dict(spec.attrs),
        config={"write_empty_chunks": True},
    )
    theirs[...] = frames
    assert json.loads((tmp_path / "theirs" / "zarr.json").read_text("utf-8")) == before
    files = sorted((tmp_path / "theirs").glob("c.*"))
    assert [file.name for file in files] == ["c.0.0.0", "c.1.0.0"]
    field = ptystore.open(path)["diffraction"]
    for file, own in zip(files, by_hand, strict=True):
        (path / "diffraction" / file.name).write_bytes(file.read_bytes())
        file.write_bytes(own)
    assert_same(field.values(), frames)
    assert_same(field[[4999, 0]], frames[[4999, 0]])
    assert_same(np.asarray(zarr.open_array(str(tmp_path / "theirs"), mode="r")[...]), frames)
    assert len(chunk_places(path, "diffraction")) == 1250


def test_a_tensorstore_store_of_our_layout(tmp_path: Path) -> None:
    given = scan(300, 32, 30)
    zarr.create_group(str(tmp_path / "a.zarr"))
    for name, value in given.items():
        chunk = [2, 32, 30] if name == "diff3d" else list(value.shape)
        codecs: list[dict[str, Any]] = [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {
                "name": "blosc",
                "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle"},
            },
            {"name": "crc32c"},
        ]
        shard = {
            "name": "sharding_indexed",
            "configuration": {"chunk_shape": chunk, "codecs": codecs},
        }
        grid = [128, 32, 30] if name == "diff3d" else list(value.shape)
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": str(tmp_path / "a.zarr" / name)},
            "metadata": {
                "shape": list(value.shape),
                "data_type": value.dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}},
                "codecs": [shard],
            },
            "create": True,
        }
        tensorstore.open(spec).result().write(value).result()
    found = ptystore.open(tmp_path / "a.zarr")
    for name, value in given.items():
        assert_same(found[name].values(), value)
    assert_same(found["diff3d"][::-7], given["diff3d"][::-7])


@pytest.mark.parametrize("form", [2, 3])
def test_plain_groups_of_either_zarr_version(tmp_path: Path, form: Any) -> None:
    given = {
        **scan(),
        "big": np.arange(7).astype(">i4"),
        "0d": np.array(3.0),
        "bool": np.eye(3) > 0,
    }
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=form)
    for name, value in given.items():
        native_ = value if form == 2 else value.astype(value.dtype.newbyteorder("="))
        group.create_array(name, data=native_, chunks=tuple(max(1, n // 2) for n in value.shape))
    group.create_array("words", shape=(2,), dtype="str" if form == 3 else "U12")[:] = np.array(
        ["µm two words", "b"]
    )
    group["xcoords"].attrs["units"] = "pixels"
    group.attrs["metadata"] = {"a": 1}
    found = ptystore.open(tmp_path / "a.zarr")
    assert found["xcoords"].attrs["units"] == "pixels"
    assert found.metadata is not None
    assert found.metadata.document == {"a": 1}
    ptystore.write(found, tmp_path / "b.zarr")
    for store in (found, ptystore.open(tmp_path / "b.zarr")):
        for name, value in given.items():
            assert_same(store[name].values(), value.astype(value.dtype.newbyteorder("=")))
        assert store["words"].values().tolist() == ["µm two words", "b"]


def test_what_can_not_be_taken_from_a_zarr_store(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "nested.zarr"))
    group.create_group("entry").create_array("a", data=np.ones(2))
    with pytest.raises(InputError, match="group inside a group") as caught:
        ptystore.open(tmp_path / "nested.zarr")
    assert caught.value.member == "entry"
    zarr.create_array(str(tmp_path / "single.zarr"), data=np.ones(2))
    with pytest.raises(InputError, match="single Zarr array"):
        ptystore.open(tmp_path / "single.zarr")
    dated = zarr.create_group(str(tmp_path / "dated.zarr"), zarr_format=2)
    dated.create_array("when", data=np.array(["2020-01-01"], "M8[D]"))
    with pytest.raises(InputError, match="datetime") as caught:
        ptystore.open(tmp_path / "dated.zarr")
    assert caught.value.member == "when"
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{", "utf-8")
    with pytest.raises((InputError, ptystore.IntegrityError)):
        ptystore.open(tmp_path / "broken.zarr")


def test_another_codec_of_theirs(tmp_path: Path) -> None:
    frames = values("u2", (37, 8, 9))
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    array = group.create_array(
        "diffraction",
        shape=frames.shape,
        dtype="u2",
        chunks=(37, 8, 9),
        serializer=ShardingCodec(
            chunk_shape=(37, 4, 9), codecs=[zarr.codecs.BytesCodec(), ZstdCodec()]
        ),
        compressors=None,
    )
    array[...] = frames
    found = ptystore.open(tmp_path / "a.zarr")["diffraction"]
    assert_same(found[:], frames)
    assert_same(found[[3, 1]], frames[[3, 1]])
