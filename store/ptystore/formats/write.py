"""From a Dataset to a path, through the row of its format: plan, one pass, commit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ptystore.errors import (
    DestinationError,
    ParameterError,
    PtystoreError,
    StorageError,
    located,
)
from ptystore.formats.attributes import RootNote
from ptystore.formats.free_space import shortage_of_space
from ptystore.formats.table import FORMATS, Format, format_of_destination, format_of_source
from ptystore.formats.virtual import Virtual, materialized, separate
from ptystore.formats.writable import check_writable
from ptystore.model.contract import DIFFRACTION_NAMES
from ptystore.model.dataset import Check, Dataset
from ptystore.model.layout import plan
from ptystore.model.metadata import Metadata
from ptystore.model.results import FieldPlan, WritePlan, WriteReport
from ptystore.model.signal import with_meaning
from ptystore.transfer.destination import check_destination, storage_error
from ptystore.transfer.one_pass import HashSink, Sink, move, plan_workers
from ptystore.transfer.options import WorkOptions, WriteOptions
from ptystore.transfer.publish import SCRATCH_NAME, stage_file, stage_folder

__all__ = ["compute_digests", "plan_write", "size_on_disk", "write_dataset"]

Warn = Callable[[str], None]


def plan_write(dataset: Dataset, path: Path, options: WriteOptions) -> WritePlan:
    """What `write_dataset` would do, without reading, computing or writing any value."""
    row = format_of_destination(path)
    stored, _ = _stored(dataset, row)
    _check(stored, path, options)
    layouts = {
        field.name: plan(field.shape, field.possible_dtypes[-1].itemsize, field.array.axis)
        for field in stored.values()
    }
    workers = plan_workers(layouts.values(), stored.global_bytes, options)
    fields = tuple(
        FieldPlan(
            name=field.name,
            dtype=" or ".join(map(str, field.possible_dtypes)),
            shape=field.shape,
            nbytes=field.largest_nbytes,
            chunk=layouts[field.name].chunk_shape,
            shard=layouts[field.name].shard_shape,
        )
        for field in stored.values()
    )
    return WritePlan(
        path=path,
        kind=row.name,
        columns=row.plan_columns,
        fields=fields,
        nbytes=stored.largest_nbytes,
        jobs=workers.jobs,
        peak_bytes=workers.peak_bytes,
        warnings=shortage_of_space(stored, path.parent),
    )


def write_dataset(
    dataset: Dataset, path: Path, options: WriteOptions, warn: Warn | None = None
) -> WriteReport:
    """Write `dataset` in one pass; the destination is complete when this returns.

    Raises `DestinationError` before anything is read, `InputError` for what the dataset's
    checks refuse or the source turns out to be, `IntegrityError` and `StorageError`.
    """
    began = time.monotonic()
    row = format_of_destination(path)
    _check_options(row, options, path)
    stored, virtual = _stored(dataset, row)
    _check(stored, path, options)
    warnings: list[str] = []

    def note(line: str) -> None:
        warnings.append(line)
        if warn is not None:
            warn(line)

    for line in shortage_of_space(stored, path.parent):
        note(line)
    _ask(dataset, dataset.checks, note)
    stage = stage_folder if row.is_folder else stage_file
    with (
        stage(path, overwrite=options.overwrite, is_ours=_may_be_replaced, warn=note) as staging,
        _errors_at(path, staging if row.is_folder else staging.parent),
        _open_sink(row.sink(staging, stored, options)) as sink,
    ):
        scratch = (staging if row.is_folder else staging.parent) / SCRATCH_NAME
        try:
            scratch.mkdir()
        except OSError as error:
            raise storage_error(error, path) from error
        digests = move(stored, sink, options, scratch)
        _require_unchanged(dataset)
        root = RootNote.of(stored, virtual, digests)
        metadata = dataset.metadata
        if metadata is not None and dataset.fills_input_digest and dataset.source:
            metadata = metadata.with_input_digests({dataset.source.path.name: root.digest})
        metadata = _true_of_frames(metadata, dataset)
        sink.close(metadata, root)
    _ask(dataset, dataset.remarks, note)
    return WriteReport(
        path=path,
        kind=row.name,
        digests=digests,
        digest=root.digest,
        nbytes=stored.nbytes,
        stored_bytes=size_on_disk(path),
        seconds=time.monotonic() - began,
        warnings=tuple(warnings),
    )


def _true_of_frames(metadata: Metadata | None, dataset: Dataset) -> Metadata | None:
    """The document with what the frames' attributes know by now: what others keep is it alone."""
    frames = next((dataset[name] for name in DIFFRACTION_NAMES if name in dataset), None)
    if metadata is None or frames is None:
        return metadata
    return with_meaning(metadata, frames.dtype, frames.attrs)


def compute_digests(dataset: Dataset, options: WorkOptions) -> dict[str, str]:
    """The content digest of each field, from its values: one pass that writes nothing."""
    digests = move(dataset, HashSink(), options, None)
    _require_unchanged(dataset)
    return digests


def _require_unchanged(dataset: Dataset) -> None:
    """Raise `IntegrityError` where a source is no longer what was opened."""
    for proof in dataset.proofs:
        proof()


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


def _check_options(row: Format, options: WriteOptions, path: Path) -> None:
    """Refuse what was asked for and is not this format's to do."""
    if options.level is not None and "level" not in row.write_options:
        others = [other.suffixes[0] for other in FORMATS if "level" in other.write_options]
        raise ParameterError(f"a level is for the deflate of an {' or '.join(others)}", file=path)


def _stored(dataset: Dataset, row: Format) -> tuple[Dataset, Virtual | None]:
    """What is to be stored, and what is to be noted of virtual fields."""
    return separate(dataset if row.keeps_recipes else materialized(dataset))


def _check(dataset: Dataset, path: Path, options: WriteOptions) -> None:
    source = None if options.renews else dataset.source
    check_writable(dataset)
    for other in (source.path, *source.others) if source else (None,):
        check_destination(path, source=other, overwrite=options.overwrite, is_ours=_may_be_replaced)


def _may_be_replaced(path: Path) -> bool:
    try:
        return format_of_source(path).is_ours(path)
    except DestinationError:
        raise
    except PtystoreError:
        return False


def _ask(dataset: Dataset, checks: tuple[Check, ...], note: Warn) -> None:
    with located(file=dataset.file):
        for check in checks:
            for line in check():
                note(line)


@contextmanager
def _open_sink(sink: Sink[Any, RootNote]) -> Iterator[Sink[Any, RootNote]]:
    try:
        yield sink
    except BaseException:
        # Closing a file writes what is buffered; what failed already is what is to be told.
        with suppress(OSError):
            sink.abandon()
        raise


@contextmanager
def _errors_at(path: Path, staging: Path) -> Iterator[None]:
    """Name the destination where an error names what was staged, which is gone by then."""
    try:
        yield
    except StorageError as error:
        with suppress(ValueError):
            inner = Path(error.file or "").relative_to(staging).as_posix()
            error.file = os.fspath(path)
            error.member = error.member or (inner if inner not in (".", path.name) else None)
        raise
