"""What differs between operating systems, in one place.

ptystore is made for Linux. What another system lacks is done another way here, or left out:
locks, folders that can be opened and made durable, reads at a position, calls of the C library.
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from typing import Any, Final

from ptystore.model.process_lock import ProcessLock

try:
    import fcntl
except ImportError:  # Windows, WebAssembly
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "APPEND_FLAGS",
    "CREATE_FLAGS",
    "DIR_FD",
    "FOLDER_FLAGS",
    "READ_FLAGS",
    "READ_NOFOLLOW_FLAGS",
    "UNSUPPORTED",
    "WAITING_READ_FLAGS",
    "give_to",
    "libc_function",
    "lock_exclusively",
    "on_read_only_filesystem",
    "open_folder",
    "open_locked",
    "pread",
    "read_at",
    "share_lock",
    "sync_file",
    "sync_folder",
    "sync_open_folder",
]


def _flag(name: str) -> int:
    return int(getattr(os, name, 0))


# None of these asks for close-on-exec: `os.open` does so by itself.

#: To read a file; opening a pipe waits for its writer.
WAITING_READ_FLAGS: Final = os.O_RDONLY | _flag("O_BINARY")
#: To read a file without ever waiting for a pipe's writer.
READ_FLAGS: Final = WAITING_READ_FLAGS | _flag("O_NONBLOCK")
#: The same, refusing a symbolic link.
READ_NOFOLLOW_FLAGS: Final = READ_FLAGS | _flag("O_NOFOLLOW")
#: To make a file where there is nothing, not even a link.
CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flag("O_BINARY") | _flag("O_NOFOLLOW")
#: To write at the end of a file, made where it is missing; refuses a link, never waits for a pipe.
APPEND_FLAGS: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_APPEND
    | _flag("O_BINARY")
    | _flag("O_NOFOLLOW")
    | _flag("O_NONBLOCK")
)
#: To open a folder, refusing a symbolic link. See `open_folder`.
FOLDER_FLAGS: Final = os.O_RDONLY | _flag("O_DIRECTORY") | _flag("O_NOFOLLOW")

#: Whether files can be named relative to an open folder. Asked of `os` once: its sets hold the
#: functions themselves, so that a wrapped one would not be found.
DIR_FD: Final = {os.open, os.mkdir, os.rename} <= os.supports_dir_fd

#: What a system or a filesystem answers that lacks what it is asked for.
#: The last two are one number on Linux, two on macOS.
UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

# Windows opens no folders, and flushes only what is open for writing.
_FOLDERS_OPEN: Final = hasattr(os, "O_DIRECTORY")
_SYNC_FLAGS: Final = os.O_RDWR if os.name == "nt" else os.O_RDONLY

# Linux reads up to 2 GiB at a time, macOS refuses to be asked for as much.
_MOST_AT_ONCE = 1 << 30

_position = ProcessLock()


def libc_function(name: str) -> Any:
    """A function of the C library, for ctypes; None where it or the library is missing.

    It keeps its error number for `ctypes.get_errno`.
    """
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name, None)
    except (OSError, TypeError):  # TypeError on Windows, where a library has to be named
        return None


def open_locked(path: str | os.PathLike[str]) -> int:
    """A descriptor of a file or folder, no symbolic link, exclusively locked while it is open.

    Raises what `lock_exclusively` does, and OSError where `path` can't be opened.
    """
    if fcntl is None:  # then folders may not open either, which is another error
        raise _no_locks()
    descriptor = os.open(path, READ_NOFOLLOW_FLAGS)
    try:
        lock_exclusively(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_exclusively(descriptor: int) -> None:
    """Lock a file or folder as long as `descriptor` is open, without waiting.

    Raises BlockingIOError when somebody else holds it, OSError (ENOTSUP, or what the
    filesystem says) where there are no locks.
    """
    if fcntl is None:
        raise _no_locks()
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def share_lock(descriptor: int) -> None:
    """Hold a shared lock on a file or folder as long as `descriptor` is open, where that works.

    Without waiting: a writer that has it locked is about to replace or delete it.
    """
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _no_locks() -> OSError:
    return OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def open_folder(path: str | os.PathLike[str]) -> int | None:
    """A descriptor of a folder, no symbolic link; None where the system opens no folders.

    Raises OSError where this one can't be opened.
    """
    return os.open(path, FOLDER_FLAGS) if _FOLDERS_OPEN else None


def sync_file(path: str) -> None:
    """Make the content of a file durable. Raises OSError with its `filename`."""
    _sync(path, _SYNC_FLAGS)


def sync_folder(path: str) -> None:
    """Make the names in a folder durable, as far as the system and the filesystem can.

    Raises OSError with its `filename`.
    """
    if not _FOLDERS_OPEN:
        return
    try:
        _sync(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def sync_open_folder(descriptor: int) -> None:
    """As `sync_folder`, for a folder that is open. Raises OSError."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network filesystems have no fsync for folders, and nothing in its place.
        if error.errno not in UNSUPPORTED:
            raise


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)


def give_to(path: str, user: int, group: int, dir_fd: int | None = None) -> bool:
    """Make a file or folder, no link followed, a group's, and as root a user's.

    Returns whether it is that group's now, which who is not in the group can't bring about, and
    True where the system has no groups. Raises OSError.
    """
    if not hasattr(os, "chown"):
        return True
    status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    user = user if os.geteuid() == 0 else status.st_uid
    if (status.st_uid, status.st_gid) == (user, group):
        return True
    try:
        os.chown(path, user, group, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EPERM}:
            raise
        return status.st_gid == group
    return True


def on_read_only_filesystem(path: str | os.PathLike[str]) -> bool:
    """Whether nothing can be written there; False where the system doesn't tell."""
    if not (hasattr(os, "statvfs") and hasattr(os, "ST_RDONLY")):
        return False
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill `buffer`, of bytes, from `offset` of the file on, from any thread.

    Returns the number of bytes, which is less only where the file ends. Raises OSError.
    """
    done = 0
    while done < len(buffer):
        piece = buffer[done : done + _MOST_AT_ONCE]
        if hasattr(os, "preadv"):
            got = os.preadv(descriptor, [piece], offset + done)
        else:
            data = pread(descriptor, len(piece), offset + done)
            got = len(data)
            piece[:got] = data
        if got == 0:
            break
        done += got
    return done


def pread(descriptor: int, length: int, offset: int) -> bytes:
    """`length` bytes from `offset` of the file on, from any thread; for short pieces.

    There are less only where the file ends. Raises OSError.
    """
    data = _pread_some(descriptor, length, offset)
    # A system may give less than it has, as network filesystems do.
    while len(data) < length and (
        more := _pread_some(descriptor, length - len(data), offset + len(data))
    ):
        data += more
    return data


def _pread_some(descriptor: int, length: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, offset)
    # The position is shared by all threads. Systems without pread have no fork either.
    with _position:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)
