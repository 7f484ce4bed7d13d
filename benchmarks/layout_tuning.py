"""How large chunks and shards should be: `python -m benchmarks.layout_tuning`.

For frames of several sizes and dtypes, every chunk size with every shard size: a whole
write, a whole read and random batches of 64 frames, each layout in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import ptystore
from benchmarks import data, machine, report
from benchmarks.batches import BATCH, timed_batches
from benchmarks.case import Operation
from benchmarks.rounds import ROOT, in_own_process, in_this_process
from benchmarks.timing import Run, Timed
from ptystore.model import layout

_WIDTHS = (64, 128, 256, 512, 1024)
_DTYPES = ("uint16", "float32", "complex64")
_CHUNKS_KIB = (8, 16, 32, 64, 128)
_SHARDS_MIB = (4, 16, 64)
_KEPT = ROOT / "benchmarks" / "layouts.md"
_TITLE = """# Chunk and shard sizes
Written by `make bench-layout`: arrays of about 128 MB, at least 64 frames; medians of 3 writes and
reads and of 30 batches. What was concluded is in [README.md](README.md).

"""
_HEAD: report.Row = (
    "frame",
    "dtype",
    "frames a chunk",
    "chunk KiB",
    "shard MiB",
    "stored/raw",
    "write MB/s",
    "read MB/s",
    "batch of 64, ms",
)


@dataclass(frozen=True)
class Cut:
    """One layout of one array: `name` is the array's, without the suffix of its file."""

    name: str
    frame: tuple[int, ...]
    dtype: str
    frames: int
    chunk_bytes: int
    shard_bytes: int

    @property
    def plan(self) -> layout.Layout:
        """What the library makes of these budgets."""
        return layout.plan(
            (self.frames, *self.frame),
            np.dtype(self.dtype).itemsize,
            chunk_bytes=self.chunk_bytes,
            shard_bytes=self.shard_bytes,
        )


def measure(
    run: Run, name: str, chunk_bytes: int, shard_bytes: int, rounds: int, batches: int
) -> Timed:
    """Write, read and take batches of one array (a worker's operation)."""
    # The defaults of the planner, in this process only: there is no option for users.
    layout.plan.__kwdefaults__.update(chunk_bytes=chunk_bytes, shard_bytes=shard_bytes)
    values = np.load(run.data / f"{name}.npy")
    scan = ptystore.dataset_of({"Y": values})
    path = run.out / "result.zarr"
    ptystore.write(ptystore.dataset_of({"Y": values[:2]}), run.out / "warm.zarr")

    def timed() -> dict[str, Any]:
        writes, reads, takes = [], [], []
        stored = 0
        for number in range(rounds):
            shutil.rmtree(path, ignore_errors=True)
            began = perf_counter()
            stored = ptystore.write(scan, path).stored_bytes
            writes.append(perf_counter() - began)
            frames = ptystore.open(path)["Y"]
            began = perf_counter()
            frames.values()
            reads.append(perf_counter() - began)
            # Small arrays have fewer than 64 frames; their batches are all of them.
            take = timed_batches(
                lambda chosen, frames=frames: frames[chosen], len(values), number, batches
            )
            takes += (take() or {})["batch_seconds"]
        return {
            "stored": stored / values.nbytes,
            "write": values.nbytes / median(writes) / 1e6,
            "read": values.nbytes / median(reads) / 1e6,
            "batch": median(takes),
        }

    return timed


def cuts(total_bytes: int, *, quick: bool) -> Iterator[Cut]:
    """Every layout once: budgets that come to the same one are not measured again."""
    for width in _WIDTHS[:1] if quick else _WIDTHS:
        frame = (width, 2 * width) if width == 1024 else (width, width)
        for dtype in _DTYPES:
            frames = max(BATCH, total_bytes // (frame[0] * frame[1] * np.dtype(dtype).itemsize))
            seen = set()
            for shard in _SHARDS_MIB:
                for chunk in _CHUNKS_KIB[1:4:2] if quick else _CHUNKS_KIB:
                    name = f"{dtype}-{frame[0]}x{frame[1]}-{frames}"
                    cut = Cut(name, frame, dtype, frames, chunk << 10, shard << 20)
                    key = (cut.plan.chunk_rows, cut.plan.shard_rows)
                    if key not in seen:
                        seen.add(key)
                        yield cut


def make(folder: Path, cut: Cut) -> None:
    """The array of a cut: counts, amplitude or patches of the same scan."""
    if (folder / f"{cut.name}.npy").exists():
        return
    width = cut.frame[0]
    wide = cut.frame[1] // width
    scan = data.simulate(cut.frames * wide, width, max(512, 2 * width))
    if cut.dtype == "complex64":
        positions = {name: one for name, one in scan.items() if name != "diff3d"}
        values = ptystore.extract_patches(ptystore.dataset_of(positions))["Y"].values()
    else:
        values = scan["diff3d"]
        if cut.dtype == "float32":
            values = np.sqrt(values, dtype=np.float32)
    # A frame wider than high is two simulated ones side by side.
    values = values.reshape(cut.frames, wide, width, width).transpose(0, 2, 1, 3)
    part = folder / "part.npy"
    np.save(part, np.ascontiguousarray(values).reshape(cut.frames, *cut.frame))
    part.rename(folder / f"{cut.name}.npy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all layouts, print the table, keep it as JSON."""
    options = _parser().parse_args(arguments)
    base = Path(options.dir or os.environ.get("BENCH_DIR") or ROOT / "build" / "bench")
    folder = base / "layouts"
    folder.mkdir(parents=True, exist_ok=True)
    launch = in_this_process if options.in_process else in_own_process
    rounds, batches = (1, 2) if options.quick else (3, 10)
    results, rows = [], []
    for cut in cuts(int(options.mb * 1e6), quick=options.quick):
        make(folder, cut)
        settings = {"chunk_bytes": cut.chunk_bytes, "shard_bytes": cut.shard_bytes}
        operation = Operation(
            "layout_tuning.measure",
            {"name": cut.name, **settings, "rounds": rounds, "batches": batches},
        )
        out = base / "out"
        out.mkdir()
        found = launch(operation, Run(folder, out, seed=0))
        shutil.rmtree(out)
        if "failed" in found:
            raise SystemExit(found["stderr"])
        results.append({"name": cut.name, **settings, **found})
        rows.append(_row(cut, found))
        print(" ".join(rows[-1]), flush=True)
    described = machine.describe(base)
    (base / "layouts.json").write_text(
        json.dumps({"machine": described, "layouts": results}, indent=1), "utf-8"
    )
    table = f"{machine.sentence(described)}\n\n{report.markdown(rows, _HEAD)}\n"
    print(table, end="")
    if options.keep and not options.quick:
        _KEPT.write_text(f"{_TITLE}{table}", "utf-8")


def _row(cut: Cut, found: dict[str, Any]) -> report.Row:
    plan = cut.plan
    return (
        "×".join(map(str, cut.frame)),
        cut.dtype,
        str(plan.chunk_rows),
        f"{plan.chunk_rows * plan.row_bytes / 1024:.0f}",
        f"{plan.shard_bytes / (1 << 20):.0f}",
        f"{found['stored']:.3f}",
        f"{found['write']:.0f}",
        f"{found['read']:.0f}",
        f"{found['batch'] * 1e3:.2f}",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layout_tuning", description=__doc__)
    parser.add_argument("--mb", type=float, default=128, help="size of each array (128)")
    parser.add_argument(
        "--quick", action="store_true", help="some layouts of 64×64 frames, one round"
    )
    parser.add_argument("--keep", action="store_true", help="renew benchmarks/layouts.md")
    parser.add_argument("--in-process", action="store_true", help="no processes: only a check")
    parser.add_argument("--dir", metavar="DIR", help="cache and results (BENCH_DIR)")
    return parser


if __name__ == "__main__":
    main()
