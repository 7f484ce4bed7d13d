"""Operations of ptystore, through its front door."""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import ptystore
from benchmarks.batches import timed_batches
from benchmarks.rounds import ROOT
from benchmarks.timing import NotThereYet, Run, Timed

_SLAB = 2048
# The command line's own entry, and its peak memory as the last word that is printed.
_COMMAND = """
from benchmarks.timing import peak_bytes
from ptystore_cli.start import main
try:
    main()
finally:
    print(peak_bytes())
"""
_STEPS: dict[str, Callable[[Any], Any]] = {
    "ingest": ptystore.ingest,
    "canonicalize": ptystore.canonicalize,
    "patch": ptystore.extract_patches,
}


def _warm_up(run: Run) -> None:
    """Load every module that a real run loads, by a run on almost nothing."""
    frames = np.ones((3, 8, 8), np.uint16)
    around = np.ones((24, 24), np.complex64)
    places = np.full(3, 12.0)
    scan = ptystore.dataset_of(
        {
            "diff3d": frames,
            "objectGuess": around,
            "probeGuess": around[:8, :8],
            "xcoords": places,
            "ycoords": places,
        }
    )
    for suffix in ("zarr", "npz"):
        path = run.out / f"warm.{suffix}"
        ptystore.write(ptystore.extract_patches(ptystore.canonicalize(scan)), path)
        ptystore.open(path)["diffraction"][[0, 2]]


def write(
    run: Run,
    source: str,
    *,
    steps: Sequence[str] = (),
    to: str = "zarr",
    compression: str = "deflate",
    level: int | None = None,
    fields: Sequence[str] = (),
) -> Timed:
    """Open, transform, write in one pass; `fields` leaves out all others."""
    _warm_up(run)

    def timed() -> dict[str, Any]:
        scan = ptystore.open(run.data / source)
        for step in steps:
            scan = _STEPS[step](scan)
        if fields:
            scan = dataclasses.replace(scan, fields={name: scan[name] for name in fields})
        path = run.out / f"result.{to}"
        report = ptystore.write(scan, path, compression=compression, level=level)
        return {"stored_bytes": report.stored_bytes}

    return timed


def one_after_another(run: Run, source: str, *, steps: Sequence[str]) -> Timed:
    """The same steps, each reading what the one before it has written."""
    _warm_up(run)

    def timed() -> dict[str, Any]:
        path: Path = run.data / source
        for step in steps:
            scan = _STEPS[step](ptystore.open(path))
            path = run.out / f"{step}.zarr"
            report = ptystore.write(scan, path)
        return {"stored_bytes": report.stored_bytes}

    return timed


def commands(run: Run, lines: Sequence[str]) -> Timed:
    """Command lines as a user gives them, one after another: the start of each one counts."""
    places = {"data": str(run.data), "out": str(run.out)}

    def timed() -> dict[str, Any]:
        largest = 0
        for line in lines:
            words = [word.format_map(places) for word in line.split()]
            done = subprocess.run(
                [sys.executable, "-c", _COMMAND, *words], cwd=ROOT, check=True, capture_output=True
            )
            largest = max(largest, int(done.stdout.split()[-1]))
        return {"peak_bytes": largest}

    return timed


def read_whole(run: Run, source: str, field: str) -> Timed:
    """One field into one array."""
    _warm_up(run)

    def timed() -> dict[str, Any]:
        return {"result_bytes": ptystore.open(run.data / source)[field].values().nbytes}

    return timed


def read_slabs(run: Run, source: str, field: str) -> Timed:
    """One field from beginning to end, a slab of frames at a time."""
    _warm_up(run)

    def timed() -> None:
        frames = ptystore.open(run.data / source)[field]
        for start in range(0, len(frames), _SLAB):
            frames[start : start + _SLAB]

    return timed


def random_batches(run: Run, source: str, field: str, *, batches: int) -> Timed:
    """Random frames by index."""
    frames = ptystore.open(run.data / source)[field]
    return timed_batches(lambda indices: frames[indices], len(frames), run.seed, batches)


def computed_batches(run: Run, source: str, *, batches: int) -> Timed:
    """Random patches computed as they are read, from a store that has none."""
    patches = ptystore.extract_patches(ptystore.open(run.data / source))["Y"]
    return timed_batches(lambda indices: patches[indices], len(patches), run.seed, batches)


def permuted_epoch(run: Run, source: str, field: str, *, batch: int) -> Timed:
    """Every frame once, in an order drawn at random, by index."""
    _warm_up(run)
    frames = ptystore.open(run.data / source)[field]
    order = np.random.default_rng(run.seed).permutation(len(frames))

    def timed() -> dict[str, Any]:
        times = []
        for start in range(0, len(order), batch):
            began = perf_counter()
            frames[order[start : start + batch]]
            times.append(perf_counter() - began)
        return {"median_batch_seconds": statistics.median(times)}

    return timed


def epoch(run: Run, source: str, field: str, *, batch: int, shuffle: str) -> Timed:
    """Every frame once, as ptystore's own loader yields them."""
    _warm_up(run)
    scan = ptystore.open(run.data / source)
    if not hasattr(scan, "batches"):
        raise NotThereYet("Dataset.batches")

    def timed() -> None:
        batches: Iterator[Any] = scan.batches(batch, fields=[field], shuffle=shuffle, seed=run.seed)
        seen = sum(len(one[field]) for one in batches)
        if seen != len(scan[field]):
            raise AssertionError(f"an epoch of {seen} frames, not {len(scan[field])}")

    return timed
