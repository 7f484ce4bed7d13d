"""The table of formats, and the two ways through it: a path to a Dataset, and back.

The modules of a format are imported when a path needs them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ptystore.errors import InputError, InputMissingError, ParameterError, PtystoreError
from ptystore.formats.assemble import Contents, ReadOptions, assemble
from ptystore.formats.attributes import RootNote
from ptystore.formats.virtual import materialized, separate
from ptystore.formats.writable import check_writable
from ptystore.formats.zarr.manifest import MANIFEST_NAME
from ptystore.model.dataset import Check, Dataset
from ptystore.transfer.one_pass import (
    DEFAULT_MAX_MEMORY,
    HashSink,
    Progress,
    Sink,
    Workers,
    plan_workers,
    write_fields,
)
from ptystore.transfer.publish import (
    SCRATCH_NAME,
    check_destination,
    stage_file,
    stage_folder,
    storage_error,
)

__all__ = [
    "SUFFIXES",
    "Kind",
    "ReadOptions",
    "WriteOptions",
    "WritePlan",
    "WriteReport",
    "compute_digests",
    "kind_of_destination",
    "kind_of_source",
    "open_dataset",
    "plan_write",
    "read_contents",
    "size_on_disk",
    "write_dataset",
]

Kind = Literal["npz", "zarr", "hdf5"]

#: A destination's format follows its suffix.
SUFFIXES: dict[str, Kind] = {
    ".npz": "npz",
    ".zarr": "zarr",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
}


@dataclass(frozen=True)
class WriteOptions:
    """How to write: whether to replace, with how many workers in how much memory.

    `compression` and `level` are for `.npz`. Raises `ParameterError` for a level that there
    is not, or one of what is stored uncompressed.
    """

    overwrite: bool = False
    jobs: int | None = None
    max_memory: int = DEFAULT_MAX_MEMORY
    compression: Literal["deflate", "store"] = "deflate"
    level: int | None = None

    def __post_init__(self) -> None:
        if self.level is None:
            return
        if not 0 <= self.level <= 9:
            raise ParameterError(f"level {self.level}: there are 0 to 9")
        if self.compression == "store":
            raise ParameterError("a level is for deflate; what is stored is not compressed")


@dataclass(frozen=True)
class WriteReport:
    """What was written: digests by field, sizes in bytes, time, and what a user should know."""

    path: Path
    kind: Kind
    digests: dict[str, str]
    digest: str
    nbytes: int
    stored_bytes: int
    seconds: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class WritePlan:
    """What a write would do: for each field its name, dtype, shape, bytes, chunk and shard."""

    path: Path
    kind: Kind
    fields: list[dict[str, Any]] = field(default_factory=list)
    nbytes: int = 0
    jobs: int = 0
    peak_bytes: int = 0


def kind_of_source(path: Path) -> Kind:
    """The format of what is there, by its content.

    Raises `InputMissingError` where there is nothing, `InputError` where it is no scan.
    """
    if not path.exists():
        raise InputMissingError("there is no such file or folder", file=path)
    if path.is_dir():
        names = ("zarr.json", ".zgroup", ".zarray", MANIFEST_NAME)
        if any((path / name).exists() for name in names):
            return "zarr"
        raise InputError("is a folder, but no Zarr store", file=path)
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise InputMissingError(f"can't be read: {error.strerror}", file=path) from error
    if head == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if head[:2] == b"PK" or path.suffix == ".npz":
        return "npz"
    raise InputError("is neither .npz, nor Zarr, nor HDF5", file=path)


def kind_of_destination(path: Path) -> Kind:
    """The format that a destination's suffix asks for; `ParameterError` for an unknown one."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(SUFFIXES)
        raise ParameterError(f"the suffix says no format; known are {known}", file=path)
    return kind


def open_dataset(path: Path, options: ReadOptions | None = None) -> Dataset:
    """The scan in `path`, lazily: only headers are read."""
    options = options or ReadOptions()
    try:
        dataset = assemble(path, read_contents(path, options), options)
    except PtystoreError as error:
        raise error.located(file=path) from error.__cause__
    if options.max_bytes is not None and dataset.nbytes > options.max_bytes:
        raise InputError(
            f"declares {dataset.nbytes} bytes, allowed are {options.max_bytes}", file=path
        )
    return dataset


def read_contents(path: Path, options: ReadOptions) -> Contents:
    """What the file holds, before roles are decided and virtual fields are built."""
    kind = kind_of_source(path)
    if kind == "npz":
        from ptystore.formats.npz.reader import read_npz

        return read_npz(path, options)
    if kind == "hdf5":
        from ptystore.formats.hdf5.reader import read_hdf5

        return read_hdf5(path, options)
    from ptystore.formats.zarr.reader import is_our_zarr, read_our_zarr

    # A manifest without a root document that can be read is a store of ours that is damaged.
    if is_our_zarr(path) or (path / MANIFEST_NAME).is_file():
        return read_our_zarr(path, options)
    from ptystore.formats.zarr.library import read_foreign_zarr

    return read_foreign_zarr(path, options)


def _is_ours(path: Path) -> bool:
    """Whether `--overwrite` may replace it: a store of ours, or a file that holds a scan."""
    if path.is_dir():
        from ptystore.formats.zarr.reader import is_our_zarr

        return is_our_zarr(path)
    try:
        open_dataset(path, ReadOptions(metadata="keep-text"))
    except PtystoreError:
        return False
    return True


def plan_write(dataset: Dataset, path: Path, options: WriteOptions) -> WritePlan:
    """What `write_dataset` would do, without reading or writing any value."""
    kind = kind_of_destination(path)
    stored, _ = separate(materialized(dataset) if kind == "npz" else dataset)
    _check(stored, path, options)
    layouts = HashSink()
    fields = []
    for one in stored.values():
        layout = layouts.layout(one)
        fields.append(
            {
                "name": one.name,
                "dtype": str(one.dtype),
                "shape": list(one.shape),
                "bytes": one.nbytes,
                "chunk": list(layout.chunk_shape),
                "shard": list(layout.shard_shape),
            }
        )
    workers = plan_workers(stored, layouts, options.jobs, options.max_memory)
    return WritePlan(path, kind, fields, stored.nbytes, workers.jobs, workers.peak_bytes)


def write_dataset(
    dataset: Dataset,
    path: Path,
    options: WriteOptions | None = None,
    *,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> WriteReport:
    """Write `dataset` in one pass; the destination is complete when this returns.

    Raises `DestinationError` before anything is read, `InputError` for what the dataset's
    checks refuse or the source turns out to be, `IntegrityError` and `StorageError`.
    """
    options = options or WriteOptions()
    began = time.monotonic()
    kind = kind_of_destination(path)
    if options.level is not None and kind != "npz":
        raise ParameterError("a level is for the deflate of an .npz", file=path)
    stored, virtual = separate(materialized(dataset) if kind == "npz" else dataset)
    _check(stored, path, options)
    warnings: list[str] = []

    def note(line: str) -> None:
        warnings.append(line)
        if warn is not None:
            warn(line)

    _ask(dataset.checks, note)
    with (
        _staged(kind, path, options, note) as staging,
        _sink(kind, staging, stored, options) as sink,
    ):
        workers = plan_workers(stored, sink, options.jobs, options.max_memory)
        scratch = (staging if kind == "zarr" else staging.parent) / SCRATCH_NAME
        try:
            scratch.mkdir()
        except OSError as error:
            raise storage_error(error, path) from error
        digests = _pass(stored, sink, workers, scratch, progress)
        root = RootNote.of(stored, virtual, digests)
        metadata = dataset.metadata
        if metadata is not None and dataset.fills_input_digest and dataset.source:
            metadata = metadata.with_input_digests({dataset.source.path.name: root.digest})
        sink.close(metadata, root)
    _ask(dataset.remarks, note)
    return WriteReport(
        path,
        kind,
        digests,
        root.digest,
        stored.nbytes,
        size_on_disk(path),
        time.monotonic() - began,
        tuple(warnings),
    )


def compute_digests(
    dataset: Dataset, options: WriteOptions | None = None, *, progress: Progress | None = None
) -> dict[str, str]:
    """The content digest of each field, from its values: one pass that writes nothing."""
    options = options or WriteOptions()
    sink = HashSink()
    workers = plan_workers(dataset, sink, options.jobs, options.max_memory)
    return _pass(dataset, sink, workers, None, progress)


def _pass(
    dataset: Dataset,
    sink: Sink[Any],
    workers: Workers,
    scratch: Path | None,
    progress: Progress | None,
) -> dict[str, str]:
    with ThreadPoolExecutor(workers.jobs, thread_name_prefix="ptystore") as executor:
        return write_fields(
            dataset, sink, executor, workers.in_flight, scratch, progress or (lambda _: None)
        )


def _check(dataset: Dataset, path: Path, options: WriteOptions) -> None:
    source = dataset.source
    check_writable(dataset)
    check_destination(
        path,
        source=source.path if source else None,
        overwrite=options.overwrite,
        is_ours=_is_ours,
    )
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise storage_error(error, path.parent) from error
    if dataset.nbytes > free:
        raise InputError(
            f"declares {dataset.nbytes} bytes, but only {free} are free at {path.parent}",
            file=source.path if source else path,
            advice="free some space, or write to another disk",
        )


def _ask(checks: tuple[Check, ...], note: Callable[[str], None]) -> None:
    for check in checks:
        for line in check():
            note(line)


@contextmanager
def _staged(
    kind: Kind, path: Path, options: WriteOptions, warn: Callable[[str], None]
) -> Iterator[Path]:
    """The staging folder of a store, or the staged file of a file format."""
    stage = stage_folder if kind == "zarr" else stage_file
    with stage(path, overwrite=options.overwrite, is_ours=_is_ours, warn=warn) as staging:
        yield staging


@contextmanager
def _sink(kind: Kind, staging: Path, dataset: Dataset, options: WriteOptions) -> Iterator[Any]:
    if kind == "zarr":
        from ptystore.formats.zarr.writer import ZarrSink

        yield ZarrSink(staging, dataset)
        return
    sink: Any
    if kind == "npz":
        from ptystore.formats.npz.writer import NpzSink

        sink = NpzSink(staging, dataset, options.compression, options.level)
    else:
        from ptystore.formats.hdf5.writer import Hdf5Sink

        sink = Hdf5Sink(staging, dataset)
    try:
        yield sink
    except BaseException:
        sink.abandon()
        raise


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a store."""
    try:
        if path.is_file():
            return path.stat().st_size
        return sum(
            os.stat(os.path.join(folder, name)).st_size
            for folder, _, names in os.walk(path)
            for name in names
        )
    except OSError as error:
        raise storage_error(error, path) from error
