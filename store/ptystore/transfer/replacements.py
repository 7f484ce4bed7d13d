"""Replaces single files of a published store, each in one step."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ptystore.storage.permissions import Permissions
from ptystore.storage.system import DIR_FD, FOLDER_FLAGS, sync_folder, sync_open_folder
from ptystore.transfer.destination import os_errors_told
from ptystore.transfer.publish import Staging, staged

__all__ = ["stage_replacements"]


@contextmanager
def stage_replacements(
    store: Path, *, warn: Callable[[str], None]
) -> Iterator[Callable[[str, bytes], None]]:
    """Yield `put(key, data)`, which replaces or adds one file of a published store.

    The file is staged beside the store, made durable and renamed over the old one in one step,
    which leaves other names of the old one (hard links from other stores) as they are. It gets
    the mode and the group of the old one, or of the store's other files. A store that is
    replaced meanwhile is not touched: files go where the store was at the beginning, if the
    system can name files relative to an open folder. Raises as `stage_folder` does.
    """
    with (
        staged(store, True, lambda path: True, warn) as staging,
        os_errors_told(store, staging.folder),
    ):
        if not DIR_FD:
            yield functools.partial(_put_by_path, store, staging)
            return
        root = os.open(store, FOLDER_FLAGS)
        try:
            yield functools.partial(_put, root, staging)
        finally:
            os.close(root)


def _put(root: int, staging: Staging, key: str, data: bytes) -> None:
    name, _, inner = key.rpartition("/")
    if name:
        with suppress(FileExistsError):
            _make_folder(name, staging, root)
            sync_open_folder(root)
    folder = os.open(name or ".", FOLDER_FLAGS, dir_fd=root)
    try:
        file = _staged_file(staging, data, Permissions.of(inner, dir_fd=folder))
        os.replace(file, inner, dst_dir_fd=folder)
        sync_open_folder(folder)
    finally:
        os.close(folder)


def _put_by_path(store: Path, staging: Staging, key: str, data: bytes) -> None:
    target = store / key
    with suppress(FileExistsError):
        _make_folder(target.parent, staging)
        sync_folder(os.fspath(store))
    if target.parent.is_symlink():  # as FOLDER_FLAGS, though it could change in between
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(target.parent)
        )
    os.replace(_staged_file(staging, data, Permissions.of(target)), target)
    sync_folder(os.fspath(target.parent))


def _make_folder(name: str | Path, staging: Staging, dir_fd: int | None = None) -> None:
    permissions = staging.permissions
    os.mkdir(name, 0o777 if permissions is None else permissions.folder & 0o777, dir_fd=dir_fd)


def _staged_file(staging: Staging, data: bytes, permissions: Permissions | None) -> Path:
    path = staging.folder / "file"
    with open(path, "wb") as file:
        file.write(data)
        permissions = permissions or staging.permissions
        if permissions is not None:
            permissions.give(path)
        file.flush()
        os.fsync(file.fileno())
    return path
