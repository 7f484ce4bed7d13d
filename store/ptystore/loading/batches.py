"""Batches of frames for training and analysis, read ahead in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar, get_args

import numpy as np

from ptystore.errors import ParameterError
from ptystore.loading.epoch_order import EpochOrder
from ptystore.model.choices import Shuffle
from ptystore.model.lazy_array import Array, CachedArray, Indices, LazyArray
from ptystore.pools.threads import ThreadPool

__all__ = ["INDEX", "BatchOptions", "Batches", "batches_of", "kept_if_small"]

#: The key of a batch under which the indices of its frames are.
INDEX = "index"

# A field up to this size is read once and kept: positions, mostly, of which a random batch
# would otherwise need every chunk.
_KEPT_BYTES = 8 << 20


Result = TypeVar("Result")
Batch = dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What `Dataset.batches` was asked for, checked.

    `fields` are those to read, in order. Raises `ParameterError` (a `ValueError`).
    """

    batch_size: int
    fields: tuple[str, ...] | None = None
    shuffle: Shuffle = "none"
    seed: int = 0
    epoch: int = 0
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    prefetch: int = 2
    start: int = 0
    buffer_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "world_size": 1, "buffer_bytes": 1}
        for name in ("seed", "epoch", "rank", "prefetch", "start", *least):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least.get(name, 0):
                raise ParameterError(f"{name} is {value!r}, not a number from {least.get(name, 0)}")
            object.__setattr__(self, name, int(value))
        if self.rank >= self.world_size:
            raise ParameterError(f"rank {self.rank} of {self.world_size}: ranks count from 0")
        if self.shuffle not in get_args(Shuffle):
            known = ", ".join(get_args(Shuffle))
            raise ParameterError(f"shuffle is {self.shuffle!r}, not one of {known}")


class Batches(Iterator[Batch]):
    """An iteration over batches of frames; `Dataset.batches` makes it and describes it.

    ``len`` is the number of batches from `start` on. Pickles with its position, goes on in a
    forked child from where the parent was, and ends its threads when it is used up, closed
    or no longer referred to.
    """

    def __init__(self, arrays: Mapping[str, LazyArray], shard: int, options: BatchOptions) -> None:
        self._options = options
        self._arrays = {name: kept_if_small(array) for name, array in arrays.items()}
        _require_random_access(self._arrays, options.shuffle)
        first = next(iter(arrays.values()))
        count = first.shape[first.axis]
        frame_bytes = sum(_bytes_of(array) for array in arrays.values()) // max(1, count)
        self._order = EpochOrder(
            count=count,
            shuffle=options.shuffle,
            seed=options.seed,
            epoch=options.epoch,
            rank=options.rank,
            world_size=options.world_size,
            batch_size=options.batch_size,
            shard=shard,
            window=options.buffer_bytes // max(1, frame_bytes),
        )
        self._step = 1
        self._next = options.start
        self._reset()

    def _reset(self) -> None:
        self._running: Generator[Batch, None, None] | None = None
        self._process = os.getpid()

    @property
    def _end(self) -> int:
        """The number of batches of the rank."""
        size = self._options.batch_size
        if self._options.drop_last:
            # Of the shortest rank's frames, so that all ranks have as many batches.
            return self._order.count // self._order.world_size // size
        return -(-self._order.length // size)

    def __len__(self) -> int:
        return max(0, -(-(self._end - self._options.start) // self._step))

    def share(self, part: int, parts: int) -> Batches:
        """Every `parts`-th of these batches, from number `part` on, as a new iteration.

        So several workers read the batches between them; taken in turn from part 0, 1, …
        they come in the order of the whole.
        """
        if not 0 <= part < parts:
            raise ParameterError(f"part {part} of {parts}: parts count from 0")
        other = object.__new__(Batches)
        other.__dict__.update(self.__getstate__())
        other._next = self._next + part * self._step
        other._options = replace(self._options, start=other._next)
        other._step = self._step * parts
        other._reset()
        return other

    def state(self) -> dict[str, Any]:
        """The arguments with which `Dataset.batches` goes on from here, plain JSON values."""
        state = asdict(replace(self._options, start=self._next))
        return state | {"fields": list(self._arrays)}

    def __next__(self) -> Batch:
        if self._process != os.getpid():
            # The threads that read ahead stayed in the parent.
            self._reset()
        if self._running is None:
            numbers = range(self._next, self._end, self._step)
            self._running = _run(self._arrays, self._order, numbers, self._options.prefetch)
        batch = next(self._running)
        self._next += self._step
        return batch

    def close(self) -> None:
        """Stop reading ahead; the next batch starts it again."""
        if self._running is not None:
            self._running.close()
        self._running = None

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        del kept["_running"], kept["_process"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


class LazyField(Protocol):
    """What of a field is needed here; the model's own door leads here, so it isn't imported."""

    @property
    def array(self) -> LazyArray: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def shard_shape(self) -> tuple[int, ...]: ...


def batches_of(per_frame: Mapping[str, LazyField], options: BatchOptions) -> Batches:
    """`Dataset.batches` of the per-frame fields of a scan, of which `options` name some.

    Raises `ParameterError` for names that there are not.
    """
    names = options.fields or ()
    for name in names:
        if name not in per_frame:
            known = ", ".join(per_frame)
            raise ParameterError(f"no per-frame field {name!r}; there are {known}")
    if not names:
        raise ParameterError("there is no per-frame field to make batches of")
    if INDEX in names:
        raise ParameterError(
            "is what the frames' own indices are called in a batch",
            member=INDEX,
            advice="give the fields that are wanted, without this one",
        )
    arrays = {name: per_frame[name].array for name in names}
    widest = per_frame[max(names, key=lambda name: per_frame[name].nbytes)]
    return Batches(arrays, widest.shard_shape[widest.array.axis], options)


def _run(
    arrays: Mapping[str, LazyArray], order: EpochOrder, numbers: range, prefetch: int
) -> Generator[Batch, None, None]:
    """The batches of these numbers. It knows nothing of the `Batches` that owns it, so that
    both end as soon as nobody refers to that one."""
    windowed = order.shuffle == "blocks"
    ahead = min(1, prefetch) if windowed else prefetch
    # What can only be read forwards is read by one thread, in order.
    in_order = windowed or any(array.sequential for array in arrays.values())
    loads = _loads(arrays, order, numbers, windowed)
    for loaded in _read_ahead(loads, ahead, 1 if in_order else ahead):
        yield from loaded.batches()
        # A window must be gone before the one after the next is begun.
        del loaded


def _loads(
    arrays: Mapping[str, LazyArray], order: EpochOrder, numbers: range, windowed: bool
) -> Iterator[Callable[[], _Loaded]]:
    """What is read at once: a window of batches, or one batch."""
    a_piece = order.piece // order.batch_size
    while numbers:
        piece = numbers[0] // a_piece
        frames = order.frames(piece)
        inside = len(range(numbers[0], min((piece + 1) * a_piece, numbers.stop), numbers.step))
        own, numbers = numbers[:inside], numbers[inside:]
        begins = [(number - piece * a_piece) * order.batch_size for number in own]
        # Copies, for they are given away.
        wanted = [frames[at : at + order.batch_size].copy() for at in begins]
        groups = [wanted] if windowed else [[batch] for batch in wanted]
        yield from (partial(_load, arrays, group) for group in groups)


def _load(arrays: Mapping[str, LazyArray], wanted: list[Indices]) -> _Loaded:
    """Reads the frames of some batches: forwards, or a single batch in its own order."""
    frames = wanted[0] if len(wanted) == 1 else np.sort(np.concatenate(wanted))
    values = {name: array.take(frames) for name, array in arrays.items()}
    axes = {name: array.axis for name, array in arrays.items()}
    return _Loaded(wanted, frames, values, axes)


@dataclass(frozen=True)
class _Loaded:
    """The values of some batches, at `frames`."""

    wanted: list[Indices]
    frames: Indices
    values: Batch
    axes: dict[str, int]

    def batches(self) -> Iterator[Batch]:
        if len(self.wanted) == 1:
            yield {INDEX: self.frames, **self.values}
            return
        # Gathered when it is asked for, in the caller's thread, while the next window is
        # read: the batch is still in the processor's cache when it is used.
        for batch in self.wanted:
            places = np.searchsorted(self.frames, batch)
            yield {INDEX: batch} | {
                name: np.take(values, places, axis=self.axes[name])
                for name, values in self.values.items()
            }


def _read_ahead(
    tasks: Iterator[Callable[[], Result]], ahead: int, threads: int
) -> Iterator[Result]:
    """The results of `tasks` in order, up to `ahead` of them finished before they are asked for.

    Tasks are made in the calling thread. The threads end with the iteration; a forked child,
    which has none of them, waits for none.
    """
    if ahead == 0:
        yield from (task() for task in tasks)
        return
    process = os.getpid()
    pool = ThreadPool(threads, "ptystore-batches")
    pending: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(task))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        if os.getpid() == process:
            pool.close(cancel=True)


def kept_if_small(array: LazyArray) -> LazyArray:
    """The array itself, or a small one in a form that reads it once and keeps it."""
    return CachedArray(array) if _bytes_of(array) <= _KEPT_BYTES else array


def _bytes_of(array: LazyArray) -> int:
    total = array.dtype.itemsize
    for length in array.shape:
        total *= length
    return total


def _require_random_access(arrays: Mapping[str, LazyArray], shuffle: Shuffle) -> None:
    forward = [name for name, array in arrays.items() if array.sequential]
    if forward and shuffle != "none":
        raise ParameterError(
            "can only be read forwards, not shuffled",
            member=forward[0],
            advice="write the scan to a .zarr or .h5 store first",
        )
