"""Reads every value of a stored field: its content digest, or which frames are damaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ptystore.errors import DamagedInputError, IntegrityError
from ptystore.formats.chunked_array import DamagedInputRows, DamagedRows
from ptystore.model.content_digest import FieldDigest, leaf_hashes
from ptystore.model.dataset import Field
from ptystore.model.lazy_array import Array, rows_first
from ptystore.model.results import Damage
from ptystore.pools.base import Pool
from ptystore.transfer.execute import run_in_order
from ptystore.transfer.one_pass import HashSink
from ptystore.transfer.options import Progress

__all__ = ["DAMAGE", "check_values", "merged"]

#: To whoever reads an .npz, damage in it is bad input; here it is what is looked for.
DAMAGE = (IntegrityError, DamagedInputError)


@dataclass(frozen=True)
class _Block:
    """What came of some rows: their leaf hashes, or what is wrong with them."""

    leaves: bytes
    nbytes: int
    damages: tuple[Damage, ...] = ()


def check_values(
    field: Field, pool: Pool, in_flight: int, progress: Progress
) -> tuple[str | None, list[Damage]]:
    """Read a field block by block on the workers, at most `in_flight` blocks at a time.

    Returns its digest, None where it is damaged, and the damage as ranges of frames.
    Raises `StorageError` where the operating system can't read, `InputError` where another
    tool's file can't be read.
    """
    digest = FieldDigest.of(field)
    damages: list[Damage] = []
    try:
        for block in run_in_order(_tasks(field), pool, in_flight):
            digest.add(block.leaves)
            damages += block.damages
            progress(block.nbytes)
    except DAMAGE as error:
        damages.append(_damage(field, error))
    return None if damages else digest.hexdigest(), merged(damages)


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
    except (DamagedRows, DamagedInputRows):
        nbytes = field.nbytes // HashSink().layout(field).rows * (stop - start)
        return _Block(b"", nbytes, tuple(_damaged(field, start, stop)))
    return _Block(leaf_hashes(rows_first(block, field.array.axis)), block.nbytes)


def _damaged(field: Field, start: int, stop: int) -> Iterator[Damage]:
    """Each damaged range of the rows `start` to `stop`, chunk by chunk."""
    chunk = field.storage.chunk_shape if field.storage else None
    step = chunk[field.array.axis] if chunk else stop - start
    at = start
    while at < stop:
        end = min(at + step, stop)
        try:
            field.array.read(at, end)
        except DAMAGE as error:
            damage = _damage(field, error)
            yield damage
            # A file that is missing is so for all of its chunks.
            end = max(end, 0 if damage.last_frame is None else damage.last_frame + 1)
        at = end


def _damage(field: Field, error: IntegrityError | DamagedInputError) -> Damage:
    if isinstance(error, (DamagedRows, DamagedInputRows)) and error.found is not None:
        first, last, cause = error.found
        if field.shape:
            return Damage(field.name, cause, first, last, field.role == "per_frame")
        return Damage(field.name, cause)
    return Damage(field.name, error.reason)


def merged(damages: Iterable[Damage]) -> list[Damage]:
    """The same damages in their order, neighbouring ranges of one reason made one."""
    kept: list[Damage] = []
    for damage in damages:
        last = kept[-1] if kept else None
        if damage in kept[-1:]:
            continue
        if (
            last is not None
            and last.last_frame is not None
            and damage.first_frame is not None
            and damage.last_frame is not None
            and (last.member, last.reason) == (damage.member, damage.reason)
            and damage.first_frame <= last.last_frame + 1
        ):
            end = max(last.last_frame, damage.last_frame)
            kept[-1] = dataclasses.replace(last, last_frame=end)
            continue
        kept.append(damage)
    return kept
