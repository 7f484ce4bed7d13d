"""Fields for xarray and dask: the same lazy arrays under their interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ptystore.model.lazy_array import LazyArray

if TYPE_CHECKING:
    import xarray

__all__ = ["to_dask", "to_xarray"]


class LazyField(Protocol):
    """What of a field is needed here; the model's own door leads here, so it isn't imported."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def array(self) -> LazyArray: ...
    @property
    def attrs(self) -> Mapping[str, Any]: ...
    @property
    def shard_shape(self) -> tuple[int, ...]: ...


def to_dask(fields: Mapping[str, LazyField]) -> dict[str, Any]:
    """`Dataset.to_dask`."""
    try:
        dask_array = import_module("dask.array")
    except ImportError as error:
        raise ImportError("dask is not installed: pip install 'ptystore[dask]'") from error
    return {
        name: dask_array.from_array(
            field,
            chunks=field.shard_shape,
            # A random name: making one from the content would read everything.
            name=False,
            # An example of its type, which dask would otherwise read from the field.
            meta=np.empty((0,) * len(field.shape), field.dtype),
        )
        for name, field in fields.items()
    }


def to_xarray(
    fields: Mapping[str, LazyField],
    dims: Mapping[str, tuple[str, ...]],
    document: Mapping[str, Any] | None,
    chunked: bool,
) -> xarray.Dataset:
    """`Dataset.to_xarray`; `dims` are the names of each field's axes, `document` the metadata."""
    try:
        import xarray

        from ptystore.loading.xarray_array import lazily_indexed
    except ImportError as error:
        raise ImportError("xarray is not installed: pip install 'ptystore[xarray]'") from error
    if chunked:
        arrays = to_dask(fields)
    else:
        arrays = {name: lazily_indexed(field.array) for name, field in fields.items()}
    variables = {
        name: xarray.Variable(dims[name], arrays[name], dict(field.attrs))
        for name, field in fields.items()
    }
    return xarray.Dataset(variables, attrs={} if document is None else {"metadata": document})
