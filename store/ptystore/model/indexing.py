"""Numpy's indexing on lazy arrays: which rows a key needs, and the key that remains."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptystore.model.lazy_array import Indices, LazyArray, read_all

__all__ = ["read_indexed"]


def read_indexed(array: LazyArray, key: Any) -> Any:
    """`array[key]` as numpy means it, reading only the rows along `array.axis` that it names.

    Raises `IndexError` as numpy does.
    """
    if not array.shape:
        return read_all(array)[key]
    entries = _one_entry_an_axis(key, array.shape)
    place = _position_of_axis(entries, array.axis)
    rows = array.shape[array.axis]
    wanted = entries[place]
    if isinstance(wanted, slice):
        start, stop, step = wanted.indices(rows)
        if step == 1:
            block = array.read(start, max(start, stop))
        else:
            block = array.take(np.arange(start, stop, step, dtype=np.int64))
        entries[place] = slice(None)
    elif np.ndim(wanted) == 1 and all(isinstance(e, slice) for e in _without(entries, place)):
        # Frames alone, in any order: nothing is left to put in order.
        block = array.take(_checked(wanted, rows, array.axis))
        entries[place] = slice(None)
    else:
        needed, inverse = np.unique(_checked(wanted, rows, array.axis), return_inverse=True)
        block = array.take(needed)
        shape = np.shape(wanted)
        entries[place] = inverse.reshape(shape) if shape else int(inverse.reshape(-1)[0])
    return block[tuple(entries)]


def _one_entry_an_axis(key: object, shape: tuple[int, ...]) -> list[Any]:
    """The key as a list that names every axis: `...` spelled out, masks turned to indices."""
    entries = [_plain(entry) for entry in (key if isinstance(key, tuple) else (key,))]
    used = sum(_axes_named(entry) for entry in entries)
    if used > len(shape):
        raise IndexError(f"too many indices: the field has {len(shape)} axes, {used} are named")
    gaps = [at for at, entry in enumerate(entries) if entry is Ellipsis]
    if len(gaps) > 1:
        raise IndexError("an index can have only one ellipsis")
    at = gaps[0] if gaps else len(entries)
    # One that stands for no axis stays: to numpy it still parts the indices beside it.
    kept: list[Any] = [Ellipsis] if gaps and used == len(shape) else []
    entries[at : at + 1] = kept or [slice(None)] * (len(shape) - used)

    spelled: list[Any] = []
    axis = 0
    for entry in entries:
        named = _axes_named(entry)
        if isinstance(entry, np.ndarray) and entry.dtype == bool:
            if entry.shape != shape[axis : axis + named]:
                axes = shape[axis : axis + named]
                raise IndexError(f"a mask of shape {entry.shape} does not fit axes of {axes}")
            # numpy defines a mask as the indices of its true elements, one array an axis.
            spelled.extend(entry.nonzero())
        else:
            spelled.append(entry)
        axis += named
    return spelled


def _plain(entry: object) -> Any:
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return entry
    values = np.asarray(entry)
    if values.size == 0 and not isinstance(entry, np.ndarray):
        values = values.astype(np.int64)
    if values.dtype == bool and values.ndim == 0:
        raise IndexError("a single True or False selects nothing: use a mask or an index")
    if values.dtype.kind not in "iub":
        raise IndexError("fields are indexed by integers, slices, integer arrays or masks")
    return values if values.dtype == bool or values.ndim else int(values)


def _axes_named(entry: object) -> int:
    if entry is None or entry is Ellipsis:
        return 0
    return entry.ndim if isinstance(entry, np.ndarray) and entry.dtype == bool else 1


def _position_of_axis(entries: list[Any], axis: int) -> int:
    """Where in `entries` the entry for `axis` is: each names one axis, but for `None` and `...`."""
    places = [at for at, entry in enumerate(entries) if entry is not None and entry is not Ellipsis]
    return places[axis]


def _without(entries: list[Any], place: int) -> list[Any]:
    return [entry for at, entry in enumerate(entries) if at != place]


def _checked(wanted: Any, rows: int, axis: int) -> Indices:
    """Indices made non-negative, or numpy's own `IndexError`."""
    indices = np.asarray(wanted, dtype=np.int64)
    outside = (indices < -rows) | (indices >= rows)
    if outside.any():
        first = int(indices[outside].reshape(-1)[0])
        raise IndexError(f"index {first} is out of bounds for axis {axis} with size {rows}")
    return np.where(indices < 0, indices + rows, indices)
