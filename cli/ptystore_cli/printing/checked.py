"""Whether a scan is as it should be: problems, damages, what was repaired."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptystore_cli.options import Output
from ptystore_cli.printing.words import plural, print_json
from ptystore_cli.terminal import printable, say

if TYPE_CHECKING:
    import ptystore

__all__ = ["print_problems", "print_repaired", "print_verified"]


def print_problems(
    problems: Sequence[ptystore.Problem],
    notes: Sequence[ptystore.Problem],
    source: Path,
    output: Output,
) -> None:
    """`validate`: a line for each problem, and for each note."""
    for problem in problems:
        say(printable(problem), output)
    for note in notes:
        say(f"note: {printable(note)}", output)
    found = plural(len(problems), "problem") if problems else "no problems"
    say(f"{printable(source)}: {found}", output)
    listed = [problem.to_dict() for problem in problems]
    noted = [note.to_dict() for note in notes]
    said = {"file": str(source), "ok": not problems, "problems": listed, "notes": noted}
    print_json(said, output)


def print_verified(report: ptystore.VerifyReport, output: Output) -> None:
    """`verify`: what was compared, or a line for each damage."""
    for line in report.damage:
        say(printable(line), output)
    for line in report.remarks:
        say(f"note: {printable(line)}", output)
    if report.ok:
        against = (
            f"{report.recorded} of them as their recorded digests say"
            if report.recorded
            else "no recorded digests to compare with"
        )
        if report.recorded == len(report.digests) > 0:
            against = "all as their recorded digests say"
        files, fields = plural(report.files, "file"), plural(len(report.digests), "field")
        say(f"OK: {printable(report.path)}: {files}, {fields} read whole, {against}", output)
    print_json(report.to_dict(), output)


def print_repaired(report: ptystore.RepairReport, output: Output) -> None:
    """`repair`: what was damaged, which files were written, and what `verify` says after it."""
    for damage in report.damages:
        say(f"was damaged: {printable(damage)}", output)
    for key in report.rewritten:
        say(f"wrote {printable(key)}", output)
    for line in report.verified.damage:
        say(f"still damaged: {printable(line)}", output)
    if report.ok:
        files = plural(len(report.rewritten), "file")
        say(f"OK: {printable(report.path)}: {files} written, nothing is damaged", output)
    print_json(report.to_dict(), output)
