"""A scan as xarray and dask see it: the same values, dims and attributes, read when asked."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from scans import assert_same, bytes_read, document, put, scan, values

xarray = pytest.importorskip("xarray")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arrays = scan() | {
        "diff3d": values("u2", (5000, 40, 41)),
        **{name: np.arange(5000.0) for name in ("xcoords", "ycoords")},
        "scan_index": np.zeros(5000, np.int64),
        "probeGuess": values("c16", (40, 41)),
        "names": np.array(["a", "Å"]),
        "scale": np.array(2.5),
        "nothing": np.zeros((0, 3), np.float32),
    }
    return put(tmp_path_factory.mktemp("xarray"), ".zarr", arrays, document())


def small(suffix: str, folder: Path) -> ptystore.Dataset:
    return ptystore.open(put(folder, suffix, scan(), document()))


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("suffix", [".npz", ".zarr", ".h5"])
def test_values_dims_and_attributes(tmp_path: Path, suffix: str, chunked: bool) -> None:
    if chunked:
        pytest.importorskip("dask")
    dataset = small(suffix, tmp_path)
    seen = dataset.to_xarray(chunked=chunked)
    assert list(seen.data_vars) == list(dataset)
    assert seen.attrs == {"metadata": dataset.metadata.document}
    for name, field in dataset.items():
        assert seen[name].attrs == dict(field.attrs)
        assert_same(seen[name].values, field.values())
    assert seen["diff3d"].dims == ("scan", "ky", "kx")
    assert seen["objectGuess"].dims == ("object_y", "object_x")
    assert seen["xcoords"].dims == ("scan",)


def test_it_agrees_with_what_xarray_opens_itself(path: Path) -> None:
    ours = ptystore.open(path).to_xarray(chunked=False)
    theirs = xarray.open_zarr(path, chunks=None)
    assert {name: one.dims for name, one in ours.items()} == {
        name: one.dims for name, one in theirs.items()
    }
    for name in ("diff3d", "probeGuess", "objectGuess", "xcoords", "scale"):
        assert_same(ours[name].values, theirs[name].values)
        assert ours[name].attrs == theirs[name].attrs


def test_dask_chunks_are_the_shards(path: Path) -> None:
    pytest.importorskip("dask")
    dataset = ptystore.open(path)
    arrays = dataset.to_dask()
    assert list(arrays) == list(dataset)
    assert arrays["diff3d"].chunks == ((4096, 904), (40,), (41,))
    for name, array in arrays.items():
        field = dataset[name]
        assert (array.shape, array.dtype) == (field.shape, field.dtype)
        assert_same(np.asarray(array), field.values())
    total = arrays["diff3d"].astype(np.int64).sum(axis=(1, 2)).compute()
    assert_same(total, dataset["diff3d"].values().sum(axis=(1, 2), dtype=np.int64))
    assert ptystore.open(path).to_xarray()["diff3d"].chunks == ((4096, 904), (40,), (41,))


def test_dask_reads_in_other_processes(path: Path) -> None:
    dask = pytest.importorskip("dask")
    frames = ptystore.open(path).to_dask()["diff3d"]
    # What a scheduler of several processes does with the graph.
    copied = copy.deepcopy(frames)
    with dask.config.set(scheduler="threads"):
        assert_same(copied[4090:4100].compute(), ptystore.open(path)["diff3d"][4090:4100])


@pytest.mark.parametrize("chunked", [True, False])
def test_nothing_is_read_before_it_is_asked_for(path: Path, chunked: bool) -> None:
    if chunked:
        pytest.importorskip("dask")
    dataset = ptystore.open(path)
    size = (path / "diff3d" / "c.0.0.0").stat().st_size
    before = bytes_read()
    seen = dataset.to_xarray(chunked=chunked)
    repr(seen)
    assert bytes_read() - before < size / 4
    assert int(seen["diff3d"][4999, 3, 2]) == dataset["diff3d"][4999, 3, 2]
    assert bytes_read() - before < size


KEYS: list[dict[str, Any]] = [
    {"scan": [3, 20, 3]},
    {"scan": -1},
    {"scan": slice(4, 18, 3), "kx": [9, 0], "ky": 2},
    {"ky": slice(None, None, -2)},
    {"scan": [1, 5], "ky": [0, 3], "kx": -1},
    {"scan": slice(5, 5)},
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("axis", [0, 2])
def test_lazy_indexing_is_xarrays(key: dict[str, Any], axis: int) -> None:
    stack = np.moveaxis(scan()["diff3d"], 0, axis)
    arrays = {"diff3d": stack, "xcoords": np.arange(21.0)}
    lazy = ptystore.dataset_of(arrays).to_xarray(chunked=False)["diff3d"]
    plain = xarray.DataArray(stack, dims=lazy.dims)
    assert_same(lazy.isel(key).values, plain.isel(key).values)
    assert_same(copy.deepcopy(lazy).isel(key).values, plain.isel(key).values)


@pytest.mark.parametrize(
    ("missing", "call", "command"),
    [
        ("xarray", lambda one: one.to_xarray(), r"pip install 'ptystore\[xarray\]'"),
        ("dask.array", lambda one: one.to_xarray(), r"pip install 'ptystore\[dask\]'"),
        ("dask.array", lambda one: one.to_dask(), r"pip install 'ptystore\[dask\]'"),
    ],
)
def test_a_missing_extra_is_named(
    missing: str, call: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=command):
        call(ptystore.dataset_of({"xcoords": np.arange(3.0)}))
