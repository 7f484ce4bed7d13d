"""Verify: everything that a store or file records of itself, compared with what is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ptystore.dataset import Dataset, Field
from ptystore.errors import DamagedInputError, IntegrityError, PtystoreError
from ptystore.formats import (
    Kind,
    WriteOptions,
    compute_digests,
    kind_of_source,
    open_dataset,
)
from ptystore.formats.manifest import MANIFEST_NAME, compare, read_manifest
from ptystore.formats.writing import HashSink, Progress

__all__ = ["VerifyReport", "verify_path"]

# To whoever reads an .npz, damage in it is bad input; here it is what was looked for.
_DAMAGE = (IntegrityError, DamagedInputError)


@dataclass(frozen=True)
class VerifyReport:
    """What was checked and what was found: `damage` has one line for each finding.

    `digests` are those computed; `recorded` says how many fields had one to compare with.
    """

    path: Path
    kind: Kind
    digests: dict[str, str]
    recorded: int
    files: int
    damage: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damage


def verify_path(
    path: Path, options: WriteOptions, *, progress: Progress | None = None
) -> VerifyReport:
    """Check every file against the manifest, every chunk, and every recorded digest."""
    kind = kind_of_source(path)
    damage: list[str] = []
    files = 1
    digests: dict[str, str] = {}
    recorded = 0
    try:
        if kind == "zarr" and is_written_by_us(path):
            manifest = read_manifest(path)
            files = len(manifest) + 1
            damage += [f"{one.key}: {one.problem}" for one in compare(path, manifest)]
        dataset = open_dataset(path)
        recorded = sum(one.digest is not None for one in dataset.values())
        digests = _compared(dataset, options, progress, damage)
    except _DAMAGE as error:
        damage.append(_line(error))
    return VerifyReport(path, kind, digests, recorded, files, tuple(damage))


def is_written_by_us(path: Path) -> bool:
    """Whether a Zarr folder is ptystore's, damaged or not."""
    from ptystore.formats.zarr_reader import is_our_zarr

    return is_our_zarr(path) or (path / MANIFEST_NAME).is_file()


def _compared(
    dataset: Dataset, options: WriteOptions, progress: Progress | None, damage: list[str]
) -> dict[str, str]:
    """The digests of the fields that can be read whole; what is wrong goes into `damage`."""
    digests: dict[str, str] = {}
    for field in dataset.values():
        one = Dataset({field.name: field}, None, dataset.source)
        try:
            digests |= compute_digests(one, options, progress=progress)
        except _DAMAGE:
            damage += _damaged_ranges(field)
            continue
        if field.digest is not None and digests[field.name] != field.digest:
            damage.append(
                f"{field.name}: the values are not those that were written: "
                f"their digest is {digests[field.name][:16]}…, recorded is {field.digest[:16]}…"
            )
    return digests


def _damaged_ranges(field: Field) -> list[str]:
    """A line for each range of a field that can't be read, chunk by chunk."""
    chunk_shape = field.storage.chunk_shape if field.storage else None
    layout = HashSink().layout(field)
    step = chunk_shape[field.array.axis] if chunk_shape else layout.block_rows
    found: list[str] = []
    for start in range(0, layout.rows, step):
        try:
            field.array.read(start, min(start + step, layout.rows))
        except _DAMAGE as error:
            line = _line(error)
            if line not in found:
                found.append(line)
    return found or [f"{field.name}: could not be read at first, but could be again"]


def _line(error: PtystoreError) -> str:
    return ": ".join(part for part in (error.member, error.reason) if part)
