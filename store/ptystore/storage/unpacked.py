"""A file that is compressed by bzip2, unpacked once into a scratch file without a name."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ptystore.errors import DamagedInputError, InputError, PtystoreError, StorageError
from ptystore.model.process_lock import ProcessLock
from ptystore.storage.local import SourceFile
from ptystore.storage.system import read_at

__all__ = ["UnpackedFile"]

_BLOCK = 1 << 20
# What is left free of the disk that holds the scratch file.
_SPARE = 64 << 20


class UnpackedFile(SourceFile):
    """What is in a bzip2 file, read at positions as any other file.

    It is unpacked block by block when it is opened, and again in each process that unpickles it,
    to a file without a name in the temporary folder: that is gone with the last array that is read
    from it, and whatever happens to the process. `most` bytes and no more are unpacked. Raises
    `InputError` for more, for damage, and for what is no `kind`, since it does not begin with
    `begins`; `StorageError` where there is no room.
    """

    def __init__(self, packed: SourceFile, most: int, begins: bytes, kind: str) -> None:
        self.path = packed.path
        self._packed = packed
        self._most = most
        self._begins = begins
        self._kind = kind
        self._reset()
        self._size = self._unpacked()[1]

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._scratch: tuple[IO[bytes], int] | None = None

    @property
    def size(self) -> int:
        """Length in bytes of what was unpacked."""
        return self._size

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The descriptor of the scratch file, for the block."""
        yield self._unpacked()[0].fileno()

    def check(self) -> None:
        """Raise `IntegrityError` where the packed file was written to since it was opened."""
        self._packed.check()

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset` on."""
        with self.opened() as descriptor:
            try:
                got = read_at(descriptor, buffer, offset)
            except OSError as error:
                raise StorageError(f"read failed: {error.strerror}", file=self.path) from error
        if got < len(buffer):
            raise InputError("ends before the data that it announces", file=self.path)

    def _unpacked(self) -> tuple[IO[bytes], int]:
        """The scratch file and how many bytes are in it."""
        with self._lock:
            if self._scratch is None:
                file = tempfile.TemporaryFile(prefix="ptystore-")  # noqa: SIM115
                try:
                    size = self._unpack(file)
                except BaseException:
                    file.close()
                    raise
                weakref.finalize(self, file.close)
                self._scratch = file, size
            return self._scratch

    def _unpack(self, file: IO[bytes]) -> int:
        room = shutil.disk_usage(tempfile.gettempdir()).free - _SPARE
        done = 0
        for block in self._blocks():
            if not done and not block.startswith(self._begins):
                break
            done += len(block)
            if done > self._most:
                raise InputError(
                    f"unpacks to more than {self._most} bytes",
                    file=self.path,
                    advice="allow more by --max-bytes, or decompress it: bunzip2",
                )
            if done > room:
                raise StorageError(
                    f"needs more than {max(0, room)} bytes of scratch space to be unpacked",
                    file=self.path,
                    advice="free some space, or set TMPDIR to a folder on a larger disk",
                )
            try:
                file.write(block)
            except OSError as error:
                reason = f"writing scratch data failed: {error.strerror}"
                raise StorageError(reason, file=self.path) from error
        if not done:
            raise InputError(
                f"is compressed by bzip2, and what is in it is no {self._kind}",
                file=self.path,
                advice="decompress it: bunzip2",
            )
        try:
            file.flush()
        except OSError as error:
            reason = f"writing scratch data failed: {error.strerror}"
            raise StorageError(reason, file=self.path) from error
        return done

    def _blocks(self) -> Iterator[bytes]:
        import bz2  # not in every Python

        with bz2.BZ2File(self._packed.stream()) as stream:
            while True:
                try:
                    block = stream.read(_BLOCK)
                except PtystoreError:
                    raise
                except (OSError, EOFError, ValueError) as error:
                    raise DamagedInputError(
                        f"its bzip2 data are damaged ({error})",
                        file=self.path,
                        advice="get it again from where it came from",
                    ) from error
                if not block:
                    return
                yield block

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        del kept["_lock"], kept["_scratch"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
