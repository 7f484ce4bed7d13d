"""Many files held as they were when they were first opened, none of them kept open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ptystore.errors import InputError, InputMissingError, StorageError
from ptystore.model.lazy_array import Array
from ptystore.storage.base import changed
from ptystore.storage.local import FileIdentity, open_regular
from ptystore.storage.system import read_at

__all__ = ["ManyFiles"]


class ManyFiles:
    """Files of one folder by number: opened anew for each read, and compared with what was there.

    Of each its name and identity are kept, a few hundred bytes.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder.absolute()
        self.names = tuple(names)
        self._identities: list[FileIdentity | None] = [None] * len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def path(self, number: int) -> Path:
        return self.folder / self.names[number]

    def size(self, number: int) -> int:
        """Length in bytes when it was first opened."""
        identity = self._identities[number]
        if identity is None:
            with self.opened(number):
                return self.size(number)
        return identity.size

    @contextmanager
    def opened(self, number: int) -> Iterator[int]:
        """A descriptor of a file, for the block.

        Raises `InputMissingError` where there is none, `IntegrityError` where it is another one or
        was written to, before the block or in it.
        """
        path = self.path(number)
        try:
            fd = open_regular(path)
        except FileNotFoundError:
            raise InputMissingError("there is no such file", file=path) from None
        except OSError as error:
            raise InputMissingError(f"can't be read: {error.strerror}", file=path) from None
        try:
            self._compare(number, os.fstat(fd))
            yield fd
            self._compare(number, os.fstat(fd))
        finally:
            os.close(fd)

    def read(self, number: int, offset: int, length: int) -> Array:
        """Exactly `length` bytes of a file as a fresh uint8 array; raises as `opened` does.

        Raises `InputError` where the file ends before.
        """
        if offset < 0 or length < 0 or offset + length > self.size(number):
            raise InputError("ends before the data that it announces", file=self.path(number))
        data = np.empty(length, np.uint8)
        with self.opened(number) as fd:
            try:
                got = read_at(fd, data.data, offset)
            except OSError as error:
                reason = f"read failed: {error.strerror}"
                raise StorageError(reason, file=self.path(number)) from error
        if got < length:
            raise InputError("ends before the data that it announces", file=self.path(number))
        return data

    def head(self, number: int, most: int) -> bytes:
        """What a file begins with, at most so many bytes; raises as `opened` does."""
        with self.opened(number) as fd:
            data = np.empty(min(most, self.size(number)), np.uint8)
            try:
                got = read_at(fd, data.data, 0)
            except OSError as error:
                reason = f"read failed: {error.strerror}"
                raise StorageError(reason, file=self.path(number)) from error
        return data[:got].tobytes()

    def check(self) -> None:
        """Raise `IntegrityError` where a file was written to, or another has its name."""
        for number in range(len(self.names)):
            try:
                found = os.stat(self.path(number))
            except OSError:
                raise changed(self.path(number)) from None
            self._compare(number, found)

    def _compare(self, number: int, status: os.stat_result) -> None:
        found, known = FileIdentity.of(status), self._identities[number]
        if known is None:
            self._identities[number] = found
        elif not known.is_same(found):
            raise changed(self.path(number))
