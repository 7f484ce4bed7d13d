"""Frames and positions of other tools' files that no program ever wrote."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ptystore.formats.assemble import RawArray
from ptystore.formats.chunked_array import DamagedInputRows
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, RECORD_NAMES
from ptystore.model.metadata import Metadata, Transformation

__all__ = ["MEASURED", "MaybeUnwritten", "Ranges", "fill_told", "gaps", "in_words", "never_written"]

#: Ranges of rows, first and last.
Ranges = list[tuple[int, int]]

#: What must have been measured; in any other array fill values are taken as they are.
MEASURED = (*DIFFRACTION_NAMES, *COORDINATE_NAMES)


@runtime_checkable
class MaybeUnwritten(Protocol):
    """A lazy array whose file tells which of its rows were written."""

    def missing(self) -> Ranges:
        """The rows that were never written, wholly or in part."""
        ...


def gaps(whole: Sequence[int], chunks: int, chunk: int, rows: int) -> Ranges:
    """The rows of an array that are in none of its `whole` chunks.

    Parameters
    ----------
    whole : numbers of the chunks that are there, of `chunks` along the axis, ascending.
    chunk, rows : rows of a chunk, and of the array.
    """
    edges = [-1, *whole, chunks]
    return [
        ((a + 1) * chunk, min(b * chunk, rows) - 1)
        for a, b in itertools.pairwise(edges)
        if b - a > 1
    ]


def never_written(rows: Ranges, *, file: Path, member: str) -> DamagedInputRows:
    """The error for rows that no program ever wrote."""
    error = DamagedInputRows(
        f"frames {in_words(rows)}: never written",
        file=file,
        member=member,
        advice="ptystore ingest SRC DST --missing fill takes the fill value for them",
    )
    error.found = (*rows[0], "never written")
    return error


def fill_told(
    arrays: Mapping[str, RawArray], metadata: Metadata | None
) -> tuple[Metadata | None, tuple[str, ...]]:
    """The metadata with a record of which frames and positions have the fill value; a line each."""
    filled: dict[str, Ranges] = {}
    for name in MEASURED:
        array = arrays[name].build(0) if name in arrays else None
        if isinstance(array, MaybeUnwritten) and (missing := array.missing()):
            filled[name] = missing
    if not filled:
        return metadata, ()
    record = Transformation(*RECORD_NAMES["fill"], parameters={"missing_frames": filled})
    return (metadata or Metadata.create()).with_record(record), tuple(
        f"{name}: frames {in_words(ranges)} were never written, and have the fill value"
        for name, ranges in filled.items()
    )


def in_words(ranges: Ranges) -> str:
    """``3, 7 to 11``, not endless."""
    words = [str(a) if a == b else f"{a} to {b}" for a, b in ranges[:8]]
    return ", ".join(words) + (f" and {len(ranges) - 8} more ranges" if len(ranges) > 8 else "")
