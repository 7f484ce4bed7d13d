"""What file managers and killed runs leave in and beside a store: no damage, and it goes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

import ptystore
import scans
from faults.calls import FaultAt, watched
from faults.outcomes import SUFFIXES, command, in_child, litter, wait

LITTER = [
    *(".DS_Store", "._.DS_Store", "._zarr.json", "Thumbs.db", "desktop.ini"),
    *("diff3d/.DS_Store", "diff3d/._c.0.0.0", "xcoords/.nfs00000000012a3b4c00000001"),
    "notes/.DS_Store",
]
UNKNOWN = [
    *("DS_Store", ".DS_Store.txt", "._", ".nfs", ".nfsplan", "thumbs.txt", ".hidden"),
    *("diff3d/c.7.0.0", "diff3d/zarr.json~", "Thumbs.db/x", "desktop.ini.bak"),
]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "scan.zarr"
    ptystore.write(ptystore.dataset_of(scans.scan(frames=6), scans.document()), path)
    ptystore.write(ptystore.open(path), tmp_path / "source.npz")
    return path


def put(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"mine")


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", LITTER)
def test_known_litter_is_a_remark(store: Path, name: str, fast: bool) -> None:
    put(store / name)
    report = ptystore.verify(store, fast=fast)
    assert report.ok
    assert report.remarks == (f"no part of the scan, and no harm: {name}",)
    assert report.to_dict()["remarks"] == list(report.remarks)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", UNKNOWN)
def test_anything_else_is_damage_and_named(store: Path, name: str, fast: bool) -> None:
    put(store / name)
    report = ptystore.verify(store, fast=fast)
    assert report.damage == (f"{name}: is not in the manifest",)
    assert report.remarks == ()


@pytest.mark.parametrize("name", ["._link", ".DS_Store"])
def test_a_link_or_a_pipe_is_no_litter(store: Path, name: str) -> None:
    (store / name).symlink_to(store / "zarr.json")
    assert ptystore.verify(store).damage == (f"{name}: is a link",)
    (store / name).unlink()
    os.mkfifo(store / name)
    assert ptystore.verify(store).damage == (f"{name}: is not a regular file",)


def test_repair_and_every_reader_pass_it_over(store: Path, capfd: pytest.CaptureFixture) -> None:
    for name in LITTER:
        put(store / name)
    whole = ptystore.digest(store)[1]
    damaged = store / "xcoords" / "c.0"
    before = damaged.read_bytes()
    damaged.write_bytes(before[:-1])
    report = ptystore.repair(store, store.parent / "source.npz")
    assert (report.ok, report.rewritten) == (True, ("xcoords/c.0",))
    assert damaged.read_bytes() == before
    ptystore.write(ptystore.open(store), store.parent / "copy.zarr")
    assert ptystore.verify(store.parent / "copy.zarr").remarks == ()
    assert ptystore.digest(store.parent / "copy.zarr")[1] == whole
    assert wait(in_child(lambda: command("verify", store))) == 0
    assert "note: no part of the scan, and no harm: .DS_Store, " in capfd.readouterr().out


def leave_staging(path: Path) -> Path:
    """What a run that was killed leaves beside its destination."""
    left = path.with_name(f".{path.name}.ptystore-{socket.gethostname()}-0123456789abcdef")
    left.mkdir()
    (left / "file").write_bytes(b"half")
    return left


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_verify_tells_what_a_killed_run_left(store: Path, suffix: str) -> None:
    path = store.with_name(f"other{suffix}")
    ptystore.write(ptystore.open(store), path)
    left = leave_staging(path)
    report = ptystore.verify(path)
    assert report.ok
    (said,) = report.remarks
    assert left.name in said
    assert left.exists()  # looking changes nothing
    ptystore.write(ptystore.open(store), path, overwrite=True)
    assert not left.exists()
    assert ptystore.verify(path).remarks == ()


def test_a_repair_that_finds_nothing_to_do_clears_it(store: Path) -> None:
    left, said = leave_staging(store), list[str]()
    report = ptystore.repair(store, store.parent / "source.npz", warn=said.append)
    assert (report.ok, report.rewritten) == (True, ())
    assert not left.exists()
    (line,) = said
    assert left.name in line


def test_repair_killed_at_every_call(store: Path, tmp_path: Path) -> None:
    """Whatever it left, damage or a staging folder, the next repair mends and clears."""
    source, at, killed = store.parent / "source.npz", 0, True
    ends = set()
    while killed:
        copy = Path(shutil.copytree(store, tmp_path / str(at) / "scan.zarr"))
        (copy / "diff3d" / "c.0.0.0").write_bytes(b"damaged")

        def doomed(copy: Path = copy, at: int = at) -> None:
            with watched(copy.parent, FaultAt(at, lambda: os.kill(os.getpid(), signal.SIGKILL))):
                ptystore.repair(copy, source, jobs=1)

        killed = wait(in_child(doomed)) != 0
        ends.add((ptystore.verify(copy).ok, bool(litter(copy))))
        assert ptystore.repair(copy, source).ok
        assert litter(copy) == []
        at += 1
    # Among them the one that the next run would once have taken for nothing to do.
    assert ends == {(False, False), (False, True), (True, True), (True, False)}
