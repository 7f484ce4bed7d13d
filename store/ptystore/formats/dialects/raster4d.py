"""Frames that lie on a raster, (slow, fast, H, W), seen one after another, (slow·fast, H, W)."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import RawArray
from ptystore.model.lazy_array import Array, Indices, LazyArray, LazyBase
from ptystore.model.process_lock import ProcessLock

__all__ = ["flattened"]

# Chunks may be several lines high: so many bytes of lines are read at once, to decode each once.
_SLAB_BYTES = 128 << 20

# The slabs of lines that are kept: a block of frames may lie across an edge.
_KEPT = 2


def flattened(raw: RawArray) -> RawArray:
    """An array (slow, fast, …) as (slow·fast, …), cut along its first axis, in C order.

    Where the array can itself be cut so (`merged` of what `raw.build` makes), only the frames that
    are asked for are read; else whole lines of the raster, each once where they are asked for in
    order. Raises `InputError` for fewer than two axes.
    """
    if len(raw.shape) < 2:
        raise InputError(f"has shape {raw.shape}, where (slow, fast, …) should be")
    shape = (raw.shape[0] * raw.shape[1], *raw.shape[2:])
    chunk = raw.storage.chunk_shape if raw.storage is not None else None
    storage = raw.storage and dataclasses.replace(raw.storage, chunk_shape=None, shard_shape=None)
    build = partial(_built, raw.build, 1 if chunk is None else chunk[0])
    return dataclasses.replace(raw, shape=shape, build=build, storage=storage)


def _built(build: Callable[[int], LazyArray], lines: int, axis: int) -> LazyArray:
    if axis != 0:
        raise InputError(f"frames on a raster can't be cut along axis {axis}")
    source = build(0)
    merged = getattr(source, "merged", None)
    found: LazyArray | None = merged() if merged is not None else None
    return found if found is not None else RasterLines(source, lines)


class RasterLines(LazyBase):
    """Frames (slow, fast, …) as (slow·fast, …), read by whole lines, of which some are kept.

    `lines` are read at once, as many as a chunk is high, unless that is too much to hold.
    """

    def __init__(self, source: LazyArray, lines: int) -> None:
        slow, self._line, *rest = source.shape
        self._source = source
        self._slow = slow
        self.shape = (slow * self._line, *rest)
        self.dtype = source.dtype
        self.sequential = source.sequential
        line_bytes = self._line * math.prod(rest) * source.dtype.itemsize
        self._lines = lines if lines * line_bytes <= _SLAB_BYTES else 1
        self._reset()

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._slabs: OrderedDict[int, Array] = OrderedDict()

    def _slab(self, number: int) -> Array:
        """The frames of a slab of lines. Others wait meanwhile: most want the same one."""
        with self._lock:
            found = self._slabs.get(number)
            if found is None:
                while len(self._slabs) >= _KEPT:
                    self._slabs.popitem(last=False)
                first = number * self._lines
                found = self._source.read(first, min(first + self._lines, self._slow))
                found = self._slabs[number] = found.reshape(-1, *self.shape[1:])
            else:
                self._slabs.move_to_end(number)
            return found

    def read(self, start: int, stop: int) -> Array:
        out = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        step = self._lines * self._line
        for at in range(start - start % step, stop, step) if out.size else ():
            low, high = max(start, at), min(stop, at + step)
            out[low - start : high - start] = self._slab(at // step)[low - at : high - at]
        return out

    def take(self, indices: Indices) -> Array:
        indices = np.asarray(indices, np.int64)
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        slabs = indices // max(1, self._lines * self._line)
        for number in np.unique(slabs).tolist() if out.size else ():
            here = slabs == number
            out[here] = self._slab(number)[indices[here] - number * self._lines * self._line]
        return out

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        if not self.sequential:
            return super().begin(start, stop)
        block = self.read(start, stop)
        return lambda: block

    def prepare(self, scratch: Path | None) -> None:
        self._source.prepare(scratch)

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        del kept["_lock"], kept["_slabs"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
