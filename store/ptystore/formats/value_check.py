"""Reads every value of a stored field: its content digest, or which frames are damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ptystore.errors import DamagedInputError, IntegrityError
from ptystore.formats.chunked_array import DamagedRows
from ptystore.formats.findings import Finding, merged
from ptystore.model.content_digest import FieldDigest, leaf_hashes
from ptystore.model.dataset import Field
from ptystore.model.lazy_array import Array
from ptystore.transfer.execute import run_in_order
from ptystore.transfer.one_pass import HashSink, Progress

__all__ = ["DAMAGE", "check_values"]

#: To whoever reads an .npz, damage in it is bad input; here it is what is looked for.
DAMAGE = (IntegrityError, DamagedInputError)


@dataclass(frozen=True)
class _Block:
    """What came of some rows: their leaf hashes, or what is wrong with them."""

    leaves: bytes
    nbytes: int
    findings: tuple[Finding, ...] = ()


def check_values(
    field: Field, executor: Executor, in_flight: int, progress: Progress
) -> tuple[str | None, list[Finding]]:
    """Read a field block by block on the workers, at most `in_flight` blocks at a time.

    Returns its digest, None where it is damaged, and the damage as ranges of frames.
    Raises `StorageError` where the operating system can't read, `InputError` where another
    tool's file can't be read.
    """
    digest = FieldDigest(field.name, field.role, field.dtype, field.shape, field.frame_axis)
    findings: list[Finding] = []
    try:
        for block in run_in_order(_tasks(field), executor, in_flight):
            digest.add(block.leaves)
            findings += block.findings
            progress(block.nbytes)
    except DAMAGE as error:
        findings.append(_finding(field, error))
    return None if findings else digest.hexdigest(), merged(findings)


def _tasks(field: Field) -> Iterator[Callable[[], _Block]]:
    layout = HashSink().layout(field)
    if layout.shards():
        field.array.prepare(None)
    for shard in layout.shards():
        for start, stop in layout.blocks(*shard):
            yield partial(_check, field, start, stop, field.array.begin(start, stop))


def _check(field: Field, start: int, stop: int, finish: Callable[[], Array]) -> _Block:
    try:
        block = finish()
    except DamagedRows:
        nbytes = field.nbytes // HashSink().layout(field).rows * (stop - start)
        return _Block(b"", nbytes, tuple(_damaged(field, start, stop)))
    rows = np.moveaxis(block, field.array.axis, 0) if field.shape else block.reshape(1)
    return _Block(leaf_hashes(np.ascontiguousarray(rows)), block.nbytes)


def _damaged(field: Field, start: int, stop: int) -> Iterator[Finding]:
    """Each damaged range of the rows `start` to `stop`, chunk by chunk."""
    chunk = field.storage.chunk_shape if field.storage else None
    step = chunk[field.array.axis] if chunk else stop - start
    at = start
    while at < stop:
        end = min(at + step, stop)
        try:
            field.array.read(at, end)
        except DAMAGE as error:
            finding = _finding(field, error)
            yield finding
            # A file that is missing is so for all of its chunks.
            end = max(end, 0 if finding.last_frame is None else finding.last_frame + 1)
        at = end


def _finding(field: Field, error: IntegrityError | DamagedInputError) -> Finding:
    if isinstance(error, DamagedRows) and error.found is not None:
        first, last, cause = error.found
        if field.shape:
            return Finding(field.name, cause, first, last, field.role == "per_frame")
        return Finding(field.name, cause)
    return Finding(field.name, error.reason)
