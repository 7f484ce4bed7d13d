"""Cuts: every row in exactly one chunk, shard and block, on boundaries that coincide."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptystore.model.layout import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    LEAF_BYTES,
    SHARD_BYTES,
    leaf_rows,
    plan,
    plan_whole,
)

SHAPES = st.lists(st.integers(0, 3000), max_size=4).map(tuple)
BUDGETS = st.integers(1, 1 << 22)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int]:
    shape = draw(SHAPES)
    axis = draw(st.integers(0, max(0, len(shape) - 1)))
    return shape, draw(st.sampled_from([1, 2, 4, 8, 16, 28])), axis


@given(arrays(), BUDGETS, BUDGETS, BUDGETS)
def test_cuts_cover_every_row_once_on_common_boundaries(
    array: tuple[tuple[int, ...], int, int], chunk: int, shard: int, block: int
) -> None:
    shape, itemsize, axis = array
    one = plan(shape, itemsize, axis, chunk_bytes=chunk, shard_bytes=shard, block_bytes=block)
    rows = shape[axis] if shape else 1
    row_bytes = math.prod(shape[:axis] + shape[axis + 1 :]) * itemsize
    assert (one.rows, one.row_bytes) == (rows, row_bytes)
    assert one.chunk_rows >= 1
    assert one.shard_rows % one.chunk_rows == 0
    shards = one.shards()
    if not rows * row_bytes:
        assert shards == []
        return
    assert shards[0][0] == 0
    assert shards[-1][1] == rows
    assert all(left[1] == right[0] for left, right in pairwise(shards))
    leaf = leaf_rows(row_bytes)
    for start, stop in shards if len(shards) < 50 else [shards[0], shards[-1]]:
        assert start % one.shard_rows == 0
        blocks = one.blocks(start, stop)
        assert [blocks[0][0], blocks[-1][1]] == [start, stop]
        assert all(a % leaf == 0 for a, _ in blocks), "a leaf of the digest is cut in two"
        assert all(a % one.chunk_rows == 0 for a, _ in blocks), "a chunk is cut in two"


@given(arrays())
def test_sizes_are_those_of_the_design(array: tuple[tuple[int, ...], int, int]) -> None:
    shape, itemsize, axis = array
    one = plan(shape, itemsize, axis)
    chunk, shard = one.chunk_rows * one.row_bytes, one.shard_bytes
    assert one.chunk_rows == 1 or chunk <= CHUNK_BYTES
    assert one.chunks_per_shard == 1 or shard <= SHARD_BYTES
    if one.rows >= 2 * one.chunk_rows and one.row_bytes:
        assert 2 * chunk > CHUNK_BYTES, "smaller chunks than the budget allows"
    if one.rows >= 2 * one.shard_rows and one.row_bytes:
        assert 2 * shard > SHARD_BYTES, "smaller shards than the budget allows"
    assert one.block_rows * one.row_bytes <= max(BLOCK_BYTES, one.row_bytes)


def test_frames_of_64_by_64_uint16() -> None:
    one = plan((2000, 64, 64), 2)
    assert one.chunk_shape == (2, 64, 64)
    assert one.shard_shape == (2000, 64, 64)
    assert plan((5000, 64, 64), 2).shard_shape == (2048, 64, 64)
    assert plan((64, 64, 5000), 2, 2).shard_shape == (64, 64, 2048)


@pytest.mark.parametrize(
    "row_bytes", [0, 1, 3, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 1 << 30]
)
def test_a_leaf_is_the_largest_power_of_two_rows_within_64_kib(row_bytes: int) -> None:
    rows = leaf_rows(row_bytes)
    assert rows & (rows - 1) == 0
    assert rows == 1 or rows * row_bytes <= LEAF_BYTES
    assert row_bytes == 0 or 2 * rows * row_bytes > LEAF_BYTES


@given(arrays())
def test_an_array_laid_out_whole_is_one_chunk_and_one_block(
    array: tuple[tuple[int, ...], int, int],
) -> None:
    shape, itemsize, axis = array
    one = plan_whole(shape, itemsize, axis)
    if math.prod(shape):
        assert one.shards() == [(0, one.rows)]
        assert one.blocks(0, one.rows) == [(0, one.rows)]
        assert one.chunk_shape == shape
    else:
        assert one.shards() == []
