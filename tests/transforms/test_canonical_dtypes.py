"""Whatever canonicalize writes passes validate, whatever dtypes it is given."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptystore
from npz_files import scan_arrays
from ptystore.errors import InputError
from scans import SUFFIXES

INTEGERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")
REAL = ("?", *INTEGERS, "f2", "f4", "f8")
NUMBERS = (*REAL, "c8", "c16")
FRAMES, SIZE = 7, 4


def numbers(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Counts, or anything else that is not below zero, over the whole range of integers."""
    made = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        top = np.iinfo(kind).max
        return made.integers(0, top, shape, dtype=kind, endpoint=bool(seed % 2))
    if kind.kind == "b":
        return made.integers(2, size=shape).astype(bool)
    return (made.random(shape) * 60).astype(kind)


@st.composite
def scans(draw: st.DrawFn) -> dict[str, np.ndarray]:
    seed = draw(st.integers(0, 1000))
    shapes = {
        "diffraction": (FRAMES, SIZE, SIZE), "Y": (FRAMES, SIZE, SIZE), "probeGuess": (SIZE, SIZE),
        "objectGuess": (40, 40), "run": (FRAMES,), "dark": (SIZE, SIZE + 1),
    }  # fmt: skip
    arrays = {}
    for name, shape in shapes.items():
        dtypes = REAL if name == "diffraction" else NUMBERS
        arrays[name] = numbers(draw(st.sampled_from(dtypes)), shape, seed)
    inside = np.random.default_rng(seed).integers(SIZE, 30, FRAMES)
    for name in ("xcoords", "ycoords", "xcoords_start"):
        arrays[name] = inside.astype(draw(st.sampled_from([*INTEGERS, "f2", "f4", "f8"])))
    indices = np.arange(FRAMES) + draw(st.sampled_from([0, 100, 2**62]))
    dtype = draw(st.sampled_from([*INTEGERS, "?", "f2", "f4", "f8"]))
    arrays["scan_index"] = (indices if indices[0] < 2 else indices % 100).astype(dtype)
    left_out = draw(st.sets(st.sampled_from(["Y", "probeGuess", "objectGuess", "run", "dark"])))
    return {name: array for name, array in arrays.items() if name not in left_out}


@settings(max_examples=60)
@given(
    arrays=scans(),
    suffix=st.sampled_from(SUFFIXES),
    name=st.sampled_from(["diffraction", "diff3d"]),
)
def test_what_is_written_passes(arrays: dict[str, np.ndarray], suffix: str, name: str) -> None:
    given_ = {name if key == "diffraction" else key: value for key, value in arrays.items()}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "raw.npz", **given_)
        scan = ptystore.open(Path(folder) / "raw.npz")
        if "Y" in scan:
            scan = ptystore.Dataset(scan.fields, patched(), scan.source)
        path = Path(folder) / f"out{suffix}"
        ptystore.write(ptystore.canonicalize(scan), path)
        found = ptystore.open(path)
        assert [str(one) for one in ptystore.find_problems(found)] == []
        for field in ("run", "dark"):
            if field in given_:
                want = given_[field].dtype
                want = np.dtype("c8") if want == np.complex128 else want
                assert found[field].dtype == want
        if "scan_index" in given_:
            np.testing.assert_array_equal(found["scan_index"].values(), given_["scan_index"])


def patched() -> ptystore.Metadata:
    record = {"tool": "generate_patches_tool.py", "operation": "generate_patches"}
    return ptystore.Metadata({"data_transformations": [record]})


@pytest.mark.parametrize("keep_dtypes", [False, True])
@pytest.mark.parametrize(
    ("name", "dtype", "canonical", "kept"),
    [
        ("objectGuess", "f4", "c8", "c8"), ("probeGuess", "f8", "c8", "c16"),
        ("objectGuess", "u2", "c8", "c8"), ("probeGuess", "c16", "c8", "c16"),
        ("Y", "f2", "c8", "c8"), ("Y", "i8", "c8", "c16"), ("scan_index", "u2", "i8", "i8"),
        ("scan_index", "f8", "i8", "i8"), ("run", "u2", "u2", "u2"), ("run", "f8", "f8", "f8"),
        ("xcoords", "u2", "f8", "u2"), ("ycoords", "f4", "f8", "f4"),
    ],
)  # fmt: skip
def test_each_dtype(name: str, dtype: str, canonical: str, kept: str, keep_dtypes: bool) -> None:
    shapes = {"objectGuess": (10, 11), "probeGuess": (4, 4), "Y": (6, 4, 4)}
    values = np.full(shapes.get(name, (6,)), 5, dtype)
    scan = ptystore.dataset_of({**scan_arrays(), name: values})
    field = ptystore.canonicalize(scan, keep_dtypes=keep_dtypes)[name]
    assert field.dtype == (kept if keep_dtypes else canonical)
    np.testing.assert_array_equal(field.values(), values)


WRONG: dict[str, tuple[str, Any, str]] = {
    "complex frames": ("diff3d", np.ones((6, 4, 4), "c8"), "has dtype complex64: frames are real"),
    "double complex frames": ("diff3d", np.ones((6, 4, 4), "c16"), "complex128: frames are real"),
    "text frames": ("diff3d", np.full((6, 4, 4), "1"), "has dtype <U1: frames are real"),
    "complex positions": ("xcoords", np.ones(6, "c8"), "complex64: scan positions are real"),
    "text positions": ("ycoords_start", np.full(6, "1"), "<U1: scan positions are real"),
    "complex indices": ("scan_index", np.ones(6, "c8"), "complex64: indices are whole numbers"),
    "text indices": ("scan_index", np.full(6, "a"), "<U1: indices are whole numbers"),
    "a text probe": ("probeGuess", np.full((4, 4), "a"), "<U1"),
    "a text object": ("objectGuess", np.full((10, 11), "a"), "<U1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_can_not_be_cast_is_refused_naming_the_dtype(kind: str, tmp_path: Path) -> None:
    name, values, words = WRONG[kind]
    np.savez(tmp_path / "raw.npz", **scan_arrays() | {name: values})
    with pytest.raises(InputError) as caught:
        ptystore.canonicalize(ptystore.open(tmp_path / "raw.npz"))
    assert words in caught.value.reason
    assert (caught.value.file, caught.value.member) == (str(tmp_path / "raw.npz"), name)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.array([0, 1, 2.5, 3, 4, 5]), "2.5 at 2"), (np.full(6, np.nan, np.float32), "nan at 0"),
        (np.array([0, 1, 2, 3, 2**63, 5], np.uint64), f"{2**63} at 4"),
        (np.array([0, np.inf, 2, 3, 2, 5]), "inf at 1"), (np.full(6, 2.0**63), " at 0"),
    ],
)  # fmt: skip
def test_an_index_that_is_none(values: np.ndarray, shown: str, tmp_path: Path) -> None:
    scan = ptystore.canonicalize(ptystore.dataset_of({**scan_arrays(), "scan_index": values}))
    with pytest.raises(InputError, match="which is no index") as caught:
        ptystore.write(scan, tmp_path / "a.zarr")
    assert shown in caught.value.reason
    assert caught.value.member == "scan_index"


@pytest.mark.parametrize("top", [2**63 - 1, 0])
def test_large_indices(top: int) -> None:
    for dtype in ("u8", "i8"):
        values = np.full(6, top, dtype)
        scan = ptystore.dataset_of({**scan_arrays(), "scan_index": values})
        found = ptystore.canonicalize(scan)["scan_index"].values()
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("names", [["data", "positions"], ["run"], []])
def test_without_frames_what_there_is_is_listed(names: list[str], tmp_path: Path) -> None:
    arrays = {name: np.ones((6, 4, k + 1), np.float32) for k, name in enumerate(names)}
    np.savez(tmp_path / "a.npz", probeGuess=np.ones((4, 4)), **arrays)
    with pytest.raises(InputError, match="there is no diffraction or diff3d") as caught:
        ptystore.canonicalize(ptystore.open(tmp_path / "a.npz"))
    for name, array in arrays.items():
        assert f"{name} float32 {array.shape}" in caught.value.reason
    assert "probeGuess float64 (4, 4)" in caught.value.reason
