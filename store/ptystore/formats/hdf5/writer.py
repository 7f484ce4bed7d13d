"""Writes a dataset as an HDF5 file: chunks encoded by the workers, the documents at the end.

The HDF5 library works under one lock, so it compresses nothing: it is given encoded chunks
with `write_direct_chunk`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import h5py
import numpy as np

from ptystore.formats.attributes import RootNote, geometry_texts, metadata_to_text
from ptystore.formats.chunk_codec import encode
from ptystore.formats.chunked_array import chunks_of
from ptystore.formats.hdf5.attrs import said
from ptystore.formats.hdf5.library import create_chunked, created, utf8_dtype
from ptystore.formats.hdf5.places import (
    NOTE_VERSION,
    OWN_GROUP,
    is_whole,
    said_text,
)
from ptystore.formats.hdf5.stream import Hdf5Stream
from ptystore.formats.names import METADATA_MEMBER
from ptystore.formats.text import utf8_from_text
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import Layout, plan, plan_whole
from ptystore.model.lazy_array import Array
from ptystore.model.metadata import Metadata
from ptystore.transfer.destination import storage_error
from ptystore.transfer.one_pass import WholePart

__all__ = ["Hdf5Sink"]

#: The first row of a chunk, its encoded bytes and their CRC32C.
EncodedChunk = tuple[int, bytes, int]


@dataclass(frozen=True)
class ChunksPart:
    """Encodes the chunks of a shard as (row, bytes, CRC32C)."""

    layout: Layout
    adopts = False

    def encode(self, start: int, blocks: Iterator[Array]) -> list[EncodedChunk]:
        encoded = []
        for rows in blocks:
            for chunk in chunks_of(self.layout, rows):
                data = encode(chunk)
                encoded.append((start, data, google_crc32c.value(data)))
                start += self.layout.chunk_rows
        return encoded

    def adopt(self, start: int) -> list[EncodedChunk]:
        raise NotImplementedError


class Hdf5Sink:
    """Takes the chunks of every field into one HDF5 file."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self._path = path
        self._dataset = dataset
        self._dims = dataset.dims()
        self._crcs: list[Array] = []
        try:
            self._stream = Hdf5Stream(path)
        except OSError as error:
            raise storage_error(error, path) from error
        with self._explained():
            self._file = created(self._stream)
            self._own = self._file.create_group(OWN_GROUP)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._stream.check()
            raise storage_error(error, self._path) from error
        self._stream.check()

    def layout(self, field: Field) -> Layout:
        if is_whole(field.shape, field.dtype):
            return plan_whole(field.shape, field.dtype.itemsize, field.array.axis)
        return plan(field.shape, field.dtype.itemsize, field.array.axis)

    def start(self, field: Field, layout: Layout) -> None:
        self._crcs = []
        if is_whole(field.shape, field.dtype):
            if not field.nbytes:
                self._write_whole(field, np.empty(field.shape, field.dtype))
            return
        with self._explained():
            create_chunked(self._file, field.name, layout, field.dtype)

    def part(self, field: Field, layout: Layout) -> ChunksPart | WholePart:
        return WholePart(layout) if is_whole(field.shape, field.dtype) else ChunksPart(layout)

    def accept(self, field: Field, encoded: Array | list[EncodedChunk]) -> None:
        if not isinstance(encoded, list):
            self._write_whole(field, encoded)
            return
        with self._explained():
            write = self._file[field.name].id.write_direct_chunk
            for row, data, _ in encoded:
                write(tuple(row * (d == field.array.axis) for d in range(field.ndim)), data)
            self._crcs.append(np.array([crc for _, _, crc in encoded], "<u4"))

    def _write_whole(self, field: Field, values: Array) -> None:
        with self._explained():
            stored: Array = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
            stored = stored.reshape(values.shape)
            if field.dtype.kind == "U":
                texts = utf8_from_text(values)
                longest = max([1, *map(len, texts)])
                stored = np.array(texts, utf8_dtype(longest)).reshape(values.shape)
            self._file.create_dataset(
                field.name, data=stored, dtype=stored.dtype, track_times=False
            )
            self._crcs = [np.array([google_crc32c.value(stored.tobytes())], "<u4")]

    def finish(self, field: Field, digest: str) -> None:
        with self._explained():
            stored = self._file[field.name]
            for name, value in field.attrs.items():
                if isinstance(value, (str, int, float, bool)):
                    stored.attrs[name] = value
            if field.dtype.kind == "U":
                stored.attrs["numpy_dtype"] = field.dtype.str
            self._own.require_group("crc32c").create_dataset(
                field.name, data=np.concatenate(self._crcs), track_times=False
            )
            for axis, dim in enumerate(self._dims[field.name]):
                stored.dims[axis].label = dim
                if field.shape[axis]:
                    stored.dims[axis].attach_scale(self._scale(dim, field.shape[axis]))

    def _scale(self, dim: str, size: int) -> h5py.Dataset:
        """The dimension scale `dim`, of indices, made at its first use."""
        scales = self._own.require_group("dims")
        if dim not in scales:
            # Never allocated: it only gives the dimension its name and length.
            scales.create_dataset(dim, shape=(size,), dtype="<i4", track_times=False)
            scales[dim].make_scale(dim)
        return scales[dim]

    def close(self, metadata: Metadata | None, note: RootNote) -> None:
        """Write the metadata document and ptystore's own note, after the last field."""
        document = note.to_json()
        document["attrs"] = {field.name: dict(field.attrs) for field in self._dataset.values()}
        with self._explained():
            if metadata is not None:
                text, base64 = metadata_to_text(metadata)
                self._write_text(self._file, METADATA_MEMBER, text)
                if base64:
                    self._file[METADATA_MEMBER].attrs["encoding"] = "base64"
                for name, told in geometry_texts(metadata).items():
                    self._file.attrs[name] = told
            document["version"] = NOTE_VERSION
            document["attributes_crc32c"] = self._attributes_crc32c()
            text = json.dumps(document, allow_nan=False)
            self._write_text(self._own, "note", text)
            self._file.close()
            self._stream.close()

    def _attributes_crc32c(self) -> dict[str, int]:
        """The checksum of what every dataset says of itself, of the scales too, by its path."""
        nodes = [self._file[name] for name in self._file if name != OWN_GROUP]
        nodes += self._own["dims"].values() if "dims" in self._own else ()
        return {node.name: google_crc32c.value(said_text(said(node))) for node in nodes}

    @staticmethod
    def _write_text(group: h5py.Group, name: str, text: str) -> None:
        data = text.encode("utf-8")
        kind = utf8_dtype(max(1, len(data)))
        group.create_dataset(name, data=np.array(data, kind), dtype=kind)
        group[name].attrs["crc32c"] = google_crc32c.value(data)

    def abandon(self) -> None:
        """Close the file of a pass that failed; the staging that holds it is removed."""
        self._stream.abandon()
        try:
            self._file.close()
            self._stream.close()
        except (OSError, RuntimeError):
            return
