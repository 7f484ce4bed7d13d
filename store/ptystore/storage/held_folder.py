"""A folder to work in, and nowhere else: reached from its descriptor, no link on the way."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ptystore.storage.local import open_regular
from ptystore.storage.permissions import Permissions
from ptystore.storage.system import (
    APPEND_FLAGS,
    CREATE_FLAGS,
    DIR_FD,
    FOLDER_FLAGS,
    open_folder,
    sync_folder,
    sync_open_folder,
)

__all__ = ["HeldFolder", "LinkInTheWay"]

_DOCUMENT_LIMIT = 64 << 20


class LinkInTheWay(OSError):
    """A name in the folder is a link, which could lead anywhere; `filename` is its path."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ELOOP, "is a link, which could lead out of the folder", path)


class HeldFolder:
    """Files and folders below `path`, by names relative to it with forward slashes.

    No symbolic link is followed: one on the way, or as the file itself, raises `LinkInTheWay`.
    Where a system names no files relative to a descriptor, each name is looked at before it is
    used. Methods raise OSError. `descriptor` is None where the system opens no folders.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = open_folder(path)

    def close(self) -> None:
        """Let go of the folder."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    @contextmanager
    def _parent(self, name: str, *, make: bool = False) -> Iterator[tuple[int | None, str]]:
        """The descriptor of the folder that `name` lies in, and what it is called there.

        Without descriptors that is None and an absolute path. `make` makes missing folders.
        """
        *folders, last = name.split("/")
        if self.descriptor is None or not DIR_FD:
            yield None, os.path.join(self._looked_at(folders, make), last)
            return
        fd = os.dup(self.descriptor)
        try:
            for at, folder in enumerate(folders):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=fd)
                try:
                    inner = os.open(folder, FOLDER_FLAGS, dir_fd=fd)
                except OSError as error:
                    self._refuse_link(folder, fd, "/".join(folders[: at + 1]))
                    error.filename = os.fspath(self.path / "/".join(folders[: at + 1]))
                    raise
                os.close(fd)
                fd = inner
            yield fd, last
        finally:
            os.close(fd)

    def _looked_at(self, folders: list[str], make: bool) -> str:
        path = os.fspath(self.path)
        for at, folder in enumerate(folders):
            path = os.path.join(path, folder)
            if make:
                with suppress(FileExistsError):
                    os.mkdir(path)
            self._refuse_link(path, None, "/".join(folders[: at + 1]))
        return path

    def _refuse_link(self, called: str, fd: int | None, name: str) -> None:
        try:
            status = os.stat(called, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISLNK(status.st_mode):
            raise LinkInTheWay(os.fspath(self.path / name))

    def make_room(self, name: str) -> None:
        """Make the folders that `name` is to lie in."""
        with self._parent(name, make=True):
            return

    def names(self) -> list[str]:
        """What lies in the folder itself."""
        folder = self.path if self.descriptor is None or not DIR_FD else self.descriptor
        return os.listdir(folder)

    def is_link(self, name: str) -> bool:
        """Whether `name` itself is a link; False where there is nothing."""
        with self._parent(name) as (fd, called):
            try:
                status = os.stat(called, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                return False
        return stat.S_ISLNK(status.st_mode)

    def read(self, name: str) -> bytes:
        """All of a regular file. Raises ValueError for more than a document can be."""
        with self._parent(name) as (fd, called):
            self._refuse_link(called, fd, name)
            with os.fdopen(open_regular(called, fd, links=False), "rb") as file:
                if os.fstat(file.fileno()).st_size > _DOCUMENT_LIMIT:
                    raise ValueError(f"over {_DOCUMENT_LIMIT} bytes")
                return file.read()

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a regular file, made where it is missing.

        What has other names too becomes a file of its own, so that those hold what they held.
        """
        with self._parent(name, make=True) as (fd, called):
            self._refuse_link(called, fd, name)
            with os.fdopen(os.open(called, APPEND_FLAGS, 0o666, dir_fd=fd), "ab") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(errno.EINVAL, "is not a file", os.fspath(self.path / name))
                if status.st_nlink == 1:
                    file.write(data)
                    return
        self.write(name, self.read(name) + data)

    def write(self, name: str, data: bytes) -> None:
        """Write a file all at once: readers see the old one or the new one, durable at the end.

        One that is replaced keeps its mode and group. Meanwhile the new one is .NAME.partial:
        one writer at a time.
        """
        with self._parent(name, make=True) as (fd, called):
            self._refuse_link(called, fd, name)
            folder, base = os.path.split(called)
            partial = os.path.join(folder, f".{base}.partial")
            with suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=fd)
            with os.fdopen(os.open(partial, CREATE_FLAGS, 0o666, dir_fd=fd), "wb") as file:
                permissions = Permissions.of(called, dir_fd=fd)
                if permissions is not None:
                    permissions.give(partial, dir_fd=fd)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, called, src_dir_fd=fd, dst_dir_fd=fd)
            if fd is None:
                sync_folder(folder)
            else:
                sync_open_folder(fd)

    def move(self, name: str, target: str) -> None:
        """Give something another name in the folder."""
        with (
            self._parent(name) as (fd, called),
            self._parent(target, make=True) as (target_fd, target_called),
        ):
            os.rename(called, target_called, src_dir_fd=fd, dst_dir_fd=target_fd)
