"""A scan whose metadata tell of no person and no machine."""

from __future__ import annotations

import dataclasses

from ptystore.errors import InputError
from ptystore.model.anonymity import anonymous_document
from ptystore.model.dataset import Dataset
from ptystore.model.metadata import Metadata

__all__ = ["anonymized"]


def anonymized(dataset: Dataset) -> Dataset:
    """The same scan without hosts, users and folders in its metadata document.

    Raises InputError for metadata kept as text, in which these can't be told apart.
    """
    metadata = dataset.metadata
    if metadata is None:
        return dataset
    if metadata.text is not None:
        raise InputError(
            "is kept as text that is no valid JSON: names and paths can't be taken out of it",
            file=dataset.file,
            member="_metadata",
        )
    return dataclasses.replace(dataset, metadata=Metadata(anonymous_document(metadata.document)))
