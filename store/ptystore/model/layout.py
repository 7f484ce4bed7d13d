"""How an array is cut: chunks, shards and blocks, planned from a shape and byte budgets.

Pure arithmetic, no input or output. All cuts run along one axis, the frame axis of a
per-frame field or the first axis of any other, and hold whole rows of that axis.
Sizes are powers of two so that block, shard and digest-leaf boundaries coincide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "BLOCK_BYTES",
    "CHUNK_BYTES",
    "LEAF_BYTES",
    "SHARD_BYTES",
    "Layout",
    "leaf_rows",
    "plan",
    "plan_whole",
]

CHUNK_BYTES = 16 << 10
SHARD_BYTES = 16 << 20
BLOCK_BYTES = 2 << 20
LEAF_BYTES = 64 << 10


def _power_of_two_at_most(value: int) -> int:
    return 1 << max(0, value.bit_length() - 1)


def _rows_within(budget: int, row_bytes: int) -> int:
    return _power_of_two_at_most(max(1, budget // max(1, row_bytes)))


def leaf_rows(row_bytes: int) -> int:
    """Rows hashed together in one leaf of the content digest; part of the digest's definition."""
    return _rows_within(LEAF_BYTES, row_bytes)


@dataclass(frozen=True)
class Layout:
    """The cuts of one array along its `axis`, in rows (frames, for a per-frame field).

    `chunk_rows` is encoded as one piece, `shard_rows` is written as one file, and
    `block_rows` is what is read and computed at once. A shard is a whole number of chunks
    and, unless it is the only one, of blocks; a block is a whole number of digest leaves.
    """

    shape: tuple[int, ...]
    axis: int
    row_bytes: int
    chunk_rows: int
    shard_rows: int
    block_rows: int

    @property
    def rows(self) -> int:
        """Length of the cut axis; a 0-d array counts as one row."""
        return self.shape[self.axis] if self.shape else 1

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        return self._with_rows(self.chunk_rows)

    @property
    def shard_shape(self) -> tuple[int, ...]:
        return self._with_rows(self.shard_rows)

    @property
    def chunks_per_shard(self) -> int:
        return self.shard_rows // self.chunk_rows

    @property
    def shard_bytes(self) -> int:
        """Uncompressed bytes of one full shard."""
        return self.shard_rows * self.row_bytes

    def shards(self) -> list[tuple[int, int]]:
        """Row ranges `(start, stop)` of all shards, in order; none where there are no elements."""
        return _cut(0, self.rows, self.shard_rows) if self.row_bytes else []

    def blocks(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Row ranges of the blocks that make up the rows `start` to `stop`."""
        return _cut(start, stop, self.block_rows)

    def _with_rows(self, rows: int) -> tuple[int, ...]:
        # Zero-length axes still need chunks of at least one element.
        return tuple(rows if d == self.axis else max(1, n) for d, n in enumerate(self.shape))


def _cut(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    return [(at, min(at + step, stop)) for at in range(start, stop, step)]


def plan(
    shape: tuple[int, ...],
    itemsize: int,
    axis: int = 0,
    *,
    chunk_bytes: int = CHUNK_BYTES,
    shard_bytes: int = SHARD_BYTES,
    block_bytes: int = BLOCK_BYTES,
) -> Layout:
    """The layout of an array of `shape` and `itemsize` bytes an element, cut along `axis`.

    A chunk holds as many rows as fit `chunk_bytes`, at least one; a shard likewise
    `shard_bytes` and a block `block_bytes`, each at least one digest leaf. Arrays that fit one
    chunk or one shard get a single one of their own length.
    """
    rows = shape[axis] if shape else 1
    row_bytes = math.prod(n for d, n in enumerate(shape) if d != axis) * itemsize
    chunk = _rows_within(chunk_bytes, row_bytes)
    least = max(chunk, leaf_rows(row_bytes))
    shard = max(least, _rows_within(shard_bytes, row_bytes))
    block = min(max(least, _rows_within(block_bytes, row_bytes)), shard)
    if rows <= chunk:
        chunk = shard = max(1, rows)
    elif rows < shard:
        shard = -(-rows // chunk) * chunk
    return Layout(shape, axis, row_bytes, chunk, shard, block)


def plan_whole(shape: tuple[int, ...], itemsize: int, axis: int = 0) -> Layout:
    """The layout of a small array that is one chunk, one shard and one block."""
    rows = shape[axis] if shape else 1
    row_bytes = math.prod(n for d, n in enumerate(shape) if d != axis) * itemsize
    whole = max(1, rows)
    return Layout(shape, axis, row_bytes, whole, whole, whole)
