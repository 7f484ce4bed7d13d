"""Arrays as the caller's words make them: scaled, some of their frames, a mask of bits."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from ptystore.formats.assemble import RawArray
from ptystore.formats.dialects.scan import memory_array
from ptystore.model.lazy_array import Array, Indices, LazyArray, LazyBase, SelectedArray

__all__ = ["as_bits", "scaled", "some_frames"]

#: Of CXI's bits, the one of a pixel whose value means nothing.
_INVALID = 1


def scaled(raw: RawArray, times: float) -> RawArray:
    """The values times a number, as float64."""
    build = partial(_scaled, raw, times)
    return dataclasses.replace(raw, dtype=np.dtype(np.float64), build=build, storage=None)


def some_frames(raw: RawArray, axis: int, frames: Indices) -> RawArray:
    """The entries at `frames` (m,) of an array whose frame axis is `axis`."""
    shape = (*raw.shape[:axis], len(frames), *raw.shape[axis + 1 :])
    build = partial(_some, raw, axis, frames)
    return dataclasses.replace(raw, shape=shape, build=build, storage=None)


def as_bits(bad: Array) -> RawArray:
    """A mask (H, W) of which True is bad, as CXI's bits: 1 is invalid, 0 is good."""
    return memory_array(np.where(bad, _INVALID, 0).astype(np.uint32))


def _some(raw: RawArray, axis: int, frames: Indices, cut: int) -> LazyArray:
    return SelectedArray(raw.build(axis), frames)


def _scaled(raw: RawArray, times: float, axis: int) -> LazyArray:
    return _Scaled(raw.build(axis), times)


class _Scaled(LazyBase):
    """Another array's values times a number."""

    def __init__(self, source: LazyArray, times: float) -> None:
        self._source = source
        self._times = times
        self.shape = source.shape
        self.dtype = np.dtype(np.float64)
        self.axis = source.axis
        self.sequential = source.sequential

    def read(self, start: int, stop: int) -> Array:
        return self._source.read(start, stop).astype(np.float64) * self._times

    def take(self, indices: Indices) -> Array:
        return self._source.take(indices).astype(np.float64) * self._times
