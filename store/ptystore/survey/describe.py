"""What headers tell of a scan, as one JSON object."""

from __future__ import annotations

from typing import Any

from ptystore.errors import InputError
from ptystore.model.dataset import Dataset, Field
from ptystore.model.deferred import known_attrs
from ptystore.model.geometry import Geometry, RawFrame
from ptystore.survey.completing import completing_commands, lacks_of

__all__ = ["describe_dataset"]


def describe_dataset(
    dataset: Dataset, kind: str | None, stored_bytes: int | None, *, is_raw: bool = False
) -> dict[str, Any]:
    """All that is known of a dataset without reading or computing a value.

    `kind` is the name of its source's format and `stored_bytes` its size there, None of a
    dataset in memory; `is_raw` says that frames are as a detector's files have them.
    """
    metadata = dataset.metadata
    dims = dataset.dims()
    remarks = list(dataset.source.remarks) if dataset.source else []
    geometry, raw_frame = _geometry(dataset, remarks)
    lacks = lacks_of(dataset, geometry, raw_frame, is_raw=is_raw)
    understood = dataset.source.understood if dataset.source else None
    return {
        "file": dataset.file,
        "format": kind,
        "frames": dataset.frame_count,
        "bytes": dataset.largest_nbytes,
        "stored_bytes": stored_bytes,
        "digest": dataset.source.digest if dataset.source else None,
        "understood": understood.to_dict() if understood else None,
        "remarks": remarks,
        "fields": [_described(field, dims[field.name]) for field in dataset.values()],
        "geometry": geometry.to_json(),
        "raw_frame": raw_frame.to_json() if raw_frame else None,
        "missing": [lack.to_dict() for lack in lacks],
        "completed_by": completing_commands(dataset, lacks),
        "metadata": metadata.document if metadata and metadata.text is None else None,
        "metadata_text": metadata.text if metadata else None,
    }


def _geometry(dataset: Dataset, remarks: list[str]) -> tuple[Geometry, RawFrame | None]:
    """What the document says of the experiment; nonsense is nothing, and is remarked."""
    try:
        return dataset.geometry, RawFrame.of(dataset.metadata)
    except InputError as error:
        remarks.append(error.reason)
        return Geometry(), None


def _described(field: Field, dims: tuple[str, ...]) -> dict[str, Any]:
    storage = field.storage
    chunk, shard = (storage.chunk_shape, storage.shard_shape) if storage else (None, None)
    attrs = known_attrs(field.attrs)
    return {
        "name": field.name,
        "role": field.role,
        "frame_axis": field.frame_axis,
        "dims": list(dims),
        "shape": list(field.shape),
        "dtype": " or ".join(map(str, field.possible_dtypes)),
        "units": attrs.get("units"),
        "signal": attrs.get("signal"),
        "attrs": attrs,
        "bytes": field.largest_nbytes,
        "stored_bytes": storage.stored_bytes if storage else None,
        "codec": storage.codec if storage else None,
        "chunk": None if chunk is None else list(chunk),
        "shard": None if shard is None else list(shard),
        "digest": field.digest,
    }
