"""The front door's functions: paths in and out as `str` or `os.PathLike`, options by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import ReadOptions
from ptystore.formats.opening import open_dataset, read_stored
from ptystore.formats.table import format_of_source
from ptystore.formats.verify import verify_path
from ptystore.formats.virtual import materialized
from ptystore.formats.write import compute_digests, plan_write, size_on_disk, write_dataset
from ptystore.formats.zarr.repair import repair_store
from ptystore.model.anonymity import wants_anonymity
from ptystore.model.choices import (
    AxisOrder,
    Compression,
    DiffractionKey,
    Filters,
    MergeStrategy,
    MetadataMode,
    Missing,
    Role,
    Signal,
)
from ptystore.model.content_digest import combined_digest
from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS, standard_attrs
from ptystore.model.dataset import Dataset, memory_field
from ptystore.model.lazy_array import Array
from ptystore.model.loaded_arrays import LoadedArrays
from ptystore.model.metadata import Metadata
from ptystore.model.results import Digests, RepairReport, VerifyReport, WritePlan, WriteReport
from ptystore.model.roles import RoleOverrides, decide_frame_axes, override_frame_axes
from ptystore.model.signal import signal_of, stated_scale
from ptystore.model.strict_json import normalise
from ptystore.pools.base import Pool
from ptystore.survey.describe import describe_dataset
from ptystore.transfer.options import (
    DEFAULT_MAX_MEMORY,
    CheckOptions,
    Progress,
    WorkOptions,
    WriteOptions,
)
from ptystore.transforms.anonymize import anonymized
from ptystore.transforms.concat import concatenated
from ptystore.transforms.naming import with_diffraction_key

__all__ = [
    "dataset_of",
    "describe",
    "digest",
    "export",
    "join",
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
Warn = Callable[[str], None]


def _unheard(amount: int) -> None:
    """Progress that nobody asked for."""


def open(
    path: PathLike,
    *,
    axis_order: AxisOrder | None = None,
    per_frame: tuple[str, ...] = (),
    global_: tuple[str, ...] = (),
    signal: Signal | None = None,
    metadata: MetadataMode = "strict",
    allow_nonfinite: bool = False,
    max_bytes: int | None = None,
    skip: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
    missing: Missing = "refuse",
    filters: Filters = "listed",
    scan_shape: tuple[int, int] | None = None,
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
    skip : names of members to leave out, whatever is in them or wrong with them.
    rename : new names of members by their old ones; an old name may be one that no field can have.
    missing : ``"fill"`` takes a file's fill value for frames and positions never written.
    filters : ``"all"`` runs any HDF5 filter that is installed, not only well-known ones.
    scan_shape : (ny, nx) of positions that are stored as such a grid: they are put in a row.

    Raises `InputError` (a `ValueError`), `InputMissingError` (a `FileNotFoundError`),
    `ParameterError` for names that are not there, and, for a damaged store of ptystore's own,
    `IntegrityError`.
    """
    options = ReadOptions(
        axis_order=axis_order,
        per_frame=tuple(per_frame),
        global_=tuple(global_),
        signal=signal,
        metadata=metadata,
        allow_nonfinite=allow_nonfinite,
        max_bytes=max_bytes,
        skip=tuple(skip),
        rename=dict(rename or {}),
        missing=missing,
        filters=filters,
        scan_shape=None if scan_shape is None else (int(scan_shape[0]), int(scan_shape[1])),
    )
    return open_dataset(Path(path), options)


def join(
    paths: Iterable[PathLike],
    *,
    reading: Mapping[str, Any] | None = None,
    take: Mapping[str, int] | None = None,
    each: Collection[str] = (),
    leave_out: Collection[str] = (),
    merge: MergeStrategy = "preserve_first",
) -> Dataset:
    """The scans in several files as one, their frames after one another: `concat` of files.

    `reading` are keyword arguments of `open`, which hold for all of them. The record is called
    ``join``. Raises as `open` and `concat` do.
    """
    scans = [open(path, **(reading or {})) for path in paths]
    return concatenated("join", scans, take=take or {}, each=each, leave_out=leave_out, merge=merge)


def write(
    dataset: Dataset,
    path: PathLike,
    *,
    overwrite: bool = False,
    jobs: int | None = None,
    max_memory: int = DEFAULT_MAX_MEMORY,
    compression: Compression = "deflate",
    level: int | None = None,
    anonymous: bool | None = None,
    pool: Pool | None = None,
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> WriteReport:
    """Write a dataset in one pass to a path whose suffix says the format: .npz, .zarr, .h5, …

    The destination is complete when this returns, and absent (or the old one) if it
    raises. `max_memory` (bytes, beside the global arrays) limits the workers, `jobs` is
    their number, by default one a core; a `pool` of the caller's (`SerialPool`, `ThreadPool`)
    works in their place. `progress` is called with the uncompressed bytes finished since its
    last call, `warn` with each line that a user should see; the lines are in the report too.
    `compression` is that of an `.npz`; the `level` of its deflate is 0 to 3 (isal, quick) or
    4 to 9 (zlib, smaller and far slower), by default 3 for integers and 2 for floating point.
    `anonymous` leaves hosts, users and folders out of the metadata that are written; by default
    the environment variable PTYSTORE_ANONYMOUS decides.

    Raises `DestinationError` before anything is read; `InputError`, `IntegrityError`,
    `StorageError`; `ParameterError` for a level that does not go with the compression.
    """
    options = WriteOptions(
        overwrite=overwrite,
        jobs=jobs,
        max_memory=max_memory,
        compression=compression,
        level=level,
        pool=pool,
        progress=progress or _unheard,
    )
    if wants_anonymity(anonymous):
        dataset = anonymized(dataset)
    return write_dataset(dataset, Path(path), options, warn)


def plan(
    dataset: Dataset,
    path: PathLike,
    *,
    overwrite: bool = False,
    jobs: int | None = None,
    max_memory: int = DEFAULT_MAX_MEMORY,
) -> WritePlan:
    """What `write` would do, without reading or writing a value: fields, cuts, peak memory."""
    options = WriteOptions(overwrite=overwrite, jobs=jobs, max_memory=max_memory)
    return plan_write(dataset, Path(path), options)


def export(
    dataset: Dataset,
    path: PathLike,
    *,
    diffraction_key: DiffractionKey = "as-is",
    overwrite: bool = False,
    jobs: int | None = None,
    max_memory: int = DEFAULT_MAX_MEMORY,
    compression: Compression = "deflate",
    level: int | None = None,
    anonymous: bool | None = None,
    pool: Pool | None = None,
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> WriteReport:
    """Write a dataset for legacy consumers: `write`, with the name that they know the frames by."""
    return write(
        with_diffraction_key(dataset, diffraction_key),
        path,
        overwrite=overwrite,
        jobs=jobs,
        max_memory=max_memory,
        compression=compression,
        level=level,
        anonymous=anonymous,
        pool=pool,
        progress=progress,
        warn=warn,
    )


def describe(source: Dataset | PathLike) -> dict[str, Any]:
    """All that headers tell of a scan, as one JSON object; no value is read or computed.

    Sizes are in bytes, uncompressed unless they are called stored; digests are those that the
    source records. What is not known, or not so in memory, is None. A dtype that only a first
    pass over the scan decides is given as what it may be, `uint16 or uint32`, and an attribute
    of that kind as None.
    """
    dataset = source if isinstance(source, Dataset) else open(source)
    path = dataset.source.path if dataset.source else None
    if path is None:
        return describe_dataset(dataset, None, None)
    return describe_dataset(dataset, format_of_source(path).name, size_on_disk(path))


def materialize(dataset: Dataset) -> Dataset:
    """The same scan, whose virtual fields `write` writes out as values."""
    return materialized(dataset)


def digest(
    source: Dataset | PathLike,
    *,
    jobs: int | None = None,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> Digests:
    """The content digests (BLAKE3, hexadecimal) of each field, and of the whole.

    Computed from the values, in one pass; what a store records is `Field.digest`.
    """
    dataset = source if isinstance(source, Dataset) else open(source)
    options = WorkOptions(jobs=jobs, pool=pool, progress=progress or _unheard)
    fields = compute_digests(dataset, options)
    return Digests(fields, combined_digest(fields))


def verify(
    path: PathLike,
    *,
    fast: bool = False,
    jobs: int | None = None,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a store or file against everything that it records of itself.

    Every file is compared with the manifest (length and CRC32C), every chunk decoded, every
    digest computed; `fast` compares lengths and headers only. `pool` and `progress` are as for
    `write`. Damage is in the report, not raised. Raises `InputError` for what is no scan at
    all, `StorageError` where the system can't read.
    """
    options = CheckOptions(jobs=jobs, pool=pool, progress=progress or _unheard, fast=fast)
    return verify_path(Path(path), options)


def repair(
    path: PathLike,
    source: PathLike,
    *,
    jobs: int | None = None,
    pool: Pool | None = None,
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> RepairReport:
    """Write the damaged frames of a Zarr store again, from a source of the same values.

    What is damaged is found as by `verify`. Of each damaged field the source's digest must
    be the one that the store records; undamaged chunks are kept byte for byte, and files
    that other stores share are not changed for those. It may be stopped at any point and run again.

    Raises `DestinationError` for what is no store of ptystore's that can be written,
    `InputError` where the source does not hold the same values, `IntegrityError` where the
    root document or the source is damaged, `StorageError`.
    """
    options = CheckOptions(jobs=jobs, pool=pool, progress=progress or _unheard)
    return repair_store(Path(path), Path(source), read_stored, options, warn)


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
    values = {name: np.asarray(given) for name, given in arrays.items()}
    noted = arrays if isinstance(arrays, LoadedArrays) else LoadedArrays({}, {}, {})
    axes = _frame_axes({name: array.shape for name, array in values.items()}, noted.frame_axes())
    noted_attrs = noted.attrs()
    fields = {}
    for name, array in values.items():
        role: Role = "global" if axes[name] is None else "per_frame"
        said = normalise((attrs or {}).get(name, {}))
        own = {**noted_attrs.get(name, {}), **said}
        signal = None
        if name in DIFFRACTION_NAMES:
            signal = own.get("signal") or signal_of(array.dtype, metadata)
            if "signal" in said and array.dtype.kind == "f":
                own["signal_said"] = signal
            scale = None if "amplitude_scale" in own else stated_scale(metadata)
            own |= {} if scale is None else {"amplitude_scale": scale}
        if name not in noted_attrs:
            own = standard_attrs(name, signal) | own
        fields[name] = memory_field(name, array, role, axis=axes[name] or 0, attrs=own)
    return Dataset(fields, metadata)


def _frame_axes(
    shapes: Mapping[str, tuple[int, ...]], noted: Mapping[str, int | None]
) -> dict[str, int | None]:
    """The frame axes, as noted where they are; what is not noted is decided as for a file."""
    axes = dict(noted)
    if axes.keys() != shapes.keys():
        per_frame = [name for name, axis in noted.items() if axis == 0]
        global_ = [name for name, axis in noted.items() if axis is None and name not in FIELDS]
        axes = decide_frame_axes(shapes, RoleOverrides(per_frame=per_frame, global_=global_)) | axes
    return override_frame_axes(axes, shapes, RoleOverrides())


def load_npz(path: PathLike) -> tuple[dict[str, Array], Metadata | None]:
    """All arrays of a small `.npz` in memory, and its metadata, whatever form it has.

    The dict remembers the arrays' roles and attributes for `save_npz` and `dataset_of`, as
    long as it is handed on itself; what the values of frames mean is in the metadata too.
    Raises as `open` does; nothing is ever unpickled.
    """
    path = Path(path)
    if ".npz" not in format_of_source(path).suffixes:
        raise InputError("is not a .npz file", file=path)
    dataset = open_dataset(path, ReadOptions())
    arrays = {name: field.values() for name, field in dataset.fields.items()}
    frame_axes = {field.name: field.frame_axis for field in dataset.values()}
    attrs = {field.name: field.attrs for field in dataset.values()}
    return LoadedArrays(arrays, frame_axes, attrs), dataset.metadata


def save_npz(
    path: PathLike,
    arrays: Mapping[str, Any],
    metadata: Metadata | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write arrays in memory and a metadata document as a pickle-free `.npz`.

    ``save_npz(path, *load_npz(other))`` keeps roles and attributes.
    Raises as `write` does.
    """
    write(dataset_of(arrays, metadata), path, overwrite=overwrite)
