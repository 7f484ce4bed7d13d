"""Arrays of a file seen in another arrangement, computed from it as they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ptystore.formats.assemble import RawArray
from ptystore.model.concatenated_array import ConcatenatedArray
from ptystore.model.lazy_array import (
    Array,
    BlockFunction,
    CachedArray,
    ComputedArray,
    Indices,
    LazyArray,
    LazyBase,
    SelectedArray,
    read_all,
)
from ptystore.model.source import Storage

__all__ = ["frames_by", "in_order", "reshaped", "whole_by"]


def frames_by(
    function: BlockFunction, raw: RawArray, axis: int, shape: tuple[int, ...]
) -> RawArray:
    """Frames of `shape` (n, ky, kx) that `function` makes of blocks of `raw`, cut along `axis`.

    `function` is given the numbers of the frames and the block, and must be picklable.
    """
    build = partial(_frames, function, raw, axis, shape)
    return dataclasses.replace(raw, shape=shape, build=build, storage=_unchunked(raw))


def whole_by(
    function: Callable[[Array], Array],
    raw: RawArray,
    shape: tuple[int, ...],
    dtype: np.dtype[Any] | None = None,
) -> RawArray:
    """An array that `function`, which must be picklable, makes of all of `raw` at first use."""
    dtype = raw.dtype if dtype is None else dtype
    build = partial(_whole, function, raw, shape, dtype)
    return dataclasses.replace(raw, shape=shape, dtype=dtype, build=build, storage=_unchunked(raw))


def reshaped(raw: RawArray, shape: tuple[int, ...]) -> RawArray:
    """The same values in C order, as an array of `shape`, which has as many."""
    return raw if shape == raw.shape else whole_by(partial(_reshape, shape), raw, shape)


def in_order(parts: Sequence[RawArray], numbers: Indices) -> RawArray:
    """The rows of several arrays by their `numbers` (n,), which count over all parts.

    All parts have the same shape behind the first axis; row k has the k-th smallest number.
    """
    order = np.argsort(numbers, kind="stable")
    straight = bool((np.diff(order) == 1).all())
    first = parts[0]
    if len(parts) == 1 and straight:
        return first
    shape = (len(numbers), *first.shape[1:])
    dtype = np.result_type(*(part.dtype for part in parts))
    build = partial(_joined, tuple(parts), None if straight else order)
    storage = _unchunked(first)
    if storage is not None:
        sizes = [0 if part.storage is None else part.storage.stored_bytes for part in parts]
        known = [size for size in sizes if size is not None]
        stored = sum(known) if len(known) == len(sizes) else None
        storage = dataclasses.replace(storage, stored_bytes=stored)
    return dataclasses.replace(first, shape=shape, dtype=dtype, build=build, storage=storage)


def _unchunked(raw: RawArray) -> Storage | None:
    return raw.storage and dataclasses.replace(raw.storage, chunk_shape=None, shard_shape=None)


def _reshape(shape: tuple[int, ...], values: Array) -> Array:
    return values.reshape(shape)


def _frames(
    function: BlockFunction, raw: RawArray, axis: int, shape: tuple[int, ...], cut: int
) -> LazyArray:
    return ComputedArray(function, [raw.build(axis)], shape, raw.dtype)


def _joined(parts: Sequence[RawArray], order: Indices | None, axis: int) -> LazyArray:
    joined = ConcatenatedArray([part.build(0) for part in parts])
    return joined if order is None else SelectedArray(joined, order)


def _whole(
    function: Callable[[Array], Array],
    raw: RawArray,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axis: int,
) -> LazyArray:
    return CachedArray(_Whole(function, raw.build(0), shape, dtype, axis))


class _Whole(LazyBase):
    """What a function makes of a whole array, cut along `axis`."""

    def __init__(
        self,
        function: Callable[[Array], Array],
        source: LazyArray,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axis: int,
    ) -> None:
        self._function = function
        self._source = source
        self.shape = shape
        self.dtype = dtype
        self.axis = axis

    def read(self, start: int, stop: int) -> Array:
        values = self._function(read_all(self._source))
        return values[(slice(None),) * self.axis + (slice(start, stop),)] if self.shape else values
