"""What may be written where, and what to say when the operating system refuses.

A destination is judged from its names and its inodes alone, before anything is read.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ptystore.errors import (
    DestinationError,
    DestinationExistsError,
    PtystoreError,
    StorageError,
    some_names,
)
from ptystore.storage.system import on_read_only_filesystem

__all__ = [
    "check_destination",
    "check_existing",
    "os_errors_told",
    "require_no_strangers",
    "storage_error",
]

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_REFUSED |= {errno.ENAMETOOLONG, errno.ELOOP}


def storage_error(
    error: OSError | RuntimeError, path: str | os.PathLike[str], *, member: str | None = None
) -> StorageError:
    """The `StorageError` (exit 6) that says what the operating system said about `path`."""
    code = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    advice = None
    if code == errno.ENOSPC:
        reason, advice = f"disk full ({reason})", "free some space, or write to another disk"
    elif code == errno.EDQUOT:
        reason, advice = f"disk quota exceeded ({reason})", "free some space within the quota"
    elif code == errno.EFBIG:
        advice = "see the file size limit (ulimit -f) and that of the filesystem"
    return StorageError(reason, file=path, member=member, advice=advice)


@contextmanager
def os_errors_told(destination: Path, staging: Path | None = None) -> Iterator[None]:
    """Turn OSErrors of the block into ptystore's own, naming the file inside `staging`."""
    try:
        yield
    except PtystoreError:
        raise
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise DestinationExistsError(
                "came to exist while it was being written: another writer was first",
                file=destination,
                advice="a new run with --overwrite replaces it",
            ) from error
        if error.errno in _REFUSED:
            raise DestinationError(error.strerror or str(error), file=destination) from error
        member = None
        if staging is not None and isinstance(error.filename, str):
            with suppress(ValueError):
                member = Path(error.filename).relative_to(staging).as_posix()
        raise storage_error(error, destination, member=member) from error


def check_destination(
    destination: Path, *, source: Path | None, overwrite: bool, is_ours: Callable[[Path], bool]
) -> None:
    """Refuse, before anything is read, a destination that can't or mustn't be written.

    `is_ours(path)` tells whether what is there now was written by ptystore, and raises
    `DestinationError` where others' things lie in it. Nothing is changed.

    Raises
    ------
    DestinationExistsError : something is there and `overwrite` is False.
    DestinationError : it has no usable name, is a symbolic link, is the source, lies inside the
        source or holds it; its folder is missing, read-only or not writable; `overwrite` is True
        and `is_ours` is not.
    """
    name = destination.name
    if name in ("", "..") or "\0" in name or re.match(r"\..*\.ptystore-", name, re.DOTALL):
        raise DestinationError("not a name that can be written", file=destination)
    with os_errors_told(destination):
        _check_parent(destination)
        if source is not None:
            _check_source(destination, source)
        check_existing(destination, overwrite, is_ours)


def _check_parent(destination: Path) -> None:
    parent = destination.parent
    if not parent.is_dir():
        raise DestinationError(
            f"{parent} is not a folder" if os.path.lexists(parent) else f"no folder {parent}",
            file=destination,
            advice=f"make the folder first: mkdir -p {shlex.quote(os.fspath(parent))}",
        )
    if on_read_only_filesystem(parent):
        raise DestinationError(f"{parent} is on a read-only filesystem", file=destination)
    # Reading it is needed too: to find litter, and to fsync it.
    if not os.access(parent, os.R_OK | os.W_OK | os.X_OK):
        raise DestinationError(f"no permission to write in {parent}", file=destination)


def _check_source(destination: Path, source: Path) -> None:
    target, origin = Path(os.path.realpath(destination)), Path(os.path.realpath(source))
    if _same(target, origin):
        raise DestinationError(
            "is the source", file=destination, advice="sources are never changed: name another"
        )
    if any(_same(folder, origin) for folder in target.parents):
        raise DestinationError(f"lies inside the source {source}", file=destination)
    if any(_same(folder, target) for folder in origin.parents):
        raise DestinationError(f"holds the source {source}", file=destination)


def _same(one: Path, other: Path) -> bool:
    """Whether both are one file: by name, else by inode (hard links, bind mounts, letter case)."""
    if one == other:
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def check_existing(destination: Path, overwrite: bool, is_ours: Callable[[Path], bool]) -> None:
    """The part of `check_destination` that another process can change while we write."""
    try:
        mode = os.lstat(destination).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode) and (overwrite or not os.path.exists(destination)):
        raise DestinationError(
            "is a symbolic link", file=destination, advice="name what it points to instead"
        )
    if not overwrite:
        raise DestinationExistsError(
            "already exists", file=destination, advice="--overwrite replaces it"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or not is_ours(destination):
        raise DestinationError(
            "was not written by ptystore, so it is not overwritten",
            file=destination,
            advice="remove it yourself, or write under another name",
        )


def require_no_strangers(destination: Path, names: Iterable[str]) -> None:
    """Raise `DestinationError` for a destination of ours with things of others' in it."""
    strangers = sorted(names)
    if not strangers:
        return
    raise DestinationError(
        f"holds what ptystore did not write there: {some_names(strangers)}",
        file=destination,
        advice="move that elsewhere first, or write under another name",
    )
