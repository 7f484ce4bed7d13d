"""What checking has in common for every format: values against the digests on record."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from ptystore.errors import PtystoreError
from ptystore.formats.assemble import Contents, ReadOptions, assemble
from ptystore.formats.value_check import check_values
from ptystore.model.content_digest import combined_digest
from ptystore.model.dataset import Dataset
from ptystore.model.results import Damage, VerifyReport
from ptystore.pools.threads import borrowed
from ptystore.transfer.one_pass import HashSink, plan_workers
from ptystore.transfer.options import CheckOptions, WorkOptions

__all__ = [
    "check_contents",
    "read_values",
    "recorded",
    "unlike_records",
    "unreadable",
]


def check_contents(
    kind: str, contents: Contents, path: Path, options: CheckOptions, *, tables: bool = False
) -> VerifyReport:
    """Check what a format's own reader found in the one file, or the foreign store, at `path`.

    With `fast` nothing more is read, or, with `tables`, what leads to the values.
    """
    fields = assemble(contents, ReadOptions(), path)
    if options.fast and tables:
        for field in fields.values():
            field.array.prepare(None)
    digests, damages = ({}, []) if options.fast else read_values(fields, options)
    damages += unlike_records(contents, fields, digests, {damage.member for damage in damages})
    return VerifyReport(
        path=path,
        kind=kind,
        digests=digests,
        recorded=recorded(fields),
        files=1,
        damages=tuple(damages),
        remarks=contents.remarks,
    )


def unreadable(kind: str, path: Path, error: PtystoreError) -> VerifyReport:
    """The report on a file so damaged that nothing of it can be read."""
    return VerifyReport(
        path=path, kind=kind, digests={}, recorded=0, files=1, damages=(Damage.of(error),)
    )


def read_values(fields: Dataset, options: WorkOptions) -> tuple[dict[str, str], list[Damage]]:
    """The digests of the fields that can be read whole, and the damage of the others."""
    layouts = [HashSink().layout(field) for field in fields.values()]
    workers = plan_workers(layouts, fields.global_bytes, options)
    digests, damages = {}, []
    with borrowed(options.pool, workers.jobs) as pool:
        for field in fields.values():
            digest, found = check_values(field, pool, workers.in_flight, options.progress)
            damages += found
            if digest is not None:
                digests[field.name] = digest
    return digests, damages


def recorded(fields: Dataset) -> int:
    """How many fields have a digest on record."""
    return sum(field.digest is not None for field in fields.values())


def unlike_records(
    contents: Contents,
    fields: Dataset,
    digests: dict[str, str],
    known: Collection[str | None],
) -> list[Damage]:
    """Values that can be read but are others than recorded, `known` damage left out."""
    found = [
        Damage(
            field.name,
            "the values are not those that were written: "
            f"their digest is {digests[field.name][:16]}…, recorded is {field.digest[:16]}…",
        )
        for field in fields.values()
        if field.name in digests
        and field.name not in known
        and field.digest is not None
        and digests[field.name] != field.digest
    ]
    return found + list(_whole(contents))


def _whole(contents: Contents) -> Iterable[Damage]:
    """Whether the digest of the whole is that of the fields' own, as they are recorded."""
    stored = {name: note.digest for name, note in (contents.notes or {}).items() if note.digest}
    if contents.digest is None or len(stored) < len(contents.arrays):
        return
    shown = stored
    if contents.virtual is not None:
        every = stored | contents.virtual.digests(stored)
        shown = {name: every[name] for name in contents.virtual.order if name in every}
    if combined_digest(shown) != contents.digest:
        yield Damage(None, "the recorded digest of the whole is not that of the recorded fields")
