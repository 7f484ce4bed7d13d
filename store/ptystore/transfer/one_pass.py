"""The one pass in which data move: blocks are read, computed, hashed and encoded by workers.

Every format writes through it with a `Sink` of its own; the order of what a sink is given
is that of the dataset, whatever the number of workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from ptystore.errors import InputError, ParameterError, located
from ptystore.model.content_digest import FieldDigest, leaf_hashes
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import Layout, plan
from ptystore.model.lazy_array import Array, rows_back, rows_first
from ptystore.model.metadata import Metadata
from ptystore.pools.base import Pool
from ptystore.pools.cores import usable_cores
from ptystore.pools.threads import borrowed
from ptystore.transfer.execute import Budget, run_in_order
from ptystore.transfer.options import DEFAULT_MAX_MEMORY, Progress, WorkOptions

__all__ = [
    "FieldSink",
    "HashSink",
    "Part",
    "ShardTask",
    "Sink",
    "WholePart",
    "Workers",
    "move",
    "plan_workers",
    "write_fields",
]

Encoded = TypeVar("Encoded")
EncodedOut = TypeVar("EncodedOut", covariant=True)

Note = TypeVar("Note", contravariant=True)

# The interpreter with the libraries that a run loads, measured.
_BASE_BYTES = 170 << 20


class Part(Protocol[EncodedOut]):
    """What a worker takes along of a sink for one field: no file, no lock; it pickles."""

    @property
    def adopts(self) -> bool:
        """Whether shards are taken over as they are stored, instead of being encoded."""
        ...

    def encode(self, start: int, blocks: Iterator[Array]) -> EncodedOut:
        """Encode one shard that starts at row `start` from its blocks, rows first."""
        ...

    def adopt(self, start: int) -> EncodedOut:
        """Take over the stored shard that starts at row `start`; only called where it `adopts`."""
        ...


class FieldSink(Protocol[Encoded]):
    """Where the values of fields go. All of it runs in the caller's thread, in order."""

    def layout(self, field: Field) -> Layout:
        """How the field is cut."""
        ...

    def part(self, field: Field, layout: Layout) -> Part[Encoded]:
        """What workers need to encode the field's shards."""
        ...

    def start(self, field: Field, layout: Layout) -> None:
        """The field's first shard is done; those before it are finished."""
        ...

    def accept(self, field: Field, encoded: Encoded) -> None:
        """Take the next shard."""
        ...

    def finish(self, field: Field, digest: str) -> None:
        """The field is whole."""
        ...


class Sink(FieldSink[Encoded], Protocol[Encoded, Note]):
    """A sink that makes a file or store. One of the two ends it, and it is whole after `close`."""

    def close(self, metadata: Metadata | None, note: Note) -> None:
        """Write the documents, after the last field."""
        ...

    def abandon(self) -> None:
        """Let go of what is open, after a failure; the staging is removed by the caller."""
        ...


@dataclass(frozen=True)
class WholePart:
    """The part of a small array that its sink takes in one piece: it gives the values."""

    layout: Layout
    adopts = False

    def encode(self, start: int, blocks: Iterator[Array]) -> Array:
        (rows,) = blocks
        return rows_back(rows, self.layout.axis, len(self.layout.shape))

    def adopt(self, start: int) -> Array:
        raise NotImplementedError


class _Discarded:
    """The part of `HashSink`."""

    adopts = False

    def encode(self, start: int, blocks: Iterator[Array]) -> None:
        deque(blocks, maxlen=0)

    def adopt(self, start: int) -> None:
        return None


class HashSink:
    """A sink that keeps nothing: for the digests alone, and for the plan of a write."""

    def layout(self, field: Field) -> Layout:
        return plan(field.shape, field.dtype.itemsize, field.array.axis)

    def part(self, field: Field, layout: Layout) -> Part[None]:
        return _Discarded()

    def start(self, field: Field, layout: Layout) -> None:
        return None

    def accept(self, field: Field, encoded: None) -> None:
        return None

    def finish(self, field: Field, digest: str) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How many workers, and how many shards may be under way at once."""

    jobs: int
    in_flight: int
    peak_bytes: int


def plan_workers(layouts: Iterable[Layout], global_bytes: int, options: WorkOptions) -> Workers:
    """As many workers as were asked for, or as fit `max_memory` beside the global arrays.

    A shard under way holds its source blocks, one block being computed and what has been
    encoded; the estimate allows for twice its uncompressed size and a few blocks. Raises
    `ParameterError` where one shard at a time does not fit into a `max_memory` below the default.
    """
    largest = block = 0
    for layout in layouts:
        largest = max(largest, min(layout.shard_bytes, layout.rows * layout.row_bytes))
        block = max(block, layout.block_rows * layout.row_bytes)
    each = 2 * largest + 4 * block
    least = _BASE_BYTES + each
    if options.max_memory < min(least, DEFAULT_MAX_MEMORY):
        megabytes = -(-least // 10**6)
        raise ParameterError(
            f"{options.max_memory} bytes of memory are too few: it takes {megabytes} MB or more",
            advice=f"--max-memory {megabytes}MB (max_memory={megabytes}_000_000 in Python)",
        )
    wanted = options.pool.workers if options.pool else options.jobs or usable_cores()
    # One more than the workers, so that none waits while the caller reads ahead.
    in_flight = max(1, min(wanted + 1, (options.max_memory - _BASE_BYTES) // max(1, each)))
    return Workers(
        jobs=min(wanted, in_flight),
        in_flight=in_flight,
        peak_bytes=_BASE_BYTES + global_bytes + in_flight * each,
    )


@dataclass(frozen=True)
class _Shard(Generic[Encoded]):
    """What a worker made of a shard: `encoded` is None where the field has no values."""

    encoded: Encoded | None
    leaves: tuple[bytes, ...] = ()
    nbytes: int = 0


@dataclass(frozen=True, kw_only=True)
class ShardTask(Generic[Encoded]):
    """Read, compute, hash and encode the rows `start` to `stop` of one field; it pickles."""

    file: str | None
    field: Field
    layout: Layout
    part: Part[Encoded]
    start: int
    stop: int

    @property
    def last(self) -> bool:
        """Whether the field ends with this shard."""
        return self.stop == self.layout.rows

    @property
    def nbytes(self) -> int:
        """Uncompressed bytes of the shard."""
        return (self.stop - self.start) * self.layout.row_bytes

    def __call__(self) -> _Shard[Encoded]:
        if not self.nbytes:
            return _Shard(None)
        with located(file=self.file, member=self.field.name):
            if self.part.adopts and self.field.digest is not None:
                # Nothing is read: the field is what its store says, files and digest.
                return _Shard(self.part.adopt(self.start), (), self.nbytes)
            return self._moved()

    def _moved(self) -> _Shard[Encoded]:
        leaves: list[bytes] = []
        blocks = self._hashed(leaves)
        if self.part.adopts:
            # Stored as it would be written, but under another name: only its digest differs.
            deque(blocks, maxlen=0)
            encoded = self.part.adopt(self.start)
        else:
            encoded = self.part.encode(self.start, blocks)
        return _Shard(encoded, tuple(leaves), self.nbytes)

    def _hashed(self, leaves: list[bytes]) -> Iterator[Array]:
        """The blocks with their rows first, each let go of when the next is asked for."""
        for start, stop in self.layout.blocks(self.start, self.stop):
            block = self._block(start, stop)
            rows = np.ascontiguousarray(rows_first(block, self.layout.axis))
            del block
            leaves.append(leaf_hashes(rows))
            yield rows
            del rows
            self._done_with(stop - start)

    def _block(self, start: int, stop: int) -> Array:
        return self.field.array.read(start, stop)

    def _done_with(self, rows: int) -> None:
        """A block of so many rows is no longer in memory."""


@dataclass(frozen=True, kw_only=True)
class _ForwardTask(ShardTask[Encoded]):
    """A shard of a source that only goes forwards, whose blocks were begun in order.

    It stays in this process: `begun` holds what was read already, counted by `ahead`.
    """

    begun: deque[Callable[[], Array]]
    ahead: Budget
    released: list[int]

    def _moved(self) -> _Shard[Encoded]:
        try:
            return super()._moved()
        finally:
            # What was not come to, after an error.
            self.ahead.release(self.nbytes - sum(self.released))

    def _block(self, start: int, stop: int) -> Array:
        return self.begun.popleft()()

    def _done_with(self, rows: int) -> None:
        self.released.append(rows * self.layout.row_bytes)
        self.ahead.release(self.released[-1])


def move(
    dataset: Dataset, sink: FieldSink[Encoded], options: WorkOptions, scratch: Path | None
) -> dict[str, str]:
    """Move every field of `dataset` into `sink`; returns the digest of each by name.

    `scratch` is a folder for what sources spool, None for the temporary one.
    """
    layouts = [sink.layout(field) for field in dataset.values()]
    workers = plan_workers(layouts, dataset.global_bytes, options)
    with borrowed(options.pool, workers.jobs) as pool:
        return write_fields(dataset, sink, pool, workers.in_flight, scratch, options.progress)


def write_fields(
    dataset: Dataset,
    sink: FieldSink[Encoded],
    pool: Pool,
    in_flight: int,
    scratch: Path | None,
    progress: Progress,
) -> dict[str, str]:
    """Move every field of `dataset` into `sink`; returns the digest of each by name.

    `in_flight` shards are under way at once; `scratch` is a folder for what sources spool.
    """
    digests: dict[str, str] = {}
    digest: FieldDigest | None = None
    under_way: deque[ShardTask[Encoded]] = deque()

    def noted() -> Iterator[ShardTask[Encoded]]:
        for task in _tasks(dataset, sink, scratch, in_flight):
            under_way.append(task)
            yield task

    for shard in run_in_order(noted(), pool, in_flight):
        task = under_way.popleft()
        field = task.field
        try:
            if digest is None:
                digest = FieldDigest.of(field)
                sink.start(field, task.layout)
            if shard.encoded is not None:
                sink.accept(field, shard.encoded)
        except InputError as error:
            # Text that a format can't hold is found by its sink, which knows no source.
            raise error.located(file=dataset.file, member=field.name) from error.__cause__
        for leaves in shard.leaves:
            digest.add(leaves)
        progress(shard.nbytes)
        if task.last:
            known = field.digest if task.part.adopts and shard.encoded is not None else None
            digests[field.name] = known or digest.hexdigest()
            sink.finish(field, digests[field.name])
            digest = None
    return digests


def _tasks(
    dataset: Dataset, sink: FieldSink[Encoded], scratch: Path | None, in_flight: int
) -> Iterator[ShardTask[Encoded]]:
    for field in dataset.values():
        with located(file=dataset.file, member=field.name):
            layout = sink.layout(field)
            shards = layout.shards()
            if shards:
                field.array.prepare(scratch)
            part = sink.part(field, layout)
            ahead = _budget(layout, in_flight) if field.array.sequential else None
            for start, stop in shards or [(layout.rows, layout.rows)]:
                task = ShardTask(
                    file=dataset.file, field=field, layout=layout, part=part, start=start, stop=stop
                )
                yield task if ahead is None else _begun(task, ahead)


def _budget(layout: Layout, in_flight: int) -> Budget:
    """What of a field that is only read forwards may be in memory, counted as it is written.

    Shards under way are half used on average; each needs one block in any case.
    """
    block = layout.block_rows * layout.row_bytes
    return Budget(in_flight * max(layout.shard_bytes // 2, block))


def _begun(task: ShardTask[Encoded], ahead: Budget) -> _ForwardTask[Encoded]:
    """The task with all done that must be done in order: reading forwards."""
    begun: deque[Callable[[], Array]] = deque()
    for start, stop in task.layout.blocks(task.start, task.stop):
        ahead.wait_for((stop - task.start) * task.layout.row_bytes)
        begun.append(task.field.array.begin(start, stop))
    ahead.hold(task.nbytes)
    own = {attribute.name: getattr(task, attribute.name) for attribute in fields(task)}
    return _ForwardTask(**own, begun=begun, ahead=ahead, released=[])
