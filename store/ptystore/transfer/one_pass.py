"""The one pass in which data move: blocks are read, computed, hashed and encoded by workers.

Every format writes through it with a `Sink` of its own; the order of what a sink is given
is that of the dataset, whatever the number of workers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from ptystore.errors import InputError, PtystoreError
from ptystore.model.content_digest import FieldDigest, leaf_hashes
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import Layout, plan
from ptystore.model.lazy_array import Array
from ptystore.transfer.execute import Budget, run_in_order

__all__ = [
    "DEFAULT_MAX_MEMORY",
    "HashSink",
    "Progress",
    "Sink",
    "Workers",
    "default_jobs",
    "plan_workers",
    "write_fields",
]

Encoded = TypeVar("Encoded")

# Called with the uncompressed bytes that were finished since the last call.
Progress = Callable[[int], None]

# The interpreter with the libraries that a run loads, measured.
_BASE_BYTES = 170 << 20

#: What a write may use beside the global arrays, by default.
DEFAULT_MAX_MEMORY = 400 << 20


class Sink(Protocol[Encoded]):
    """Where a format's values go. `encode` runs in workers, the rest in the caller's thread."""

    def layout(self, field: Field) -> Layout: ...

    def start(self, field: Field, layout: Layout) -> None: ...

    def encode(self, field: Field, layout: Layout, start: int, blocks: Iterator[Array]) -> Encoded:
        """Encode one shard that starts at row `start` from its blocks, rows first."""
        ...

    def adopter(self, field: Field, layout: Layout) -> Callable[[int], Encoded] | None:
        """What takes over the shard at a row as it is stored, None where it must be encoded."""
        ...

    def accept(self, field: Field, encoded: Encoded) -> None: ...

    def finish(self, field: Field, digest: str) -> None: ...


class HashSink:
    """A sink that keeps nothing: for the digests alone, and for the plan of a write."""

    def layout(self, field: Field) -> Layout:
        return plan(field.shape, field.dtype.itemsize, field.array.axis)

    def start(self, field: Field, layout: Layout) -> None:
        return None

    def encode(self, field: Field, layout: Layout, start: int, blocks: Iterator[Array]) -> None:
        for _ in blocks:
            pass

    def adopter(self, field: Field, layout: Layout) -> None:
        return None

    def accept(self, field: Field, encoded: None) -> None:
        return None

    def finish(self, field: Field, digest: str) -> None:
        return None


@dataclass(frozen=True)
class Workers:
    """How many workers, and how many shards may be under way at once."""

    jobs: int
    in_flight: int
    peak_bytes: int


def default_jobs() -> int:
    """One worker for each core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def plan_workers(dataset: Dataset, sink: Sink[Any], jobs: int | None, max_memory: int) -> Workers:
    """As many workers as were asked for, or as fit `max_memory` beside the global arrays.

    A shard under way holds its source blocks, one block being computed and what has been
    encoded; the estimate allows for twice its uncompressed size and a few blocks.
    """
    layouts = {field.name: sink.layout(field) for field in dataset.values()}
    largest = max(
        (min(one.shard_bytes, one.rows * one.row_bytes) for one in layouts.values()), default=0
    )
    block = max((one.block_rows * one.row_bytes for one in layouts.values()), default=0)
    globals_ = sum(field.nbytes for field in dataset.values() if field.role == "global")
    each = 2 * largest + 4 * block
    wanted = jobs or default_jobs()
    # One more than the workers, so that none waits while the caller reads ahead.
    in_flight = max(1, min(wanted + 1, (max_memory - _BASE_BYTES) // max(1, each)))
    return Workers(min(wanted, in_flight), in_flight, _BASE_BYTES + globals_ + in_flight * each)


@dataclass(frozen=True)
class _Part(Generic[Encoded]):
    """One shard that came back from a worker; `encoded` is None where a field has no values."""

    field: Field
    layout: Layout
    encoded: Encoded | None
    leaves: tuple[bytes, ...]
    nbytes: int
    last: bool
    adopted: bool = False


def write_fields(
    dataset: Dataset,
    sink: Sink[Encoded],
    executor: Executor,
    in_flight: int,
    scratch: Path | None,
    progress: Progress,
) -> dict[str, str]:
    """Move every field of `dataset` into `sink`; returns the digest of each by name."""
    digests: dict[str, str] = {}
    digest: FieldDigest | None = None
    for part in run_in_order(_tasks(dataset, sink, scratch, in_flight), executor, in_flight):
        field = part.field
        try:
            if digest is None:
                role, axis = field.role, field.frame_axis
                digest = FieldDigest(field.name, role, field.dtype, field.shape, axis)
                sink.start(field, part.layout)
            if part.encoded is not None:
                sink.accept(field, part.encoded)
        except InputError as error:
            # Text that a format can't hold is found by its sink, which knows no source.
            raise error.located(file=dataset.file, member=field.name) from error.__cause__
        for leaves in part.leaves:
            digest.add(leaves)
        progress(part.nbytes)
        if part.last:
            # Where nothing was read, the field is what its store says, files and digest.
            known = part.adopted and field.digest
            digests[field.name] = known or digest.hexdigest()
            sink.finish(field, digests[field.name])
            digest = None
    return digests


def _tasks(
    dataset: Dataset, sink: Sink[Encoded], scratch: Path | None, in_flight: int
) -> Iterator[Callable[[], _Part[Encoded]]]:
    for field in dataset.values():
        layout = sink.layout(field)
        shards = layout.shards()
        if not shards:
            yield partial(_Part, field, layout, None, (), 0, True)
        try:
            if shards:
                field.array.prepare(scratch)
            adopt = sink.adopter(field, layout) if shards else None
            ahead = _budget(layout, in_flight) if field.array.sequential else None
            for start, stop in shards:
                if adopt is not None and field.digest is not None:
                    yield partial(_adopted, adopt, field, layout, start, stop)
                    continue
                begun = _begun(field, layout, start, stop, ahead)
                task = _Shard(dataset.file, sink, field, layout, adopt, ahead)
                yield partial(task.run, start, begun, stop == layout.rows)
        except PtystoreError as error:
            raise error.located(file=dataset.file, member=field.name) from error.__cause__


def _budget(layout: Layout, in_flight: int) -> Budget:
    """What of a field that is only read forwards may be in memory, counted as it is written.

    Shards under way are half used on average; each needs one block in any case.
    """
    block = layout.block_rows * layout.row_bytes
    return Budget(in_flight * max(layout.shard_bytes // 2, block))


def _begun(
    field: Field, layout: Layout, start: int, stop: int, ahead: Budget | None
) -> deque[Callable[[], Array]]:
    """The blocks of a shard with all done that must be done in order: reading forwards."""
    begun: deque[Callable[[], Array]] = deque()
    for a, b in layout.blocks(start, stop):
        if ahead is not None:
            ahead.wait_for((b - start) * layout.row_bytes)
        begun.append(field.array.begin(a, b))
    if ahead is not None:
        ahead.hold((stop - start) * layout.row_bytes)
    return begun


def _adopted(
    adopt: Callable[[int], Encoded], field: Field, layout: Layout, start: int, stop: int
) -> _Part[Encoded]:
    """A shard taken over without reading its values: its digest is on record."""
    rows = stop - start
    return _Part(
        field, layout, adopt(start), (), rows * layout.row_bytes, stop == layout.rows, adopted=True
    )


@dataclass(frozen=True)
class _Shard(Generic[Encoded]):
    """What a worker does with a shard of one field."""

    file: str | None
    sink: Sink[Encoded]
    field: Field
    layout: Layout
    adopt: Callable[[int], Encoded] | None
    ahead: Budget | None

    def run(self, start: int, begun: deque[Callable[[], Array]], last: bool) -> _Part[Encoded]:
        """Compute, hash and encode the shard at row `start` from its begun blocks."""
        leaves: list[bytes] = []
        sizes: list[int] = []
        try:
            blocks = self._blocks(begun, leaves, sizes)
            if self.adopt is not None:
                # Stored as it would be written, but under another name: only its digest differs.
                deque(blocks, maxlen=0)
                encoded = self.adopt(start)
            else:
                encoded = self.sink.encode(self.field, self.layout, start, blocks)
        except PtystoreError as error:
            raise error.located(file=self.file, member=self.field.name) from error.__cause__
        finally:
            if self.ahead is not None:
                rows = min(self.layout.shard_rows, self.layout.rows - start)
                self.ahead.release(rows * self.layout.row_bytes - sum(sizes))
        return _Part(self.field, self.layout, encoded, tuple(leaves), sum(sizes), last)

    def _blocks(
        self, begun: deque[Callable[[], Array]], leaves: list[bytes], sizes: list[int]
    ) -> Iterator[Array]:
        """The blocks with their rows first, each let go of when the next is asked for."""
        axis, shape = self.layout.axis, self.layout.shape
        while begun:
            block = begun.popleft()()
            rows_first = np.moveaxis(block, axis, 0) if shape else block.reshape(1)
            rows_first = np.ascontiguousarray(rows_first)
            leaves.append(leaf_hashes(rows_first))
            yield rows_first
            sizes.append(rows_first.nbytes)
            del block, rows_first
            if self.ahead is not None:
                self.ahead.release(sizes[-1])
