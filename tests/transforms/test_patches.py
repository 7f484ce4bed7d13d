"""Patches against the contract's formula, one pixel at a time in double precision."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptystore
from npz_files import history_of, scan_arrays
from ptystore.errors import InputError, ParameterError


def object_at(obj: np.ndarray, row: float, column: float) -> complex:
    """O between pixels, bilinear; zero outside."""
    top, left = math.floor(row), math.floor(column)
    value = 0j
    for r, wr in ((top, 1 - (row - top)), (top + 1, row - top)):
        for c, wc in ((left, 1 - (column - left)), (left + 1, column - left)):
            if 0 <= r < obj.shape[0] and 0 <= c < obj.shape[1]:
                value += wr * wc * complex(obj[r, c])
    return value


def plain_patches(
    obj: np.ndarray, x: np.ndarray, y: np.ndarray, window: tuple[int, int], nearest: bool = False
) -> np.ndarray:
    """Y[k, i, j] = O(y - N//2 + i, x - N//2 + j), coordinates rounded to float32 first."""
    out = np.zeros((len(x), *window), np.complex128)
    for k in range(len(x)):
        column, row = float(np.float32(x[k])), float(np.float32(y[k]))
        if nearest:
            column, row = math.floor(column + 0.5), math.floor(row + 0.5)
        for i in range(window[0]):
            for j in range(window[1]):
                at = (row - window[0] // 2 + i, column - window[1] // 2 + j)
                out[k, i, j] = object_at(obj, *at)
    return out


def scan_with(
    obj: np.ndarray, x: Any, y: Any, probe: tuple[int, ...] = (4, 4), **more: Any
) -> ptystore.Dataset:
    arrays = {
        "objectGuess": obj, "probeGuess": np.ones(probe, np.complex64),
        "xcoords": np.asarray(x), "ycoords": np.asarray(y), **more,
    }  # fmt: skip
    return ptystore.dataset_of(arrays)


def object_of(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def assert_patches(scan: ptystore.Dataset, expected: np.ndarray, **options: Any) -> None:
    result = ptystore.extract_patches(scan, **options)["Y"]
    assert result.dtype == np.complex64
    assert result.shape == expected.shape
    values = result.values()
    assert np.abs(values - expected).max(initial=0) <= 1e-6 * np.abs(expected).max(initial=1e-9)


COORDINATES = st.one_of(
    st.floats(-30, 40, width=32),
    st.integers(-12, 25).map(float),
    st.sampled_from([-1e30, 1e9, 1e19, -1e12, -0.5, -0.0, 0.5, 9.999999, 1e-30]),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(COORDINATES, COORDINATES), max_size=5),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.booleans(),
)
def test_positions_anywhere(
    positions: list[tuple[float, float]],
    shape: tuple[int, int],
    probe: tuple[int, int],
    nearest: bool,
) -> None:
    obj = object_of(shape)
    x = np.array([one[0] for one in positions], np.float64)
    y = np.array([one[1] for one in positions], np.float64)
    expected = plain_patches(obj, x, y, probe, nearest)
    interpolation = "nearest" if nearest else "bilinear"
    assert_patches(scan_with(obj, x, y, probe), expected, interpolation=interpolation)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 15])
def test_any_size(size: int) -> None:
    obj = object_of((11, 13))
    x, y = np.array([6.25, 0, 12, 3.9]), np.array([5.75, 0, 10, 7.1])
    assert_patches(scan_with(obj, x, y), plain_patches(obj, x, y, (size, size)), size=size)


@pytest.mark.parametrize("probe", [(6, 4), (3, 5), (2, 6, 4)])
def test_the_probe_gives_the_window(probe: tuple[int, ...]) -> None:
    obj = object_of((11, 13))
    x, y = np.array([6.25, 2.0]), np.array([5.75, 9.5])
    assert_patches(scan_with(obj, x, y, probe), plain_patches(obj, x, y, probe[-2:]))


def test_an_inner_integer_position_is_the_window_itself() -> None:
    obj = object_of((20, 20))
    patches = ptystore.extract_patches(scan_with(obj, [10.0], [7.0]))["Y"].values()
    np.testing.assert_array_equal(patches[0], obj[5:9, 8:12])


def test_coordinates_are_rounded_to_single_precision_first() -> None:
    obj = object_of((4, 40_000))
    x = np.array([30_000.0015])  # float32: 30000.001953125
    expected = plain_patches(obj, x, np.array([2.0]), (1, 1))
    assert abs(expected[0, 0, 0] - object_at(obj, 2.0, x[0])) > 1e-4
    assert_patches(scan_with(obj, x, [2.0]), expected, size=1)


def test_nearest_takes_one_pixel() -> None:
    obj = object_of((9, 9))
    scan = scan_with(obj, [4.4, 4.6, 4.5], [3.6, 3.4, 3.5])
    patches = ptystore.extract_patches(scan, size=1, interpolation="nearest")["Y"].values()
    np.testing.assert_array_equal(patches[:, 0, 0], [obj[4, 4], obj[3, 5], obj[4, 5]])


@pytest.mark.parametrize("dtype", ["i4", "u2", "f4", ">f8"])
def test_any_coordinate_dtype(dtype: str) -> None:
    obj = object_of((12, 12))
    x, y = np.array([3, 7], dtype), np.array([9, 2], dtype)
    assert_patches(scan_with(obj, x, y), plain_patches(obj, x, y, (4, 4)))


def test_single_frames_and_pickling_give_the_same() -> None:
    obj = object_of((30, 30)).astype(np.complex128)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-3, 33, (2, 50))
    field = ptystore.extract_patches(scan_with(obj, x, y))["Y"]
    values = field.values()
    np.testing.assert_array_equal(field[[40, 3, 3]], values[[40, 3, 3]])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(field)).values(), values)


def test_many_blocks_and_workers_write_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-3, 43, (2, 900))
    scan = scan_with(object_of((40, 40)), x, y, (32, 32))
    expected = ptystore.extract_patches(scan)["Y"].values()
    digests = set()
    for jobs, suffix in ((1, "zarr"), (3, "zarr"), (2, "npz"), (2, "h5")):
        path = tmp_path / f"{jobs}.{suffix}"
        digests.add(ptystore.write(ptystore.extract_patches(scan), path, jobs=jobs).digests["Y"])
        np.testing.assert_array_equal(ptystore.open(path)["Y"].values(), expected)
    assert len(digests) == 1


def test_an_old_y_is_replaced_and_the_record_says_so(tmp_path: Path) -> None:
    arrays = {**scan_arrays(), "Y": np.full((6, 9, 9, 1), 7j)}
    metadata = ptystore.Metadata.create({"gridsize": 2})
    ptystore.write(ptystore.dataset_of(arrays, metadata), tmp_path / "in.npz")
    scan = ptystore.extract_patches(ptystore.open(tmp_path / "in.npz"), k_neighbors=4, size=6)
    assert scan["Y"].shape == (6, 6, 6)
    assert scan["Y"].digest is None
    report = ptystore.write(scan, tmp_path / "out.npz")
    assert len(report.warnings) == 1
    assert "reach outside the object" in report.warnings[0]
    (record,) = history_of(tmp_path / "out.npz")
    assert (record["tool"], record["operation"]) == ("generate_patches_tool.py", "generate_patches")
    assert record["parameters"] == {
        "patch_size": 6, "k_neighbors": 4, "nsamples": 6, "interpolation": "bilinear",
        "replaced_Y": True,
    }  # fmt: skip
    assert record["inputs"][0]["file"] == "in.npz"
    assert record["inputs"][0]["digest"] == ptystore.digest(tmp_path / "in.npz")[1]


def test_a_first_y_is_no_replacement(tmp_path: Path) -> None:
    ptystore.write(ptystore.extract_patches(scan_with(object_of((20, 20)), [9], [9])),
                   tmp_path / "out.npz")  # fmt: skip
    (record,) = history_of(tmp_path / "out.npz")
    assert record["parameters"]["replaced_Y"] is False
    assert record["inputs"] == []


@pytest.mark.parametrize(("gridsize", "k", "fine"), [(1, 1, 1), (2, 4, 1), (2, 3, 0), (3, 7, 0)])
def test_groups_need_enough_neighbours(gridsize: int, k: int, fine: bool) -> None:
    scan = ptystore.dataset_of(scan_arrays(), ptystore.Metadata.create({"gridsize": gridsize}))
    if fine:
        ptystore.extract_patches(scan, k_neighbors=k)
        return
    with pytest.raises(ParameterError, match=f"k_neighbors is {k}, but gridsize"):
        ptystore.extract_patches(scan, k_neighbors=k)


def _without(name: str) -> Mapping[str, Any]:
    return {key: one for key, one in scan_arrays().items() if key != name}


@pytest.mark.parametrize("name", ["objectGuess", "xcoords", "ycoords", "probeGuess"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(InputError) as caught:
        ptystore.extract_patches(ptystore.dataset_of(_without(name)))
    assert caught.value.member == name


def test_what_makes_no_sense_is_refused() -> None:
    scan = ptystore.dataset_of(scan_arrays())
    for size in (0, -1):
        with pytest.raises(ParameterError, match="at least one pixel"):
            ptystore.extract_patches(scan, size=size)
    with pytest.raises(ParameterError, match="bilinear or nearest"):
        ptystore.extract_patches(scan, interpolation="cubic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no probe's"):
        ptystore.extract_patches(scan_with(object_of((9, 9)), [1], [1], (4,)))
    with pytest.raises(InputError, match="two dimensions"):
        ptystore.extract_patches(ptystore.dataset_of({**scan_arrays(), "objectGuess": np.ones(3)}))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_positions_that_are_not_finite(bad: float) -> None:
    x = np.zeros(9)
    x[5] = bad
    field = ptystore.extract_patches(scan_with(object_of((9, 9)), x, np.zeros(9)))["Y"]
    np.testing.assert_array_equal(field[:5].shape, (5, 4, 4))
    with pytest.raises(InputError, match="frame 5 is not finite"):
        field.values()
