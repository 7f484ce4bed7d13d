"""Frames that lie in many files as one lazy array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ptystore.errors import located
from ptystore.model.lazy_array import Array, LazyBase
from ptystore.storage.base import reading_frames
from ptystore.storage.many_files import ManyFiles

__all__ = ["FilesArray", "FrameReader"]


class FrameReader(Protocol):
    """How the frames of one kind of files are read; it is shared by threads, and pickled."""

    def read(self, number: int, start: int, stop: int) -> Array:
        """The frames `start` to `stop` of a file, (m, H, W)."""
        ...


class FilesArray(LazyBase):
    """The frames of one file after those of another, (n, H, W); only what is asked for is read."""

    def __init__(
        self,
        files: ManyFiles,
        reader: FrameReader,
        counts: Sequence[int],
        frame: tuple[int, int],
        dtype: np.dtype[Any],
    ) -> None:
        self._files = files
        self._reader = reader
        self._starts = np.cumsum([0, *counts])
        self.shape = (int(self._starts[-1]), *frame)
        self.dtype = dtype

    def read(self, start: int, stop: int) -> Array:
        out = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        number = int(np.searchsorted(self._starts, start, side="right")) - 1
        at = start
        while at < stop:
            first, end = (int(one) for one in self._starts[number : number + 2])
            if end > at:
                upto = min(stop, end)
                with (
                    located(file=self._files.path(number)),
                    reading_frames("diffraction", at, upto - 1),
                ):
                    frames = self._reader.read(number, at - first, upto - first)
                out[at - start : upto - start] = frames
                at = upto
            number += 1
        return out
