"""What the verbs print on success: for people, or as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptystore_cli.options import Output
from ptystore_cli.terminal import format_bytes, format_ratio, printable, say, table

if TYPE_CHECKING:
    import ptystore

__all__ = [
    "print_description",
    "print_digests",
    "print_history",
    "print_json",
    "print_plan",
    "print_problems",
    "print_repaired",
    "print_verified",
    "print_written",
]

# Digits of a digest that tell stores apart at a glance.
_SHORT = 10

# What `info` shows of the physics parameters.
_SUMMARY = ("nphotons", "N", "gridsize")


def print_json(document: Mapping[str, Any], output: Output) -> None:
    """The one JSON object of a verb, where it is asked for; plain ASCII, so safe anywhere."""
    if output.json:
        print(json.dumps(document, allow_nan=False, indent=2))


def print_written(report: Any, scan: ptystore.Dataset, output: Output) -> None:
    """What `write` did: frames, fields, sizes, time."""
    fields = len(report.digests)
    count = "" if scan.frame_count is None else f"{_plural(scan.frame_count, 'frame')}, "
    ratio = format_ratio(report.nbytes, report.stored_bytes)
    say(
        f"wrote {printable(report.path)}: {count}{_plural(fields, 'field')}, "
        f"{format_bytes(report.nbytes)} in {format_bytes(report.stored_bytes)}"
        f"{f' ({ratio})' if ratio else ''}, {report.seconds:.2f} s",
        output,
    )
    document = {
        "source": scan.file,
        "destination": str(report.path),
        "format": report.kind,
        "frames": scan.frame_count,
        "fields": report.digests,
        "digest": report.digest,
        "bytes": report.nbytes,
        "stored_bytes": report.stored_bytes,
        "seconds": round(report.seconds, 3),
        "warnings": list(report.warnings),
    }
    print_json(document, output)


def print_plan(plan: Any, output: Output) -> None:
    """What `write` would do."""
    columns = ["field", "dtype", "shape", ">bytes"]
    if plan.kind != "npz":
        columns.append("chunk")
    if plan.kind == "zarr":
        columns.append("shard")
    rows = [
        [
            one["name"],
            one["dtype"],
            _by(one["shape"]),
            format_bytes(one["bytes"]),
            _by(one["chunk"]),
            _by(one["shard"]),
        ][: len(columns)]
        for one in plan.fields
    ]
    say(table(columns, rows), output)
    peak = format_bytes(plan.peak_bytes)
    say(
        f"\nwould write {printable(plan.path)} ({plan.kind}): {format_bytes(plan.nbytes)} "
        f"uncompressed, {_plural(plan.jobs, 'worker')}, peak memory {peak}",
        output,
    )
    document = {
        "dry_run": True,
        "destination": str(plan.path),
        "format": plan.kind,
        "fields": plan.fields,
        "bytes": plan.nbytes,
        "jobs": plan.jobs,
        "peak_bytes": plan.peak_bytes,
    }
    print_json(document, output)


def print_description(scan: ptystore.Dataset, about: Mapping[str, Any], output: Output) -> None:
    """`info`: two tables, that fit a narrow terminal, of what `ptystore.describe` says."""
    fields = about["fields"]
    stored = about["stored_bytes"]
    size = f"{format_bytes(about['bytes'])} in {format_bytes(stored)}"
    say(f"{printable(about['file'])}", output)
    frames = "no frames" if about["frames"] is None else _plural(about["frames"], "frame")
    ratio = format_ratio(about["bytes"], stored)
    say(f"{about['format']}, {frames}, {size}{f' ({ratio})' if ratio else ''}", output)
    if about["digest"]:
        say(f"digest {about['digest']}", output)
    say(_metadata_line(scan.metadata), output)
    say("", output)
    what = [
        [
            one["name"],
            one["role"].replace("_", " "),
            _dims(one),
            one["dtype"],
            one["units"] or "",
            one["signal"] or "",
        ]
        for one in fields
    ]
    say(table(["field", "role", "dims and shape", "dtype", "units", "signal"], what), output)
    say("", output)
    where = [
        [
            one["name"],
            _by(one["chunk"]),
            _by(one["shard"]),
            one["codec"] or "",
            "" if one["stored_bytes"] is None else format_bytes(one["stored_bytes"]),
            format_ratio(one["bytes"], one["stored_bytes"]),
            (one["digest"] or "")[:_SHORT],
        ]
        for one in fields
    ]
    columns = ["field", "chunk", "shard", "codec", ">stored", ">ratio", "digest"]
    # Columns that say nothing of any field (an NPZ has no chunks) are left out.
    kept = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in where)]
    say(table([columns[i] for i in kept], [[row[i] for i in kept] for row in where]), output)
    print_json(about, output)


def _dims(field: Mapping[str, Any]) -> str:
    """``scan 64, ky 64, kx 64``; an axis that is only called NAME_1 needs no name here."""
    named = zip(field["dims"], field["shape"], strict=True)
    made_up = f"{field['name']}_"
    return ", ".join(str(n) if dim.startswith(made_up) else f"{dim} {n}" for dim, n in named)


def _metadata_line(metadata: ptystore.Metadata | None) -> str:
    from ptystore import PtystoreError

    if metadata is None:
        return "metadata: none"
    if metadata.text is not None:
        return f"metadata: kept as text, {len(metadata.text)} characters, no valid JSON"
    try:
        physics, history = metadata.physics, metadata.history
    except PtystoreError as error:
        return f"metadata: {printable(error.reason)}"
    known = [f"{name} {_value(physics[name])}" for name in _SUMMARY if name in physics]
    return "metadata: " + ", ".join([*known, _plural(len(history), "transformation")])


def print_history(scan: ptystore.Dataset, output: Output) -> None:
    """One line a record, oldest first."""
    records = scan.metadata.history if scan.metadata else []
    for record in records:
        say(_record_line(record), output)
    if not records:
        say("no transformation is recorded", output)
    print_json({"file": scan.file, "history": records}, output)


def _record_line(record: Mapping[str, Any]) -> str:
    """A record on one line; a file may hold anything in any of its places."""
    parameters, inputs = record.get("parameters"), record.get("inputs")
    words = [_value(record.get(key, "?")) for key in ("timestamp", "tool", "operation")]
    if isinstance(parameters, Mapping):
        words += [f"{printable(name)}={_value(value)}" for name, value in parameters.items()]
    for one in inputs if isinstance(inputs, list) else []:
        if isinstance(one, Mapping):
            digest = one.get("digest")
            short = f" ({_value(digest)[:_SHORT]})" if digest else ""
            words.append(f"from {_value(one.get('file', '?'))}{short}")
    return "  ".join(words)


def print_problems(problems: Sequence[Any], source: Path, output: Output) -> None:
    """`validate`: a line for each problem."""
    for one in problems:
        say(printable(one), output)
    found = _plural(len(problems), "problem") if problems else "no problems"
    say(f"{printable(source)}: {found}", output)
    listed = [{"field": p.field, "kind": p.kind, "message": p.message} for p in problems]
    print_json({"file": str(source), "ok": not problems, "problems": listed}, output)


def print_verified(report: Any, output: Output) -> None:
    """`verify`: what was compared, or a line for each damage."""
    for line in report.damage:
        say(printable(line), output)
    if report.ok:
        against = (
            f"{report.recorded} of them as their recorded digests say"
            if report.recorded
            else "no recorded digests to compare with"
        )
        if report.recorded == len(report.digests) > 0:
            against = "all as their recorded digests say"
        files, fields = _plural(report.files, "file"), _plural(len(report.digests), "field")
        say(f"OK: {printable(report.path)}: {files}, {fields} read whole, {against}", output)
    document = {
        "file": str(report.path),
        "format": report.kind,
        "ok": report.ok,
        "damage": list(report.damage),
        "files": report.files,
        "digests": report.digests,
        "recorded": report.recorded,
    }
    print_json(document, output)


def print_repaired(report: Any, output: Output) -> None:
    """`repair`: what was damaged, which files were written, and what `verify` says after it."""
    for one in report.findings:
        say(f"was damaged: {printable(one)}", output)
    for key in report.rewritten:
        say(f"wrote {printable(key)}", output)
    for line in report.verified.damage:
        say(f"still damaged: {printable(line)}", output)
    if report.ok:
        files = _plural(len(report.rewritten), "file")
        say(f"OK: {printable(report.path)}: {files} written, nothing is damaged", output)
    document = {
        "file": str(report.path),
        "ok": report.ok,
        "damage": [str(one) for one in report.findings],
        "rewritten": list(report.rewritten),
        "still_damaged": list(report.verified.damage),
    }
    print_json(document, output)


def print_digests(
    source: Path,
    fields: Mapping[str, str | None],
    whole: str | None,
    recorded: bool,
    output: Output,
) -> None:
    """`digest`: a line for each field and one for the whole, as sha256sum has them."""
    for name, digest in [*fields.items(), ("(all)", whole)]:
        say(f"{digest or '-' * 64}  {printable(name)}", output)
    document = {
        "file": str(source),
        "recorded": recorded,
        "fields": dict(fields),
        "digest": whole,
    }
    print_json(document, output)


def _value(value: Any) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value))


def _by(shape: Sequence[int] | None) -> str:
    return "×".join(str(n) for n in shape or ())


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def print_overlap(src: Path, measured: Any, output: Output) -> None:
    """The overlap metrics of a scan's positions."""
    metrics = measured.metrics
    say(
        f"{printable(src)}: {_plural(metrics.frames, 'frame')}, "
        f"{metrics.unique_positions} different positions",
        output,
    )
    for one in (metrics, measured.wide):
        if one is None:
            continue
        how = measured.diameter_from if one is metrics else "0.6 of the frame width"
        say(f"discs of {one.diameter:.2f} px ({how})", output)
        for name, meaning in _METRICS.items():
            value = getattr(one, name)
            shown = one.reasons.get(name, "none") if value is None else f"{value:.4f}"
            say(f"  {name}  {shown}  {meaning}", output)
    print_json({"file": str(src), **measured.to_dict()}, output)


def print_study(done: Any, output: Output) -> None:
    """What a study left, and how much of it was there before."""
    say(
        f"{printable(done.hub)}: {_plural(len(done.products), 'product')}, "
        f"{len(done.reused)} of them used again, {done.seconds:.2f} s; "
        "see summary/summary.md",
        output,
    )
    document = {
        "hub": str(done.hub),
        "products": [one.to_dict() for one in done.products],
        "reused": list(done.reused),
        "seconds": round(done.seconds, 3),
    }
    print_json(document, output)


_METRICS = {
    "metric1": "a frame with its 3 nearest",
    "metric2": "a position with its nearest",
    "metric3": "a group with groups nearby",
}
