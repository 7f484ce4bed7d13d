"""Frames that are there of a file that is still being written, or whose writer died."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from ptystore.errors import InputError
from ptystore.formats.assemble import RawArray
from ptystore.formats.never_written import MaybeUnwritten, Ranges
from ptystore.model.lazy_array import Array, Indices, LazyArray, LazyBase
from ptystore.model.windows import window_of

__all__ = ["FirstRows", "first_rows", "written_rows"]


def written_rows(raw: RawArray) -> int:
    """How many rows of an array were written before the first of those that end it unwritten."""
    array = raw.build(0)
    missing = array.missing() if isinstance(array, MaybeUnwritten) else []
    rows = raw.shape[0] if raw.shape else 1
    return missing[-1][0] if missing and missing[-1][1] == rows - 1 else rows


def first_rows(raw: RawArray, rows: int) -> RawArray:
    """The first rows of an array. Raises `InputError` where there are none."""
    if not raw.shape or rows == raw.shape[0]:
        return raw
    if rows < 1:
        raise InputError("has no frame yet that was written whole")
    shape = (rows, *raw.shape[1:])
    return dataclasses.replace(raw, shape=shape, build=partial(_built, raw, rows))


def _built(raw: RawArray, rows: int, axis: int) -> LazyArray:
    return FirstRows(raw.build(0), rows)


class FirstRows(LazyBase):
    """The first rows of another array that is cut along its first axis."""

    def __init__(self, source: LazyArray, rows: int) -> None:
        self._source = source
        self.shape = (rows, *source.shape[1:])
        self.dtype = source.dtype

    def read(self, start: int, stop: int) -> Array:
        return self._source.read(start, stop)

    def take(self, indices: Indices) -> Array:
        return self._source.take(indices)

    def window(self, first: int, last: int) -> LazyArray | None:
        """Rows of pixels alone; see `model.windows`."""
        found = window_of(self._source, first, last)
        return None if found is None else FirstRows(found, self.shape[0])

    def prepare(self, scratch: Path | None) -> None:
        """Refuse now what a full pass could not read."""
        if self.missing():
            self._source.prepare(scratch)

    def missing(self) -> Ranges:
        """Those of the other array's that are among the first rows."""
        missing = self._source.missing() if isinstance(self._source, MaybeUnwritten) else []
        end = self.shape[0] - 1
        return [(first, min(last, end)) for first, last in missing if first <= end]
