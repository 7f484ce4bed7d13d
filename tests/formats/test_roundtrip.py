"""Any arrays under any names through any chain of formats, and what an `.npz` of ours is."""

from __future__ import annotations

import io
import json
import string
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import ptystore
from ptystore import InputError, Metadata, ParameterError
from ptystore.formats.names import check_name
from ptystore.formats.npz import writer as npz_writer
from scans import DTYPES, SUFFIXES, Array, assert_same, document, native, plain_digest, scan, values

NAMES = st.text(string.ascii_letters + string.digits + "_-.+ ", min_size=1, max_size=128).filter(
    lambda name: check_name(name) is None and name.lower() != "_metadata"
)
# What the contract knows by name has a shape to keep to; here names mean nothing.
KNOWN = {"diffraction", "diff3d", "y", "scan_index", "probeguess", "objectguess"}
DTYPE = st.one_of(
    st.sampled_from([np.dtype(one) for one in DTYPES]),
    st.sampled_from([np.dtype(one).newbyteorder(">") for one in DTYPES]),
)


@st.composite
def text(draw: st.DrawFn, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
    letters = st.characters(exclude_categories=["Cs"])
    # A text in numpy can not end in NUL.
    words = st.text(letters, max_size=kind.itemsize // 4).map(lambda word: word.rstrip("\0"))
    return draw(st_numpy.arrays(kind, shape, elements=words, fill=st.nothing()))


@st.composite
def any_array(draw: st.DrawFn) -> Array:
    shape = draw(st_numpy.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6))
    kind = draw(DTYPE)
    array = draw(text(shape, kind) if kind.kind == "U" else st_numpy.arrays(kind, shape))
    return np.asfortranarray(array) if draw(st.booleans()) else array


@st.composite
def any_scan(draw: st.DrawFn) -> dict[str, Array]:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.lower))
    return {
        name: draw(any_array())
        for name in names
        if name.lower() not in KNOWN and "coords" not in name.lower()
    }


@st.composite
def any_document(draw: st.DrawFn) -> Metadata | None:
    plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | plain
    leaf = leaf.filter(lambda one: one not in (float("inf"), float("-inf")))
    tree = st.recursive(leaf, lambda one: st.lists(one, max_size=3) | st.dictionaries(plain, one))
    return draw(
        st.none()
        | st.dictionaries(plain, tree, max_size=4).map(Metadata)
        # A text in numpy can not end in NUL.
        | st.text(max_size=20).filter(lambda one: not one.endswith("\0")).map(Metadata.keep_text)
    )


def assert_scan(path: Path, arrays: dict[str, Array], metadata: Metadata | None) -> dict[str, str]:
    found = ptystore.open(path, metadata="keep-text")
    assert list(found) == list(arrays)
    assert found.metadata == metadata
    for name, given_ in arrays.items():
        assert_same(found[name].values(), native(given_))
    recorded = {name: one.digest for name, one in found.fields.items()}
    assert recorded == {name: plain_digest(name, native(a), None) for name, a in arrays.items()}
    return {name: str(digest) for name, digest in recorded.items()}


@settings(max_examples=25)
@given(any_scan(), any_document(), st.permutations(SUFFIXES), st.sampled_from(["deflate", "store"]))
def test_any_scan_through_all_formats_in_any_order(
    arrays: dict[str, Array], metadata: Metadata | None, order: list[str], compression: Any
) -> None:
    if not arrays:
        return
    dataset = ptystore.dataset_of(arrays, metadata)
    with tempfile.TemporaryDirectory() as folder:
        for number, suffix in enumerate(order):
            path = Path(folder) / f"{number}{suffix}"
            ptystore.write(dataset, path, compression=compression)
            assert_scan(path, arrays, metadata)
            if suffix == ".npz":
                check_with_numpy(path, arrays, metadata)
            dataset = ptystore.open(path, metadata="keep-text")


def check_with_numpy(path: Path, arrays: dict[str, Array], metadata: Metadata | None) -> None:
    """numpy and Python's own zip module read all of it, without pickle."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    with np.load(path, allow_pickle=False) as loaded:
        members = [*arrays, *(["_metadata"] if metadata is not None else [])]
        assert loaded.files == members
        for name, given_ in arrays.items():
            assert_same(native(loaded[name]), native(given_))
        if metadata is not None:
            assert loaded["_metadata"].shape == ()
            assert str(loaded["_metadata"].item()) == metadata.to_json()


@settings(max_examples=25)
@given(any_scan(), st.sampled_from([np.savez, np.savez_compressed]), st.sampled_from(SUFFIXES))
def test_ingest_then_export_gives_back_what_numpy_saved(
    arrays: dict[str, Array], save: Any, suffix: str
) -> None:
    if not arrays:
        return
    kept = '{"b": 1,  "a": [1.50, "\\u00b5"]}'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open(folder / "raw.npz", "wb") as file, warnings.catch_warnings():
            save(file, _metadata=np.array(kept), **arrays)
        raw = ptystore.ingest(ptystore.open(folder / "raw.npz"))
        ptystore.write(raw, folder / f"store{suffix}")
        ptystore.export(ptystore.open(folder / f"store{suffix}"), folder / "out.npz")
        with np.load(folder / "out.npz", allow_pickle=False) as loaded:
            assert sorted(loaded.files) == sorted([*arrays, "_metadata"])
            for key, value in arrays.items():
                assert_same(loaded[key], native(value))
            found = json.loads(str(loaded["_metadata"].item()))
    assert list(found)[:2] == ["b", "a"]
    history = found.pop("data_transformations")
    assert found == json.loads(kept)
    assert [one["operation"] for one in history] == ["ingest"]


def test_the_text_of_a_document_that_is_kept_comes_back_verbatim(tmp_path: Path) -> None:
    kept = '{"b": NaN,  "a": 1, "\\ud800": "µ"}'
    np.savez(tmp_path / "raw.npz", a=np.ones(3), _metadata=np.array(kept))
    with pytest.raises(InputError, match="NaN"):
        ptystore.open(tmp_path / "raw.npz")
    raw = ptystore.ingest(ptystore.open(tmp_path / "raw.npz", metadata="keep-text"))
    for suffix in SUFFIXES:
        ptystore.write(raw, tmp_path / f"store{suffix}")
        stored = ptystore.open(tmp_path / f"store{suffix}", metadata="keep-text")
        ptystore.export(stored, tmp_path / "out.npz", overwrite=True)
        with np.load(tmp_path / "out.npz", allow_pickle=False) as loaded:
            assert str(loaded["_metadata"].item()) == kept


@pytest.mark.parametrize("compression", ["deflate", "store"])
def test_exporting_twice_gives_the_same_bytes(tmp_path: Path, compression: Any) -> None:
    arrays = {**scan(600, 64, 64), "text": np.array(["µ", ""]), "empty": np.zeros((0, 2))}
    dataset = ptystore.dataset_of(arrays, document())
    made = []
    for jobs in (1, 2, 5):
        path = tmp_path / f"{jobs}.npz"
        ptystore.export(dataset, path, compression=compression, jobs=jobs)
        made.append(path.read_bytes())
    for suffix in (".zarr", ".h5"):
        ptystore.write(dataset, tmp_path / f"a{suffix}")
        again = ptystore.open(tmp_path / f"a{suffix}")
        ptystore.export(again, tmp_path / "again.npz", compression=compression, overwrite=True)
        made.append((tmp_path / "again.npz").read_bytes())
    assert len(set(made)) == 1
    check_with_numpy(tmp_path / "1.npz", arrays, document())
    with zipfile.ZipFile(tmp_path / "1.npz") as archive:
        expected = zipfile.ZIP_DEFLATED if compression == "deflate" else zipfile.ZIP_STORED
        assert {info.compress_type for info in archive.infolist()} == {expected}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("level", range(10))
def test_every_level_of_deflate(tmp_path: Path, level: int) -> None:
    arrays = scan(600, 64, 64) | {"empty": np.zeros((0, 2))}
    dataset = ptystore.dataset_of(arrays, document())
    made = []
    for jobs in (1, 3):
        path = tmp_path / f"{jobs}.npz"
        ptystore.export(dataset, path, level=level, jobs=jobs)
        made.append(path.read_bytes())
    assert made[0] == made[1]
    check_with_numpy(tmp_path / "1.npz", arrays, document())
    assert ptystore.verify(tmp_path / "1.npz").ok


def test_what_a_level_is_worth(tmp_path: Path) -> None:
    amplitude = np.sqrt(np.random.default_rng(0).poisson(3, (512, 64, 64))).astype("f4")
    dataset = ptystore.dataset_of({"diffraction": amplitude})

    def size(level: int | None) -> int:
        return ptystore.write(dataset, tmp_path / "a.npz", level=level, overwrite=True).stored_bytes

    np.savez_compressed(tmp_path / "numpy.npz", diffraction=amplitude)
    numpys = (tmp_path / "numpy.npz").stat().st_size
    # Blocks that are packed apart know nothing of each other: next to nothing.
    assert size(6) == pytest.approx(numpys, rel=0.01)
    assert size(9) <= size(6) < size(None) == size(2) < size(0)


@pytest.mark.parametrize(("level", "compression"), [(-1, "deflate"), (10, "deflate"), (3, "store")])
def test_a_level_that_makes_no_sense(tmp_path: Path, level: int, compression: Any) -> None:
    dataset = ptystore.dataset_of(scan())
    with pytest.raises(ParameterError, match="level"):
        ptystore.write(dataset, tmp_path / "a.npz", level=level, compression=compression)
    with pytest.raises(ParameterError, match="level"):
        ptystore.write(dataset, tmp_path / "a.zarr", level=3)
    assert not any(tmp_path.iterdir())


def test_members_are_what_np_save_writes(tmp_path: Path) -> None:
    arrays = {f"a{dtype.strip('?')}": values(dtype, (3, 4)) for dtype in DTYPES}
    arrays |= {"0d": np.array(1.5), "one": np.arange(3), "large": np.zeros((100000, 2), "u1")}
    ptystore.write(ptystore.dataset_of(arrays), tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        for name, value in arrays.items():
            saved = io.BytesIO()
            np.save(saved, value)
            assert archive.read(f"{name}.npy") == saved.getvalue(), name


def test_a_stack_with_frames_last_keeps_its_shape(tmp_path: Path) -> None:
    stack = values("u2", (6, 10, 21))
    arrays = {**scan(), "diff3d": stack}
    np.savez_compressed(tmp_path / "raw.npz", **arrays)
    for suffix in SUFFIXES:
        ptystore.write(ptystore.open(tmp_path / "raw.npz"), tmp_path / f"a{suffix}")
        ptystore.export(ptystore.open(tmp_path / f"a{suffix}"), tmp_path / f"{suffix}.npz")
        with np.load(tmp_path / f"{suffix}.npz", allow_pickle=False) as loaded:
            assert_same(np.ascontiguousarray(loaded["diff3d"]), stack)


@pytest.mark.parametrize("key", ["as-is", "diffraction", "diff3d", "both"])
def test_the_frames_under_the_name_that_was_asked_for(tmp_path: Path, key: Any) -> None:
    given_ = ptystore.canonicalize(ptystore.dataset_of(scan()))
    ptystore.export(given_, tmp_path / "a.npz", diffraction_key=key)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        names = {"as-is": {"diffraction"}, "both": {"diffraction", "diff3d"}}.get(key, {key})
        assert {"diffraction", "diff3d"} & set(loaded.files) == names
        for name in names:
            assert_same(loaded[name], np.sqrt(scan()["diff3d"], dtype="f4"))


def test_beyond_the_sizes_of_plain_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The zip64 records, with the limit moved down so that small members need them."""
    monkeypatch.setattr(npz_writer, "_LIMIT", 5000)
    arrays = {"a": values("u2", (40, 16, 16)), "b": np.arange(5.0), "c": np.arange(2000.0)}
    path = tmp_path / "a.npz"
    ptystore.write(ptystore.dataset_of(arrays), path)
    data = path.read_bytes()
    assert data.count(b"PK\x06\x06") == data.count(b"PK\x06\x07") == 1
    entries = [data[at : at + 46] for at in find_all(data, b"PK\x01\x02")]
    plain = [struct.unpack("<20x2I14xI", entry) for entry in entries]
    assert plain == [(2**32 - 1,) * 3] * 3, "sizes and offsets beyond the limit in plain records"
    check_with_numpy(path, arrays, None)
    assert_scan(path, arrays, None)


def find_all(data: bytes, word: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(word, at)]


@pytest.mark.full
def test_a_member_beyond_4_gib(tmp_path: Path) -> None:
    frames = np.broadcast_to(values("u2", (64, 64)), ((4 << 30) // 8192 + 5, 64, 64))
    tail = np.arange(7.0)
    path = tmp_path / "large.npz"
    ptystore.write(
        ptystore.dataset_of({"diffraction": frames, "tail": tail}), path, compression="store"
    )
    assert path.stat().st_size > 4 << 30
    with np.load(path, allow_pickle=False) as loaded:
        assert_same(loaded["tail"], tail)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("diffraction.npy").file_size > 4 << 30
    found = ptystore.open(path)
    assert_same(found["diffraction"][-1], frames[-1])
    assert_same(found["tail"].values(), tail)
    assert ptystore.verify(path).ok


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("a", np.array([None]), "dtype"),
        ("a", np.zeros(2, "M8[s]"), "dtype"),
        ("a", np.zeros(2, "g"), "dtype"),
        ("a", np.zeros(2, "S3"), "dtype"),
        ("a", np.zeros(2, "i4,f8"), "dtype"),
        ("a", np.zeros((1,) * 33), "dimensions"),
        ("../a", np.zeros(2), "name"),
        ("", np.zeros(2), "name"),
        ("zarr.json", np.zeros(2), "reserved"),
        ("__ptystore__", np.zeros(2), "reserved"),
        ("_metadata", np.zeros(2), "metadata document"),
        ("OTHER", np.zeros(2), "only in case"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_no_format_can_hold_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, value: Array, reason: str, suffix: str
) -> None:
    dataset = ptystore.dataset_of({"other": np.ones(2), name: value})
    with pytest.raises(InputError, match=reason) as caught:
        ptystore.write(dataset, tmp_path / f"a{suffix}")
    assert caught.value.member == (name or None) or not name
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_without_arrays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no arrays"):
        ptystore.write(ptystore.dataset_of({}), tmp_path / "a.zarr")


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_a_lone_surrogate_in_an_array_of_text(tmp_path: Path, suffix: str) -> None:
    """An `.npz` holds it; UTF-8 can't, and says so."""
    words = np.array(["a", "\ud800"])
    ptystore.write(ptystore.dataset_of({"a": words}), tmp_path / "a.npz")
    found = ptystore.open(tmp_path / "a.npz")
    assert_same(found["a"].values(), words)
    with pytest.raises(InputError, match="surrogate") as caught:
        ptystore.write(found, tmp_path / f"b{suffix}")
    assert caught.value.member == "a"
    assert [one.name for one in tmp_path.iterdir()] == ["a.npz"]


def test_attributes_must_be_json() -> None:
    attrs = {"a": {"amplitude_scale": np.float32(2.5), "sizes": np.arange(2)}}
    found = ptystore.dataset_of({"a": np.ones(2)}, attrs=attrs)["a"].attrs
    assert dict(found) == {"amplitude_scale": 2.5, "sizes": [0, 1]}
    with pytest.raises(InputError):
        ptystore.dataset_of({"a": np.ones(2)}, attrs={"a": {"scale": np.nan}})
