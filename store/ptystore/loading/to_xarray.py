"""A dataset for xarray and dask: the same lazy arrays under their interfaces."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ptystore.model.contract import dimension_names

if TYPE_CHECKING:
    import xarray

    from ptystore.model.dataset import Dataset, Field

__all__ = ["to_dask", "to_xarray"]


def to_dask(dataset: Dataset) -> dict[str, Any]:
    """`Dataset.to_dask`."""
    try:
        dask_array = import_module("dask.array")
    except ImportError as error:
        raise ImportError("dask is not installed: pip install 'ptystore[dask]'") from error
    return {name: _dask_array(dask_array, one) for name, one in dataset.items()}


def _dask_array(dask_array: Any, field: Field) -> Any:
    return dask_array.from_array(
        field,
        chunks=field.shard_shape,
        # A random name: making one from the content would read everything.
        name=False,
        # An example of its type, which dask would otherwise read from the field.
        meta=np.empty((0,) * field.ndim, field.dtype),
    )


def to_xarray(dataset: Dataset, chunked: bool) -> xarray.Dataset:
    """`Dataset.to_xarray`."""
    try:
        import xarray

        from ptystore.loading.xarray_array import lazily_indexed
    except ImportError as error:
        raise ImportError("xarray is not installed: pip install 'ptystore[xarray]'") from error
    arrays = (
        to_dask(dataset)
        if chunked
        else {name: lazily_indexed(one) for name, one in dataset.items()}
    )
    dims = dimension_names(
        {name: one.shape for name, one in dataset.items()},
        {name: one.frame_axis for name, one in dataset.items()},
    )
    variables = {
        name: xarray.Variable(dims[name], arrays[name], dict(one.attrs))
        for name, one in dataset.items()
    }
    document = dataset.metadata.document if dataset.metadata else None
    return xarray.Dataset(variables, attrs={} if document is None else {"metadata": document})
