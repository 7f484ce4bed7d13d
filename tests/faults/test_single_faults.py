"""Verbs that write, failed or killed at every call that they make of the operating system.

Whatever happens: the destination is what it was or what it should be, the source is as it was,
the failure names a file, and the next run is none the worse for it.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ptystore
from faults.calls import CALLS, CLEANUP, READS, FaultAt, watched
from faults.outcomes import FULL, SUFFIXES, in_child, litter, small_scan, state, wait
from ptystore.errors import DestinationError, PtystoreError, StorageError
from studies import digests as study_digests
from studies import save_base, small, tree

STEP = 1 if FULL else 13
# A write, a repair and a study make tens, hundreds and thousands of calls.
LONG_STEP = 1 if FULL else 41
STUDY_RUNS = 60 if FULL else 1
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
#: A full disk is full for the next call too.
FAULTS = [*ERRORS, "full", "kill"]


@pytest.fixture(autouse=True)
def quick_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here: the calls are counted and failed, the disk is spared."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def told(fault: str, at: int) -> FaultAt:
    """The fault before call number `at`."""
    if fault == "kill":
        return FaultAt(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    code = ERRORS.get(fault, errno.ENOSPC)

    def action() -> None:
        raise OSError(code, os.strerror(code))

    return FaultAt(at, action, lasting=fault == "full")


def run(root: Path, fault: str, at: int, act: Callable[[], object], reads: bool) -> FaultAt | None:
    """`act` with a fault at call number `at` that concerns `root`; None where it met none.

    Asserts that what the library says of a failure is of its own kinds and names a file.
    """
    meant, calls = told(fault, at), CALLS + READS if reads else CALLS

    def acting() -> None:
        with watched(root, meant, calls):
            act()

    if fault == "kill":
        ended = wait(in_child(acting))
        assert ended in (0, -signal.SIGKILL)
        return meant if ended else None
    try:
        acting()
    except PtystoreError as error:
        assert error.exit_code in (3, 4, 5, 6), repr(error)  # noqa: PT017
        assert str(root) in str(error), repr(error)  # noqa: PT017
        assert reads or isinstance(error, (StorageError, DestinationError)), repr(error)  # noqa: PT017
        meant.failed = True
    return meant if meant.met else None


def litter_is_excused(path: Path, fault: str, meant: FaultAt) -> bool:
    """Litter stays only where removing it was what failed, or where the run was killed."""
    return not litter(path) or fault == "kill" or meant.calls[meant.at or 0] in CLEANUP


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("digests")
    return {
        "old": ptystore.write(small_scan(1), folder / "old.zarr").digest,
        "new": ptystore.write(small_scan(0), folder / "new.zarr").digest,
    }


@pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_call_of_a_write(
    tmp_path: Path,
    suffix: str,
    fault: str,
    overwrite: bool,
    digests: dict[str, str],
    count: Callable[..., None],
) -> None:
    scan, before = small_scan(0), "old" if overwrite else "absent"
    outcomes: Counter[str] = Counter()
    at = 0
    while True:
        path = tmp_path / str(at) / f"scan{suffix}"
        path.parent.mkdir()
        if overwrite:
            ptystore.write(small_scan(1), path)
        meant = run(
            path.parent,
            fault,
            at,
            lambda p=path: ptystore.write(scan, p, overwrite=overwrite, jobs=1),
            reads=False,
        )
        if meant is None:
            assert state(path, **digests) == "new"
            break
        found = state(path, **digests)
        where = f"call {at}, {meant.calls[at : at + 1]}"
        assert found in (before, "new"), where
        assert found == "new" or fault == "kill" or meant.failed, where
        assert litter_is_excused(path, fault, meant), where
        ptystore.write(scan, path, overwrite=True)
        assert (state(path, **digests), litter(path)) == ("new", []), where
        outcomes[found] += 1
        at += LONG_STEP if overwrite else STEP
    count(
        f"single faults, {suffix} {fault}{' overwrite' if overwrite else ''}",
        runs=sum(outcomes.values()),
        **{name: outcomes[name] for name in (before, "new")},
        wrong=0,
    )
    assert outcomes[before] > 0


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole store, its source, and the store with some damage of each kind."""
    folder = tmp_path_factory.mktemp("damaged")
    ptystore.write(small_scan(), folder / "source.npz")
    ptystore.write(small_scan(), folder / "whole.zarr")
    shutil.copytree(folder / "whole.zarr", folder / "damaged.zarr")
    flipped = folder / "damaged.zarr" / "diff3d" / "c.0.0.0"
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    (folder / "damaged.zarr" / "xcoords" / "c.0").unlink()
    shutil.rmtree(folder / "damaged.zarr" / "ycoords")
    (folder / "damaged.zarr" / "labels" / "zarr.json").write_bytes(b"{}")
    return folder


@pytest.mark.parametrize("fault", FAULTS)
def test_every_call_of_a_repair(
    tmp_path: Path, fault: str, damaged: Path, count: Callable[..., None]
) -> None:
    before, whole = tree(damaged / "damaged.zarr"), tree(damaged / "whole.zarr")
    source, outcomes, at = damaged / "source.npz", Counter[str](), 0
    of_source = source.read_bytes()
    while True:
        path = tmp_path / str(at) / "scan.zarr"
        shutil.copytree(damaged / "damaged.zarr", path)
        shutil.copy(source, path.parent)
        copy = path.parent / source.name
        meant = run(
            path.parent, fault, at, lambda p=path, c=copy: ptystore.repair(p, c, jobs=1), reads=True
        )
        found, where = tree(path), f"call {at}"
        for key, data in found.items():
            assert data in (before.get(key), whole[key]), f"{where}: {key}"
        # Nothing is lost that was there.
        assert before.keys() <= found.keys(), where
        assert copy.read_bytes() == of_source
        if meant is None:
            assert found == whole
            break
        assert litter_is_excused(path, fault, meant), where
        assert ptystore.repair(path, copy).ok, where
        assert tree(path) == whole, where
        assert litter(path) == [], where
        outcomes["whole" if found == whole else "to be mended"] += 1
        at += LONG_STEP
    count(f"single faults, repair {fault}", runs=outcomes.total(), **outcomes, wrong=0)
    assert outcomes["to be mended"] > 0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], int]:
    """A base, the digests of a study of it, and how many calls that makes."""
    folder = tmp_path_factory.mktemp("study")
    base, counted = save_base(folder / "recon.npz"), FaultAt(None, lambda: None)
    with watched(folder, counted):
        small(folder / "hub", base, jobs=1)
    return base, study_digests(folder / "hub"), len(counted.calls)


def moments(calls: int) -> Iterator[int]:
    """Call numbers spread over a study, one of its last among them in a full run."""
    yield from (calls * (2 * turn + 1) // (2 * STUDY_RUNS) for turn in range(STUDY_RUNS))
    if FULL:
        yield calls - 3


@pytest.mark.parametrize("fault", FAULTS)
def test_calls_of_a_study(
    tmp_path: Path,
    fault: str,
    study: tuple[Path, dict[str, str], int],
    count: Callable[..., None],
) -> None:
    base, clean, calls = study
    outcomes = Counter[str]()
    for at in moments(calls):
        folder = tmp_path / str(at)
        folder.mkdir()
        copy, hub = Path(shutil.copy(base, folder)), folder / "hub"
        run(folder, fault, at, lambda h=hub, c=copy: small(h, c, jobs=1), reads=True)
        assert set(os.listdir(folder)) <= {copy.name, "hub"}
        assert copy.read_bytes() == base.read_bytes()
        kept = study_digests(hub) if (hub / "run_manifest.json").exists() else {}
        assert kept.items() <= clean.items(), f"call {at}"
        small(hub, copy)
        assert study_digests(hub) == clean, f"call {at}"
        left = {one.name for one in (hub / "data").rglob("*") if ".ptystore-" in one.name}
        assert left == set(), f"call {at}"
        outcomes["finished" if kept == clean else "continued"] += 1
    count(f"single faults, study {fault}", runs=outcomes.total(), **outcomes, wrong=0)
    assert outcomes["continued"] > 0 or not FULL
