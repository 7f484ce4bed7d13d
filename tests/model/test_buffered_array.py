"""Buffered reads give what plain reads give, within bounded memory."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from ptystore.model import buffered_array
from ptystore.model.buffered_array import BufferedArray
from ptystore.model.lazy_array import MemoryArray


class Counted(MemoryArray):
    """Counts how often it is read."""

    reads = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        self.reads += 1
        return super().read(start, stop)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffered_array, "_WINDOW_BYTES", 80)
    monkeypatch.setattr(buffered_array, "_KEPT", 3)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("shape", [(101,), (101, 2)])
def test_reads_and_takes_equal_those_of_the_source(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    buffered = BufferedArray(MemoryArray(values))
    for start, stop in [(0, 101), (0, 0), (9, 10), (9, 31), (95, 101), (100, 101)]:
        np.testing.assert_array_equal(buffered.read(start, stop), values[start:stop])
    for indices in ([], [100, 0, 0, 55], list(range(100, -1, -7))):
        np.testing.assert_array_equal(buffered.take(np.array(indices, np.int64)), values[indices])
    copy = pickle.loads(pickle.dumps(buffered))
    np.testing.assert_array_equal(copy.read(3, 77), values[3:77])


@pytest.mark.usefixtures("small_windows")
def test_a_window_is_read_once_and_only_a_few_are_kept() -> None:
    source = Counted(np.arange(100.0))
    buffered = BufferedArray(source)
    for at in range(10):
        buffered.read(at, at + 1)
    assert source.reads == 1
    buffered.read(0, 100)
    assert source.reads == 10
    buffered.read(0, 1)
    assert source.reads == 11, "windows are kept without bound"


def test_what_is_read_is_the_callers_own() -> None:
    buffered = BufferedArray(MemoryArray(np.arange(10.0)))
    buffered.read(0, 10)[:] = -1
    assert buffered.read(0, 10).tolist() == list(range(10))
