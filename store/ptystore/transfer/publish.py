"""Publish a store or a file all at once: the destination is absent, the old one, or complete.

The result is staged in a sibling folder ``.NAME.ptystore-<host>-<random>``, held by an `flock`
on that folder's own descriptor, made durable (files, folders bottom-up), renamed onto the
destination without replacing anything that was not asked to be replaced, and the parent folder
is made durable last. Overwriting exchanges the two names in one step where the kernel can.
Where it can't, the old one steps aside as ``.NAME.ptystore-old-<host>-<random>`` for a moment;
a run killed in that moment published nothing, so the next one puts the old one back. A thing
under an aside's name is always complete: before it is deleted it takes the staging name.

Locks only tell litter from work in progress. Correctness rests on renames that refuse to
replace, so a filesystem without locks loses nothing but the clearing of litter.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import hashlib
import os
import re
import secrets
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ptystore.transfer.destination import (
    check_destination,
    check_existing,
    explained,
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
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_NO_LOCKS = _UNSUPPORTED | {errno.EBADF, errno.ENOLCK}
_NO_LINKS = _UNSUPPORTED | {errno.EPERM, errno.EMLINK}
# Never follows a link out of the store.
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


@contextmanager
def stage_folder(
    destination: Path,
    *,
    overwrite: bool,
    is_ours: Callable[[Path], bool],
    warn: Callable[[str], None],
    run: Callable[[Iterable[Callable[[], None]]], None] | None = None,
) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `destination` when the block ends well.

    Its subfolder `SCRATCH_NAME`, if there is one, is deleted first. Any exception, Ctrl-C
    included, removes the staging. `warn` is told of litter removed or left; `run` as for
    `sync_tree`.

    Raises
    ------
    DestinationExistsError : `destination` exists, or came to exist meanwhile (another writer).
    DestinationError : it can't be written or is not ours to overwrite.
    StorageError : the operating system failed; `member` names the file. Errors of the block
        itself pass through as they are.
    """
    with _staged(destination, overwrite, is_ours, warn) as (staging, aside):
        yield staging
        with explained(destination, staging):
            remove(staging / SCRATCH_NAME)
            sync_tree(staging, run=run)
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
        with explained(destination, staging):
            _sync(os.fspath(staged))
            _publish(staged, destination, aside, overwrite, is_ours)


@contextmanager
def stage_replacements(
    store: Path, *, warn: Callable[[str], None]
) -> Iterator[Callable[[str, bytes], None]]:
    """Yield `put(key, data)`, which replaces or adds one file of a published store.

    The file is staged beside the store, made durable and renamed over the old one in one step,
    which leaves other names of the old one (hard links from other stores) as they are. A store
    that is replaced meanwhile is not touched: files go where the store was at the beginning.
    Raises as `stage_folder` does.
    """
    with _staged(store, True, lambda path: True, warn) as (staging, _), explained(store, staging):
        root = os.open(store, _FOLDER)
        try:
            yield functools.partial(_put, root, staging)
        finally:
            os.close(root)


def _put(root: int, staging: Path, key: str, data: bytes) -> None:
    staged = staging / "file"
    with open(staged, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    name, _, inner = key.rpartition("/")
    if name:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=root)
            os.fsync(root)
    folder = os.open(name or ".", _FOLDER, dir_fd=root)
    try:
        os.replace(staged, inner, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)


def sync_tree(
    folder: Path, *, run: Callable[[Iterable[Callable[[], None]]], None] | None = None
) -> None:
    """Make a folder durable: fsync every file in it, then every folder, bottom-up.

    `run` is given one callable a file and must call each and raise what they raise (a thread
    pool may serve); by default they are called in turn. Raises OSError with its `filename`.
    """
    files: list[str] = []
    folders: list[str] = []
    for here, _, names in os.walk(folder, topdown=False, onerror=_reraise):
        files += [os.path.join(here, name) for name in names]
        folders.append(here)
    tasks = (functools.partial(_sync, file) for file in files)
    if run is not None:
        run(tasks)
    else:
        for task in tasks:
            task()
    for here in folders:
        _sync(here)


def _reraise(error: OSError) -> None:
    raise error


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network filesystems have no fsync for folders, and nothing in its place.
        if error.errno not in _UNSUPPORTED or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            error.filename = path
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _staged(
    destination: Path,
    overwrite: bool,
    is_ours: Callable[[Path], bool],
    warn: Callable[[str], None],
) -> Iterator[tuple[Path, Path]]:
    """A locked staging folder, and the name the old one may step aside to."""
    with explained(destination):
        _clear_litter(destination, warn)
        check_existing(destination, overwrite, is_ours)
    claim = _Claim(destination)
    try:
        # Within the block, so that Ctrl-C at any moment removes what was made.
        with explained(destination):
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
    _sync(os.fspath(destination.parent))


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
    if code in _UNSUPPORTED:
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
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
