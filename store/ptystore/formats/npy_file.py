"""A single array in a `.npy` file of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import RawArray
from ptystore.formats.npz.npy_header import HEADER_LIMIT, NpyHeader, parse_npy_header
from ptystore.formats.text import checked_text, text_dtype, text_of_bytes
from ptystore.model.lazy_array import Array, LazyBase
from ptystore.model.source import Storage
from ptystore.storage.base import reading_frames
from ptystore.storage.local import SourceFile

__all__ = ["NPY_MAGIC", "checked_header", "npy_array"]

NPY_MAGIC = b"\x93NUMPY"


def checked_header(head: bytes, size: int) -> tuple[NpyHeader, np.dtype[Any]]:
    """The header of a file of `size` bytes that begins with `head`, and its dtype there.

    Raises `InputError` for what `np.save` does not write of a plain array, and where the file is
    not as long as it says.
    """
    header = parse_npy_header(head[: HEADER_LIMIT + 12])
    if header.dtype is None:
        raise InputError("is a pickled object array, which could run anything: it is never loaded")
    expected = header.data_offset + header.nbytes
    if size != expected:
        raise InputError(f"has {size} bytes, where its header announces {expected}")
    return header, header.dtype


def npy_array(source: SourceFile) -> RawArray:
    """The array in a `.npy`, its header read and compared with the file's length.

    Raises `InputError`.
    """
    head = source.read(0, min(source.size, HEADER_LIMIT + 12))
    header, dtype = checked_header(head, source.size)
    native = text_dtype(dtype.newbyteorder("="))
    storage = Storage("stored", header.nbytes)
    return RawArray(header.shape, native, partial(NpyArray, source, header, dtype), storage)


class NpyArray(LazyBase):
    """Reads its rows in place where they follow one another in the file, else all of it."""

    def __init__(
        self, source: SourceFile, header: NpyHeader, stored: np.dtype[Any], axis: int
    ) -> None:
        self._source = source
        self._header = header
        self._stored = stored
        self.shape = header.shape
        self.dtype = text_dtype(stored.newbyteorder("="))
        self.axis = axis

    def read(self, start: int, stop: int) -> Array:
        header, size = self._header, self._stored.itemsize
        rows = self.shape[self.axis] if self.shape else 1
        # The axis along which the file's bytes go on longest.
        outer = len(self.shape) - 1 if header.fortran_order else 0
        in_place = not self.shape or self.axis == outer
        first, last = (start, stop) if in_place else (0, rows)
        row_bytes = header.nbytes // rows if rows else 0
        with reading_frames(self._source.path.name, start, max(start, stop - 1)):
            data = self._source.read_array(
                header.data_offset + first * row_bytes, max(0, last - first) * row_bytes
            )
        values = data.view(self._stored) if size else np.empty(0, self._stored)
        if self._stored.kind == "S":
            values = text_of_bytes(values)
        elif self._stored.kind == "U":
            values = checked_text(values.astype(self.dtype))
        elif self._stored.kind == "b":
            values = values.view(np.uint8) != 0  # any byte that is not zero is true
        shape = list(self.shape)
        if shape:
            shape[self.axis] = max(0, last - first)
        values = values.reshape(shape, order="F" if header.fortran_order else "C")
        values = np.ascontiguousarray(values.astype(self.dtype, copy=False))
        if in_place:
            return values
        return values[(slice(None),) * self.axis + (slice(start, stop),)].copy()
