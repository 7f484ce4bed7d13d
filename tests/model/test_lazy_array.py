"""The lazy arrays that need no file: reading, taking, pickling, forking, byte order."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptystore.model.lazy_array import (
    CachedArray,
    ComputedArray,
    FramesFirst,
    Indices,
    LazyArray,
    LazyBase,
    MemoryArray,
    SelectedArray,
    read_all,
)
from ptystore.model.process_lock import ProcessLock
from scans import Array, forked, pickled, values

COUNT = 11
FRAMES = values("i4", (COUNT, 3, 2))
OTHER = values("i4", (COUNT, 3, 2), seed=1)
ORDER = np.array([4, 4, 0, 10, 3])


class InRanges(LazyBase):
    """Can only `read`, so `take` is the general one; remembers what was read."""

    def __init__(self, array: Array, axis: int = 0, sequential: bool = False) -> None:
        self.array, self.axis, self.sequential = array, axis, sequential
        self.shape, self.dtype = array.shape, array.dtype
        self.ranges: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> Array:
        self.ranges.append((start, stop))
        return np.take(self.array, np.arange(start, stop), axis=self.axis)


def weighted(frames: Indices, left: Array, right: Array) -> Array:
    return left * 2 + right + frames[:, None, None]


def computed(sequential: bool = False) -> tuple[LazyArray, Array]:
    inputs = [InRanges(FRAMES, 0, sequential), MemoryArray(OTHER)]
    array = ComputedArray(weighted, inputs, FRAMES.shape, np.int32)
    return array, FRAMES * 2 + OTHER + np.arange(COUNT, dtype=np.int32)[:, None, None]


LAST = np.moveaxis(FRAMES, 0, -1)
MAKERS: dict[str, Callable[[], tuple[LazyArray, Array]]] = {
    "memory": lambda: (MemoryArray(FRAMES), FRAMES),
    "memory, frames last": lambda: (MemoryArray(LAST, 2), LAST),
    "ranges": lambda: (InRanges(FRAMES), FRAMES),
    "ranges, frames last": lambda: (InRanges(LAST, 2), LAST),
    "cached": lambda: (CachedArray(InRanges(FRAMES)), FRAMES),
    "cached, frames last": lambda: (CachedArray(InRanges(LAST, 2)), LAST),
    "computed": computed,
    "computed, sequential": lambda: computed(True),
    "selected": lambda: (SelectedArray(MemoryArray(FRAMES), ORDER), FRAMES[ORDER]),
    "selected, sequential": lambda: (
        SelectedArray(InRanges(FRAMES, 0, True), ORDER),
        FRAMES[ORDER],
    ),
    "selected, frames last": lambda: (
        SelectedArray(MemoryArray(LAST, 2), ORDER),
        LAST[:, :, ORDER],
    ),
    "frames first": lambda: (FramesFirst(MemoryArray(LAST, 2)), FRAMES),
    "selected of frames first of ranges": lambda: (
        SelectedArray(FramesFirst(InRanges(LAST, 2)), ORDER),
        FRAMES[ORDER],
    ),
}
EACH = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)


@EACH
@given(data=st.data())
def test_reads_what_it_stands_for(
    maker: Callable[[], tuple[LazyArray, Array]], data: st.DataObject
) -> None:
    array, expected = maker()
    rows = expected.shape[array.axis]
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    start, stop = sorted([data.draw(st.integers(0, rows)), data.draw(st.integers(0, rows))])
    indices = np.array(data.draw(st.lists(st.integers(0, rows - 1), max_size=9)), np.int64)
    wanted = np.take(expected, np.arange(start, stop), axis=array.axis)
    np.testing.assert_array_equal(array.read(start, stop), wanted)
    np.testing.assert_array_equal(array.begin(start, stop)(), wanted)
    np.testing.assert_array_equal(array.take(indices), np.take(expected, indices, axis=array.axis))
    np.testing.assert_array_equal(read_all(array), expected)


@EACH
def test_blocks_begun_in_order_may_be_finished_in_any(
    maker: Callable[[], tuple[LazyArray, Array]],
) -> None:
    array, expected = maker()
    rows = expected.shape[array.axis]
    begun = [array.begin(at, at + 1) for at in range(rows)]
    for at in reversed(range(rows)):
        wanted = np.take(expected, [at], axis=array.axis)
        np.testing.assert_array_equal(begun[at](), wanted)


@EACH
def test_pickles(maker: Callable[[], tuple[LazyArray, Array]]) -> None:
    array, expected = maker()
    read_all(array)
    np.testing.assert_array_equal(read_all(pickled(array)), expected)


@EACH
def test_what_it_gives_is_the_callers_own(maker: Callable[[], tuple[LazyArray, Array]]) -> None:
    array, expected = maker()
    for block in (read_all(array), array.take(np.arange(3))):
        block[...] = 0
    np.testing.assert_array_equal(read_all(array), expected)


def test_take_reads_each_run_of_neighbours_once_and_forwards() -> None:
    array = InRanges(FRAMES)
    array.take(np.array([9, 2, 3, 3, 1, 9]))
    assert array.ranges == [(1, 4), (9, 10)]


def test_a_0_d_array_is_one_row() -> None:
    for array in (MemoryArray(np.array(2.5)), CachedArray(MemoryArray(np.array(2.5)))):
        assert read_all(array).shape == ()
        assert read_all(array) == 2.5


@pytest.mark.parametrize("dtype", [">u2", ">f8", ">c16", ">U3"])
def test_memory_in_another_byte_order_becomes_native(dtype: str) -> None:
    swapped = np.arange(5).astype(dtype)
    array = MemoryArray(swapped)
    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    assert array.dtype.isnative
    np.testing.assert_array_equal(read_all(array), swapped)


def test_cached_reads_once_for_many_threads_and_does_not_pickle_values() -> None:
    source = InRanges(values("f8", (1000, 10)))
    array = CachedArray(source)
    threads = [threading.Thread(target=array.values) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.ranges == [(0, 1000)]
    with pytest.raises(ValueError, match="read-only"):
        array.values()[0] = 0
    source.array = np.zeros(1)
    assert len(pickle.dumps(array)) < 2000


class Prepared(LazyBase):
    """Remembers the scratch folders it was prepared with."""

    shape, dtype = (COUNT, 3, 2), np.dtype("i4")

    def __init__(self) -> None:
        self.folders: list[Path | None] = []

    def prepare(self, scratch: Path | None) -> None:
        self.folders.append(scratch)


class WithStatistics:
    """A block function that wants a pass of its own first, after its inputs' preparation."""

    def __init__(self, source: Prepared) -> None:
        self.source = source
        self.seen: list[tuple[Path | None, int]] = []

    def __call__(self, frames: Indices, block: Array) -> Array:
        return block

    def prepare(self, scratch: Path | None) -> None:
        self.seen.append((scratch, len(self.source.folders)))


def test_preparation_reaches_every_input_before_the_function(tmp_path: Path) -> None:
    source = Prepared()
    function = WithStatistics(source)
    inner = FramesFirst(SelectedArray(source, np.arange(COUNT)))
    ComputedArray(function, [inner], source.shape, source.dtype).prepare(tmp_path)
    assert source.folders == [tmp_path]
    assert function.seen == [(tmp_path, 1)]


class Waiting(LazyBase):
    """A read that waits in the parent until it is let go, as on a slow disk."""

    shape, dtype = (3,), np.dtype("f8")

    def __init__(self) -> None:
        self.reading, self.let_go = threading.Event(), threading.Event()

    def read(self, start: int, stop: int) -> Array:
        if not self.reading.is_set():
            self.reading.set()
            assert self.let_go.wait(30)
        return np.arange(3.0)


def test_a_forked_child_reads_while_a_thread_of_the_parent_holds_the_lock() -> None:
    source = Waiting()
    array = CachedArray(source)
    reader = threading.Thread(target=array.values)
    reader.start()
    assert source.reading.wait(30)
    try:
        forked(lambda: np.testing.assert_array_equal(array.values(), np.arange(3.0)))
    finally:
        source.let_go.set()
        reader.join()
    np.testing.assert_array_equal(array.values(), np.arange(3.0))


def test_a_process_lock_excludes_other_threads() -> None:
    lock, inside, most = ProcessLock(), [0], [0]

    def work() -> None:
        for _ in range(200):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    acquired = threading.Event()
    with lock:
        other = threading.Thread(
            target=lambda: (lock.__enter__(), acquired.set(), lock.__exit__(None, None, None))
        )
        other.start()
        assert not acquired.wait(0.05)
    other.join()
    assert acquired.is_set()
