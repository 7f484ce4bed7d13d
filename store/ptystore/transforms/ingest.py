"""Ingest: the scan as it is, with a record of where it came from."""

from __future__ import annotations

import dataclasses

from ptystore.model.dataset import Dataset

__all__ = ["ingest"]


def ingest(dataset: Dataset) -> Dataset:
    """The same fields, verbatim, and an `ingest` record at the end of the history.

    A metadata document that was kept as text is left as it is: a record would change it.
    """
    if dataset.metadata is not None and dataset.metadata.text is not None:
        return dataset
    recorded = dataset.transformed(
        dataset.fields.values(),
        "ingest",
        {
            "frames": dataset.frame_count,
            "per_frame": [field.name for field in dataset.values() if field.role == "per_frame"],
            "global": [field.name for field in dataset.values() if field.role == "global"],
        },
    )
    # Nothing was changed, so the digest found while writing is that of the input.
    return dataclasses.replace(recorded, source=dataset.source, fills_input_digest=True)
