"""One measured run: set up, time one call, tell seconds and peak memory.

Imports and other preparation happen before the clock starts, for every participant alike.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

__all__ = ["NotThereYet", "Run", "Timed", "measure", "peak_bytes"]

#: What is timed. It may answer with notes: `seconds` in place of the whole call's,
#: `stored_bytes` written, `result_bytes` of the array that the caller asked for.
Timed = Callable[[], dict[str, Any] | None]


class NotThereYet(Exception):
    """The installed ptystore can not do this."""


@dataclass(frozen=True)
class Run:
    """Where the data of a run are, an empty folder for what it writes, and a seed."""

    data: Path
    out: Path
    seed: int


class _SyncClock:
    """Time spent in `os.fsync` and `os.fdatasync`, summed over threads."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = Lock()

    def timing(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def timed(descriptor: int) -> None:
            began = perf_counter()
            try:
                sync(descriptor)
            finally:
                with self._lock:
                    self.seconds += perf_counter() - began

        return timed


@contextmanager
def _sync_clock() -> Iterator[_SyncClock]:
    clock = _SyncClock()
    kept = os.fsync, os.fdatasync
    os.fsync, os.fdatasync = (clock.timing(one) for one in kept)  # type: ignore[assignment]
    try:
        yield clock
    finally:
        os.fsync, os.fdatasync = kept


def measure(function: str, arguments: dict[str, Any], run: Run) -> dict[str, Any]:
    """Seconds and peak memory (bytes) of one operation, or why it can't be done."""
    module, _, name = function.rpartition(".")
    operation = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    try:
        timed: Timed = operation(run, **arguments)
    except NotThereYet as reason:
        return {"missing": str(reason)}
    with _sync_clock() as clock:
        began = perf_counter()
        notes = timed()
        seconds = perf_counter() - began
    report = {"seconds": seconds, "sync_seconds": clock.seconds, "peak_bytes": peak_bytes()}
    return report | (notes or {})


def peak_bytes() -> int:
    """The largest resident memory of this process since it was started (Linux: VmHWM)."""
    # Not getrusage: what it tells is inherited from the parent that started this process.
    status = Path("/proc/self/status").read_text("ascii", "replace")
    (line,) = (one for one in status.splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
