"""Writes a dataset as `.npz` in one pass: no pickle, zip64, the same bytes for the same scan.

Members are written one after another; their sizes and checksums are put into the local
headers when they are known. Blocks are deflated by the workers, each ending in a sync
flush, so that one after another they are one deflate stream.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from isal import isal_zlib

from ptystore.formats.assemble import FieldNotes
from ptystore.formats.attributes import RootNote
from ptystore.formats.names import METADATA_MEMBER
from ptystore.formats.npz.comment import Notes, write_comment
from ptystore.formats.npz.npy_header import npy_header_bytes
from ptystore.model.choices import Compression
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import SHARD_BYTES, Layout, plan
from ptystore.model.lazy_array import Array
from ptystore.model.metadata import Metadata
from ptystore.transfer.publish import storage_error
from ptystore.transfer.writeback import start_writeback

__all__ = ["NpzSink"]

# Levels up to this one are isal's, at ten times zlib's speed; those from here on are zlib's.
_FAST_LEVELS = 3
_NPZ_SHARD_BYTES = SHARD_BYTES // 4

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s4B4H3I5H2I")
_ZIP64_EXTRA = struct.Struct("<2H2Q")
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")
_FULL = 0xFFFFFFFF
# Sizes and offsets from here on go into zip64 records, and `_FULL` into the plain ones.
_LIMIT = _FULL
# 1 January 1980, the zero of zip: the same scan gives the same bytes.
_DATE = 0x21


@dataclass(frozen=True)
class _Piece:
    """Encoded bytes of one shard; `crc` and `size` are of what they stand for."""

    data: list[bytes | memoryview]
    crc: int
    size: int


@dataclass
class _Entry:
    """One member as the central directory will list it."""

    name: bytes
    offset: int
    size: int = 0
    stored_size: int = 0
    crc: int = 0


def _default_level(field: Field | None) -> int:
    # Of zlib's size at its level 6, counts are 1.026 with isal's level 3 and 1.034 with 2;
    # amplitudes 1.17 and 1.12; patches 1.05 and 1.06, and 2 is five times as fast on them.
    return 2 if field is not None and field.dtype.kind in "fc" else 3


class _Deflater(Protocol):
    """A compressor of zlib's or isal's."""

    def compress(self, data: bytes | memoryview, /) -> bytes: ...

    def flush(self, mode: int, /) -> bytes: ...


def _deflater(level: int) -> _Deflater:
    library = isal_zlib if level <= _FAST_LEVELS else zlib
    deflater: _Deflater = library.compressobj(level, library.DEFLATED, -15)
    return deflater


class _Packer:
    """Packs what is given to it, piece by piece, and sums it up; a `level` of None stores it."""

    def __init__(self, level: int | None) -> None:
        self._deflater = None if level is None else _deflater(level)
        self._packed: list[bytes | memoryview] = []
        self._crc = self._size = 0

    def add(self, data: bytes | memoryview) -> None:
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)
        self._packed.append(data if self._deflater is None else self._deflater.compress(data))

    def piece(self, *, last: bool) -> _Piece:
        """All that was added; only a member's last piece may end its deflate stream."""
        if self._deflater is not None:
            self._packed.append(self._deflater.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH))
        return _Piece(self._packed, self._crc, self._size)


@dataclass(frozen=True)
class MemberPart:
    """Packs the shards of one member, at a deflate `level`, or None to store them."""

    layout: Layout
    dtype: np.dtype[Any]
    level: int | None
    adopts = False

    def encode(self, start: int, blocks: Iterator[Array]) -> _Piece:
        packer = _Packer(self.level)
        for rows in blocks:
            if self.layout.axis:
                rows = rows.transpose(0, *range(rows.ndim - 1, 0, -1))
            packer.add(np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data)
        return packer.piece(last=start + self.layout.shard_rows >= self.layout.rows)

    def adopt(self, start: int) -> _Piece:
        raise NotImplementedError


class NpzSink:
    """Takes the blocks of every field into one zip archive."""

    def __init__(
        self, path: Path, dataset: Dataset, compression: Compression, level: int | None
    ) -> None:
        self._path = path
        self._dataset = dataset
        self._deflate = compression == "deflate"
        self._level = level
        self._entries: list[_Entry] = []
        # How far the kernel was asked to write to the disk.
        self._begun_to = 0
        try:
            self._file: BinaryIO = open(path, "xb")  # noqa: SIM115 - closed by `close` or `abandon`
        except OSError as error:
            raise storage_error(error, path) from error

    def layout(self, field: Field) -> Layout:
        return plan(
            field.shape,
            field.dtype.itemsize,
            field.array.axis,
            shard_bytes=_NPZ_SHARD_BYTES,
        )

    def start(self, field: Field, layout: Layout) -> None:
        self._open_member(field.name)
        # Frames come one after another; counted by the last axis, that is Fortran order.
        fortran = layout.axis > 0
        header = npy_header_bytes(field.dtype.newbyteorder("<"), field.shape, fortran)
        packer = _Packer(self._level_of(field))
        packer.add(header)
        self._append(packer.piece(last=layout.rows == 0 or not layout.row_bytes))

    def part(self, field: Field, layout: Layout) -> MemberPart:
        return MemberPart(layout, field.dtype.newbyteorder("<"), self._level_of(field))

    def accept(self, field: Field, encoded: _Piece) -> None:
        self._append(encoded)
        written = self._file.tell()
        if written - self._begun_to >= SHARD_BYTES:
            start_writeback(self._file.fileno())
            self._begun_to = written

    def finish(self, field: Field, digest: str) -> None:
        self._close_member()

    def close(self, metadata: Metadata | None, note: RootNote) -> None:
        """Write the metadata document, the directory and the notes, after the last field."""
        if metadata is not None:
            text = metadata.to_json()
            values = np.array(text, dtype=f"<U{max(1, len(text))}")
            header = npy_header_bytes(values.dtype, (), False)
            self._open_member(METADATA_MEMBER)
            packer = _Packer(self._level_of(None))
            packer.add(header)
            packer.add(values.tobytes())
            self._append(packer.piece(last=True))
            self._close_member()
        notes = {
            field.name: FieldNotes(field.frame_axis, field.attrs, note.fields[field.name].digest)
            for field in self._dataset.values()
        }
        try:
            self._write_directory(write_comment(Notes(notes, note.digest)))
            self._file.close()
        except OSError as error:
            raise storage_error(error, self._path) from error

    def abandon(self) -> None:
        """Close the file of a pass that failed; the staging that holds it is removed."""
        self._file.close()

    def _level_of(self, field: Field | None) -> int | None:
        """The deflate level for a field, or for text; None where members are stored."""
        if not self._deflate:
            return None
        return _default_level(field) if self._level is None else self._level

    def _open_member(self, name: str) -> None:
        entry = _Entry(f"{name}.npy".encode("ascii"), self._file.tell())
        self._entries.append(entry)
        self._write([self._local_header(entry)])

    def _append(self, piece: _Piece) -> None:
        entry = self._entries[-1]
        entry.crc = isal_zlib.crc32_combine(entry.crc, piece.crc, piece.size)
        entry.size += piece.size
        entry.stored_size += sum(len(part) for part in piece.data)
        self._write(piece.data)

    def _close_member(self) -> None:
        """Go back and put what is now known into the member's local header."""
        entry = self._entries[-1]
        try:
            end = self._file.tell()
            self._file.seek(entry.offset)
            self._file.write(self._local_header(entry))
            self._file.seek(end)
        except OSError as error:
            raise storage_error(error, self._path) from error

    def _write(self, data: list[bytes | memoryview]) -> None:
        try:
            for part in data:
                self._file.write(part)
        except OSError as error:
            raise storage_error(error, self._path) from error

    def _local_header(self, entry: _Entry) -> bytes:
        # Sizes are always in the zip64 extra: whether they need it is not known at first.
        extra = _ZIP64_EXTRA.pack(1, 16, entry.size, entry.stored_size)
        head = _LOCAL.pack(
            b"PK\x03\x04", 45, 0, 8 * self._deflate, 0, _DATE, entry.crc, _FULL, _FULL,
            len(entry.name), len(extra),
        )  # fmt: skip
        return head + entry.name + extra

    def _write_directory(self, comment: bytes) -> None:
        start = self._file.tell()
        for entry in self._entries:
            large = max(entry.size, entry.stored_size, entry.offset) >= _LIMIT
            extra = struct.pack("<2H3Q", 1, 24, entry.size, entry.stored_size, entry.offset)
            sizes = (_FULL, _FULL) if large else (entry.stored_size, entry.size)
            self._file.write(
                _CENTRAL.pack(
                    b"PK\x01\x02", 45, 3, 45, 0, 0, 8 * self._deflate, 0, _DATE, entry.crc, *sizes,
                    len(entry.name), len(extra) * large, 0, 0, 0, 0o644 << 16,
                    _FULL if large else entry.offset,
                )
            )  # fmt: skip
            self._file.write(entry.name + extra * large)
        end = self._file.tell()
        count, size = len(self._entries), end - start
        if max(start, size) >= _LIMIT or count >= 0xFFFF:
            self._file.write(
                _ZIP64_END.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
                + _ZIP64_LOCATOR.pack(b"PK\x06\x07", 0, end, 1)
            )
        self._file.write(
            _END.pack(
                b"PK\x05\x06", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF),
                min(size, _FULL), min(start, _FULL), len(comment),
            )
            + comment
        )  # fmt: skip
