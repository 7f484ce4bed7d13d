"""Positioned reads of one source file, from any thread, process or forked child."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import InputError, InputMissingError, StorageError
from ptystore.model.lazy_array import Array
from ptystore.storage.system import WAITING_READ_FLAGS, read_at

__all__ = ["SourceFile"]


class SourceFile:
    """A file read at positions only, none of its own, so threads and children can share it.

    Holds the path and what the file looked like; it is opened again in each process that
    unpickles it. A file that has been replaced or rewritten since is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._identity: tuple[int, int] | None = None
        self._identity = self._look(self.fileno())

    @property
    def size(self) -> int:
        """Length in bytes when it was first opened."""
        assert self._identity is not None
        return self._identity[0]

    def fileno(self) -> int:
        """The open descriptor, opened now if it isn't."""
        if self._fd is None:
            try:
                fd = os.open(self.path, WAITING_READ_FLAGS)
            except FileNotFoundError:
                raise InputMissingError("there is no such file", file=self.path) from None
            except OSError as error:
                raise InputMissingError(
                    f"can't be read: {error.strerror}", file=self.path
                ) from None
            if self._identity is not None and self._look(fd) != self._identity:
                os.close(fd)
                raise InputError("has changed since it was opened", file=self.path)
            self._fd = fd
            weakref.finalize(self, os.close, fd)
        return self._fd

    @staticmethod
    def _look(fd: int) -> tuple[int, int]:
        status = os.fstat(fd)
        return status.st_size, status.st_mtime_ns

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`; raises `InputError` where the file ends before."""
        return self.read_array(offset, length).tobytes()

    def read_array(self, offset: int, length: int) -> Array:
        """Exactly `length` bytes at `offset` as a fresh uint8 array."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InputError("ends before the data that it announces", file=self.path)
        data = np.empty(length, np.uint8)
        self.read_into(offset, data.data)
        return data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset` on."""
        fd = self.fileno()
        try:
            got = read_at(fd, buffer, offset)
        except OSError as error:
            raise StorageError(f"read failed: {error.strerror}", file=self.path) from error
        if got < len(buffer):
            raise InputError("ends before the data that it announces", file=self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_identity": self._identity}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._identity = state["_identity"]
        self._fd = None
