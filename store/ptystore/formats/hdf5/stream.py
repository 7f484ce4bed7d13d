"""The file that HDF5 writes into: no write to it ever fails, as far as the library can see."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from ptystore.transfer.publish import storage_error

__all__ = ["Hdf5Stream"]


class Hdf5Stream:
    """A new file for h5py's driver for Python's file objects.

    The HDF5 library can't close a file that it could not write, on a full disk for one: it is
    left half closed, and a later call crashes the process. So the first failure is kept in
    `failure`, from then on nothing is written, and `check` raises it. That holds for
    Ctrl-C too, which can come while a write is under way.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: BaseException | None = None
        self._file: FileIO = open(path, "xb+", buffering=0)  # noqa: SIM115 - `close` closes it

    def check(self) -> None:
        """Raise the failure, an error of the system as `StorageError`."""
        if isinstance(self.failure, OSError):
            raise storage_error(self.failure, self.path) from self.failure
        if self.failure is not None:
            raise self.failure

    def abandon(self) -> None:
        """Write nothing any more."""
        self.failure = self.failure or InterruptedError("abandoned")

    def close(self) -> None:
        """Close the file; raises OSError."""
        self._file.close()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """All of `data`, or nothing once a write has failed."""
        view = memoryview(data).cast("B")  # h5py's own kind of view has no `cast`
        done = 0
        while self.failure is None and done < len(view):
            try:
                done += self._file.write(view[done:])
            except BaseException as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the length, where nothing has failed."""
        if self.failure is None:
            try:
                self._file.truncate(size)
            except BaseException as error:
                self.failure = error
        return size

    def flush(self) -> None:
        """Nothing is held back, and what publishes the file makes it durable."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        return self._file.readinto(buffer)
