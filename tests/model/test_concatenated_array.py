"""Concatenated arrays against numpy's own concatenation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptystore.model.concatenated_array import ConcatenatedArray
from ptystore.model.lazy_array import Array, LazyBase, MemoryArray, read_all
from scans import pickled, same


class Noted(LazyBase):
    """An array that notes which rows are asked of it."""

    def __init__(self, values: Array, sequential: bool = False) -> None:
        self._values = values
        self.shape, self.dtype, self.sequential = values.shape, values.dtype, sequential
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> Array:
        self.asked.append((start, stop))
        return self._values[start:stop].copy()


@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 2))
def test_as_numpy(data: st.DataObject, lengths: list[int], axis: int) -> None:
    dtypes = data.draw(st.lists(st.sampled_from(["u1", "u2", "i4"]), min_size=len(lengths)))
    shapes = [(*(2, 3)[:axis], n, *(2, 3)[axis:]) for n in lengths]
    parts = [
        np.arange(np.prod(shape), dtype=dtype).reshape(shape)
        for shape, dtype in zip(shapes, dtypes, strict=False)
    ]
    whole = np.concatenate(parts, axis)
    made = pickled(ConcatenatedArray([MemoryArray(part, axis) for part in parts]))
    assert made.shape == whole.shape
    assert made.possible_dtypes == (made.dtype,) == (whole.dtype,)
    assert same(read_all(made), whole)
    rows = sum(lengths)
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    assert same(made.read(start, stop), whole[(slice(None),) * axis + (slice(start, stop),)])
    if rows:
        wanted = data.draw(st.lists(st.integers(0, rows - 1), max_size=9))
        assert same(made.take(np.array(wanted, np.int64)), np.take(whole, wanted, axis=axis))


def test_only_what_is_wanted_is_read() -> None:
    parts = [Noted(np.arange(4) + 10 * number) for number in range(3)]
    made = ConcatenatedArray(parts)
    assert made.read(5, 7).tolist() == [11, 12]
    assert [part.asked for part in parts] == [[], [(1, 3)], []]
    assert made.take(np.array([9, 0])).tolist() == [21, 0]
    assert [part.asked[-1] for part in (parts[0], parts[2])] == [(0, 1), (1, 2)]
    assert len(parts[1].asked) == 1


@pytest.mark.parametrize("sequential", [False, True])
def test_it_is_sequential_where_a_part_is(sequential: bool) -> None:
    made = ConcatenatedArray([MemoryArray(np.ones(3)), Noted(np.ones(3), sequential)])
    assert made.sequential is sequential
