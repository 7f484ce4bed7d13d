"""All of ptystore that imports zarr-python: documents, arrays of text, stores of others.

The values of a numeric array are written and read by `zarr_shards`; the documents that
describe them come from zarr-python, so that whatever reads Zarr reads them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.storage
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.chunk_codec import BLOSC
from ptystore.formats.foreign import foreign_metadata, json_attrs, supported_dtype
from ptystore.formats.names import check_name
from ptystore.formats.text import checked_text
from ptystore.model.dataset import Storage
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array, Indices, LazyBase

__all__ = ["array_document", "read_foreign_zarr", "read_text_array", "text_array_files"]


def array_document(
    layout: Layout, dtype: np.dtype[Any], dims: tuple[str, ...], attrs: Mapping[str, Any]
) -> dict[str, Any]:
    """The `zarr.json` of a numeric array that `zarr_shards` writes."""
    files: dict[str, Any] = {}
    sharded = layout.chunks_per_shard > 1
    zarr.create_array(
        zarr.storage.MemoryStore(files),
        shape=layout.shape,
        dtype=dtype,
        chunks=layout.chunk_shape,
        shards=layout.shard_shape if sharded else None,
        compressors=[BloscCodec(typesize=dtype.itemsize, **BLOSC), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=dims,
        attributes=dict(attrs),
    )
    document: dict[str, Any] = json.loads(files["zarr.json"].to_bytes())
    return document


def text_array_files(
    values: Array, dims: tuple[str, ...], attrs: Mapping[str, Any]
) -> dict[str, bytes]:
    """All files of an array of text, `zarr.json` included: one chunk of UTF-8 strings."""
    files: dict[str, Any] = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(files),
        shape=values.shape,
        # fixed-length text has no specification in Zarr v3, and every reader would warn.
        dtype="string",
        chunks=tuple(max(1, n) for n in values.shape),
        compressors=[ZstdCodec(), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
        dimension_names=dims,
        attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )
    if values.size:
        array[...] = values
    return {key: buffer.to_bytes() for key, buffer in files.items()}


def read_text_array(folder: Path, dtype: np.dtype[Any]) -> Array:
    """The values of an array of text in one of our stores, as the numpy `dtype` it had."""
    array = zarr.open_array(zarr.storage.LocalStore(folder, read_only=True), mode="r")
    return np.asarray(array[...]).astype(dtype)


def read_foreign_zarr(path: Path, options: ReadOptions) -> Contents:
    """What a Zarr group that ptystore did not write holds, read through zarr-python.

    Raises `InputError` for what is no group of plain arrays.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python's remarks on other writers' choices
        try:
            group = zarr.open(str(path), mode="r")
        except Exception as error:
            raise InputError(f"is no Zarr store that can be read: {error}", file=path) from error
        if not isinstance(group, zarr.Group):
            raise InputError(
                "is a single Zarr array, not a group",
                file=path,
                advice="put the array into a group under the name of its field",
            )
        arrays: dict[str, RawArray] = {}
        try:
            members = sorted(group.members())
        except Exception as error:
            raise InputError(f"its members can't be read: {error}", file=path) from error
    for name, node in members:
        problem = "is a group inside a group" if isinstance(node, zarr.Group) else check_name(name)
        if problem:
            raise InputError(problem, file=path, member=name)
        arrays[name] = _raw_array(path, name, node)
    return Contents(arrays, foreign_metadata(dict(group.attrs), options))


def _raw_array(path: Path, name: str, node: Any) -> RawArray:
    try:
        dtype = supported_dtype(np.dtype(node.dtype))
    except (InputError, TypeError) as error:
        reason = error.reason if isinstance(error, InputError) else str(error)
        raise InputError(reason, file=path, member=name) from None
    storage = Storage("zarr", None, tuple(node.chunks), node.shards)
    if dtype.kind == "U" and node.dtype.kind != "U":
        # Strings of any length: numpy's type needs the longest, so the values are needed now.
        dtype = np.array(np.asarray(node[...]).tolist(), str).dtype
    return RawArray(
        tuple(node.shape),
        dtype,
        lambda axis: ForeignZarrArray(path, name, tuple(node.shape), dtype, axis),
        storage,
        json_attrs(dict(node.attrs)),
    )


class ForeignZarrArray(LazyBase):
    """An array that zarr-python reads; what a missing chunk means is that store's affair."""

    def __init__(
        self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], axis: int
    ) -> None:
        self._path = path
        self._name = name
        self.shape = shape
        self.dtype = dtype
        self.axis = axis

    def _select(self, rows: slice | Indices) -> Array:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                array = zarr.open_array(str(self._path), path=self._name, mode="r")
            key = (slice(None),) * self.axis + (rows,) if self.shape else ()
            values = np.asarray(array.oindex[key] if self.shape else array[()])
        except Exception as error:
            raise InputError(
                f"can't be read: {error}", file=self._path, member=self._name
            ) from error
        values = values.astype(self.dtype, copy=False)
        return checked_text(values) if self.dtype.kind == "U" else values

    def read(self, start: int, stop: int) -> Array:
        return self._select(slice(start, stop))

    def take(self, indices: Indices) -> Array:
        return self._select(np.asarray(indices, np.int64))
