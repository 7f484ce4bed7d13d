"""`Dataset.take`: what indexing gives, field by field, read at the same time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from ptystore import Dataset, Field
from ptystore.model.lazy_array import Array, Indices, LazyBase
from scans import assert_same, put, scan, values


@pytest.mark.parametrize("suffix", [".npz", ".zarr", ".h5"])
def test_take_is_indexing_field_by_field(tmp_path: Path, suffix: str) -> None:
    arrays = scan() | {"names": values("U7", (21,)), "Y": values("c8", (21, 6, 10))}
    dataset = ptystore.open(put(tmp_path, suffix, arrays))
    keys: list[Any] = [[20, 0, 0, 7], [-1, 3], 5, [], np.arange(21) % 3 == 0, [[1, 2], [3, 4]]]
    for key in keys:
        taken = dataset.take(key)
        assert list(taken) == [n for n, f in dataset.items() if f.frame_axis is not None]
        wanted = np.asarray(key, None if np.size(key) else np.int64)
        for name, got in taken.items():
            assert_same(got, arrays[name][wanted])
    with pytest.raises(IndexError, match="index 21 is out of bounds"):
        dataset.take([3, 21])


def test_take_along_the_last_axis() -> None:
    stack = values("u2", (4, 6, 30))
    dataset = ptystore.dataset_of({"diff3d": stack, "xcoords": np.arange(30.0)})
    assert dataset["diff3d"].frame_axis == 2
    taken = dataset.take([9, 2, 9])
    assert_same(taken["diff3d"], stack[:, :, [9, 2, 9]])
    assert_same(taken["xcoords"], np.array([9.0, 2.0, 9.0]))


class Waiting(LazyBase):
    """Its read ends only when all the others of its group are being read too."""

    def __init__(self, together: threading.Barrier) -> None:
        self._together = together
        self.shape, self.dtype = (5,), np.dtype("f8")

    def take(self, indices: Indices) -> Array:
        self._together.wait(timeout=10)
        return indices.astype("f8")


def test_take_reads_fields_at_the_same_time() -> None:
    together = threading.Barrier(3)
    names = ("a", "b", "c")
    dataset = Dataset({name: Field(name, Waiting(together), "per_frame") for name in names})
    before = threading.active_count()
    assert [one.tolist() for one in dataset.take([4, 1]).values()] == [[4.0, 1.0]] * 3
    assert threading.active_count() == before
