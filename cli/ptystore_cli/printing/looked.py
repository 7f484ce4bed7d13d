"""What is in a scan: its fields, history, digests and overlap."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptystore_cli.options import Output
from ptystore_cli.printing.understood import print_experiment, understood_line
from ptystore_cli.printing.words import by, plural, print_json
from ptystore_cli.terminal import (
    format_bytes,
    format_ratio,
    printable,
    say,
    shortened,
    table,
)

if TYPE_CHECKING:
    import ptystore

__all__ = ["print_description", "print_digests", "print_history", "print_overlap"]

# Digits of a digest that tell stores apart at a glance.
_SHORT = 10

# Parameters, and inputs, of a record that its line shows; --json shows all.
_MANY = 50

# What `info` shows of the physics parameters.
_SUMMARY = ("nphotons", "N", "gridsize")

_METRICS = {
    "metric1": "a frame with its 3 nearest",
    "metric2": "a position with its nearest",
    "metric3": "a group with groups nearby",
}


def print_description(scan: ptystore.Dataset, about: Mapping[str, Any], output: Output) -> None:
    """`info`: tables that fit a narrow terminal, of what `ptystore.describe` says."""
    if output.json or output.quiet:
        print_json(about, output)
        return
    fields = about["fields"]
    stored = about["stored_bytes"]
    size = f"{format_bytes(about['bytes'])} in {format_bytes(stored)}"
    say(f"{printable(about['file'])}", output)
    frames = "no frames" if about["frames"] is None else plural(about["frames"], "frame")
    ratio = format_ratio(about["bytes"], stored)
    say(f"{about['format']}, {frames}, {size}{f' ({ratio})' if ratio else ''}", output)
    taken = understood_line(about)
    if taken:
        say(taken, output)
    if about["digest"]:
        say(f"digest {about['digest']}", output)
    say(_metadata_line(scan.metadata), output)
    say("", output)
    what = [
        [
            field["name"],
            field["role"].replace("_", " "),
            _dims(field),
            field["dtype"],
            field["units"] or "",
            field["signal"] or "",
        ]
        for field in fields
    ]
    say(table(["field", "role", "dims and shape", "dtype", "units", "signal"], what), output)
    say("", output)
    where = [
        [
            field["name"],
            by(field["chunk"]),
            by(field["shard"]),
            field["codec"] or "",
            "" if field["stored_bytes"] is None else format_bytes(field["stored_bytes"]),
            format_ratio(field["bytes"], field["stored_bytes"]),
            (field["digest"] or "")[:_SHORT],
        ]
        for field in fields
    ]
    columns = ["field", "chunk", "shard", "codec", ">stored", ">ratio", "digest"]
    # Columns that say nothing of any field (an NPZ has no chunks) are left out.
    kept = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in where)]
    say(table([columns[i] for i in kept], [[row[i] for i in kept] for row in where]), output)
    print_experiment(about, output)


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
    return "metadata: " + ", ".join([*known, plural(len(history), "transformation")])


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
        named = islice(parameters.items(), _MANY)
        words += [f"{_value(name)}={_value(value)}" for name, value in named]
        words += ["…"] if len(parameters) > _MANY else []
    inputs = inputs if isinstance(inputs, list) else []
    for source in inputs[:_MANY]:
        if isinstance(source, Mapping):
            digest = source.get("digest")
            short = f" ({_value(digest)[:_SHORT]})" if digest else ""
            dialect = f" as {_value(source['dialect'])}" if source.get("dialect") else ""
            words.append(f"from {_value(source.get('file', '?'))}{short}{dialect}")
    return "  ".join([*words, *(["…"] if len(inputs) > _MANY else [])])


def _value(value: object) -> str:
    """A value of a JSON document, cut short where it is long; text without its quotes."""
    return printable(shortened(value if isinstance(value, str) else json.dumps(value)))


def print_digests(
    scan: ptystore.Dataset,
    fields: Mapping[str, str | None],
    whole: str | None,
    recorded: bool,
    output: Output,
) -> None:
    """`digest`: a line for each field and one for the whole, as sha256sum has them.

    The JSON can be signed: the same scan gives the same bytes, wherever it lies.
    """
    for name, digest in [*fields.items(), ("(all)", whole)]:
        say(f"{digest or '-' * 64}  {printable(name)}", output)
    if output.json:
        import ptystore

        document = ptystore.digest_document(scan, fields, whole)
        print_json({**document, "recorded": recorded}, output)


def print_overlap(src: Path, measured: ptystore.MeasuredOverlap, output: Output) -> None:
    """The overlap metrics of a scan's positions."""
    say(
        f"{printable(src)}: {plural(measured.metrics.frames, 'frame')}, "
        f"{measured.metrics.unique_positions} different positions",
        output,
    )
    _say_metrics(measured.metrics, measured.diameter_from, output)
    if measured.wide is not None:
        _say_metrics(measured.wide, "0.6 of the frame width", output)
    print_json({"file": str(src), **measured.to_dict()}, output)


def _say_metrics(metrics: ptystore.OverlapMetrics, how: str, output: Output) -> None:
    """A line for the discs, whose diameter `how` tells the origin of, and one for each metric."""
    say(f"discs of {metrics.diameter:.2f} px ({how})", output)
    for name, meaning in _METRICS.items():
        value = getattr(metrics, name)
        shown = metrics.reasons.get(name, "none") if value is None else f"{value:.4f}"
        say(f"  {name}  {shown}  {meaning}", output)
