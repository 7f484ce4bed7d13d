"""The frames of a detector's files: prepared by ptystore, or read and decoded alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers its filters
import numpy as np

import ptystore
from benchmarks import eiger
from benchmarks.rounds import ROOT
from benchmarks.timing import Run, Timed
from ptystore.formats.hdf5.filters import Filter, Pipeline

_SECONDS = 0.02  # between two looks at memory
_BITSHUFFLE = 32008


def ingest(run: Run, crop: int) -> Timed:
    """The whole way from the detector to a canonical store, by the front door."""
    folder = run.data / eiger.FOLDER
    said = {"positions": str(folder / "positions.csv"), "position_units": "um"}

    def once(path: Path) -> dict[str, Any]:
        scan = ptystore.ingest(ptystore.open(run.data / eiger.MASTER, **said))
        scan = ptystore.canonicalize(ptystore.prepare(scan, crop=crop))
        return {"stored_bytes": ptystore.write(scan, path).stored_bytes}

    scan = ptystore.open(run.data / eiger.MASTER, **said, frames="0:2")
    ptystore.write(ptystore.canonicalize(ptystore.prepare(scan, crop=8)), run.out / "warm.zarr")
    return lambda: once(run.out / "result.zarr")


def command(run: Run, crop: int) -> Timed:
    """The same as a user types it: the start counts, and the memory of all its processes."""
    folder = run.data / eiger.FOLDER
    words = [
        *("ingest", run.data / eiger.MASTER, run.out / "result.zarr", "--canonicalize"),
        *("--positions", folder / "positions.csv", "--position-units", "um", "--crop", crop),
    ]
    return _program("-c", "from ptystore_cli.start import main; main()", *map(str, words))


def program(run: Run, function: str) -> Timed:
    """Another operation as a program of its own: its start and its imports count too."""
    request = {"function": function, "arguments": {}, "seed": run.seed}
    places = {"data": str(run.data), "out": str(run.out)}
    return _program("-m", "benchmarks.worker", json.dumps(request | places))


def _program(*words: str) -> Timed:
    def timed() -> dict[str, Any]:
        began = time.perf_counter()
        line = [sys.executable, *words]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            watch = _MemoryWatch(process.pid)
            watch.start()
            code = process.wait()
            seconds = time.perf_counter() - began
        watch.join()
        if code:
            raise RuntimeError(f"it ended with exit code {code}")
        return {"seconds": seconds, "peak_bytes": watch.peak}

    return timed


class _MemoryWatch(threading.Thread):
    """The most that a process and all that it started had in memory together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.peak = 0

    def run(self) -> None:
        while now := _resident(self._pid):
            self.peak = max(self.peak, now)
            time.sleep(_SECONDS)


def _resident(pid: int) -> int:
    """Bytes of a process and its descendants; 0 where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        tasks = os.listdir(f"/proc/{pid}/task")
    except (OSError, IndexError):
        return 0
    below = 0
    for task in tasks:
        try:
            children = Path(f"/proc/{pid}/task/{task}/children").read_text("ascii").split()
        except OSError:
            continue
        below += sum(_resident(int(child)) for child in children)
    return pages * os.sysconf("SC_PAGE_SIZE") + below


def decode_alone(run: Run) -> Timed:
    """Read every chunk and decode it, on all cores, into memory that is used again."""
    where: list[tuple[int, int, int]] = []
    for at in range(1, eiger.FILES + 1):
        path = run.data / eiger.FOLDER / f"scan_data_{at:06d}.h5"
        descriptor = os.open(path, os.O_RDONLY)
        with h5py.File(path, "r") as file:
            frames = file["entry/data/data"]
            values = frames.id.get_create_plist().get_filter(0)[2]
            frames.id.chunk_iter(
                lambda one, fd=descriptor: where.append((fd, one.byte_offset, one.size))
            )
    size = 4 * eiger.SHAPE[0] * eiger.SHAPE[1]
    pipeline = Pipeline.of((Filter(_BITSHUFFLE, tuple(values), "", True),), size, 4)
    assert pipeline is not None
    local = threading.local()

    def one(place: tuple[int, int, int]) -> None:
        if not hasattr(local, "out"):
            local.out = np.empty(size, np.uint8)
        descriptor, offset, length = place
        pipeline.decode_into(memoryview(os.pread(descriptor, length, offset)), 0, local.out)

    def timed() -> None:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(one, where))

    return timed
