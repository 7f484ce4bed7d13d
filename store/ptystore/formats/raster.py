"""Scans on a grid: positions stored as (ny, nx) arrays, put in a row."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

from ptystore.errors import ParameterError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.model.contract import FIELDS
from ptystore.model.lazy_array import Array, CachedArray, LazyArray, LazyBase, read_all

__all__ = ["in_one_row"]


def in_one_row(contents: Contents, options: ReadOptions) -> Contents:
    """The same with lists that lie on the grid `scan_shape` flattened, slow axis first.

    Those are the contract's lists of one entry a frame, and arrays that the caller calls per
    frame. Raises `ParameterError` where there is none, as in a file that ptystore wrote.
    """
    grid = options.scan_shape
    if grid is None:
        return contents
    lists = {name for name, spec in FIELDS.items() if spec.dims == ("scan",)}
    found = {
        name: _flattened(raw)
        for name, raw in contents.arrays.items()
        if raw.shape == grid and name in lists | {*options.per_frame}
    }
    if not found or contents.notes is not None:
        raise ParameterError(
            f"no scan positions in it lie on a grid of {grid[0]} by {grid[1]}",
            advice="leave out --scan-shape (scan_shape in Python), or give the grid's shape",
        )
    return dataclasses.replace(contents, arrays={**contents.arrays, **found})


def _flattened(raw: RawArray) -> RawArray:
    storage = raw.storage and dataclasses.replace(raw.storage, chunk_shape=None, shard_shape=None)
    shape = (math.prod(raw.shape),)
    return dataclasses.replace(raw, shape=shape, build=partial(_row, raw), storage=storage)


def _row(raw: RawArray, axis: int) -> LazyArray:
    return CachedArray(_Row(raw))


class _Row(LazyBase):
    """All of a two-dimensional array, in C order."""

    def __init__(self, raw: RawArray) -> None:
        self._source = raw.build(0)
        self.shape = (math.prod(raw.shape),)
        self.dtype = raw.dtype

    def read(self, start: int, stop: int) -> Array:
        return read_all(self._source).reshape(-1)[start:stop]
