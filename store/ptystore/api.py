"""The front door's functions: paths in and out as `str` or `os.PathLike`, options by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ptystore.errors import InputError
from ptystore.formats import (
    ReadOptions,
    WriteOptions,
    WritePlan,
    WriteReport,
    compute_digests,
    kind_of_source,
    open_dataset,
    plan_write,
    size_on_disk,
    write_dataset,
)
from ptystore.formats.assemble import signal_of
from ptystore.formats.verify import VerifyReport, verify_path
from ptystore.formats.virtual import materialized
from ptystore.formats.zarr.repair import RepairReport, repair_store
from ptystore.model.content_digest import combined_digest
from ptystore.model.contract import DIFFRACTION_NAMES, dimension_names, standard_attrs
from ptystore.model.dataset import Dataset, Field, memory_field
from ptystore.model.lazy_array import Array
from ptystore.model.metadata import Metadata
from ptystore.model.roles import AxisOrder, decide_frame_axes
from ptystore.model.strict_json import normalise
from ptystore.transfer.one_pass import DEFAULT_MAX_MEMORY, Progress
from ptystore.transforms.naming import DiffractionKey, with_diffraction_key

__all__ = [
    "dataset_of",
    "describe",
    "digest",
    "export",
    "load_npz",
    "materialize",
    "open",
    "plan",
    "repair",
    "save_npz",
    "verify",
    "write",
]

PathLike = str | os.PathLike[str]
Signal = Literal["amplitude", "counts"]
Compression = Literal["deflate", "store"]


def open(
    path: PathLike,
    *,
    axis_order: AxisOrder | None = None,
    per_frame: tuple[str, ...] = (),
    global_: tuple[str, ...] = (),
    signal: Signal | None = None,
    metadata: Literal["strict", "keep-text"] = "strict",
    allow_nonfinite: bool = False,
    max_bytes: int | None = None,
) -> Dataset:
    """The scan in a `.npz`, Zarr store or HDF5 file, lazily: only headers are read.

    Parameters
    ----------
    axis_order : the order of stacks, ``"nhw"`` or ``"hwn"``, where lengths don't tell.
    per_frame, global_ : names of arrays whose role is not what it would be taken for.
    signal : what floating-point frames are; integers are always counts.
    metadata : ``"keep-text"`` keeps a document that is no valid JSON as it is.
    allow_nonfinite : let NaN and infinite scan positions pass when it is written.
    max_bytes : refuse a source that declares more than this, uncompressed.

    Raises `InputError` (a `ValueError`), `InputMissingError` (a `FileNotFoundError`) and,
    for a damaged store of ptystore's own, `IntegrityError`.
    """
    options = ReadOptions(
        axis_order, tuple(per_frame), tuple(global_), signal, metadata, allow_nonfinite, max_bytes
    )
    return open_dataset(Path(path), options)


def write(
    dataset: Dataset,
    path: PathLike,
    *,
    overwrite: bool = False,
    jobs: int | None = None,
    max_memory: int = DEFAULT_MAX_MEMORY,
    compression: Compression = "deflate",
    level: int | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> WriteReport:
    """Write a dataset in one pass to a path ending in .npz, .zarr, .h5 or .hdf5.

    The destination is complete when this returns, and absent (or the old one) if it
    raises. `max_memory` (bytes, beside the global arrays) limits the workers, `jobs` is
    their number, by default one a core. `progress` is called with the uncompressed bytes
    finished since its last call, `warn` with each line that a user should see; the lines
    are in the report too. `compression` is that of an `.npz`; the `level` of its deflate is
    0 to 3 (isal, quick) or 4 to 9 (zlib, smaller and far slower), by default 3 for
    integers and 2 for floating point.

    Raises `DestinationError` before anything is read; `InputError`, `IntegrityError`,
    `StorageError`; `ParameterError` for a level that does not go with the compression.
    """
    options = WriteOptions(overwrite, jobs, max_memory, compression, level)
    return write_dataset(dataset, Path(path), options, progress=progress, warn=warn)


def plan(
    dataset: Dataset,
    path: PathLike,
    *,
    overwrite: bool = False,
    jobs: int | None = None,
    max_memory: int = DEFAULT_MAX_MEMORY,
) -> WritePlan:
    """What `write` would do, without reading or writing a value: fields, cuts, peak memory."""
    return plan_write(dataset, Path(path), WriteOptions(overwrite, jobs, max_memory))


def export(
    dataset: Dataset,
    path: PathLike,
    *,
    diffraction_key: DiffractionKey = "as-is",
    **options: Any,
) -> WriteReport:
    """Write a dataset for legacy consumers: `write`, with the name that they know the frames by."""
    return write(with_diffraction_key(dataset, diffraction_key), path, **options)


def describe(source: Dataset | PathLike) -> dict[str, Any]:
    """All that headers tell of a scan, as one JSON object; no value is read.

    Sizes are in bytes, uncompressed unless they are called stored; digests are those that the
    source records. What is not known, or not so in memory, is None.
    """
    dataset = source if isinstance(source, Dataset) else open(source)
    path = dataset.source.path if dataset.source else None
    metadata = dataset.metadata
    shapes = {one.name: one.shape for one in dataset.fields.values()}
    dims = dimension_names(shapes, {one.name: one.frame_axis for one in dataset.fields.values()})
    return {
        "file": dataset.file,
        "format": kind_of_source(path) if path else None,
        "frames": dataset.frame_count,
        "bytes": dataset.nbytes,
        "stored_bytes": size_on_disk(path) if path else None,
        "digest": dataset.source.digest if dataset.source else None,
        "fields": [_described(one, dims[one.name]) for one in dataset.fields.values()],
        "metadata": metadata.document if metadata and metadata.text is None else None,
        "metadata_text": metadata.text if metadata else None,
    }


def _described(field: Field, dims: tuple[str, ...]) -> dict[str, Any]:
    storage = field.storage
    chunk, shard = (storage.chunk_shape, storage.shard_shape) if storage else (None, None)
    return {
        "name": field.name,
        "role": field.role,
        "frame_axis": field.frame_axis,
        "dims": list(dims),
        "shape": list(field.shape),
        "dtype": str(field.dtype),
        "units": field.attrs.get("units"),
        "signal": field.attrs.get("signal"),
        "attrs": dict(field.attrs),
        "bytes": field.nbytes,
        "stored_bytes": storage.stored_bytes if storage else None,
        "codec": storage.codec if storage else None,
        "chunk": None if chunk is None else list(chunk),
        "shard": None if shard is None else list(shard),
        "digest": field.digest,
    }


def materialize(dataset: Dataset) -> Dataset:
    """The same scan, whose virtual fields `write` writes out as values."""
    return materialized(dataset)


def digest(
    source: Dataset | PathLike, *, jobs: int | None = None, progress: Progress | None = None
) -> tuple[dict[str, str], str]:
    """The content digests (BLAKE3, hexadecimal) of each field, and of the whole.

    Computed from the values, in one pass; what a store records is `Field.digest`.
    """
    dataset = source if isinstance(source, Dataset) else open(source)
    fields = compute_digests(dataset, WriteOptions(jobs=jobs), progress=progress)
    return fields, combined_digest(fields)


def verify(
    path: PathLike,
    *,
    fast: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a store or file against everything that it records of itself.

    Every file is compared with the manifest (length and CRC32C), every chunk decoded, every
    digest computed; `fast` compares lengths and headers only. `progress` is called as by
    `write`. Damage is in the report, not raised. Raises `InputError` for what is no scan at
    all, `StorageError` where the system can't read.
    """
    return verify_path(Path(path), WriteOptions(jobs=jobs), fast=fast, progress=progress)


def repair(
    path: PathLike,
    source: PathLike,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> RepairReport:
    """Write the damaged frames of a Zarr store again, from a source of the same values.

    What is damaged is found as by `verify`. Of each damaged field the source's digest must
    be the one that the store records; undamaged chunks are kept byte for byte, and files
    that other stores share are not changed for those. It may be stopped at any point and run again.

    Raises `DestinationError` for what is no store of ptystore's that can be written,
    `InputError` where the source does not hold the same values, `IntegrityError` where the
    root document or the source is damaged, `StorageError`.
    """
    options = WriteOptions(jobs=jobs)
    return repair_store(Path(path), Path(source), options, progress=progress, warn=warn)


def dataset_of(
    arrays: Mapping[str, Any],
    metadata: Metadata | None = None,
    *,
    attrs: Mapping[str, Mapping[str, Any]] | None = None,
) -> Dataset:
    """A dataset of arrays in memory; roles, and what frames are, are decided as for a file.

    `attrs` are attributes by field, such as ``{"diffraction": {"signal": "counts"}}``;
    they must be JSON, numpy's numbers accepted. Raises `InputError`.
    """
    values = {name: np.asarray(one) for name, one in arrays.items()}
    axes = decide_frame_axes({name: one.shape for name, one in values.items()})
    fields = {}
    for name, one in values.items():
        axis = axes[name]
        role: Literal["global", "per_frame"] = "global" if axis is None else "per_frame"
        given = normalise((attrs or {}).get(name, {}))
        signal = None
        if name in DIFFRACTION_NAMES:
            signal = given.get("signal") or signal_of(one.dtype, metadata)
        given = standard_attrs(name, signal) | given
        fields[name] = memory_field(name, one, role, axis=axis or 0, attrs=given)
    return Dataset(fields, metadata)


def load_npz(path: PathLike) -> tuple[dict[str, Array], Metadata | None]:
    """All arrays of a small `.npz` in memory, and its metadata, whatever form it has.

    Raises as `open` does; nothing is ever unpickled.
    """
    path = Path(path)
    if kind_of_source(path) != "npz":
        raise InputError("is not a .npz file", file=path)
    dataset = open_dataset(path)
    return {name: one.values() for name, one in dataset.fields.items()}, dataset.metadata


def save_npz(
    path: PathLike,
    arrays: Mapping[str, Any],
    metadata: Metadata | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write arrays in memory and a metadata document as a pickle-free `.npz`.

    Raises as `write` does.
    """
    write(dataset_of(arrays, metadata), path, overwrite=overwrite)
