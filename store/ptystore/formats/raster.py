"""Scans on a grid: positions stored as (ny, nx) arrays, frames as (ny, nx, H, W), in a row."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

from ptystore.errors import ParameterError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.dialects.raster4d import flattened
from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS
from ptystore.model.geometry import Fact, Geometry
from ptystore.model.lazy_array import Array, CachedArray, LazyArray, LazyBase, read_all

__all__ = ["in_one_row"]


def in_one_row(contents: Contents, options: ReadOptions) -> Contents:
    """The same with what lies on a grid of positions flattened, slow axis first.

    Frames of four axes say what the grid is, or `scan_shape` does; with them go the contract's
    lists of one entry a frame, and arrays that the caller calls per frame. The grid is noted.
    Raises `ParameterError` where nothing lies on `scan_shape`, as in a file that ptystore wrote.
    """
    if contents.notes is not None and options.scan_shape is None:
        return contents
    stack = next((name for name in DIFFRACTION_NAMES if _is_raster(contents, name, options)), None)
    grid, source = options.scan_shape, "--scan-shape"
    if stack is not None:
        height, width = contents.arrays[stack].shape[:2]
        grid, source = (height, width), source if grid is not None else stack
    if grid is None:
        return contents
    lists = {name for name, spec in FIELDS.items() if spec.dims == ("scan",)}
    found = {
        name: _flattened(raw)
        for name, raw in contents.arrays.items()
        if raw.shape == grid and name in lists | {*options.per_frame}
    }
    if stack is not None:
        found[stack] = flattened(contents.arrays[stack])
    if stack is None and not found and options.positions.place is not None:
        return contents  # the positions of another place lie on it
    if not found or contents.notes is not None:
        raise ParameterError(
            f"no scan positions in it lie on a grid of {grid[0]} by {grid[1]}",
            advice="leave out --scan-shape (scan_shape in Python), or give the grid's shape",
        )
    contents = dataclasses.replace(contents, arrays={**contents.arrays, **found})
    if stack is None:
        return contents
    known = contents.geometry if contents.geometry else Geometry.of(contents.metadata)
    geometry = known.with_facts({"scan_shape": Fact(list(grid), source)})
    return dataclasses.replace(contents, geometry=geometry, axis_order="nhw")


def _is_raster(contents: Contents, name: str, options: ReadOptions) -> bool:
    """Whether frames are (ny, nx, H, W); axes of length 1 are other tools' ways with a stack."""
    shape = contents.arrays[name].shape if name in contents.arrays else ()
    if len(shape) != 4 or options.axis_order is not None or contents.notes is not None:
        return False
    return shape[:2] == options.scan_shape if options.scan_shape else 1 not in shape


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
