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
from faults.outcomes import FULL, SUFFIXES, command, in_child, litter, remove, state, wait

CASES = [("ingest", ".zarr"), ("canonicalize", ".h5")]
if FULL:
    CASES = [(verb, suffix) for verb in ("ingest", "canonicalize") for suffix in SUFFIXES]
FRAMES = 1000 if FULL else 300


@pytest.mark.parametrize(("verb", "suffix"), CASES)
def test_killed_at_any_moment(
    tmp_path: Path, verb: str, suffix: str, count: Callable[..., None]
) -> None:
    runs = 5 if not FULL else 200 if suffix == ".zarr" else 60
    least = 20 if FULL else 1
    source = tmp_path / "source.npz"
    ptystore.write(ptystore.dataset_of(scans.scan(FRAMES, 64, 64), scans.document()), source)
    path = tmp_path / f"scan{suffix}"
    words = (verb, source, path, "--quiet")
    began = time.monotonic()
    assert wait(in_child(lambda: command(*words))) == 0
    duration = time.monotonic() - began
    assert ptystore.verify(path).ok
    whole = ptystore.digest(path)[1]
    remove(path)
    rng, outcomes, cleared = random.Random(4), Counter[str](), 0
    while sum(outcomes.values()) < runs or min(outcomes["absent"], outcomes["whole"]) < least:
        assert sum(outcomes.values()) < 20 * runs, outcomes
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
