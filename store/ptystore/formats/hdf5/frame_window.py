"""Some rows of pixels of frames that are a chunk each: only their part of a chunk is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from ptystore.formats.chunked_array import in_threads
from ptystore.formats.never_written import Ranges
from ptystore.model.lazy_array import Array, Indices, LazyBase

__all__ = ["FrameChunks", "FrameWindow"]


class FrameChunks(Protocol):
    """Frames (n, H, W) of which each is a chunk that can be decoded in part."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def spans(self, frames: Sequence[int], begin: int, end: int) -> Iterator[tuple[int, Array]]:
        """The bytes `begin` to `end` of frames, in native order, each with its number."""
        ...

    def prepare(self, scratch: Path | None) -> None: ...

    def missing(self) -> Ranges: ...


class FrameWindow(LazyBase):
    """The rows of pixels `first` up to `last` of frames, (n, last - first, W)."""

    def __init__(self, source: FrameChunks, first: int, last: int) -> None:
        self._source = source
        count, _, width = source.shape
        self.shape = (count, last - first, width)
        self.dtype = source.dtype
        row = width * source.dtype.itemsize
        self._span = first * row, last * row

    def prepare(self, scratch: Path | None) -> None:
        """Refuse now what a full pass could not read."""
        self._source.prepare(scratch)

    def missing(self) -> Ranges:
        """The frames that were never written."""
        return self._source.missing()

    def read(self, start: int, stop: int) -> Array:
        return self.take(np.arange(start, stop))

    def take(self, indices: Indices) -> Array:
        indices = np.asarray(indices, np.int64)
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        if not out.size:
            return out
        # In the file's order, each frame once.
        needed, places = np.unique(indices, return_inverse=True)
        where: dict[int, list[int]] = {}
        for at, place in enumerate(places.tolist()):
            where.setdefault(int(needed[place]), []).append(at)
        in_threads(needed.tolist(), out[0].nbytes, partial(self._take_some, out, where))
        return out

    def _take_some(self, out: Array, where: dict[int, list[int]], frames: Sequence[int]) -> None:
        for frame, values in self._source.spans(frames, *self._span):
            for at in where[frame]:
                out[at] = values.view(self.dtype).reshape(self.shape[1:])
