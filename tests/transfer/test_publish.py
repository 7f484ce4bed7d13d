"""Publishing: whatever happens, the destination is absent, the old one, or complete."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptystore.errors import DestinationError, DestinationExistsError, StorageError
from ptystore.transfer import publish, removal
from publications import (
    FOLDERS,
    INNER,
    KERNELS,
    OLD,
    OVERWRITE,
    fail,
    litter,
    put,
    state,
    without_renameat2,
)


@FOLDERS
@OVERWRITE
@KERNELS
def test_published_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, overwrite: bool, kernel: bool
) -> None:
    if not kernel:
        without_renameat2(monkeypatch)
    destination = tmp_path / "scan"
    if overwrite:
        put(destination, folder, data=OLD)
        assert put(destination, folder, overwrite=True, then=lambda: check_old(destination)) == []
    else:
        assert put(destination, folder, overwrite=True) == []  # nothing there to overwrite
        with pytest.raises(DestinationExistsError):
            put(destination, folder)
    assert (state(destination), litter(destination)) == ("new", [])


def check_old(destination: Path) -> None:
    assert state(destination) == "old"


@KERNELS
def test_a_file_replaces_a_folder_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:
    if not kernel:
        without_renameat2(monkeypatch)
    destination = tmp_path / "scan"
    for folder in (True, False, True):
        put(destination, folder, overwrite=True)
        assert (state(destination), litter(destination)) == ("new", [])
        assert destination.is_dir() == folder


def test_live_and_foreign_staging_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "scan"
    others = [
        ".scan.ptystore-elsewhere-0123456789abcdef",  # another host's
        ".scan2.ptystore-vm-0123456789abcdef",  # another destination's
        ".scan.ptystore-vm-0123",  # none of ours
    ]
    monkeypatch.setattr(socket, "gethostname", lambda: "vm")
    for name in others:
        (tmp_path / name).mkdir()

    def second() -> None:
        assert put(destination, data=OLD) == []

    with pytest.raises(DestinationExistsError, match="another writer"):
        put(destination, then=second)
    assert state(destination) == "old"
    assert litter(destination) == sorted(others)


@pytest.mark.parametrize("moment", ["held", "removed", "removed once opened"])
def test_a_staging_folder_taken_for_litter_before_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    destination = tmp_path / "scan"
    made: list[str] = []
    mkdir, flock = os.mkdir, fcntl.flock

    def clear() -> None:
        publish.clear_litter(destination, lambda text: None)

    def raced_mkdir(path: str, *mode: int) -> None:
        mkdir(path, *mode)
        if ".ptystore-" in os.path.basename(path):
            made.append(os.path.basename(path))
            if made[1:] or moment == "removed once opened":
                return
            if moment == "held":
                flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
            else:
                clear()

    def raced_flock(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        clear()
        flock(descriptor, how)

    monkeypatch.setattr(os, "mkdir", raced_mkdir)
    if moment == "removed once opened":
        monkeypatch.setattr(fcntl, "flock", raced_flock)
    put(destination, folder=False)  # unlike a folder's, its writing makes no missing parents
    assert state(destination) == "new"
    assert len(made) == 2
    assert litter(destination) == (made[:1] if moment == "held" else [])


def test_nothing_is_left_when_the_staging_folder_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", lambda path, flags: fail(errno.EMFILE)())
        with pytest.raises(StorageError):
            put(tmp_path / "scan")
    assert os.listdir(tmp_path) == []


def test_two_processes_removing_the_same_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "scan"
    put(destination, data=OLD)
    unlink = os.unlink

    def beaten(path: str, **options: int) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        unlink(path, **options)
        unlink(path, **options)

    def arm() -> None:
        monkeypatch.setattr(os, "unlink", beaten)

    assert put(destination, overwrite=True, then=arm) == []
    assert (state(destination), litter(destination)) == ("new", [])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, OSError])
@FOLDERS
def test_an_exception_in_the_block_passes_and_removes_the_staging(
    tmp_path: Path, folder: bool, error: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise error("stop")

    with pytest.raises(error, match="stop"):
        put(tmp_path / "scan", folder, then=interrupt)
    assert os.listdir(tmp_path) == []


@FOLDERS
@OVERWRITE
def test_files_then_folders_then_rename_then_parent(
    tmp_path: Path, folder: bool, overwrite: bool
) -> None:
    destination = tmp_path / "scan"
    if overwrite:
        put(destination, folder, data=OLD)
    trace: list[str] = []
    paths: dict[int, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        opened, fsync, replace = os.open, os.fsync, os.replace
        rename, remove = publish._renameat2, removal.remove

        def note_open(path: str, *args: int, **options: int) -> int:
            descriptor = opened(path, *args, **options)
            paths[descriptor] = os.fspath(path)
            return descriptor

        def note_fsync(descriptor: int) -> None:
            trace.append(os.path.relpath(paths[descriptor], tmp_path))
            fsync(descriptor)

        def note_rename(old: Path, new: Path, flags: int) -> bool:
            trace.append("rename")
            return rename(old, new, flags)

        def note_replace(old: Path, new: Path) -> None:
            trace.append("rename")
            replace(old, new)

        def note_remove(path: Path) -> None:
            trace.append("remove")
            remove(path)

        patch.setattr(os, "open", note_open)
        patch.setattr(os, "fsync", note_fsync)
        patch.setattr(os, "replace", note_replace)
        patch.setattr(publish, "_renameat2", note_rename)
        patch.setattr(publish, "remove", note_remove)
        patch.setattr(removal, "remove", note_remove)
        put(destination, folder, overwrite=overwrite)
    # Without the staging folder's own name: scratch goes first, the old one goes last.
    steps = [step.partition("/")[2] if step.startswith(".scan") else step for step in trace]
    if not folder:
        assert steps == ["scan", "rename", ".", "remove"]
        return
    assert steps[0] == "remove"
    assert sorted(steps[1:4]) == sorted(INNER)
    assert steps[4:] == ["diffraction/c", "diffraction", "", "rename", ".", "remove"]


def test_a_failing_disk_is_named_by_file(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: fail(errno.ENOSPC)())
        with pytest.raises(StorageError, match="disk full") as caught:
            put(tmp_path / "scan")
    assert caught.value.file == str(tmp_path / "scan")
    assert caught.value.member in INNER
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_no_staging_folder_can_be_made(tmp_path: Path, code: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "mkdir", lambda path, mode=0: fail(code)())
        with pytest.raises(StorageError if code == errno.ENOSPC else DestinationError):
            put(tmp_path / "scan")


def test_what_is_not_ours_is_not_overwritten_even_when_it_comes_late(tmp_path: Path) -> None:
    destination = tmp_path / "scan"
    with (
        pytest.raises(DestinationError, match="not written by ptystore"),
        publish.stage_folder(destination, overwrite=True, is_ours=lambda path: False, warn=print),
    ):
        destination.mkdir()
    assert os.listdir(tmp_path) == ["scan"]


@FOLDERS
def test_no_rename_primitive_at_all_still_refuses_to_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    without_renameat2(monkeypatch)
    monkeypatch.setattr(os, "link", lambda old, new: fail(errno.EPERM)())
    destination = tmp_path / "scan"
    make = destination.mkdir if folder else destination.touch  # os.rename would replace these
    with pytest.raises(DestinationExistsError):
        put(destination, folder, then=make)
    assert os.listdir(tmp_path) == ["scan"]
    destination.rmdir() if folder else destination.unlink()
    put(destination, folder)
    assert state(destination) == "new"


@FOLDERS
@pytest.mark.parametrize("host", ["vm", "h" * 64, "old-vm", "käfig/0"])
@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "a b", "scan.ptystore-old-vm-00"])
def test_long_and_odd_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, name: str, host: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    without_renameat2(monkeypatch)
    destination = tmp_path / name
    put(destination, folder, data=OLD)
    publish._sibling(destination, "0" * 16).mkdir()
    (said,) = put(destination, folder, overwrite=True)
    assert "cut short" in said
    assert (state(destination), litter(destination)) == ("new", [])


def test_hosts_and_asides_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for host in ("vm", "old-vm", "v_m", "v/m", "h" * 41, "h" * 42):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        for name in ("scan", "n" * 254, "n" * 255):
            for mark in ("", "old-"):
                names.add(publish._sibling(tmp_path / name, "0" * 16, mark).name)
    assert len(names) == 36
    assert max(map(len, names)) <= 255


@FOLDERS
def test_filesystems_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, how: fail(errno.ENOLCK)())
    stale = tmp_path / f".scan.ptystore-{socket.gethostname()}-0123456789abcdef"
    stale.mkdir()
    (said,) = put(tmp_path / "scan", folder)  # alive or dead, it can't tell: left, and said
    assert stale.name in said
    assert litter(tmp_path / "scan") == [stale.name]


def test_through_a_linked_folder_and_with_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    put(tmp_path / "link" / "scan")
    assert state(tmp_path / "real" / "scan") == "new"
    assert (tmp_path / "real" / "scan").stat().st_mode == (tmp_path / "real").stat().st_mode


def exchange_refused(code: int) -> Callable[..., int]:
    """renameat2 of a filesystem that has no exchange, and says so in its own way."""

    def renameat2(old_fd: int, old: bytes, new_fd: int, new: bytes, flags: int) -> int:
        if flags == 1 and not os.path.lexists(new):
            os.rename(old, new)
            return 0
        ctypes.set_errno(code if flags == 2 else errno.EEXIST)
        return -1

    return renameat2


@FOLDERS
@pytest.mark.parametrize("code", [errno.EXDEV, errno.EINVAL, errno.ENOSYS])
def test_filesystems_without_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, code: int
) -> None:
    monkeypatch.setattr(publish, "_libc_renameat2", exchange_refused(code))
    destination = tmp_path / "scan"
    put(destination, folder, data=OLD)
    assert put(destination, not folder, overwrite=True) == []
    put(destination, folder, overwrite=True)
    assert (state(destination), litter(destination)) == ("new", [])


def test_a_folder_that_an_overlay_can_not_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_libc_renameat2", exchange_refused(errno.EXDEV))
    destination = tmp_path / "scan"
    put(destination, data=OLD)
    rename = os.rename

    def refused(old: Path, new: Path) -> None:
        if old == destination:
            fail(errno.EXDEV)()
        rename(old, new)

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(DestinationError, match="overlay filesystem") as caught:
        put(destination, overwrite=True)
    assert caught.value.exit_code == 4
    assert "remove it first" in str(caught.value.advice)
    assert (state(destination), litter(destination)) == ("old", [])


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A real overlay filesystem with `file` and `folder` in its lower layer, or a skip."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    for name in ("file", "folder"):
        put(tmp_path / "lower" / name, name == "folder", data=OLD)
    layers = ",".join(f"{one}dir={tmp_path / one}" for one in ("lower", "upper", "work"))
    merged = tmp_path / "merged"
    mount = ["mount", "-t", "overlay", "-o", layers, "overlay", str(merged)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no overlay filesystem can be mounted here: the tests before stand in for it")
    yield merged
    subprocess.run(["umount", "-l", str(merged)], check=True)


@FOLDERS
@pytest.mark.parametrize("name", ["file", "folder", "own"])
def test_on_an_overlay_filesystem(overlay: Path, name: str, folder: bool) -> None:
    if name == "own":
        put(overlay / name, folder, data=OLD)
    before = state(overlay / name)
    try:
        put(overlay / name, folder, overwrite=True)
    except DestinationError:
        assert name == "folder"  # unless the kernel can redirect folders
        assert state(overlay / name) == before == "old"
    else:
        assert state(overlay / name) == "new"
    assert sorted(os.listdir(overlay)) == sorted({"file", "folder", name})
