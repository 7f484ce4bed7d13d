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
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ptystore.errors import DestinationError
from ptystore.storage.permissions import Permissions
from ptystore.storage.system import (
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
    "Staging",
    "check_destination",
    "clear_litter",
    "left_behind",
    "stage_file",
    "stage_folder",
    "staged",
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
    with staged(destination, overwrite, is_ours, warn) as staging:
        yield staging.folder
        with os_errors_told(destination, staging.folder):
            remove(staging.folder / SCRATCH_NAME)
            staging.give_permissions(staging.folder)
            sync_tree(staging.folder)
            _publish(staging.folder, destination, staging.aside, overwrite, is_ours)


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
    with staged(destination, overwrite, is_ours, warn) as staging:
        file = staging.folder / destination.name
        yield file
        with os_errors_told(destination, staging.folder):
            staging.give_permissions(file)
            sync_file(os.fspath(file))
            _publish(file, destination, staging.aside, overwrite, is_ours)


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
def staged(
    destination: Path,
    overwrite: bool,
    is_ours: Callable[[Path], bool],
    warn: Callable[[str], None],
) -> Iterator[Staging]:
    """A locked staging folder for what is to be at `destination`, cleared away at the end."""
    with os_errors_told(destination):
        clear_litter(destination, warn)
        check_existing(destination, overwrite, is_ours)
        permissions = Permissions.of(destination) if overwrite else None
    claim = Staging(destination, permissions)
    try:
        # Within the block, so that Ctrl-C at any moment removes what was made.
        with os_errors_told(destination):
            claim.make()
        yield claim
    finally:
        # What bears the staging name now is to go: an unfinished result, or the one replaced.
        try:
            if _is_read(claim.folder, claim.lock):
                warn(
                    f"{destination}: the old one is still read: it is kept as "
                    f"{claim.folder.name} until the next run"
                )
            else:
                remove_in_spite_of_signals(claim.folder)
        except OSError as error:
            warn(f"{destination}: {claim.folder.name} could not be removed: {error.strerror}")
        finally:
            if claim.lock is not None:
                os.close(claim.lock)


def _is_read(staging: Path, lock: int | None) -> bool:
    """Whether the replaced store, which has the staging name by now, is open somewhere."""
    try:
        if lock is not None and os.path.samestat(os.fstat(lock), os.lstat(staging)):
            return False  # this run's own unfinished result
        os.close(open_locked(staging))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


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
        _step_aside(destination, aside)
        _rename_new(new, destination)
    except BaseException:
        # Where there is an aside and this fails too, the next run puts it back.
        with suppress(OSError):
            _rename_new(aside, destination)
        raise
    with suppress(FileNotFoundError):  # another run has already cleared it
        os.rename(aside, new)


def _step_aside(destination: Path, aside: Path) -> None:
    try:
        os.rename(destination, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise DestinationError(
            "can't be replaced, for it lies on another layer of an overlay filesystem",
            file=destination,
            advice="remove it first, then write it again",
        ) from error


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
    # An overlay filesystem exchanges no folders that are of a lower layer, and says EXDEV.
    if code in UNSUPPORTED or (code == errno.EXDEV and flags == _RENAME_EXCHANGE):
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


class Staging:
    """A staging folder of this run: its name, chosen at once, and the lock once it is made.

    `folder` is its path, `aside` the name that the old one may step aside to, `permissions`
    those of the old one, None where there is none.
    """

    def __init__(self, destination: Path, permissions: Permissions | None) -> None:
        self._destination = destination
        self.permissions = permissions
        self.lock: int | None = None
        self._choose()

    def _choose(self) -> None:
        token = secrets.token_hex(_TOKEN_LENGTH // 2)
        self.folder = _sibling(self._destination, token)
        self.aside = _sibling(self._destination, token, "old-")

    def make(self) -> None:
        """Make the folder and lock it; where there are no locks it is just made."""
        while True:
            # What replaces something is nobody else's to read before it has the old one's mode.
            os.mkdir(self.folder, 0o777 if self.permissions is None else 0o700)
            try:
                self.lock = _lock(self.folder)
            except (BlockingIOError, FileNotFoundError):
                # Between mkdir and lock another run took it for litter and removes it: go again.
                self._choose()
                continue
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    with suppress(OSError):
                        os.rmdir(self.folder)
                    raise
            return

    def give_permissions(self, path: Path) -> None:
        """Give a file or folder those that the old one has, if there is one. Raises OSError."""
        permissions = self.permissions
        if permissions is not None:
            (Permissions.of(self._destination) or permissions).give(path)


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


def clear_litter(destination: Path, warn: Callable[[str], None]) -> None:
    """Remove what dead runs to this destination left on this host; undo a half-done swap.

    Raises OSError where the folder can't be listed.
    """
    for token in _tokens(destination):
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


def left_behind(destination: Path) -> list[str]:
    """The names that `clear_litter` would clear, where that can be told; nothing is changed."""
    found = []
    with suppress(OSError):
        for token in _tokens(destination):
            staging = _sibling(destination, token)
            with suppress(OSError):  # alive, or gone, or no telling
                os.close(_lock(staging))
                found.append(staging.name)
    return found


def _tokens(destination: Path) -> list[str]:
    """The tokens of all runs to a destination on this host that left something, or are at it."""
    pattern = re.compile(
        "|".join(
            re.escape(_sibling(destination, "", mark).name) + rf"([0-9a-f]{{{_TOKEN_LENGTH}}})"
            for mark in ("", "old-")
        )
    )
    found = filter(None, map(pattern.fullmatch, os.listdir(destination.parent)))
    return sorted({match[1] or match[2] for match in found})


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
