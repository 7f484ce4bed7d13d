"""Opens a `.npz`: headers now, values when asked for, nothing ever unpickled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import InputError, located, some_names
from ptystore.formats.assemble import Contents, RawArray, ReadOptions, metadata_from_text
from ptystore.formats.choosing import renamed_notes
from ptystore.formats.names import METADATA_MEMBER, MemberNames, leave_out
from ptystore.formats.npz.comment import Notes, read_comment
from ptystore.formats.npz.member import member_bytes, read_data, require_size
from ptystore.formats.npz.npy_header import HEADER_LIMIT, NpyHeader, parse_npy_header
from ptystore.formats.npz.packed import npz_source
from ptystore.formats.npz.pickled_text import read_pickled_text
from ptystore.formats.npz.spool import Spool, StorageOrder
from ptystore.formats.npz.zip_directory import Directory, Member, read_directory
from ptystore.formats.text import checked_text, text_dtype, text_of_bytes
from ptystore.model.lazy_array import Array, LazyBase
from ptystore.model.source import Storage
from ptystore.storage.base import reading_frames
from ptystore.storage.local import SourceFile

__all__ = ["read_npz"]

# Unicode arrays take four bytes a character.
_METADATA_LIMIT = 4 * (16 << 20) + HEADER_LIMIT


def read_npz(path: Path, options: ReadOptions) -> Contents:
    """The arrays of a `.npz` and the text of its `_metadata`, as headers tell.

    Raises `InputError` for a file that is no plain `.npz`, and where what the members
    declare adds up to more than `options.max_bytes`.
    """
    file = npz_source(path, options)
    names = options.names()
    directory = read_directory(file, names)
    members = directory.members
    total = sum(member.size for member in members)
    if options.max_bytes is not None and total > options.max_bytes:
        raise InputError(f"declares {total} bytes, allowed are {options.max_bytes}", file=path)
    arrays: dict[str, RawArray] = {}
    text: str | None = None
    for member in members:
        try:
            header = _read_header(file, member)
            if member.taken_as == METADATA_MEMBER:
                text = _read_metadata(file, member, header)
            else:
                arrays[member.taken_as] = _raw_array(file, member, header)
        except InputError as error:
            error.advice = error.advice or leave_out(member.name)
            raise error.located(file=path, member=member.name) from error.__cause__
    notes = _notes(directory, arrays, names, path)
    metadata = None if text is None else metadata_from_text(text, options)
    remarks = []
    if directory.passed_over:
        remarks.append(f"passed over in the archive: {some_names(directory.passed_over)}")
    return Contents(
        arrays, metadata, notes.fields, notes.digest, snapshot=file, remarks=tuple(remarks)
    )


def _notes(
    directory: Directory, arrays: dict[str, RawArray], names: MemberNames, path: Path
) -> Notes:
    """What the comment tells of the arrays that are taken, under the names that they have now."""
    listed = [name for name in directory.listed if name != METADATA_MEMBER]
    shapes = {
        member.name: arrays[member.taken_as].shape
        for member in directory.members
        if member.taken_as in arrays
    }
    notes = read_comment(directory.comment, listed, shapes, file=path)
    if notes.fields is None or not names:
        return notes
    return Notes(renamed_notes(notes.fields, names))


def _read_header(file: SourceFile, member: Member) -> NpyHeader:
    head = member_bytes(file, member).read(0, min(member.size, HEADER_LIMIT + 12))
    header = parse_npy_header(head.tobytes())
    if header.dtype is not None:
        require_size(file, member, header.data_offset + header.nbytes)
    return header


def _read_metadata(file: SourceFile, member: Member, header: NpyHeader) -> str:
    """The text of the metadata document, in any of its legacy forms."""
    if header.shape != () or (header.dtype is not None and header.dtype.kind not in "US"):
        raise InputError("is not a single text, as a metadata document must be")
    if member.size > _METADATA_LIMIT:
        raise InputError(f"has {member.size} bytes, allowed are {_METADATA_LIMIT}")
    data = read_data(
        member_bytes(file, member), header.data_offset, 0, member.size - header.data_offset
    )
    if header.dtype is None:
        return read_pickled_text(data.tobytes())
    if header.dtype.kind == "S":
        return str(text_of_bytes(data.view(header.dtype))[0])
    return str(checked_text(data.view(header.dtype).astype(header.dtype.newbyteorder("=")))[0])


def _raw_array(file: SourceFile, member: Member, header: NpyHeader) -> RawArray:
    if header.dtype is None:
        raise InputError("is a pickled object array, which could run anything: it is never loaded")
    if header.nbytes == 0:
        # Nothing will ever be read of it, so its checksum is compared now.
        member_bytes(file, member).read(0, member.size)
    dtype = header.dtype
    build: Callable[[int], NpzArray] = lambda axis: NpzArray(file, member, header, dtype, axis)  # noqa: E731
    storage = Storage("deflate" if member.deflated else "stored", member.stored_size)
    return RawArray(header.shape, text_dtype(dtype.newbyteorder("=")), build, storage)


class NpzArray(LazyBase):
    """One member, cut along `axis`; contiguous frames are read in place, others spooled."""

    def __init__(
        self, file: SourceFile, member: Member, header: NpyHeader, dtype: np.dtype[Any], axis: int
    ) -> None:
        self._stored_dtype = dtype
        self._header = header
        self._offset = header.data_offset
        self._file = file
        self._member = member
        self.shape = header.shape
        self.dtype = text_dtype(dtype.newbyteorder("="))
        self.axis = axis
        self._order = StorageOrder.of(header.shape, axis, header.fortran_order)
        self._bytes = member_bytes(file, member)
        rows = self.shape[axis] if self.shape else 1
        self._row_bytes = header.nbytes // rows if rows else 0
        self._spool: Spool | None = None
        if self.shape and header.nbytes and not self._order.frames_contiguous:
            self._spool = Spool(self._bytes, self._offset, self._order, dtype.itemsize)
        self.sequential = member.deflated and self._spool is None

    def merged(self) -> NpzArray | None:
        """With the first two axes as one, cut along it; None where the file has another order."""
        shape = (self.shape[0] * self.shape[1], *self.shape[2:])
        if self._header.fortran_order:
            return None
        header = dataclasses.replace(self._header, shape=shape)
        return NpzArray(self._file, self._member, header, self._stored_dtype, 0)

    def prepare(self, scratch: Path | None) -> None:
        if self._spool is not None:
            self._spool.prepare(scratch)
        else:
            self._bytes.begin_pass()

    def read(self, start: int, stop: int) -> Array:
        return self._values(self._raw(start, stop), stop - start)

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        if not self.sequential:
            return super().begin(start, stop)
        raw = self._raw(start, stop)
        return lambda: self._values(raw, stop - start)

    def _raw(self, start: int, stop: int) -> Array:
        if self._spool is not None:
            return self._spool.read(start, stop)
        if stop <= start or not self._row_bytes:
            return np.empty(0, np.uint8)
        begin, end = start * self._row_bytes, stop * self._row_bytes
        with reading_frames(self._member.name, start, stop - 1):
            return read_data(self._bytes, self._offset, begin, end)

    def _values(self, raw: Array, rows: int) -> Array:
        values = raw.reshape(-1).view(self._stored_dtype)
        if self._stored_dtype.kind == "S":
            with located(file=self._file.path, member=self._member.name):
                values = text_of_bytes(values)
        if not self.dtype.isnative or self._stored_dtype != self.dtype:
            values = values.astype(self.dtype)
        if self.dtype.kind == "b":
            # Any non-zero byte is true; numpy would carry the odd byte along.
            values = values.view(np.uint8) != 0
        elif self.dtype.kind == "U":
            with located(file=self._file.path, member=self._member.name):
                checked_text(values)
        if not self.shape:
            return values.reshape(())
        shape = list(self._order.shape)
        del shape[self._order.position]
        return self._order.logical(values.reshape(rows, *shape), self.axis)
