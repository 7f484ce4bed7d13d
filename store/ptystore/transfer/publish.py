"""Publish a store or a file all at once: the destination is absent, the old one, or complete.

The result is staged in a sibling folder ``.NAME.ptystore-<host>-<random>``, held by an `flock`
on that folder's own descriptor, made durable (files, folders bottom-up), renamed onto the
destination without replacing anything that was not asked to be replaced, and the parent folder
is made durable last. Overwriting exchanges the two names in one step where the kernel can.
Where it can't, the old one steps aside as ``.NAME.ptystore-old-<host>-<random>`` for a moment;
a run killed in that moment published nothing, so the next one puts the old one back. A thing
under an aside's name is always complete: before it is deleted it takes the staging name.

Locks only tell litter from work in progress. Correctness rests on renames that refuse to
replace, so a system or a filesystem without locks loses nothing but the clearing of litter.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ptystore.storage.system import (
    DIR_FD,
    FOLDER_FLAGS,
    UNSUPPORTED,
    libc_function,
    open_locked,
    sync_file,
    sync_folder,
)
from ptystore.transfer.destination import (
    check_destination,
    check_existing,
    os_errors_told,
    storage_error,
)
from ptystore.transfer.removal import exists, remove, remove_in_spite_of_signals

__all__ = [
    "SCRATCH_NAME",
    "check_destination",
    "stage_file",
    "stage_folder",
    "stage_replacements",
    "storage_error",
    "sync_tree",
]

# Names beginning with "__" are refused as field names, so no field can be taken for scratch.
SCRATCH_NAME = "__scratch__"

_TOKEN_LENGTH = 16
_NAME_BYTES = 255  # the limit of ext4, xfs, btrfs, tmpfs and NFS
_RENAME_NOREPLACE, _RENAME_EXCHANGE, _AT_FDCWD = 1, 2, -100  # linux/fs.h, fcntl.h
_NO_LOCKS = UNSUPPORTED | {errno.EBADF, errno.ENOLCK}
_NO_LINKS = UNSUPPORTED | {errno.EPERM, errno.EMLINK}

_libc_renameat2 = libc_function("renameat2")


@contextmanager
def stage_folder(
    destination: Path,
    *,
    overwrite: bool,
    is_ours: Callable[[Path], bool],
    warn: Callable[[str], None],
) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `destination` when the block ends well.

    Its subfolder `SCRATCH_NAME`, if there is one, is deleted first. Any exception, Ctrl-C
    included, removes the staging. `warn` is told of litter removed or left.

    Raises
    ------
    DestinationExistsError : `destination` exists, or came to exist meanwhile (another writer).
    DestinationError : it can't be written or is not ours to overwrite.
    StorageError : the operating system failed; `member` names the file. Errors of the block
        itself pass through as they are.
    """
    with _staged(destination, overwrite, is_ours, warn) as (staging, aside):
        yield staging
        with os_errors_told(destination, staging):
            remove(staging / SCRATCH_NAME)
            sync_tree(staging)
            _publish(staging, destination, aside, overwrite, is_ours)


@contextmanager
def stage_file(
    destination: Path,
    *,
    overwrite: bool,
    is_ours: Callable[[Path], bool],
    warn: Callable[[str], None],
) -> Iterator[Path]:
    """Yield the path of a file to create; it becomes `destination` when the block ends well.

    The file has its final name and lies in a staging folder of its own: whatever else is put
    beside it (scratch) is deleted at the end. Raises as `stage_folder` does.
    """
    with _staged(destination, overwrite, is_ours, warn) as (staging, aside):
        staged = staging / destination.name
        yield staged
        with os_errors_told(destination, staging):
            sync_file(os.fspath(staged))
            _publish(staged, destination, aside, overwrite, is_ours)


@contextmanager
def stage_replacements(
    store: Path, *, warn: Callable[[str], None]
) -> Iterator[Callable[[str, bytes], None]]:
    """Yield `put(key, data)`, which replaces or adds one file of a published store.

    The file is staged beside the store, made durable and renamed over the old one in one step,
    which leaves other names of the old one (hard links from other stores) as they are. A store
    that is replaced meanwhile is not touched: files go where the store was at the beginning,
    if the system can name files relative to an open folder. Raises as `stage_folder` does.
    """
    with (
        _staged(store, True, lambda path: True, warn) as (staging, _),
        os_errors_told(store, staging),
    ):
        if not DIR_FD:
            yield functools.partial(_put_by_path, store, staging)
            return
        root = os.open(store, FOLDER_FLAGS)
        try:
            yield functools.partial(_put, root, staging)
        finally:
            os.close(root)


def _put(root: int, staging: Path, key: str, data: bytes) -> None:
    staged = _staged_file(staging, data)
    name, _, inner = key.rpartition("/")
    if name:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=root)
            os.fsync(root)
    folder = os.open(name or ".", FOLDER_FLAGS, dir_fd=root)
    try:
        os.replace(staged, inner, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)


def _put_by_path(store: Path, staging: Path, key: str, data: bytes) -> None:
    staged = _staged_file(staging, data)
    target = store / key
    with suppress(FileExistsError):
        target.parent.mkdir()
        sync_folder(os.fspath(store))
    if target.parent.is_symlink():  # as FOLDER_FLAGS, though it could change in between
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(target.parent)
        )
    os.replace(staged, target)
    sync_folder(os.fspath(target.parent))


def _staged_file(staging: Path, data: bytes) -> Path:
    staged = staging / "file"
    with open(staged, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return staged


def sync_tree(folder: Path) -> None:
    """Make a folder durable: fsync every file in it, then every folder, bottom-up.

    Raises OSError with its `filename`.
    """
    folders: list[str] = []
    for here, _, names in os.walk(folder, topdown=False, onerror=_reraise):
        for name in names:
            sync_file(os.path.join(here, name))
        folders.append(here)
    for here in folders:
        sync_folder(here)


def _reraise(error: OSError) -> None:
    raise error


@contextmanager
def _staged(
    destination: Path,
    overwrite: bool,
    is_ours: Callable[[Path], bool],
    warn: Callable[[str], None],
) -> Iterator[tuple[Path, Path]]:
    """A locked staging folder, and the name the old one may step aside to."""
    with os_errors_told(destination):
        _clear_litter(destination, warn)
        check_existing(destination, overwrite, is_ours)
    claim = _Claim(destination)
    try:
        # Within the block, so that Ctrl-C at any moment removes what was made.
        with os_errors_told(destination):
            claim.make()
        yield claim.staging, _sibling(destination, claim.token, "old-")
    finally:
        # What bears the staging name now is to go: an unfinished result, or the one replaced.
        try:
            remove_in_spite_of_signals(claim.staging)
        except OSError as error:
            warn(f"{destination}: {claim.staging.name} could not be removed: {error.strerror}")
        finally:
            if claim.lock is not None:
                os.close(claim.lock)


def _publish(
    new: Path, destination: Path, aside: Path, overwrite: bool, is_ours: Callable[[Path], bool]
) -> None:
    if overwrite and exists(destination):
        check_existing(destination, overwrite, is_ours)
        if os.path.isfile(new) and os.path.isfile(destination):
            os.replace(new, destination)
        elif not _renameat2(new, destination, _RENAME_EXCHANGE):
            _exchange_in_steps(new, destination, aside)
    else:
        _rename_new(new, destination)
    sync_folder(os.fspath(destination.parent))


def _exchange_in_steps(new: Path, destination: Path, aside: Path) -> None:
    try:
        os.rename(destination, aside)
        _rename_new(new, destination)
    except BaseException:
        # Where there is an aside and this fails too, the next run puts it back.
        with suppress(OSError):
            _rename_new(aside, destination)
        raise
    with suppress(FileNotFoundError):  # another run has already cleared it
        os.rename(aside, new)


def _rename_new(new: Path, destination: Path) -> None:
    """Rename, refusing to replace; raises FileExistsError (ENOTEMPTY from the last resort)."""
    if _renameat2(new, destination, _RENAME_NOREPLACE):
        return
    if os.path.isfile(new):
        try:
            os.link(new, destination)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            with suppress(OSError):  # published; a second name left behind is litter
                os.unlink(new)
            return
    # A plain rename refuses a full folder by itself, but not an empty one or a file.
    if exists(destination):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(destination))
    os.rename(new, destination)


def _renameat2(old: Path, new: Path, flags: int) -> bool:
    """Linux renameat2(2): False where the kernel, libc or filesystem lacks it or the flag."""
    if _libc_renameat2 is None:
        return False
    if _libc_renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), os.fspath(old), None, os.fspath(new))


def _sibling(destination: Path, token: str, mark: str = "") -> Path:
    """``.NAME.ptystore-[old-]<host>-<token>``, NAME and host cut short to fit in 255 bytes."""
    host = socket.gethostname()
    label = re.sub(r"[^A-Za-z0-9.-]", "_", host)[:40]
    if label != host or label.startswith("old-"):  # keep it one host's, and no aside's
        label = f"{hashlib.sha256(os.fsencode(host)).hexdigest()[:8]}-{label}"
    tail = f".ptystore-{mark}{label}-{token}"
    name = os.fsencode(destination.name)
    room = _NAME_BYTES - len(f"..ptystore-old-{label}-") - _TOKEN_LENGTH
    if len(name) <= room:
        return destination.with_name(f".{destination.name}{tail}")
    digest = hashlib.sha256(name).hexdigest()[:8]
    return destination.with_name(f".{name[: room - 9].decode(errors='ignore')}~{digest}{tail}")


class _Claim:
    """A staging folder of this run: its name, chosen at once, and the lock once it is made."""

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        self.lock: int | None = None
        self._choose()

    def _choose(self) -> None:
        self.token = secrets.token_hex(_TOKEN_LENGTH // 2)
        self.staging = _sibling(self._destination, self.token)

    def make(self) -> None:
        """Make the folder and lock it; where there are no locks it is just made."""
        while True:
            os.mkdir(self.staging)
            try:
                self.lock = _lock(self.staging)
            except (BlockingIOError, FileNotFoundError):
                # Between mkdir and lock another run took it for litter and removes it: go again.
                self._choose()
                continue
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    with suppress(OSError):
                        os.rmdir(self.staging)
                    raise
            return


def _lock(path: Path) -> int:
    """A descriptor of `path`, exclusively locked while open.

    Raises BlockingIOError when somebody else holds it, FileNotFoundError when `path` is gone or
    names something else by the time it is locked, OSError where there are no locks.
    """
    descriptor = open_locked(path)
    try:
        if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _clear_litter(destination: Path, warn: Callable[[str], None]) -> None:
    """Remove what dead runs to this destination left on this host; undo a half-done swap."""
    pattern = re.compile(
        "|".join(
            re.escape(_sibling(destination, "", mark).name) + rf"([0-9a-f]{{{_TOKEN_LENGTH}}})"
            for mark in ("", "old-")
        )
    )
    found = filter(None, map(pattern.fullmatch, os.listdir(destination.parent)))
    for token in sorted({match[1] or match[2] for match in found}):
        staging = _sibling(destination, token)
        lock = None
        try:
            with suppress(FileNotFoundError):
                lock = _lock(staging)
            _clear_one(destination, staging, _sibling(destination, token, "old-"), warn)
        except BlockingIOError:
            continue  # alive
        except OSError as error:
            warn(f"{destination}: left {staging.name} as it is: {error.strerror}")
        finally:
            if lock is not None:
                os.close(lock)


def _clear_one(destination: Path, staging: Path, aside: Path, warn: Callable[[str], None]) -> None:
    if exists(aside) and not exists(destination):
        _rename_new(aside, destination)
        warn(f"{destination}: put back, after a run that was cut short while replacing it")
    if exists(staging):
        remove(staging)
        warn(f"{destination}: removed {staging.name}, left by a run that was cut short")
    if exists(aside):  # the swap was done but for deleting the old one
        with suppress(FileNotFoundError):  # its own run is still at it
            os.rename(aside, staging)
        remove(staging)
