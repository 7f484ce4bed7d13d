"""`python -m benchmarks`: run, print the table, keep every single time as JSON."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import data, machine, report, scaling
from benchmarks.cases import CASES
from benchmarks.rounds import ROOT, in_own_process, in_this_process, run_case

_QUICK_FRAMES = 600
_SIZES_GB = [0.25, 1.0]
_QUICK_SIZES_GB = [0.0025, 0.01]
_README = Path(__file__).with_name("README.md")

One = TypeVar("One")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = _parser().parse_args(arguments)
    base = Path(options.dir or os.environ.get("BENCH_DIR") or ROOT / "build" / "bench")
    base.mkdir(parents=True, exist_ok=True)
    rounds = options.rounds or (1 if options.quick else 5)
    frames = _QUICK_FRAMES if options.quick else data.FRAMES
    sizes = _QUICK_SIZES_GB if options.quick else [*_SIZES_GB, 4.0] if options.full else _SIZES_GB
    launch = in_this_process if options.in_process else in_own_process
    began = time.monotonic()
    result: dict[str, Any] = {
        "machine": machine.describe(base),
        "quick": options.quick,
        "rounds": rounds,
        "frames": frames,
        "cases": [],
        "scaling": [],
    }
    data.forget_stores(base)
    tables = []
    if not options.no_cases:
        rows: list[report.Row] = []
        for case in _chosen(CASES, options.only, lambda one: one.name):
            found = run_case(case, base, frames, rounds, launch)
            result["cases"].append(found)
            rows += report.rows_of(case, found["runs"])
            _save(base, result)
        tables.append(report.markdown(rows))
    if not options.no_scaling:
        rows = []
        for name, operation, source in _chosen(scaling.PATHS, options.only, lambda one: one[0]):
            runs = scaling.run_path(operation, source, base, sizes, rounds, launch)
            result["scaling"].append({"name": name, "sizes_gb": sizes, "runs": runs})
            rows += scaling.rows_of(name, sizes, runs)
            _save(base, result)
        tables.append(report.markdown(rows, scaling.HEAD))
    result["seconds"] = time.monotonic() - began
    _save(base, result)
    text = "\n\n".join([_heading(result), *tables])
    print(f"{text}\n\nevery single time is in {base / 'results.json'}")
    if '"failed"' in json.dumps(result):
        raise SystemExit("some runs failed: the table says which")
    whole = not (options.quick or options.only or options.no_cases or options.no_scaling)
    if options.readme and whole:
        report.update_between_marks(_README, text)


def _chosen(cases: Iterable[One], text: str, name: Callable[[One], str]) -> Iterator[One]:
    """Those with `text` in their name, each announced when its turn comes."""
    for one in cases:
        if text in name(one):
            print(name(one), flush=True)
            yield one


def _save(base: Path, result: dict[str, Any]) -> None:
    """Keep what there is so far: a run that is cut short is not lost."""
    (base / "results.json").write_text(json.dumps(result, indent=1), "utf-8")


def _heading(result: dict[str, Any]) -> str:
    size = "tiny data, so the times mean little" if result["quick"] else "64×64 uint16"
    return (
        f"{machine.sentence(result['machine'])} "
        f"{result['frames']:,} frames ({size}), {result['rounds']} round(s), "
        f"{result['seconds'] / 60:.0f} minutes."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="one round of tiny data: that all of it works")
    add("--full", action="store_true", help="the scaling part at 4 GB too")
    add("--rounds", type=int, help="rounds (5; 1 with --quick)")
    add("--only", default="", metavar="TEXT", help="only what has TEXT in its name")
    add("--no-cases", action="store_true", help="only the scaling part")
    add("--no-scaling", action="store_true", help="without the scaling part")
    add("--dir", metavar="DIR", help="cache and results (BENCH_DIR, else build/bench)")
    add("--readme", action="store_true", help="put a whole run's table into benchmarks/README.md")
    add("--in-process", action="store_true", help="no processes: a check, not a measurement")
    return parser


if __name__ == "__main__":
    main()
