"""Arrays of another tool's HDF5 file that lie in one piece, are text, or have to be converted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ptystore.errors import DamagedInputError, InputError, InputMissingError
from ptystore.formats.chunked_array import DamagedInputRows
from ptystore.formats.hdf5.asking import ask
from ptystore.formats.never_written import Ranges, never_written
from ptystore.formats.text import TEXT_LIMIT, checked_text, text_from_utf8
from ptystore.model.lazy_array import Array, LazyBase, MemoryArray, rows_first
from ptystore.storage.base import reading_frames
from ptystore.storage.local import SourceFile

__all__ = ["AskedArray", "ContiguousArray", "FilledArray", "StoredArray", "TextArray"]

#: The first corner of a part of an array, and the one behind its last element.
Box = tuple[list[int], list[int]]

Buffer = bytes | memoryview

# What is asked of the helper at once, and read at once where rows are strided.
_PIECE_BYTES = 4 << 20

# Reading a piece of this many bytes takes as long as one more call.
_CALL_BYTES = 8 << 10


class StoredArray(LazyBase):
    """What they share: where it is, its dtypes, and what stands for what was never written.

    `fill` is the value as the file has it; None refuses rows that were never written.
    """

    def __init__(
        self,
        source: SourceFile,
        name: str,
        shape: tuple[int, ...],
        stored_dtype: np.dtype[Any],
        dtype: np.dtype[Any],
        axis: int,
        fill: bytes | None,
    ) -> None:
        self._source = source
        self._name = name
        self._stored_dtype = stored_dtype
        self._fill = fill
        self.shape = shape
        self.dtype = dtype
        self.axis = axis

    def missing(self) -> Ranges:
        """The rows that were never written, wholly or in part."""
        return []

    def prepare(self, scratch: Any) -> None:
        """Refuse now what a full pass could not read."""
        missing = self.missing() if self._fill is None else []
        if missing:
            error = self.never_written(missing)
            error.found = None  # the whole of it, not the first frames alone
            raise error

    def merged(self) -> LazyBase | None:
        """With the first two axes as one, cut along it; None where that can't be read apart."""
        return None

    def _merged_axes(self) -> dict[str, Any]:
        """What makes such an array."""
        return {
            "source": self._source,
            "name": self._name,
            "shape": (self.shape[0] * self.shape[1], *self.shape[2:]),
            "stored_dtype": self._stored_dtype,
            "dtype": self.dtype,
            "axis": 0,
            "fill": self._fill,
        }

    def never_written(self, rows: Ranges) -> DamagedInputRows:
        """The error for rows that no program ever wrote, the first of which are asked for."""
        return never_written(rows, file=self._source.path, member=self._name)

    def damage(self, first: int, last: int, reason: str) -> DamagedInputRows:
        """The error for the rows `first` to `last`, both included."""
        error = DamagedInputRows(
            f"frames {first} to {last}: {reason}",
            file=self._source.path,
            member=self._name,
            advice="run ptystore verify for the whole extent of the damage",
        )
        error.found = (first, last, reason)
        return error

    @property
    def _rows(self) -> int:
        return self.shape[self.axis] if self.shape else 1

    def _with_rows(self, rows: int) -> tuple[int, ...]:
        return tuple(rows if d == self.axis else n for d, n in enumerate(self.shape))

    def _native(self, data: Buffer) -> Array:
        """The values of bytes as the file has them, one after another."""
        if self._stored_dtype.kind == "b":
            values: Array = np.frombuffer(data, np.uint8) != 0  # HDF5 has any number there
        else:
            values = np.frombuffer(data, self._stored_dtype).astype(self.dtype, copy=False)
        return values

    def _fill_value(self) -> Any:
        return self._native(self._fill)[0] if self._fill else self.dtype.type(0)

    def _asked(self, boxes: list[Box]) -> list[Array]:
        """What the HDF5 library, in the helper, reads between pairs of corners."""
        shapes = [tuple(b - a for a, b in zip(*box, strict=True)) for box in boxes]
        sizes = [math.prod(shape) * self.dtype.itemsize for shape in shapes]
        data = ask(self._source, "boxes", self._name, sum(sizes), boxes=boxes)[1]
        if len(data) != sum(sizes):
            raise DamagedInputError(
                f"holds {len(data)} bytes where {sum(sizes)} are announced",
                file=self._source.path,
                member=self._name,
            )
        view, values, at = memoryview(data), [], 0
        for shape, size in zip(shapes, sizes, strict=True):
            values.append(np.frombuffer(view[at : at + size], self.dtype).reshape(shape))
            at += size
        return values


class FilledArray(StoredArray):
    """An array for which the file has no values at all."""

    def missing(self) -> Ranges:
        return [(0, self._rows - 1)] if math.prod(self.shape) else []

    def merged(self) -> FilledArray:
        return FilledArray(**self._merged_axes())

    def read(self, start: int, stop: int) -> Array:
        self.prepare(None)
        return np.full(self._with_rows(max(0, stop - start)), self._fill_value(), self.dtype)


class ContiguousArray(StoredArray):
    """An array whose values lie at `offset`, one after another."""

    def __init__(self, offset: int, **common: Any) -> None:
        super().__init__(**common)
        self._offset = offset

    def merged(self) -> ContiguousArray:
        return ContiguousArray(self._offset, **self._merged_axes())

    def read(self, start: int, stop: int) -> Array:
        shape = self._with_rows(max(0, stop - start))
        if not math.prod(shape):
            return np.empty(shape, self.dtype)
        inner = math.prod(self.shape[self.axis + 1 :]) * self._stored_dtype.itemsize
        outer = math.prod(self.shape[: self.axis])
        try:
            with reading_frames(self._name, start, stop - 1):
                if outer == 1:
                    begin, length = self._offset + start * inner, (stop - start) * inner
                    data = self._source.read_array(begin, length)
                else:
                    data = self._read_strided(start, stop, outer, inner)
        except InputMissingError:
            raise
        except InputError:
            raise DamagedInputError(
                "its values are not there: the file is cut short",
                file=self._source.path,
                member=self._name,
            ) from None
        return self._native(data.data).reshape(shape)

    def _read_strided(self, start: int, stop: int, outer: int, inner: int) -> Array:
        """The bytes of rows of another axis than the first: what is wanted, or whole slabs."""
        length, stride = (stop - start) * inner, self._rows * inner
        data = np.empty((outer, length), np.uint8)
        alone = stride - length > _CALL_BYTES
        step = 1 if alone else max(1, _PIECE_BYTES // stride)
        for at in range(0, outer, step):
            begin = self._offset + at * stride + start * inner
            if alone:
                self._source.read_into(begin, data[at].data)
                continue
            # To the end of what is wanted of the last.
            count = min(step, outer - at)
            slab = np.empty(count * stride, np.uint8)
            self._source.read_into(begin, slab[: (count - 1) * stride + length].data)
            data[at : at + count] = slab.reshape(count, stride)[:, :length]
        return data.reshape(-1)


class AskedArray(StoredArray):
    """An array in one piece whose values the HDF5 library has to convert, in the helper."""

    def read(self, start: int, stop: int) -> Array:
        shape = self._with_rows(max(0, stop - start))
        out = np.empty(shape, self.dtype)
        if not out.size:
            return out
        if not self.shape:
            return self._asked([([], [])])[0].copy()
        target = rows_first(out, self.axis)
        step = max(1, _PIECE_BYTES * len(target) // out.nbytes)
        for at in range(start, stop, step):
            end = min(at + step, stop)
            begin = [at if d == self.axis else 0 for d in range(len(shape))]
            box = (begin, [end if d == self.axis else n for d, n in enumerate(shape)])
            target[at - start : end - start] = rows_first(self._asked([box])[0], self.axis)
        return out


class TextArray(LazyBase):
    """An array of text, which the HDF5 library reads in the helper."""

    def __init__(
        self, source: SourceFile, name: str, shape: tuple[int, ...], longest: int, axis: int
    ) -> None:
        self._source = source
        self._name = name
        self.shape = shape
        self.dtype = np.dtype(f"U{max(1, longest)}")
        self.axis = axis

    def read(self, start: int, stop: int) -> Array:
        head, data = ask(self._source, "texts", self._name, TEXT_LIMIT)
        texts, at = [], 0
        for length in head["lengths"]:
            texts.append(data[at : at + length])
            at += length
        if len(texts) != math.prod(self.shape):
            reason = f"holds {len(texts)} texts where {math.prod(self.shape)} are announced"
            raise DamagedInputError(reason, file=self._source.path, member=self._name)
        values = checked_text(text_from_utf8(texts, self.dtype, self.shape))
        return MemoryArray(values, self.axis).read(start, stop)
