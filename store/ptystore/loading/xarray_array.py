"""A lazy array under xarray's interface for lazy arrays; importing this needs xarray."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from ptystore.model.indexing import read_indexed
from ptystore.model.lazy_array import Array, LazyArray, read_all

__all__ = ["IndexedArray", "lazily_indexed"]


class IndexedArray(BackendArray):
    """Reads the frames that an outer (orthogonal) index names."""

    def __init__(self, array: LazyArray) -> None:
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> Array:
        if not self.shape:
            return read_all(self._array)
        axis = self._array.axis
        # The frames first, as indices or a slice; then one axis after another, from the last,
        # so that an axis that an integer removes does not move those still to come.
        rows = key[axis]
        frames = rows if isinstance(rows, slice) else np.atleast_1d(rows)
        values = read_indexed(self._array, (*[slice(None)] * axis, frames))
        for d in reversed(range(len(key))):
            if d != axis:
                values = values[(*[slice(None)] * d, key[d])]
            elif np.ndim(rows) == 0 and not isinstance(rows, slice):
                values = values[(*[slice(None)] * d, 0)]
        return np.asarray(values)


def lazily_indexed(array: LazyArray) -> indexing.LazilyIndexedArray:
    """The array as a lazy one of xarray's."""
    return indexing.LazilyIndexedArray(IndexedArray(array))
