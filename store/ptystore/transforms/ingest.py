"""Ingest: the scan as it is, with a record of where it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial

from ptystore.compute.whole_numbers import counts_by_content
from ptystore.model.contract import DIFFRACTION_NAMES
from ptystore.model.dataset import Check, Dataset, Field
from ptystore.model.signal import is_said

__all__ = ["ingest"]


def ingest(dataset: Dataset) -> Dataset:
    """The same fields, verbatim, and an `ingest` record at the end of the history.

    A warning is given, when they are written, where frames that pass for amplitude are counts
    by their content: whole numbers, larger than those of amplitude. A metadata document that
    was kept as text is left as it is: a record would change it.
    """
    checks = _content_checks(dataset)
    if dataset.metadata is not None and dataset.metadata.text is not None:
        return dataclasses.replace(dataset, checks=(*dataset.checks, *checks))
    recorded = dataset.transformed(
        dataset.fields.values(),
        "ingest",
        {
            "frames": dataset.frame_count,
            "per_frame": [field.name for field in dataset.values() if field.role == "per_frame"],
            "global": [field.name for field in dataset.values() if field.role == "global"],
        },
        checks=checks,
    )
    # Nothing was changed, so the digest found while writing is that of the input.
    return dataclasses.replace(recorded, source=dataset.source, fills_input_digest=True)


def _content_checks(dataset: Dataset) -> tuple[Check, ...]:
    """A look at each field of frames of which nobody says that they are amplitude."""
    frames = (dataset[name] for name in DIFFRACTION_NAMES if name in dataset)
    return tuple(
        partial(_name_counts, field)
        for field in frames
        if not is_said(field.possible_dtypes[0], field.attrs, dataset.metadata)
    )


def _name_counts(frames: Field) -> Iterable[str]:
    largest = counts_by_content(frames.array)
    if largest is not None:
        yield (
            f"{frames.name} holds whole numbers up to {largest:g}, as counts do, and passes for "
            "amplitude; say what it is: --input-signal counts, or --input-signal amplitude"
        )
