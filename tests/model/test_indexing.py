"""`Field[...]` means what it means to numpy, and reads no more rows than the key names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from ptystore.model.indexing import read_indexed
from ptystore.model.lazy_array import Array, Indices, LazyBase, MemoryArray

SHAPES = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


class Rows(LazyBase):
    """An array that remembers which of its rows were asked for."""

    def __init__(self, values: Array, axis: int) -> None:
        self.values, self.axis = values, axis
        self.shape, self.dtype = values.shape, values.dtype
        self.asked: set[int] = set()

    def read(self, start: int, stop: int) -> Array:
        assert 0 <= start <= stop <= (self.shape[self.axis] if self.shape else 1)
        self.asked.update(range(start, stop))
        return (
            np.take(self.values, np.arange(start, stop), self.axis) if self.shape else self.values
        )

    def take(self, indices: Indices) -> Array:
        assert all(0 <= at < self.shape[self.axis] for at in indices)
        self.asked.update(indices.tolist())
        return np.take(self.values, indices, axis=self.axis)


@st.composite
def one_axis_key(draw: st.DrawFn, length: int) -> Any:
    choices = [st.slices(length), st.just(slice(None))]
    if length:
        index = st.integers(-length, length - 1)
        lists = st.lists(index, max_size=7)
        choices += [
            index,
            index.map(np.int16),
            lists,
            lists.map(lambda one: np.array(one, np.int8)),
            st.lists(st.integers(0, length - 1), max_size=4).map(lambda one: np.array(one, "u2")),
            st_numpy.arrays(np.int64, (2, 2), elements=index),
        ]
    choices += [
        st_numpy.arrays(bool, length),
        st.lists(st.booleans(), min_size=length, max_size=length),
    ]
    return draw(st.one_of(choices))


@st.composite
def keys(draw: st.DrawFn) -> tuple[Array, int, Any]:
    shape = draw(SHAPES)
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
    axis = draw(st.integers(0, max(0, len(shape) - 1)))
    if draw(st.booleans()):
        basic = st_numpy.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
        return array, axis, draw(basic)
    if shape and draw(st.integers(0, 4)) == 0:
        named = draw(st.integers(1, len(shape)))
        return array, axis, draw(st_numpy.arrays(bool, shape[:named]))
    entries = [draw(one_axis_key(length)) for length in shape[: draw(st.integers(0, len(shape)))]]
    for extra in draw(st.lists(st.sampled_from([None, Ellipsis]), max_size=2)):
        if extra is None or all(entry is not Ellipsis for entry in entries):
            entries.insert(draw(st.integers(0, len(entries))), extra)
    return array, axis, entries[0] if len(entries) == 1 else tuple(entries)


@given(keys())
def test_agrees_with_numpy(case: tuple[Array, int, Any]) -> None:
    array, axis, key = case
    try:
        expected = array[key]
    except IndexError:
        with pytest.raises(IndexError):
            read_indexed(Rows(array, axis), key)
        return
    try:
        found = read_indexed(Rows(array, axis), key)
    except IndexError:
        # numpy lets an empty mask pass for an axis of another length; here it does not fit.
        masks = [one for one in key if isinstance(one, np.ndarray) and one.dtype == bool]
        assert any(mask.size == 0 for mask in masks)
        return
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


@given(keys())
def test_asks_only_for_rows_that_the_key_names(case: tuple[Array, int, Any]) -> None:
    array, axis, key = case
    rows = Rows(array, axis)
    try:
        read_indexed(rows, key)
    except IndexError:
        return
    if array.ndim and not isinstance(key, list):
        # The same key on an array that holds at each place the number of its row.
        numbers = np.broadcast_to(
            np.arange(array.shape[axis]).reshape(
                [-1 if d == axis else 1 for d in range(array.ndim)]
            ),
            array.shape,
        )
        wanted = set(np.unique(numbers[key]).tolist())
        # A range may name rows of which other axes of the key leave nothing.
        assert wanted <= rows.asked
        if np.size(numbers[key]) and not _masks_several_axes(key):
            assert rows.asked == wanted


def _masks_several_axes(key: Any) -> bool:
    entries = key if isinstance(key, tuple) else (key,)
    return any(
        isinstance(one, np.ndarray) and one.dtype == bool and one.ndim > 1 for one in entries
    )


ARRAY = np.arange(7 * 3 * 4).reshape(7, 3, 4)


@pytest.mark.parametrize(
    "key",
    [
        [],
        [5, 0, 5, -1],
        np.array([], bool)[:0].astype(int),
        slice(None, None, -1),
        slice(6, 1, -2),
        slice(3, 3),
        slice(100, 200),
        -7,
        (2, 1, 3),
        (Ellipsis, 0),
        (None, 2, None),
        ([0, 2], [1, 1], [3, 0]),
        (slice(None), [0, 2], 1),
        (1, slice(None), [0, 2]),
        ([1, 2], slice(None), [0, 2]),
        ARRAY[:, 0, 0] % 2 == 0,
        ARRAY % 3 == 0,
        (slice(2), ARRAY[0] % 2 == 0),
        (),
    ],
    ids=str,
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_keys_that_users_write(key: Any, axis: int) -> None:
    found = read_indexed(Rows(ARRAY, axis), key)
    assert np.shape(found) == np.shape(ARRAY[key])
    np.testing.assert_array_equal(found, ARRAY[key])


@pytest.mark.parametrize(
    "key",
    [
        7,
        -8,
        [0, 7],
        (0, 0, 0, 0),
        (Ellipsis, Ellipsis),
        1.0,
        "a",
        [1.5],
        np.zeros(6, bool),
        np.zeros((7, 4), bool),
        (0, 3),
    ],
    ids=str,
)
def test_keys_that_numpy_refuses_are_refused_alike(key: Any) -> None:
    with pytest.raises(IndexError):
        ARRAY[key]
    with pytest.raises(IndexError):
        read_indexed(Rows(ARRAY, 0), key)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_ellipsis_of_no_axes_still_parts_the_indices(axis: int) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    first, second, third = np.array([[0, 1]]), np.array([[1, 2]]), np.array([[0, 3]])
    for key in (
        (None, first, second, Ellipsis, third),
        (first, Ellipsis, None, second, third),
        (Ellipsis, 0, second, third),
        (0, 1, 2, Ellipsis),
    ):
        np.testing.assert_array_equal(read_indexed(MemoryArray(array, axis), key), array[key])
