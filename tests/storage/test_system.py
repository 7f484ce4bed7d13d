"""What other systems lack: each thing alone, and all of ptystore without any of them."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ptystore.storage import system
from ptystore.transfer.writeback import start_writeback
from publications import fail
from scans import spawned

# As macOS: no call of the C library that is Linux's own.
MACOS = """
import ctypes, os

class Library:
    def __init__(self, *args, **options):
        self.library = real(*args, **options)
    def __getattr__(self, name):
        if name in ("renameat2", "sync_file_range", "mallopt"):
            raise AttributeError(name)
        return getattr(self.library, name)

real, ctypes.CDLL = ctypes.CDLL, Library
for name in ("sched_getaffinity", "preadv"):
    delattr(os, name)
os.process_cpu_count = os.cpu_count  # what Python 3.13 has where there is no affinity
"""

# Less than Windows has. What other packages can't be imported without goes after them.
BARE = """
import asyncio, ctypes, importlib, os, shutil, signal, subprocess, sys, tempfile

def nameless(name, *args, **options):
    if name is None:
        raise TypeError("a library has to be named")
    return real(name, *args, **options)

real, ctypes.CDLL = ctypes.CDLL, nameless
usage = shutil.disk_usage(".")
for name in ("CLOEXEC", "NONBLOCK", "NOFOLLOW", "DIRECTORY"):
    delattr(os, "O_" + name)
for name in ("sched_getaffinity", "preadv", "pread", "statvfs", "ST_RDONLY"):
    delattr(os, name)
os.process_cpu_count = os.cpu_count  # what Python 3.13 has where there is no affinity
os.supports_dir_fd.clear()
importlib.reload(shutil)  # which looks at its import whether folders can be held open
shutil.disk_usage = lambda path: usage  # Windows has its own
del signal.SIGHUP
sys.modules["fcntl"] = None
"""

WORK = """
import os, sys
from pathlib import Path
import numpy as np
import ptystore, scans
from ptystore.formats.npz import spool
from ptystore.study.hub import Hub

folder = Path(sys.argv[1])
arrays = {**scans.scan(frames=300), "labels": np.array(["a", "bé", ""])}
first, second = (
    ptystore.dataset_of({**arrays, "scan_index": np.full(300, n)}, scans.document())
    for n in (1, 2)
)
for suffix in scans.SUFFIXES:
    path = folder / f"scan{suffix}"
    ptystore.write(first, path)
    try:
        ptystore.write(second, path)
    except ptystore.DestinationExistsError:
        pass
    else:
        raise AssertionError("replaced unasked")
    ptystore.write(second, path, overwrite=True)
    read = ptystore.open(path)
    for name, field in second.fields.items():
        scans.assert_same(read[name].values(), field.values())
    assert ptystore.verify(path).ok

# Frames that are scattered over the file are brought together in a scratch file.
spool.IN_MEMORY = 0
stack = scans.values("u2", (40, 41, 90))
np.savez(folder / "stack.npz", diffraction=stack, xcoords=np.arange(90.0))
ptystore.write(ptystore.open(folder / "stack.npz"), folder / "stack.h5")
scans.assert_same(ptystore.open(folder / "stack.h5")["diffraction"].values(), stack)

store = folder / "scan.zarr"
(store / "diff3d/c.0.0.0").unlink()
(store / "xcoords/c.0").unlink()
(store / "xcoords/zarr.json").unlink()
(store / "xcoords").rmdir()
assert not ptystore.verify(store).ok
assert ptystore.repair(store, folder / "scan.npz").ok
assert ptystore.verify(store).ok

hub = Hub(folder / "hub")
for again in (False, True):
    with hub.opened(folder / "scan.npz"):
        assert hub.adopt({"doses": [1000]}, {}, overwrite=False) is again
        assert hub.read_json("plan/plan.json")["plan"] == {"doses": [1000]}
assert not [name for name in os.listdir(folder) if name.startswith(".")], os.listdir(folder)
"""

COMMAND = """
import sys
from ptystore_cli.app import main
sys.argv[0] = "ptystore"
main()
"""


@pytest.mark.parametrize("without", [MACOS, BARE], ids=["macOS", "bare"])
def test_scans_and_studies(tmp_path: Path, without: str) -> None:
    spawned(without + WORK, tmp_path)
    names = {"scan.npz", "scan.zarr", "scan.h5", "stack.npz", "stack.h5", "hub"}
    assert set(os.listdir(tmp_path)) == names


@pytest.mark.parametrize("without", [MACOS, BARE], ids=["macOS", "bare"])
def test_the_command(tmp_path: Path, without: str) -> None:
    raw, store = tmp_path / "raw.npz", tmp_path / "scan.zarr"
    np.savez(raw, diff3d=np.ones((5, 8, 8), np.uint16), xcoords=np.arange(5.0))
    spawned(without + COMMAND, "ingest", raw, store)
    assert "diff3d" in spawned(without + COMMAND, "info", store)


@pytest.mark.parametrize("missing", [(), ("preadv",), ("preadv", "pread")])
def test_reading_at_a_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(system, "_MOST_AT_ONCE", 1000)
    data = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.uint8).tobytes()
    (tmp_path / "file").write_bytes(data)
    descriptor = os.open(tmp_path / "file", system.READ_NOFOLLOW_FLAGS)

    def read(offset: int) -> bool:
        buffer = bytearray(3500)
        got = system.read_at(descriptor, memoryview(buffer), offset)
        wanted = data[offset : offset + 3500]
        return buffer[:got] == wanted and system.pread(descriptor, 3500, offset) == wanted

    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, [*range(0, 100_000, 97), 100_000, 200_000]))
    finally:
        os.close(descriptor)


def test_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = system.open_locked(tmp_path)
    with pytest.raises(BlockingIOError):
        system.open_locked(tmp_path)
    os.close(held)
    os.close(system.open_locked(tmp_path))
    monkeypatch.setattr(system, "fcntl", None)
    with pytest.raises(OSError, match="not supported") as caught:
        system.open_locked(tmp_path)
    assert caught.value.errno in system.UNSUPPORTED


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").symlink_to(tmp_path)
    with pytest.raises(OSError, match="symbolic"):
        os.open(tmp_path / "link", system.READ_NOFOLLOW_FLAGS)
    with pytest.raises(NotADirectoryError):
        system.open_folder(tmp_path / "folder")


@pytest.mark.parametrize("sync", [system.sync_file, system.sync_folder])
@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL])
def test_syncing_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Callable[[str], None], code: int
) -> None:
    path = tmp_path / "file"
    path.touch()
    sync(str(path))
    monkeypatch.setattr(os, "fsync", lambda descriptor: fail(code)())
    before = os.listdir("/proc/self/fd")
    if sync is system.sync_folder and code == errno.EINVAL:
        sync(str(path))  # a filesystem that has it for files only
    else:
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            sync(str(path))
        assert caught.value.filename == str(path)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_folders_that_do_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = system.open_folder(tmp_path)
    assert folder is not None
    os.close(folder)
    monkeypatch.setattr(system, "_FOLDERS_OPEN", False)
    monkeypatch.setattr(os, "open", lambda *args: fail(errno.EACCES)())
    assert system.open_folder(tmp_path) is None
    system.sync_folder(str(tmp_path))


def test_functions_of_the_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.libc_function("getpid")() == os.getpid()
    assert system.libc_function("no_such_function") is None
    for error in (TypeError, OSError):

        def nameless(name: str | None, error: type[Exception] = error, **options: bool) -> None:
            raise error

        monkeypatch.setattr(ctypes, "CDLL", nameless)
        assert system.libc_function("getpid") is None


def test_writeback_without_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    start_writeback(-1)  # a hint only: no error
    monkeypatch.setattr("ptystore.transfer.writeback._sync_file_range", None)
    start_writeback(-1)


@pytest.mark.parametrize("name", ["statvfs", "ST_RDONLY"])
def test_a_filesystem_that_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delattr(os, name)
    assert not system.on_read_only_filesystem(tmp_path)
