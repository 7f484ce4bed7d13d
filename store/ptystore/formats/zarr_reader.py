"""Opens a Zarr store that ptystore wrote, from its root document alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from ptystore.dataset import Storage
from ptystore.errors import IntegrityError, PtystoreError, StorageError
from ptystore.formats.assemble import Contents, FieldNotes, RawArray, ReadOptions
from ptystore.formats.attributes import FieldEntry, RootNote, metadata_from_bytes
from ptystore.formats.manifest import Entry, read_manifest
from ptystore.formats.zarr_shards import ShardedArray
from ptystore.layout import Layout
from ptystore.lazy_array import Array, CachedArray, LazyBase
from ptystore.metadata import Metadata

__all__ = ["is_our_zarr", "read_our_zarr"]

_ROOT_LIMIT = 64 << 20
_CHUNK_LIMIT = (1 << 31) - 1  # what Blosc can hold


def is_our_zarr(path: Path) -> bool:
    """Whether a folder's root document carries ptystore's attribute."""
    try:
        return "ptystore" in _root_document(path)[0]["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_our_zarr(path: Path, options: ReadOptions) -> Contents:
    """What the store holds.

    Raises `IntegrityError` where documents or manifest are damaged or not what ptystore
    writes, `InputError` for a format version that this release does not know.
    """
    root, crc = _root_document(path)
    manifest = read_manifest(path)
    if manifest.get("zarr.json") != crc:
        raise IntegrityError(
            "does not match the manifest: it was edited or damaged",
            file=path,
            member="zarr.json",
            advice="get the store again, or ingest it under another name with a Zarr library",
        )
    try:
        attributes = root["attributes"]
        note = RootNote.from_json(attributes["ptystore"], file=path)
        documents = root["consolidated_metadata"]["metadata"]
        notes = {
            name: FieldNotes(one.frame_axis, documents[name].get("attributes", {}), one.digest)
            for name, one in note.fields.items()
        }
        arrays = {
            name: _raw_array(path, name, documents[name], one, manifest)
            for name, one in note.fields.items()
        }
        return Contents(arrays, _metadata(path, attributes), notes, note.digest, note.virtual)
    except PtystoreError as error:
        raise error.located(file=path) from error.__cause__
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise IntegrityError(
            f"is not what ptystore writes: {error}", file=path, member="zarr.json"
        ) from error


def _root_document(path: Path) -> tuple[dict[str, Any], Entry]:
    file = path / "zarr.json"
    try:
        with open(file, "rb") as stream:
            data = stream.read(_ROOT_LIMIT + 1)
    except OSError as error:
        raise IntegrityError(
            f"can't be read: {error.strerror}", file=path, member="zarr.json"
        ) from error
    try:
        if len(data) > _ROOT_LIMIT:
            raise ValueError("too large")
        root = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"is not valid JSON: {error}", file=path, member="zarr.json"
        ) from error
    if not isinstance(root, dict):
        raise IntegrityError("is not a JSON object", file=path, member="zarr.json")
    return root, Entry(len(data), google_crc32c.value(data))


def _metadata(path: Path, attributes: Mapping[str, Any]) -> Metadata | None:
    if "metadata_text_base64" in attributes:
        return metadata_from_bytes(attributes["metadata_text_base64"], file=path)
    return Metadata(attributes["metadata"]) if "metadata" in attributes else None


def _raw_array(
    path: Path,
    name: str,
    document: Mapping[str, Any],
    entry: FieldEntry,
    manifest: Mapping[str, Entry],
) -> RawArray:
    shape = _sizes(document["shape"], least=0)
    axis = entry.frame_axis or 0
    if shape and not 0 <= axis < len(shape):
        raise ValueError(f"{name}: no axis {axis}")
    dtype = entry.dtype
    stored = _stored_bytes(name, manifest)
    if document["data_type"] == "string":
        if dtype.kind != "U":
            raise ValueError(f"{name}: text has dtype {dtype}")
        text = TextArray(path, name, shape, dtype, axis, manifest)
        return RawArray(shape, dtype, lambda _: CachedArray(text), Storage("zstd", stored))
    if document["data_type"] != dtype.name or dtype.kind not in "biufc":
        raise ValueError(f"{name}: two dtypes, {document['data_type']} and {dtype}")
    layout = _layout(document, shape, axis, dtype)
    storage = Storage("blosc-lz4", stored, layout.chunk_shape, layout.shard_shape)
    array = ShardedArray(path, name, layout, dtype)
    return RawArray(shape, dtype, lambda _: array, storage)


def _sizes(values: Any, least: int) -> tuple[int, ...]:
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
    if shard % chunk or chunk * row_bytes > _CHUNK_LIMIT or shard // chunk > 1 << 24:
        raise ValueError("impossible chunk sizes")
    return Layout(shape, axis, row_bytes, chunk, shard, shard)


def _stored_bytes(name: str, manifest: Mapping[str, Entry]) -> int:
    prefix = f"{name}/c"
    return sum(entry.length for key, entry in manifest.items() if key.startswith(prefix))


class TextArray(LazyBase):
    """An array of text, read whole through zarr-python after its one chunk was checked."""

    def __init__(
        self,
        store: Path,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axis: int,
        manifest: Mapping[str, Entry],
    ) -> None:
        self._store = store
        self._name = name
        self.shape = shape
        self.dtype = dtype
        self.axis = axis
        self._key = f"{name}/" + ".".join(["c"] + ["0"] * len(shape))
        self._entry = manifest.get(self._key)

    def read(self, start: int, stop: int) -> Array:
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        try:
            data = (self._store / self._key).read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise StorageError(
                f"can't be read: {error.strerror}", file=self._store, member=self._name
            ) from error
        if self._entry != Entry(len(data), google_crc32c.value(data)):
            raise IntegrityError(
                "its text is missing or damaged", file=self._store, member=self._name
            )
        # Only here is zarr-python needed to open a store of our own.
        from ptystore.formats.zarr_store import read_text_array

        return read_text_array(self._store / self._name, self.dtype)
