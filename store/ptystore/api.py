"""The front door's functions: paths in and out as `str` or `os.PathLike`, options by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Unpack

from ptystore.errors import InputError
from ptystore.formats.assemble import ReadOptions
from ptystore.formats.frame_files import FRAME_FILES, is_frame_files
from ptystore.formats.in_memory import dataset_of
from ptystore.formats.known import known_formats
from ptystore.formats.opening import open_dataset, read_stored
from ptystore.formats.reading_options import read_options
from ptystore.formats.renew import renew
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
    Signal,
)
from ptystore.model.content_digest import combined_digest
from ptystore.model.dataset import Dataset
from ptystore.model.known_formats import KnownFormat
from ptystore.model.lazy_array import Array
from ptystore.model.loaded_arrays import LoadedArrays
from ptystore.model.metadata import Metadata
from ptystore.model.other_tools import OtherTools
from ptystore.model.results import Digests, RepairReport, VerifyReport, WritePlan, WriteReport
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
from ptystore.transforms.set_facts import set_facts

__all__ = [
    "describe",
    "digest",
    "export",
    "join",
    "list_formats",
    "load_npz",
    "materialize",
    "open",
    "plan",
    "repair",
    "save_npz",
    "set_geometry",
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
    **other: Unpack[OtherTools],
) -> Dataset:
    """The scan in a file or store of any of `list_formats`, lazily: only headers are read.

    Or in many files, one frame or a stack of them each: a folder of them, or a pattern of names
    such as ``"scan12_*.tif"``.

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
    other : of scans that ptystore did not write, facts that they lack, arrays and positions in
        other files, which frames are taken: see `OtherTools`.

    Raises `InputError` (a `ValueError`), `InputMissingError` (a `FileNotFoundError`),
    `ParameterError` for names that are not there, and, for a damaged store of ptystore's own,
    `IntegrityError`.
    """
    options = read_options(
        other,
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
    if is_frame_files(path):
        stored = dataset.frames.storage
        size = stored.stored_bytes if stored else None
        return describe_dataset(dataset, FRAME_FILES, size, is_raw=True)
    return describe_dataset(dataset, format_of_source(path).name, size_on_disk(path))


def list_formats(name: str | None = None) -> tuple[KnownFormat, ...]:
    """Every format that is read, and every dialect of other tools', or the one of that name.

    Those under whose `suffixes` scans are written come first. Raises `ParameterError` for a name
    that is not there.
    """
    return known_formats(name)


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


def set_geometry(
    path: PathLike,
    facts: Mapping[str, Any],
    *,
    unset: Collection[str] = (),
    sources: Mapping[str, str] | None = None,
    jobs: int | None = None,
    anonymous: bool | None = None,
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> WriteReport:
    """Complete or correct what a scan says of its experiment, in its place: see `set_facts`.

    A new version is made beside the scan and takes its place whole; who has the old one open keeps
    it. Frames keep their digests; in a Zarr store their files are shared, not copied.

    Raises `DestinationError` for what ptystore did not write, `IntegrityError` where the scan was
    changed meanwhile, and as `set_facts` and `write` do.
    """

    def completed(dataset: Dataset) -> Dataset:
        made = set_facts(dataset, facts, unset=unset, sources=sources)
        return anonymized(made) if wants_anonymity(anonymous) else made

    options = WriteOptions(jobs=jobs, progress=progress or _unheard)
    return renew(Path(path), completed, options, warn)


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
