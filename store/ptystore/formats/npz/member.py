"""The bytes of one NPZ member: stored ones at random, deflated ones forward only.

Both check the member's CRC-32 once everything has been read; a partial read is bounded by
the sizes that the header declares, but unchecked.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol

import numpy as np
from isal import isal_zlib

from ptystore.errors import DamagedInputError, InputError
from ptystore.formats.npz.zip_directory import Member
from ptystore.model.lazy_array import Array
from ptystore.model.process_lock import ProcessLock
from ptystore.storage.local import SourceFile

__all__ = [
    "DeflatedBytes",
    "MemberBytes",
    "StoredBytes",
    "member_bytes",
    "read_data",
    "require_size",
]

_INPUT = 256 << 10
_SKIP = 1 << 20


class MemberBytes(Protocol):
    """A member's uncompressed bytes, the `.npy` header included."""

    def read(self, start: int, stop: int) -> Array:
        """The bytes `start` to `stop` as a fresh uint8 array."""
        ...

    def begin_pass(self) -> None:
        """A full pass begins, at whose end the checksum must have been compared."""
        ...


def member_bytes(file: SourceFile, member: Member) -> StoredBytes | DeflatedBytes:
    """The reader that fits how the member is packed."""
    return (DeflatedBytes if member.deflated else StoredBytes)(file, member)


def read_data(source: MemberBytes, data_offset: int, start: int, stop: int) -> Array:
    """The bytes `start` to `stop` of a member's data, which begin at `data_offset`.

    The header is read along with the first of them, so that a full pass covers it too and
    the checksum of the whole member can be compared.
    """
    if start:
        return source.read(data_offset + start, data_offset + stop)
    return source.read(0, data_offset + stop)[data_offset:]


def _bad_checksum(file: SourceFile, member: Member) -> DamagedInputError:
    return DamagedInputError(
        "its bytes don't match the checksum in the archive",
        file=file.path,
        member=member.name,
        advice="the file is damaged: get it again from where it came from",
    )


class StoredBytes:
    """A stored member. The checksum is pieced together from whatever order it is read in."""

    def __init__(self, file: SourceFile, member: Member) -> None:
        self._file = file
        self._member = member
        self._reset()

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._checked = False
        self.begin_pass()

    def begin_pass(self) -> None:
        """Forget pieces read before, which could overlap those of the pass that begins."""
        with self._lock:
            self._seen: dict[int, tuple[int, int]] = {}
            self._covered = 0

    def read(self, start: int, stop: int) -> Array:
        data = self._file.read_array(self._member.offset + start, stop - start)
        if not self._checked:
            self._note(start, stop, isal_zlib.crc32(data.data))
        return data

    def _note(self, start: int, stop: int, crc: int) -> None:
        """Remember a piece; when the pieces cover the member, compare the checksum."""
        with self._lock:
            self._covered += stop - self._seen.get(start, (start, 0))[0]
            self._seen[start] = (stop, crc)
            if self._covered < self._member.size:
                return
            seen, self._seen, self._covered = self._seen, {}, 0
            at, total = 0, 0
            while at < self._member.size:
                if at not in seen:
                    return
                stop, crc = seen[at]
                total = isal_zlib.crc32_combine(total, crc, stop - at) if at else crc
                at = stop
            self._checked = total == self._member.crc32
        if not self._checked:
            raise _bad_checksum(self._file, self._member)

    def __getstate__(self) -> dict[str, Any]:
        return {"_file": self._file, "_member": self._member}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


class DeflatedBytes:
    """A deflated member. Reading before the last position starts again from the beginning."""

    def __init__(self, file: SourceFile, member: Member) -> None:
        self._file = file
        self._member = member
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._rewind()

    def begin_pass(self) -> None:
        """Nothing to do: reading forwards to the end compares the checksum."""

    def _rewind(self) -> None:
        self._inflater = isal_zlib.decompressobj(wbits=-15)
        self._pending: Any = b""
        self._fed = 0
        self._position = 0
        self._crc = 0

    def read(self, start: int, stop: int) -> Array:
        if os.getpid() != self._process:
            # In a forked child the parent's lock may be held by a thread that isn't here.
            self._reset()
        with self._lock:
            try:
                if start < self._position:
                    self._rewind()
                while self._position < start:
                    self._inflate(min(_SKIP, start - self._position))
                data = self._inflate(stop - start)
                if self._position == self._member.size:
                    self._check_end()
            except BaseException:
                # Some of what was asked for is inflated and lost: the next read begins anew.
                self._rewind()
                raise
            return data

    def _inflate(self, length: int) -> Array:
        """The next `length` bytes; never more are inflated at once than are wanted."""
        data = np.empty(length, np.uint8)
        view = data.data
        done = 0
        while done < length:
            piece = self._step(length - done)
            if not piece:
                raise DamagedInputError(
                    f"its data end after {self._position + done} of {self._member.size} bytes",
                    file=self._file.path,
                    member=self._member.name,
                )
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._position += length
        self._crc = isal_zlib.crc32(view, self._crc)
        return data

    def _step(self, limit: int) -> bytes:
        """Some inflated bytes, at most `limit`; none only where the stream has ended."""
        while not self._inflater.eof:
            if not self._pending and self._fed < self._member.stored_size:
                length = min(_INPUT, self._member.stored_size - self._fed)
                self._pending = self._file.read(self._member.offset + self._fed, length)
                self._fed += length
            fed = len(self._pending)
            try:
                piece: bytes = self._inflater.decompress(self._pending, limit)
            except isal_zlib.error as error:  # type: ignore[misc]  # its stubs say otherwise
                raise DamagedInputError(
                    f"its deflated data are damaged ({error})",
                    file=self._file.path,
                    member=self._member.name,
                ) from error
            self._pending = self._inflater.unconsumed_tail
            if piece:
                return piece
            if not fed and not self._inflater.eof:
                return b""
        return b""

    def _check_end(self) -> None:
        """At the last byte: nothing more may come, and the checksum must match."""
        ended = not self._step(1) and self._inflater.eof
        unused = len(self._inflater.unused_data) + self._member.stored_size - self._fed
        if not ended or unused:
            raise DamagedInputError(
                f"holds more data than the {self._member.size} bytes that it declares",
                file=self._file.path,
                member=self._member.name,
            )
        if self._crc != self._member.crc32:
            raise _bad_checksum(self._file, self._member)

    def __getstate__(self) -> dict[str, Any]:
        return {"_file": self._file, "_member": self._member}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


def require_size(file: SourceFile, member: Member, needed: int) -> None:
    """Refuse a member whose header announces more or less data than the archive declares."""
    if needed != member.size:
        raise InputError(
            f"its header announces {needed} bytes, the archive {member.size}",
            file=file.path,
            member=member.name,
        )
