"""HDF5: what any HDF5 reader sees, damage, and files of other tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from chunk_places import chunk_places
from ptystore import InputError, IntegrityError, Metadata
from scans import (
    assert_same,
    document,
    flip,
    forked,
    overwrite,
    pickled,
    put,
    scan,
    values,
)

FRAMES = values("u2", (700, 40, 41))  # chunks of 4 frames


@pytest.fixture
def file(tmp_path: Path) -> Path:
    arrays = {
        "diffraction": FRAMES,
        "dose": np.array(7.0),
        "text": np.array([["µ", "b\0c"], ["", "d"]]),
    }
    return put(tmp_path, ".h5", arrays, document())


def test_what_a_reader_of_hdf5_sees(tmp_path: Path) -> None:
    path = put(tmp_path, ".h5", {**scan(), "note": np.array("µm")}, document())
    with h5py.File(path) as file:
        assert set(file) == {*scan(), "note", "_metadata", "__ptystore__"}
        frames = file["diff3d"]
        assert [dim.label for dim in frames.dims] == ["scan", "ky", "kx"]
        assert frames.dims[0].keys() == ["scan"]
        assert frames.dims[0]["scan"].shape == (21,)
        assert frames.attrs["signal"] == "counts"
        assert file["xcoords"].attrs["units"] == "pixel"
        assert file["note"][()].decode("utf-8") == "µm"
        assert json.loads(file["_metadata"][()]) == document().document


def test_metadata_beyond_the_limit_of_an_attribute(tmp_path: Path) -> None:
    large = Metadata({"text": "µ" * 300_000})
    path = put(tmp_path, ".h5", {"a": np.ones(1)}, large)
    assert ptystore.open(path).metadata == large


@pytest.mark.parametrize("chunk", [0, 87, 174])
def test_damage_names_field_and_frames_and_spares_the_rest(file: Path, chunk: int) -> None:
    flip(chunk_places(file, "diffraction")[chunk])
    field = ptystore.open(file)["diffraction"]
    first = 4 * chunk
    for key in (slice(None), first, [first + 3]):
        with pytest.raises(IntegrityError, match=f"frames {first} to {first + 3}: ") as caught:
            field[key]
        assert (caught.value.file, caught.value.member) == (str(file), "diffraction")
    whole = np.ones(700, bool)
    whole[first : first + 4] = False
    assert_same(field[whole], FRAMES[whole])
    assert any(f"frames {first} to" in line for line in ptystore.verify(file).damage)


def test_a_chunk_that_was_never_written_is_an_error(file: Path) -> None:
    """HDF5 itself would read zeros."""
    with h5py.File(file, "r+", libver=("v110", "v110")) as opened:
        source = opened["diffraction"]
        ids = source.id
        offsets = [ids.get_chunk_info(at).chunk_offset for at in range(ids.get_num_chunks())]
        chunks = {offset: ids.read_direct_chunk(offset)[1] for offset in offsets}
        parts = source.id.get_type(), source.id.get_space(), source.id.get_create_plist()
        attrs, dims = dict(source.attrs), [(dim.label, dim.values()) for dim in source.dims]
        for dim in source.dims:
            for scale in list(dim.values()):
                dim.detach_scale(scale)
        del opened["diffraction"], attrs["DIMENSION_LABELS"]
        attrs.pop("DIMENSION_LIST", None)
        made = h5py.Dataset(h5py.h5d.create(opened.id, b"diffraction", *parts))
        for name, value in attrs.items():
            made.attrs[name] = value
        for axis, (label, scales) in enumerate(dims):
            made.dims[axis].label = label
            made.dims[axis].attach_scale(*scales)
        for offset, data in chunks.items():
            if offset[0] != 400:
                made.id.write_direct_chunk(offset, data)
    field = ptystore.open(file)["diffraction"]
    with pytest.raises(IntegrityError, match="frames 400 to 403: the chunk is missing"):
        field[:]
    assert_same(field[404:], FRAMES[404:])


@pytest.mark.parametrize("name", ["dose", "text"])
def test_damage_of_an_array_in_one_piece(file: Path, name: str) -> None:
    with h5py.File(file) as opened:
        offset = opened[name].id.get_offset()
        size = opened[name].id.get_storage_size()
    dataset = ptystore.open(file)
    flip((file, offset, size))
    with pytest.raises(IntegrityError) as caught:
        dataset[name].values()
    assert caught.value.member == name


def test_damaged_metadata_and_notes(file: Path) -> None:
    content = file.read_bytes()
    for word in (b'"nphotons"', b'"frame_axis"'):
        at = content.index(word)
        overwrite((file, at, 2), b"X")
        with pytest.raises(IntegrityError, match="checksum"):
            ptystore.open(file)
        file.write_bytes(content)


def replace(path: Path, name: str, kind: str) -> None:
    """Put in the place of an array what is no array."""
    with h5py.File(path, "r+") as opened:
        del opened[name]
        if kind == "group":
            opened.create_group(name)
        else:
            opened[name] = np.dtype("f8")


@pytest.mark.parametrize("kind", ["group", "named datatype"])
@pytest.mark.parametrize("name", ["diffraction", "dose", "_metadata", "__ptystore__/note"])
def test_what_is_no_array_in_the_place_of_one(file: Path, name: str, kind: str) -> None:
    replace(file, name, kind)
    with pytest.raises(IntegrityError, match=f"/{name}: a {kind}, not an array"):
        ptystore.open(file)


@pytest.mark.parametrize("kind", ["group", "named datatype"])
@pytest.mark.parametrize("name", ["diffraction", "dose"])
def test_what_is_no_array_in_the_place_of_checksums(file: Path, name: str, kind: str) -> None:
    replace(file, f"__ptystore__/crc32c/{name}", kind)
    field = ptystore.open(file)[name]
    with pytest.raises(IntegrityError, match=f"crc32c/{name}: a {kind}, not an array") as caught:
        field.values()
    assert (caught.value.file, caught.value.member) == (str(file), name)


def test_an_array_in_the_place_of_all_checksums(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["__ptystore__/crc32c"]
        opened["__ptystore__/crc32c"] = np.arange(3)
    with pytest.raises(IntegrityError, match="__ptystore__/crc32c: not a group") as caught:
        ptystore.open(file)["diffraction"].values()
    assert caught.value.member == "diffraction"


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
def test_a_truncated_file(file: Path, keep: float) -> None:
    os.truncate(file, int(file.stat().st_size * keep))
    with pytest.raises((InputError, IntegrityError)) as caught:
        ptystore.open(file)["diffraction"].values()
    assert "\n" not in str(caught.value)
    assert caught.value.file == str(file)


def test_a_file_that_changed_since_it_was_opened(file: Path) -> None:
    dataset = ptystore.open(file)
    file.unlink()
    put(file.parent, ".h5", {"diffraction": FRAMES + 1})
    with pytest.raises((InputError, IntegrityError)):
        pickled(dataset)["diffraction"].values()


def foreign(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return path


def test_files_of_others(tmp_path: Path) -> None:
    arrays = scan()
    words = np.array(["µm", "", "two words"], object)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset(
            "diff3d", data=arrays["diff3d"], chunks=(5, 3, 10), compression="gzip", shuffle=True
        )
        file.create_dataset("xcoords", data=arrays["xcoords"], dtype=">f8")
        file.create_dataset("ycoords", data=arrays["ycoords"], fletcher32=True, chunks=(4,))
        file["probeGuess"] = arrays["probeGuess"]
        file["mask"] = np.arange(60).reshape(6, 10) % 2 == 0
        file["half"] = np.float16(2.5)
        file["none"] = np.zeros((0, 3))
        file.create_dataset("words", data=words, dtype=h5py.string_dtype())
        file.create_dataset("fixed", data=np.array([b"ab", b"c"]))
        file["probeGuess"].attrs["energy_eV"] = np.float32(8000)
        file.attrs["beamline"] = "μ"
    dataset = ptystore.open(tmp_path / "other.h5")
    assert_same(dataset["diff3d"][[20, 3, 3]], arrays["diff3d"][[20, 3, 3]])
    assert_same(dataset["diff3d"][::-4], arrays["diff3d"][::-4])
    assert dataset["diff3d"].role == "per_frame"
    assert dataset["probeGuess"].attrs["energy_eV"] == 8000
    assert dataset["words"].values().tolist() == ["µm", "", "two words"]
    assert dataset["fixed"].values().tolist() == ["ab", "c"]
    assert dataset.metadata is not None
    assert dataset.metadata.document["additional_parameters"] == {
        "source_attributes": {"beamline": "μ"}
    }
    for suffix in (".npz", ".zarr", ".h5"):
        ptystore.write(ptystore.ingest(dataset), tmp_path / f"out{suffix}")
        found = ptystore.open(tmp_path / f"out{suffix}")
        for name in dataset:
            assert_same(found[name].values(), dataset[name].values())
        assert_same(found["ycoords"].values(), arrays["ycoords"])
        assert_same(found["xcoords"].values(), arrays["xcoords"])
        assert found["mask"].dtype == bool
    forked(lambda: assert_same(dataset["diff3d"].values(), arrays["diff3d"]))


@pytest.mark.parametrize("text", ['{"a": 1}', b'{"a": 1}'], ids=["str", "bytes"])
def test_metadata_of_others(tmp_path: Path, text: Any) -> None:
    path = foreign(tmp_path / "a.h5", a=np.ones(2), _metadata=text)
    assert ptystore.open(path).metadata == Metadata({"a": 1})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([(1, 2.0)], "i4,f8"), "dtype"),
        (np.zeros(2, "V3"), "dtype"),
        (np.zeros(2, "g"), "dtype"),
        (h5py.Empty("f8"), "no shape"),
        (np.array([1, 2, 3]), "metadata"),
    ],
    ids=["compound", "opaque", "longdouble", "null", "metadata"],
)
def test_what_can_not_be_taken_is_refused_by_name(tmp_path: Path, value: Any, reason: str) -> None:
    name = "_metadata" if reason == "metadata" else "odd"
    path = foreign(tmp_path / "a.h5", **{"a": np.ones(2), name: value})
    with pytest.raises(InputError, match=reason) as caught:
        ptystore.open(path)
    assert (caught.value.file, caught.value.member) == (str(path), name)


def test_references_and_lists_of_various_lengths_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.ones(2)
        file.create_dataset("odd", data=file["a"].ref, dtype=h5py.ref_dtype)
    with pytest.raises(InputError, match="references") as caught:
        ptystore.open(tmp_path / "a.h5")
    assert caught.value.member == "odd"


def test_groups_inside_groups_are_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.h5", **{"a": np.ones(2), "entry/data": np.ones(2)})
    with pytest.raises(InputError, match="is a group") as caught:
        ptystore.open(path)
    assert caught.value.member == "entry"
    assert caught.value.advice


def test_a_named_datatype_is_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.h5", a=np.ones(2), odd=np.dtype("f8"))
    with pytest.raises(InputError, match="odd: is a named datatype, not an array") as caught:
        ptystore.open(path)
    assert caught.value.file == str(path)


def test_an_array_that_became_a_group(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.h5", a=np.ones(2), words=np.array(["µm", ""], object))
    dataset = ptystore.open(path)
    for name in dataset:
        replace(path, name, "group")
        with pytest.raises(IntegrityError, match="changed while it was read"):
            dataset[name].values()


def test_a_file_that_another_program_writes(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.h5", a=np.ones(2))
    code = (
        "import h5py, sys; file = h5py.File(sys.argv[1], 'a'); print('open', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="locked"):
            ptystore.open(path)
        writer.communicate("\n")
    assert ptystore.open(path)["a"].shape == (2,)
