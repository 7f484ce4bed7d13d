"""Opening and making HDF5 files, and reading those of other tools.

Files of our own are written by `writer` and read by `reader`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from ptystore.errors import InputError, PtystoreError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.chunk_codec import BLOSC
from ptystore.formats.foreign import foreign_metadata, json_attrs, supported_dtype
from ptystore.formats.hdf5.nodes import own_dataset, own_node, require_readable
from ptystore.formats.hdf5.stream import Hdf5Stream
from ptystore.formats.hdf5.trouble import as_input_error
from ptystore.formats.names import METADATA_MEMBER, check_name
from ptystore.model.dataset import Storage
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array, LazyBase

__all__ = [
    "OWN_GROUP",
    "ForeignHdf5Array",
    "create_chunked",
    "created",
    "is_whole",
    "opened",
    "read_foreign_hdf5",
    "utf8_dtype",
]

#: The group of all that is ours and that no HDF5 reader needs.
OWN_GROUP = "__ptystore__"


@contextmanager
def opened(path: Path, member: str | None = None) -> Iterator[h5py.File]:
    """An HDF5 file for reading; whatever the library says becomes one line.

    Raises `InputError`, for what is raised while the file is open too; `InputMissingError`
    where there is no such file.
    """
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except PtystoreError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise as_input_error(error, path, member) from error


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


def is_whole(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array is written in one piece: HDF5 can't chunk a 0-d or an empty one."""
    return not shape or 0 in shape or dtype.kind == "U"


def read_foreign_hdf5(path: Path, file: h5py.File, options: ReadOptions) -> Contents:
    """What an open HDF5 file that ptystore did not write holds.

    Raises `InputError` for what is no file of plain arrays.
    """
    arrays = {}
    for name in file:
        node = own_node(file, name)
        problem = check_name(name)
        if not isinstance(node, h5py.Dataset):
            problem = "is a group, not an array"
        elif node.shape is None:
            problem = "is empty: it has no shape"
        elif name == METADATA_MEMBER:
            if node.shape == () and h5py.check_string_dtype(node.dtype):
                continue
            problem = "is not a single text, as a metadata document must be"
        if problem:
            advice = "copy the arrays to the root of an HDF5 file of their own"
            raise InputError(problem, file=path, member=name, advice=advice)
        arrays[name] = _foreign_array(path, name, node)
    attrs = dict(file.attrs)
    if METADATA_MEMBER in file:
        attrs["metadata"] = file[METADATA_MEMBER][()]
    return Contents(arrays, foreign_metadata(attrs, options))


def _foreign_array(path: Path, name: str, node: h5py.Dataset) -> RawArray:
    text = h5py.check_string_dtype(node.dtype)
    try:
        if node.dtype.kind == "O" and not text:
            raise InputError("holds references or lists of various lengths, not plain values")
        require_readable(node)
        dtype = np.dtype("U1") if text else supported_dtype(node.dtype)
    except InputError as error:
        raise error.located(file=path, member=name) from None
    if text:
        dtype = node.asstr()[...].astype(str).dtype if node.size else dtype
    shape = tuple(int(n) for n in node.shape)
    storage = Storage("hdf5", node.id.get_storage_size(), node.chunks)
    build = lambda axis: ForeignHdf5Array(path, name, shape, dtype, axis)  # noqa: E731
    return RawArray(shape, dtype, build, storage, json_attrs(dict(node.attrs)))


class ForeignHdf5Array(LazyBase):
    """An array that h5py reads, with whatever filters it has."""

    def __init__(
        self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], axis: int
    ) -> None:
        self._path = path
        self._name = name
        self.shape = shape
        self.dtype = dtype
        self.axis = axis

    def read(self, start: int, stop: int) -> Array:
        return self._select(slice(start, stop))

    def _select(self, rows: slice | Iterable[int]) -> Array:
        with opened(self._path, self._name) as file:
            node = own_dataset(file, self._name)
            view = node.asstr() if self.dtype.kind == "U" else node
            frames = (slice(None),) * self.axis + (rows,)
            values = view[frames if self.shape else ()]
            return np.asarray(values).astype(self.dtype, copy=False)
