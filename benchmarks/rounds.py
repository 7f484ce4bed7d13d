"""Runs participants alternately, each in a process of its own, in an order that rotates."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.case import Case, Operation
from benchmarks.timing import Run, measure

__all__ = ["OURS", "Launch", "in_own_process", "in_this_process", "run_case", "run_rounds"]

ROOT = Path(__file__).resolve().parent.parent
OURS = "ptystore"

_TIME_LIMIT_S = 900
_TOUCHED_BYTES = 512 << 20

#: Runs one operation and gives the worker's report.
Launch = Callable[[Operation, Run], dict[str, Any]]


def in_own_process(operation: Operation, run: Run) -> dict[str, Any]:
    """One operation in a fresh interpreter, with nothing left to be written from before.

    Half a gigabyte of memory has just been used and freed, because a virtual machine may have
    to fetch each page from its host at the first touch: a second, for whoever comes first.

    Where it fails, the report says so and the others are still measured.
    """
    request = {
        "function": operation.function,
        "arguments": dict(operation.arguments),
        "data": str(run.data),
        "out": str(run.out),
        "seed": run.seed,
    }
    os.sync()
    np.ones(_TOUCHED_BYTES, np.uint8)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", json.dumps(request)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_TIME_LIMIT_S,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.splitlines() or ["no message"])[-1]
        return {"failed": last, "stderr": done.stderr}
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def in_this_process(operation: Operation, run: Run) -> dict[str, Any]:
    """One operation here: quick, for a test that all of them work; the times mean nothing."""
    return measure(operation.function, dict(operation.arguments), run)


def run_case(case: Case, base: Path, frames: int, rounds: int, launch: Launch) -> dict[str, Any]:
    """Measure a case: every single time, by participant."""
    count = max(1, round(frames * case.part))
    folder = data.folder_for(base, count)
    data.prepare(folder, count, case.sources)
    participants = [(OURS, case.ours), *((one.name, one.operation) for one in case.others)]
    folders = [folder] * len(participants)
    runs = run_rounds(participants, folders, case.sources, base / "out", rounds, launch)
    return {"name": case.name, "frames": count, "runs": runs}


def run_rounds(
    participants: Sequence[tuple[str, Operation]],
    folders: Sequence[Path],
    sources: Sequence[str],
    out: Path,
    rounds: int,
    launch: Launch,
) -> dict[str, list[dict[str, Any]]]:
    """`rounds` rounds of all participants, each with its folder of data.

    Round k begins with participant k. Before each run the sources are in the page cache and
    the destination is empty.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in participants}
    for number in range(rounds):
        for place in range(len(participants)):
            at = (number + place) % len(participants)
            name, operation = participants[at]
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            data.warm(folders[at], sources)
            run = Run(folders[at], out, seed=number)
            runs[name].append({"round": number, "place": place, **launch(operation, run)})
    shutil.rmtree(out, ignore_errors=True)
    return runs
