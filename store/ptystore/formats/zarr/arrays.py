"""The arrays of a store of ours, from what its documents and its manifest say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptystore.errors import IntegrityError, PtystoreError
from ptystore.formats.assemble import RawArray
from ptystore.formats.attributes import FieldEntry
from ptystore.formats.chunk_codec import BLOSC_RATIO
from ptystore.formats.text import TEXT_LIMIT
from ptystore.formats.zarr.manifest import ROOT_KEY, Entry, Manifest, unlike
from ptystore.formats.zarr.shards import ShardedArray, shard_count, shard_key
from ptystore.model.layout import Layout, plan_whole
from ptystore.model.lazy_array import Array, CachedArray, LazyBase
from ptystore.model.source import Storage
from ptystore.storage.local import SourceFolder

__all__ = ["stored_arrays"]

_CHUNK_LIMIT = (1 << 31) - 1  # what Blosc can hold
# No chunk of several rows is nearly as large, whatever writes this layout; one that says so would
# only fill the memory with what compresses well.
_ROWS_LIMIT = 64 << 20
# Likewise text that would be so many times larger than its file.
_TEXT_RATIO = 1000
_SMALL_TEXT = 16 << 20


def stored_arrays(
    store: SourceFolder,
    entries: Mapping[str, FieldEntry],
    documents: Mapping[str, Any],
    manifest: Manifest | None,
) -> dict[str, RawArray]:
    """The arrays of a store, by name; their own files are not looked at.

    Without a manifest it is not checked that the store can hold what is announced. Raises
    ValueError, and what a document of another shape makes Python raise.
    """
    files = None if manifest is None else _value_files(manifest)
    return {
        name: _stored_array(store, name, documents[name], entry, files)
        for name, entry in entries.items()
    }


def _stored_array(
    store: SourceFolder,
    name: str,
    document: Mapping[str, Any],
    entry: FieldEntry,
    files: Mapping[str, Mapping[str, Entry]] | None,
) -> RawArray:
    shape = _sizes(document["shape"], least=0)
    axis = entry.frame_axis or 0
    if shape and not 0 <= axis < len(shape):
        raise ValueError(f"{name}: no axis {axis}")
    dtype = entry.dtype
    if document["data_type"] == "string":
        if dtype.kind != "U":
            raise ValueError(f"{name}: text has dtype {dtype}")
        layout = plan_whole(shape, max(4, dtype.itemsize), axis)
        if math.prod(shape) * max(4, dtype.itemsize) > TEXT_LIMIT:
            raise ValueError(f"{name}: more text than can be")
        own = _own_files(name, layout, files)
        nbytes, stored = math.prod(shape) * dtype.itemsize, _stored_bytes(own)
        if stored is not None and nbytes > max(_SMALL_TEXT, _TEXT_RATIO * stored):
            raise ValueError(f"{name}: {stored} bytes can't hold text of {nbytes}")
        text = TextArray(store, name, shape, dtype, axis, own)
        storage = Storage("zstd", _stored_bytes(own))
        return RawArray(shape, dtype, lambda _: CachedArray(text), storage)
    if document["data_type"] != dtype.name or dtype.kind not in "biufc":
        raise ValueError(f"{name}: two dtypes, {document['data_type']} and {dtype}")
    layout = _layout(document, shape, axis, dtype)
    own = _own_files(name, layout, files)
    stored = _stored_bytes(own)
    # What no compressor could have made so small is a lie that would only fill the memory.
    if stored is not None and layout.rows * layout.row_bytes > BLOSC_RATIO * stored:
        raise ValueError(f"{name}: {stored} bytes can't hold an array of {shape}")
    array = ShardedArray(store, name, layout, dtype, own)
    storage = Storage("blosc-lz4", stored, layout.chunk_shape, layout.shard_shape)
    return RawArray(shape, dtype, lambda _: array, storage)


def _value_files(manifest: Manifest) -> dict[str, dict[str, Entry]]:
    """The files that hold values, by field and name in the field's folder."""
    files: dict[str, dict[str, Entry]] = {}
    for key, entry in manifest.items():
        name, _, file = key.partition("/")
        if file and file != ROOT_KEY:
            files.setdefault(name, {})[file] = entry
    return files


def _own_files(
    name: str, layout: Layout, files: Mapping[str, Mapping[str, Entry]] | None
) -> Mapping[str, Entry] | None:
    """The files of one field, which must be just those that an array of this layout has."""
    if files is None:
        return None
    own = files.get(name, {})
    count = shard_count(layout)
    # The number first: the layout may announce more shards than anybody could list.
    if len(own) != count or any(
        shard_key(layout, start) not in own for start, _ in layout.shards()
    ):
        raise ValueError(f"{name}: the manifest lists {len(own)} files of values, it has {count}")
    return own


def _stored_bytes(files: Mapping[str, Entry] | None) -> int | None:
    return None if files is None else sum(entry.length for entry in files.values())


def _sizes(values: object, least: int) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > 32:
        raise ValueError("a shape is no list of sizes")
    for value in values:
        if type(value) is not int or not least <= value < 1 << 60:
            raise ValueError(f"{value!r} is no size")
    return tuple(values)


def _layout(
    document: Mapping[str, Any], shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]
) -> Layout:
    """The cuts that the array's document describes, which must be of ptystore's own kind."""
    shard_shape = _sizes(document["chunk_grid"]["configuration"]["chunk_shape"], least=1)
    codecs = document["codecs"]
    chunk_shape = shard_shape
    if codecs[0]["name"] == "sharding_indexed":
        configuration = codecs[0]["configuration"]
        chunk_shape = _sizes(configuration["chunk_shape"], least=1)
        codecs = configuration["codecs"]
    if [codec["name"] for codec in codecs] != ["bytes", "blosc", "crc32c"]:
        raise ValueError("other codecs than bytes, blosc, crc32c")
    whole = tuple(max(1, n) for d, n in enumerate(shape) if d != axis)
    for cut in (chunk_shape, shard_shape):
        if len(cut) != len(shape) or tuple(n for d, n in enumerate(cut) if d != axis) != whole:
            raise ValueError("chunks that do not hold whole frames")
    chunk, shard = (chunk_shape[axis], shard_shape[axis]) if shape else (1, 1)
    row_bytes = math.prod(n for d, n in enumerate(shape) if d != axis) * dtype.itemsize
    limit = _ROWS_LIMIT if chunk > 1 else _CHUNK_LIMIT
    if shard % chunk or chunk * row_bytes > limit or shard // chunk > 1 << 24:
        raise ValueError("impossible chunk sizes")
    return Layout(shape, axis, row_bytes, chunk, shard, shard)


class TextArray(LazyBase):
    """An array of text, read whole through zarr-python after its one chunk was checked."""

    def __init__(
        self,
        store: SourceFolder,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axis: int,
        files: Mapping[str, Entry] | None,
    ) -> None:
        self._store = store
        self._name = name
        self.shape = shape
        self.dtype = dtype
        self.axis = axis
        self._key = shard_key(plan_whole(shape, max(4, dtype.itemsize), axis), 0)
        self._files = files

    def read(self, start: int, stop: int) -> Array:
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        files = {name: self._file(name) for name in (self._key, ROOT_KEY)}
        # Only here is zarr-python needed to open a store of our own.
        from ptystore.formats.zarr.library import read_text_array

        try:
            values = read_text_array(files, self.dtype)
        except Exception as error:  # whatever zarr-python makes of documents that were edited
            raise self._damaged(f"its text can't be read: {error}") from error
        if values.shape != self.shape:
            raise self._damaged(f"its text has the shape {values.shape}")
        return values

    def _file(self, name: str) -> bytes:
        """One of the array's files, compared with the manifest where that is known."""
        # Its chunk has a checksum too, but zarr-python takes a missing one for empty texts.
        try:
            data = self._store.read(f"{self._name}/{name}", TEXT_LIMIT)
        except FileNotFoundError:
            problem: str | None = "is missing"
        except (OSError, ValueError) as error:
            if isinstance(error, PtystoreError):
                raise
            problem = f"can't be read: {error}"
        else:
            expected = (self._files or {}).get(name)
            problem = unlike(Entry.of([data]), expected) if expected is not None else None
            if problem is None:
                return data
        raise self._damaged(f"its text is missing or damaged: the file {name} {problem}")

    def _damaged(self, reason: str) -> IntegrityError:
        return IntegrityError(reason, file=self._store.path, member=self._name)
