"""Regular parts of an axis, as HDF5's hyperslabs have them: blocks of indices at equal steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.model.lazy_array import Array, Indices

__all__ = ["Along", "Lines", "Rows", "across", "keys", "selected", "whole"]

_LARGEST = 1 << 62


@dataclass(frozen=True)
class Along:
    """`count` blocks of `block` indices each, `stride` from one's begin to the next one's.

    A stride is never less than a block, of one block alone neither.
    """

    start: int
    stride: int
    count: int
    block: int

    @property
    def size(self) -> int:
        """How many indices there are."""
        return self.count * self.block

    @property
    def end(self) -> int:
        """The one behind the last."""
        return self.start + (self.count - 1) * self.stride + self.block

    @property
    def steps(self) -> int:
        """How many runs of neighbours there are."""
        return self.count

    def below(self, index: int) -> int:
        """How many of the indices are smaller."""
        blocks, within = divmod(max(0, index - self.start), self.stride)
        return min(self.size, blocks * self.block + min(within, self.block))

    def has(self, index: int) -> bool:
        """Whether it is one of them."""
        return self.below(index + 1) > self.below(index)

    def at(self, numbers: Indices) -> Indices:
        """The indices by their numbers among all."""
        blocks, within = np.divmod(numbers, self.block)
        return self.start + blocks * self.stride + within

    def runs(self) -> tuple[Indices, int]:
        """Where each run of neighbours begins, ascending, and how long each is."""
        return self.start + self.stride * np.arange(self.count), self.block

    def meets(self, other: Along) -> bool:
        """Whether an index is one of both."""
        few, many = sorted((self, other), key=lambda one: one.count)
        begins, length = few.runs()
        # As `below`, of all blocks at once.
        edges = np.concatenate([begins, begins + length]) - many.start
        blocks, within = np.divmod(np.maximum(edges, 0), many.stride)
        below = np.minimum(many.size, blocks * many.block + np.minimum(within, many.block))
        return bool((below[len(begins) :] > below[: len(begins)]).any())

    @property
    def key(self) -> slice | Indices:
        """All of them, to index an array by."""
        if self.count == 1:
            return slice(self.start, self.end)
        if self.block == 1:
            return slice(self.start, self.end, self.stride)
        return self.at(np.arange(self.size))


@dataclass(frozen=True)
class Lines:
    """Rows of an array whose first two axes are seen as one; `line` is the length of the second."""

    slow: Along
    fast: Along
    line: int

    @property
    def size(self) -> int:
        return self.slow.size * self.fast.size

    @property
    def start(self) -> int:
        return self.slow.start * self.line + self.fast.start

    @property
    def end(self) -> int:
        return (self.slow.end - 1) * self.line + self.fast.end

    @property
    def steps(self) -> int:
        whole = self.fast.size == self.line
        return self.slow.count if whole else self.slow.size * self.fast.count

    def below(self, index: int) -> int:
        slow, fast = divmod(index, self.line)
        own = self.fast.below(fast) if self.slow.has(slow) else 0
        return self.slow.below(slow) * self.fast.size + own

    def at(self, numbers: Indices) -> Indices:
        slow, fast = np.divmod(numbers, self.fast.size)
        return self.slow.at(slow) * self.line + self.fast.at(fast)

    def runs(self) -> tuple[Indices, int]:
        if self.fast.size == self.line:
            begins, length = self.slow.runs()
            return begins * self.line, length * self.line
        slow = self.slow.at(np.arange(self.slow.size)) * self.line
        begins, length = self.fast.runs()
        return (slow[:, None] + begins).reshape(-1), length


#: The rows that a piece gives of a virtual array.
Rows = Along | Lines


def whole(size: int) -> Along:
    """All indices of an axis."""
    return Along(0, max(1, size), 1, size)


def selected(region: Sequence[Sequence[int]] | None, shape: tuple[int, ...]) -> tuple[Along, ...]:
    """A region ``[start, stride, count, block]`` of an array of `shape`, None for all of it.

    Raises `InputError` for one that is not in the array.
    """
    if region is None:
        return tuple(whole(size) for size in shape)
    if len(region) != 4 or any(len(one) != len(shape) for one in region):
        raise InputError(f"has a part of {len(region[0])} axes taken, where {shape} is")
    found = []
    for start, stride, count, block, size in zip(*region, shape, strict=True):
        sound = start >= 0 and min(stride, count, block) >= 1 and (count == 1 or stride >= block)
        if not sound or max(start, stride, count, block) >= _LARGEST:
            raise InputError("has a part taken that is no regular one")
        one = Along(start, stride, count, block)
        if count == 1 or stride == block:  # one run of neighbours
            one = Along(start, one.size, 1, one.size)
        if one.end > size:
            raise InputError(f"has shape {shape}, and is taken up to index {one.end - 1} of {size}")
        found.append(one)
    return tuple(found)


def across(axes: Sequence[Along], values: Array) -> Array:
    """The part of `values` (rows, …) that is selected along all axes but the first."""
    shape = values.shape[1:]
    if all(one.size == size for one, size in zip(axes, shape, strict=True)):
        return values
    found: Array = values[keys(slice(None), axes, len(values))]
    return found


def keys(rows: Any, axes: Sequence[Along], count: int) -> tuple[Any, ...]:
    """What indexes an array by `rows` and along the other axes at once; rows are `count`."""
    parts = [rows, *(one.key for one in axes)]
    if sum(not isinstance(part, slice) for part in parts) < 2:
        return tuple(parts)
    sizes = [count, *(one.end for one in axes)]
    ranges = [
        np.arange(size)[part] if isinstance(part, slice) else part
        for part, size in zip(parts, sizes, strict=True)
    ]
    return np.ix_(*ranges)
