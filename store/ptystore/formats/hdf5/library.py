"""Making HDF5 files and arrays in them, for `writer`; what reads asks `walk`."""

from __future__ import annotations

from typing import Any

import h5py
import hdf5plugin
import numpy as np

from ptystore.formats.chunk_codec import BLOSC
from ptystore.formats.hdf5.stream import Hdf5Stream
from ptystore.model.layout import Layout

__all__ = ["create_chunked", "created", "utf8_dtype"]


def created(stream: Hdf5Stream) -> h5py.File:
    """A new HDF5 file, written through `stream`."""
    # Version 1.10's format has an index for chunks that never grow, and metadata
    # checksums; every HDF5 since 2016 reads it.
    return h5py.File(stream, "w", libver=("v110", "v110"))


def create_chunked(file: h5py.File, name: str, layout: Layout, dtype: np.dtype[Any]) -> None:
    """Make an array without values, for chunks that `chunk_codec` encodes."""
    filter_ = hdf5plugin.Blosc(
        cname=BLOSC["cname"], clevel=BLOSC["clevel"], shuffle=hdf5plugin.Blosc.BITSHUFFLE
    )
    file.create_dataset(
        name,
        shape=layout.shape,
        dtype=dtype.newbyteorder("<"),
        chunks=layout.chunk_shape,
        track_times=False,
        **filter_,
    )


def utf8_dtype(size: int) -> np.dtype[Any]:
    """The dtype of texts of up to `size` bytes.

    It tells HDF5 that the bytes are UTF-8; it converts from nothing else.
    """
    dtype: np.dtype[Any] = h5py.string_dtype("utf-8", size)
    return dtype
