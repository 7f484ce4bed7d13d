"""Scan positions and their like, read in large windows that are kept a while."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.model.lazy_array import Array, Indices, LazyArray, LazyBase
from ptystore.model.process_lock import ProcessLock

__all__ = ["BufferedArray"]

_WINDOW_BYTES = 512 << 10
_KEPT = 64


class BufferedArray(LazyBase):
    """An array with a few bytes a frame, cheap to read again and again in small pieces.

    Blocks of computed frames need the positions of just those frames, and reading each
    such piece from its chunks costs more than computing the block. Windows of 512 KiB are
    read instead, and the 64 used last are kept: at most 32 MiB, however many the frames.
    """

    def __init__(self, source: LazyArray) -> None:
        self._source = source
        self.shape = source.shape
        self.dtype = source.dtype
        self.axis = source.axis
        self.sequential = source.sequential
        row_bytes = max(1, source.dtype.itemsize * int(np.prod(source.shape[1:], dtype=np.int64)))
        self._rows = max(1, _WINDOW_BYTES // row_bytes)
        self._reset()

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._windows: OrderedDict[int, Array] = OrderedDict()

    def _window(self, number: int) -> Array:
        with self._lock:
            found = self._windows.get(number)
            if found is None:
                start = number * self._rows
                found = self._source.read(start, min(start + self._rows, self.shape[0]))
                self._windows[number] = found
                if len(self._windows) > _KEPT:
                    self._windows.popitem(last=False)
            else:
                self._windows.move_to_end(number)
            return found

    def read(self, start: int, stop: int) -> Array:
        if stop <= start:
            return np.empty((0, *self.shape[1:]), self.dtype)
        parts = []
        for number in range(start // self._rows, (stop - 1) // self._rows + 1):
            first = number * self._rows
            parts.append(self._window(number)[max(0, start - first) : stop - first])
        return parts[0].copy() if len(parts) == 1 else np.concatenate(parts)

    def take(self, indices: Indices) -> Array:
        indices = np.asarray(indices, np.int64)
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        windows = indices // self._rows
        for number in np.unique(windows).tolist():
            here = windows == number
            out[here] = self._window(number)[indices[here] - number * self._rows]
        return out

    def prepare(self, scratch: Path | None) -> None:
        self._source.prepare(scratch)

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        del kept["_lock"], kept["_windows"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
