"""Results as one table, and the table into the README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.case import Case, Other
from benchmarks.rounds import OURS

__all__ = ["Row", "markdown", "rows_of", "update_between_marks"]

Row = tuple[str, ...]
Runs = Mapping[str, Sequence[Mapping[str, Any]]]

_HEAD: Row = ("path", "who", "median", "min–max", "peak MB", "ptystore against it", "asked", "met")
_BEGIN, _END = "<!-- table -->", "<!-- end of table -->"


def markdown(rows: Sequence[Row], head: Row = _HEAD) -> str:
    """A table whose columns also line up as plain text."""
    table = [head, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "| " + " | ".join("-" * max(3, width) for width in widths) + " |")
    return "\n".join(lines)


def rows_of(case: Case, runs: Runs) -> Iterator[Row]:
    """ptystore's row, then one for everything that it is compared with."""
    ours = runs[OURS]
    reason = _not_measured(ours)
    if reason:
        yield (case.name, OURS, "", "", "", reason, "", "–")
        return
    sync = _middle(ours, "sync_seconds")
    note = f"{sync:.2f} s of it in fsync" if sync >= 0.01 else ""
    asked = f"< {case.memory_limit / 1e6:.0f} MB"
    yield (
        case.name,
        *_measured(OURS, ours),
        note,
        asked,
        _verdict(_peak(ours) < case.memory_limit),
    )
    for other in case.others:
        reason = _not_measured(runs[other.name])
        if reason:
            yield ("", other.name, "", "", "", reason, "", "–")
        else:
            yield ("", *_measured(other.name, runs[other.name]), *_compared(other, ours, runs))


def _not_measured(runs: Sequence[Mapping[str, Any]]) -> str | None:
    """Why there are no times, if there are none."""
    for one in runs:
        if "missing" in one:
            return f"not there yet: {one['missing']}"
        if "failed" in one:
            return f"failed: {one['failed']}"
    return None


def _measured(name: str, runs: Sequence[Mapping[str, Any]]) -> Row:
    times = [one["seconds"] for one in runs]
    middle = median(times)
    scale, unit = (1.0, "s") if middle >= 0.1 else (1e3, "ms")
    spread = f"{min(times) * scale:.2f}–{max(times) * scale:.2f}"
    return (name, f"{middle * scale:.2f} {unit}", spread, f"{_peak(runs) / 1e6:.0f}")


def _compared(other: Other, ours: Sequence[Mapping[str, Any]], runs: Runs) -> Row:
    """What ptystore reaches against one other: the ratio of medians, and of single rounds."""
    theirs = runs[other.name]
    target = other.target
    ratio = _middle(ours, "seconds") / _middle(theirs, "seconds")
    # The runs are in the order of the rounds: a pair ran one after the other.
    pairs = [a["seconds"] / b["seconds"] for a, b in zip(ours, theirs, strict=True)]
    if target.faster is None:
        reached = [f"{ratio:.2f}× its time ({min(pairs):.2f}–{max(pairs):.2f})"]
    else:
        speeds = [1 / one for one in pairs]
        reached = [f"{1 / ratio:.2f}× as fast ({min(speeds):.2f}–{max(speeds):.2f})"]
    asked: list[str] = []
    kept: list[bool] = []
    if target.times is not None:
        asked.append(f"≤ {target.times:g}×")
        kept.append(ratio <= target.times)
    if target.faster is not None:
        asked.append(f"≥ {target.faster:g}×")
        kept.append(1 / ratio >= target.faster)
    if target.memory is not None:
        part = _peak(ours) / _peak(theirs)
        reached.append(f"{part:.2f}× its memory")
        asked.append(f"≤ {target.memory:.2f}×")
        kept.append(part <= target.memory)
    if all("stored_bytes" in one for one in (*ours, *theirs)):
        size = _middle(ours, "stored_bytes") / _middle(theirs, "stored_bytes")
        reached.append(f"{size:.3f}× its size")
        if target.size is not None:
            asked.append(f"≤ {target.size:g}×")
            kept.append(size <= target.size)
    return (", ".join(reached), ", ".join(asked), ", ".join(map(_verdict, kept)))


def _peak(runs: Sequence[Mapping[str, Any]]) -> float:
    """The largest peak, less the result that the caller asked for."""
    return max(float(one["peak_bytes"] - one.get("result_bytes", 0)) for one in runs)


def _middle(runs: Sequence[Mapping[str, Any]], key: str) -> float:
    return median(float(one[key]) for one in runs)


def _verdict(met: bool) -> str:
    return "yes" if met else "NO"


def update_between_marks(file: Path, text: str) -> None:
    """Replace what a file has between its two marks."""
    before, begin, rest = file.read_text("utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{file.name} has no {_BEGIN} and {_END} to put the table between")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")
