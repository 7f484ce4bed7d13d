"""A field under xarray's interface for lazy arrays; importing this needs xarray."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from ptystore.model.dataset import Field
from ptystore.model.lazy_array import Array

__all__ = ["FieldArray", "lazily_indexed"]


class FieldArray(BackendArray):
    """Reads, of a field, the frames that an outer (orthogonal) index names."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self.shape = field.shape
        self.dtype = field.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> Array:
        if not self.shape:
            return np.asarray(self._field.values())
        axis = self._field.array.axis
        # The frames first, as indices or a slice; then one axis after another, from the last,
        # so that an axis that an integer removes does not move those still to come.
        rows = key[axis]
        frames = rows if isinstance(rows, slice) else np.atleast_1d(rows)
        values = self._field[(*[slice(None)] * axis, frames)]
        for d in reversed(range(len(key))):
            if d != axis:
                values = values[(*[slice(None)] * d, key[d])]
            elif np.ndim(rows) == 0 and not isinstance(rows, slice):
                values = values[(*[slice(None)] * d, 0)]
        return np.asarray(values)


def lazily_indexed(field: Field) -> indexing.LazilyIndexedArray:
    """The field as a lazy array of xarray's."""
    return indexing.LazilyIndexedArray(FieldArray(field))
