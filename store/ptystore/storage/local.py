"""Files and folders of this machine, held as they were when they were opened."""

from __future__ import annotations

import errno
import functools
import io
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ptystore.errors import InputError, InputMissingError, StorageError
from ptystore.model.content_digest import bytes_digest
from ptystore.model.lazy_array import Array
from ptystore.storage.base import changed
from ptystore.storage.descriptors import Descriptor
from ptystore.storage.system import (
    DIR_FD,
    READ_FLAGS,
    READ_NOFOLLOW_FLAGS,
    open_folder,
    read_at,
    share_lock,
)

__all__ = ["FileIdentity", "SourceFile", "SourceFolder", "open_regular"]

# Which host this is: an inode is one host's.
_host = functools.cache(socket.gethostname)

# The kernel's clock for change times is up to a tick behind the one that tells the opening.
_TICK_NS = 11_000_000


def open_regular(
    path: str | os.PathLike[str], folder: int | None = None, *, links: bool = True
) -> int:
    """A descriptor of a regular file, which never waits for a pipe's writer.

    `path` is relative to an open `folder` where one is given; `links` are followed or not.
    Raises OSError: IsADirectoryError for a folder, EINVAL for a pipe, a socket or a device.
    """
    fd = os.open(path, READ_FLAGS if links else READ_NOFOLLOW_FLAGS, dir_fd=folder)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
    raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", os.fspath(path))


class FileIdentity(NamedTuple):
    """Which file it is, on which host, and what tells that it was written to."""

    host: str
    device: int
    inode: int
    size: int
    written_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        return cls(_host(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def is_same(self, other: FileIdentity, *, growing: bool = False) -> bool:
        """Inodes of different hosts can't be compared, what else is known of a file can.

        One that is `growing` may be longer by now.
        """
        if growing:
            return other.size >= self.size and (self.host != other.host or self[:3] == other[:3])
        return self == other if self.host == other.host else self[3:] == other[3:]


class _FileOpener:
    """Opens the file at a path, and refuses another than the one that it opened at first.

    Apart from `SourceFile`, so that no circle keeps a descriptor open.
    """

    def __init__(self, path: Path, *, growing: bool) -> None:
        self.path = path
        self.growing = growing
        self._where = path.absolute()  # so that another working directory changes nothing
        self.identity: FileIdentity | None = None

    def __call__(self) -> int:
        try:
            fd = open_regular(self._where)
        except FileNotFoundError:
            raise InputMissingError("there is no such file", file=self.path) from None
        except OSError as error:
            raise InputMissingError(f"can't be read: {error.strerror}", file=self.path) from None
        try:
            self.require_same(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def require_same(self, fd: int) -> None:
        """Raise `IntegrityError` where it is another file, or was written to."""
        found = FileIdentity.of(os.fstat(fd))
        if self.identity is None:
            self.identity = found
        elif not self.identity.is_same(found, growing=self.growing):
            raise changed(self.path)


class SourceFile:
    """A file read at positions only, none of its own, so threads and children can share it.

    What is read is the file that was opened, also once another one has its name. It is opened
    again in each process that unpickles it; another one, or one that was written to, is refused.
    To one that is `growing` more may be written meanwhile, which is not read.
    """

    def __init__(self, path: Path, *, growing: bool = False) -> None:
        self.path = path
        self.growing = growing
        self._opener = _FileOpener(path, growing=growing)
        self._descriptor = Descriptor(self._opener)
        self.check()

    @property
    def size(self) -> int:
        """Length in bytes when it was first opened; of one that is growing, now."""
        assert self._opener.identity is not None
        if self.growing:
            with self._descriptor.borrowed() as fd:
                self._opener.require_same(fd)
                return os.fstat(fd).st_size
        return self._opener.identity.size

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The open descriptor, for the block."""
        with self._descriptor.borrowed() as fd:
            yield fd

    def check(self) -> None:
        """Raise `IntegrityError` where the file was written to since it was opened."""
        with self._descriptor.borrowed() as fd:
            self._opener.require_same(fd)

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
        """Fill `buffer` from `offset` on; raises `IntegrityError` where the file has changed."""
        with self._descriptor.borrowed() as fd:
            try:
                got = read_at(fd, buffer, offset)
            except OSError as error:
                raise StorageError(f"read failed: {error.strerror}", file=self.path) from error
            self._opener.require_same(fd)
        if got < len(buffer):
            raise InputError("ends before the data that it announces", file=self.path)

    def stream(self) -> io.BufferedReader:
        """The file for libraries that read from a Python file object."""
        return io.BufferedReader(_Stream(self))


class _Stream(io.RawIOBase):
    """A `SourceFile` with a position."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        if begin + offset < 0:
            raise OSError(errno.EINVAL, "before the beginning")
        self._at = begin + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._file.size - self._at))
        self._file.read_into(self._at, view[:length])
        self._at += length
        return length


class _FolderOpener:
    """Opens the folder at a path, and refuses another than the one that it opened at first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = path.absolute()  # so that another working directory changes nothing
        self.identity: tuple[str, int, int] | None = None
        #: Digests of documents as they were first read.
        self.remembered: dict[str, str] = {}

    def __call__(self) -> int:
        try:
            fd = open_folder(self.where) if DIR_FD else None
            if fd is None:
                fd = os.open(os.devnull, os.O_RDONLY)
        except OSError as error:
            raise InputMissingError(f"can't be read: {error.strerror}", file=self.path) from None
        try:
            # Where folders don't open, the descriptor is of something else.
            found = _folder_identity(os.fstat(fd) if DIR_FD else os.stat(self.where))
            if self.identity is None:
                self.identity = found
            elif found != self.identity and found[0] == self.identity[0]:
                raise changed(self.path)
            self.compare(fd)
            share_lock(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def file(self, folder: int, key: str, links: bool = True) -> int:
        """A descriptor of a regular file of the folder; raises OSError."""
        if DIR_FD:
            return open_regular(key, folder, links=links)
        return open_regular(self.where / key, links=links)

    def compare(self, folder: int) -> None:
        """Raise `IntegrityError` where a remembered document is another one now."""
        for key, digest in self.remembered.items():
            try:
                fd = self.file(folder, key)
                try:
                    same = bytes_digest(_whole(fd, 1 << 62)) == digest
                finally:
                    os.close(fd)
            except OSError:
                same = False
            if not same:
                raise changed(self.path)


def _folder_identity(status: os.stat_result) -> tuple[str, int, int]:
    return _host(), status.st_dev, status.st_ino


class SourceFolder:
    """A store's folder, read relative to what was opened, also once another one has its name.

    `remember` says what a document was when it was first read; `check` compares. Holds a shared
    lock while it is open, by which whoever replaces the store knows that the old one is in use.
    Where a library reads it `by_path`, that must go on leading to it. Pickles as path, identity
    and what was remembered. Who compares every file himself is `watching` for no change.
    """

    def __init__(self, path: Path, *, by_path: bool = False, watching: bool = True) -> None:
        self.path = path
        self._by_path = by_path
        self._watching = watching
        self._opened_ns = time.time_ns()
        self._opener = _FolderOpener(path)
        self._descriptor = Descriptor(self._opener)
        self.check()

    @contextmanager
    def opened(self, key: str, *, links: bool = True) -> Iterator[int]:
        """A descriptor of the file `key`, for the block; `links` are followed or not.

        Raises OSError where it is missing or no regular file, `IntegrityError` where the folder
        has to be opened again and is another one.
        """
        with self._descriptor.borrowed() as folder:
            fd = self._opener.file(folder, key, links)
        try:
            yield fd
        finally:
            os.close(fd)

    def read(self, key: str, most: int, *, links: bool = True) -> bytes:
        """All of a file of at most `most` bytes. Raises as `opened` does, ValueError over that."""
        with self.opened(key, links=links) as fd:
            return _whole(fd, most)

    def may_have_changed(self, status: os.stat_result) -> bool:
        """Whether a file, by its status, was touched since the folder was opened.

        A link that is made to a file touches it too, so this is no proof of a change.
        """
        return self._watching and status.st_ctime_ns >= self._opened_ns - _TICK_NS

    def link(self, key: str, target: Path) -> None:
        """Give the file `key` a second name. Raises OSError."""
        with self._descriptor.borrowed() as folder:
            if DIR_FD and os.link in os.supports_dir_fd:
                os.link(key, target, src_dir_fd=folder)
            else:
                os.link(self._opener.where / key, target)

    def remember(self, key: str, data: bytes) -> None:
        """The document `key` held `data` when it was first read."""
        self._opener.remembered.setdefault(key, bytes_digest(data))

    def check(self) -> None:
        """Raise `IntegrityError` where a remembered document is another one now."""
        with self._descriptor.borrowed() as folder:
            self._opener.compare(folder)
        self.check_path()

    def close(self) -> None:
        """Hold it no longer, until something is read of it again."""
        self._descriptor.close()

    def check_path(self) -> None:
        """Raise `IntegrityError` where a library would be led to another folder by now."""
        if not self._by_path:
            return
        try:
            found = _folder_identity(os.stat(self._opener.where))
        except OSError:
            raise changed(self.path) from None
        if found != self._opener.identity:
            raise changed(self.path)


def _whole(fd: int, most: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > most:
        raise ValueError(f"over {most} bytes")
    data = bytearray(size)
    got = read_at(fd, memoryview(data), 0)
    return bytes(data[:got])
