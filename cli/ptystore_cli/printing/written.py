"""What a verb made, or would make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptystore_cli.options import Output
from ptystore_cli.printing.words import by, plural, print_json
from ptystore_cli.terminal import format_bytes, format_ratio, printable, say, table, warn

if TYPE_CHECKING:
    import ptystore

__all__ = ["print_plan", "print_study", "print_written"]


def print_written(report: ptystore.WriteReport, scan: ptystore.Dataset, output: Output) -> None:
    """What `write` did: frames, fields, sizes, time."""
    fields = len(report.digests)
    count = "" if scan.frame_count is None else f"{plural(scan.frame_count, 'frame')}, "
    ratio = format_ratio(report.nbytes, report.stored_bytes)
    say(
        f"wrote {printable(report.path)}: {count}{plural(fields, 'field')}, "
        f"{format_bytes(report.nbytes)} in {format_bytes(report.stored_bytes)}"
        f"{f' ({ratio})' if ratio else ''}, {report.seconds:.2f} s",
        output,
    )
    told = report.to_dict()
    document = {
        "source": scan.file,
        "destination": told.pop("destination"),
        "format": told.pop("format"),
        "frames": scan.frame_count,
        **told,
    }
    print_json(document, output)


def print_plan(plan: ptystore.WritePlan, output: Output) -> None:
    """What `write` would do."""
    for line in plan.warnings:
        warn(line, output)
    rows = [
        [
            field.name,
            field.dtype,
            by(field.shape),
            format_bytes(field.nbytes),
            *(by(getattr(field, cut)) for cut in plan.columns),
        ]
        for field in plan.fields
    ]
    say(table(["field", "dtype", "shape", ">bytes", *plan.columns], rows), output)
    peak = format_bytes(plan.peak_bytes)
    say(
        f"\nwould write {printable(plan.path)} ({plan.kind}): {format_bytes(plan.nbytes)} "
        f"uncompressed, {plural(plan.jobs, 'worker')}, peak memory {peak}",
        output,
    )
    print_json({"dry_run": True, **plan.to_dict()}, output)


def print_study(report: ptystore.StudyReport, output: Output) -> None:
    """What a study left, and how much of it was there before."""
    say(
        f"{printable(report.hub)}: {plural(len(report.products), 'product')}, "
        f"{len(report.reused)} of them used again, {report.seconds:.2f} s; "
        "see summary/summary.md",
        output,
    )
    print_json(report.to_dict(), output)
