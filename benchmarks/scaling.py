"""Whether time per byte and peak memory stay the same when a scan grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import data
from benchmarks.case import Operation
from benchmarks.report import Row
from benchmarks.rounds import Launch, run_rounds

__all__ = ["HEAD", "PATHS", "rows_of", "run_path"]

HEAD: Row = ("path", "raw counts", "median", "s/GB of counts", "min–max", "peak MB", "flat")

#: Largest over smallest that still counts as flat: what noise makes of equal numbers.
_FLAT = 1.25
_FRAME_BYTES = 8192

_FRAMES = {"source": "raw.zarr", "field": "diff3d"}
#: The main paths: name, operation, what it reads.
PATHS: tuple[tuple[str, Operation, str], ...] = (
    (
        "ingest, stored NPZ",
        Operation("with_ptystore.write", {"source": "stored.npz", "steps": ["ingest"]}),
        "stored.npz",
    ),
    (
        "canonicalize",
        Operation("with_ptystore.write", {"source": "raw.zarr", "steps": ["canonicalize"]}),
        "raw.zarr",
    ),
    (
        "patch",
        Operation("with_ptystore.write", {"source": "canonical.zarr", "steps": ["patch"]}),
        "canonical.zarr",
    ),
    (
        "export, deflate",
        Operation("with_ptystore.write", {"source": "raw.zarr", "to": "npz"}),
        "raw.zarr",
    ),
    (
        "ingest, deflated NPZ",
        Operation("with_ptystore.write", {"source": "packed.npz", "steps": ["ingest"]}),
        "packed.npz",
    ),
    (
        "sequential read",
        Operation("with_ptystore.read_slabs", _FRAMES),
        "raw.zarr",
    ),
)


def run_path(
    operation: Operation,
    source: str,
    base: Path,
    sizes: Sequence[float],
    rounds: int,
    launch: Launch,
) -> dict[str, list[dict[str, Any]]]:
    """Measure one path at each size (GB of raw counts), the sizes alternately."""
    folders = []
    for size in sizes:
        frames = round(size * 1e9 / _FRAME_BYTES)
        folder = data.folder_for(base, frames)
        data.prepare(folder, frames, [source])
        folders.append(folder)
    participants = [(_label(size), operation) for size in sizes]
    return run_rounds(participants, folders, [source], base / "out", rounds, launch)


def rows_of(name: str, sizes: Sequence[float], runs: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """A row for each size; the last says whether time per byte and memory are flat."""
    failed = [one["failed"] for size in sizes for one in runs[_label(size)] if "failed" in one]
    if failed:
        return [(name, "", "", "", "", "", f"failed: {failed[0]}")]
    rates, peaks, rows = [], [], []
    for size in sizes:
        measured = runs[_label(size)]
        times = [one["seconds"] for one in measured]
        rates.append(median(times) / size)
        peaks.append(max(one["peak_bytes"] for one in measured))
        last = size == sizes[-1]
        rows.append(
            (
                name if size == sizes[0] else "",
                _label(size),
                f"{median(times):.2f} s",
                f"{rates[-1]:.2f}",
                f"{min(times) / size:.2f}–{max(times) / size:.2f}",
                f"{peaks[-1] / 1e6:.0f}",
                f"time {_flatness(rates)}, memory {_flatness(peaks)}" if last else "",
            )
        )
    return rows


def _flatness(values: Sequence[float]) -> str:
    growth = values[-1] / values[0]
    return f"{growth:.2f}× ({'yes' if growth <= _FLAT else 'NO'})"


def _label(size: float) -> str:
    return f"{size:g} GB"
