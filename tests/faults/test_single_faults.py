"""A small write, failed or killed at every call that it makes of the operating system."""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import ptystore
from faults.calls import CLEANUP, FaultAt, watched
from faults.outcomes import FULL, SUFFIXES, in_child, litter, small_scan, state, wait
from ptystore.errors import DestinationError, PtystoreError, StorageError

STEP = 1 if FULL else 13
OVERWRITE = (False, True) if FULL else (False,)
FAULTS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}


@pytest.fixture(autouse=True)
def quick_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here: the calls are counted and failed, the disk is spared."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def put(path: Path, scan: ptystore.Dataset, fault: FaultAt, overwrite: bool) -> None:
    with watched(path.parent, fault):
        ptystore.write(scan, path, overwrite=overwrite, jobs=1)


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("digests")
    return {
        "old": ptystore.write(small_scan(1), folder / "old.zarr").digest,
        "new": ptystore.write(small_scan(0), folder / "new.zarr").digest,
    }


def failing(code: int) -> Callable[[], object]:
    def action() -> None:
        raise OSError(code, os.strerror(code))

    return action


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("overwrite", OVERWRITE, ids=lambda on: "overwrite" if on else "fresh")
@pytest.mark.parametrize("fault", [*FAULTS, "kill"])
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
        told = FaultAt(at, kill if fault == "kill" else failing(FAULTS[fault]))
        if fault == "kill":
            ended = wait(in_child(lambda p=path, t=told: put(p, scan, t, overwrite)))
            finished = ended == 0
            assert finished or ended == -signal.SIGKILL
        else:
            try:
                put(path, scan, told, overwrite)
                finished = True
            except PtystoreError as error:
                assert isinstance(error, (StorageError, DestinationError)), repr(error)  # noqa: PT017
                assert str(path.parent) in str(error)  # noqa: PT017
                finished = False
            if at >= len(told.calls):
                assert finished
                break
        found = state(path, **digests)
        where = f"call {at}, {told.calls[at : at + 1]}"
        assert found in (before, "new"), where
        assert found == "new" or not finished, where
        if fault != "kill":
            # Litter stays only where removing it was what failed.
            assert not litter(path) or told.calls[at] in CLEANUP, where
        elif finished:
            break
        ptystore.write(scan, path, overwrite=True)
        assert (state(path, **digests), litter(path)) == ("new", []), where
        outcomes[found] += 1
        at += STEP
    count(
        f"single faults, {suffix} {fault}{' overwrite' if overwrite else ''}",
        runs=sum(outcomes.values()),
        **{name: outcomes[name] for name in (before, "new")},
        wrong=0,
    )
    assert outcomes[before] > 1
