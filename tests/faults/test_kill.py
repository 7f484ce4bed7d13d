"""kill -9 at a random moment of ingest and canonicalize, as the command line runs them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import ptystore
import ptystore_cli.app  # noqa: F401 - imported here, so that no child is killed while importing
import scans
from faults.outcomes import FULL, command, in_child, litter, remove, state, wait

RUNS = 200 if FULL else 10
LEAST = 20 if FULL else 1


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".npz"])
@pytest.mark.parametrize("verb", ["ingest", "canonicalize"])
def test_killed_at_any_moment(
    tmp_path: Path, verb: str, suffix: str, count: Callable[..., None]
) -> None:
    source = tmp_path / "source.npz"
    ptystore.write(ptystore.dataset_of(scans.scan(1000, 64, 64), scans.document()), source)
    path = tmp_path / f"scan{suffix}"
    words = (verb, source, path, "--quiet")
    began = time.monotonic()
    assert wait(in_child(lambda: command(*words))) == 0
    duration = time.monotonic() - began
    assert ptystore.verify(path).ok
    whole = ptystore.digest(path)[1]
    remove(path)
    rng, outcomes, cleared = random.Random(4), Counter[str](), 0
    while sum(outcomes.values()) < RUNS or min(outcomes["absent"], outcomes["whole"]) < LEAST:
        assert sum(outcomes.values()) < 20 * RUNS, outcomes
        child = in_child(lambda: command(*words))
        time.sleep(rng.uniform(0, 1.5 * duration))
        os.kill(child, signal.SIGKILL)
        assert wait(child) in (0, -signal.SIGKILL)
        found = state(path, whole=whole)
        assert found in ("absent", "whole")
        outcomes[found] += 1
        left = litter(path)
        assert len(left) <= 1
        if left or not FULL:
            cleared += len(left)
            assert wait(in_child(lambda: command(*words, "--overwrite"))) == 0
            assert (state(path, whole=whole), litter(path)) == ("whole", [])
        remove(path)
    count(
        f"kill -9, {verb} to {suffix}",
        runs=sum(outcomes.values()),
        absent=outcomes["absent"],
        complete=outcomes["whole"],
        litter_cleared=cleared,
        wrong=0,
    )
