"""Writes a dataset as a Zarr v3 store: shards by the workers, documents at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ptystore.errors import PtystoreError
from ptystore.formats.attributes import RootNote, metadata_to_text
from ptystore.formats.text import utf8_from_text
from ptystore.formats.zarr.adopt import Adopter
from ptystore.formats.zarr.library import array_document, text_array_files
from ptystore.formats.zarr.manifest import Entry, EntrySum, write_manifest
from ptystore.formats.zarr.shards import pack_shard, shard_key
from ptystore.model.contract import dimension_names
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import Layout, plan, plan_whole
from ptystore.model.lazy_array import Array
from ptystore.model.metadata import Metadata
from ptystore.transfer.publish import storage_error
from ptystore.transfer.writeback import start_writeback

__all__ = ["ZarrSink", "document_bytes"]

# Gathers small chunks into larger writes.
_BUFFER_BYTES = 256 << 10


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """A `zarr.json` as it is written: the same document gives the same bytes."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8")


@dataclass(frozen=True)
class _File:
    """A file that was written: its key in the store, length and checksums."""

    key: str
    entry: Entry


class ZarrSink:
    """Takes the shards of every field into a staging folder."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self._folder = folder
        self._entries: dict[str, Entry] = {}
        self._documents: dict[str, dict[str, Any]] = {}
        shapes = {field.name: field.shape for field in dataset.values()}
        self._dims = dimension_names(shapes, {f.name: f.frame_axis for f in dataset.values()})

    def layout(self, field: Field) -> Layout:
        if field.dtype.kind == "U":
            # Text is small and goes into one chunk.
            return plan_whole(field.shape, field.dtype.itemsize, field.array.axis)
        return plan(field.shape, field.dtype.itemsize, field.array.axis)

    def start(self, field: Field, layout: Layout) -> None:
        if field.dtype.kind == "U":
            if not field.nbytes:
                self._take_text(field, np.empty(field.shape, field.dtype))
            return
        self._make_folder(field.name)
        little = field.dtype.newbyteorder("<")
        document = array_document(layout, little, self._dims[field.name], field.attrs)
        self._documents[field.name] = document
        self._write_json(f"{field.name}/zarr.json", document)

    def encode(self, field: Field, layout: Layout, start: int, blocks: Iterator[Array]) -> Any:
        if field.dtype.kind == "U":
            (values,) = blocks
            return np.moveaxis(values, 0, layout.axis) if layout.shape else values.reshape(())
        key = f"{field.name}/{shard_key(layout, start)}"
        return self._write(key, pack_shard(layout, blocks))

    def adopter(self, field: Field, layout: Layout) -> Callable[[int], _File] | None:
        adopter = Adopter.of(field, layout, self._folder)
        if adopter is None:
            return None
        return lambda start: _File(*adopter.take(layout, start))

    def accept(self, field: Field, encoded: Any) -> None:
        if isinstance(encoded, _File):
            self._entries[encoded.key] = encoded.entry
        else:
            self._take_text(field, encoded)

    def finish(self, field: Field, digest: str) -> None:
        return None

    def close(self, metadata: Metadata | None, note: RootNote) -> None:
        """Write the root document and the manifest, after the last field."""
        attributes: dict[str, Any] = {"ptystore": note.to_json()}
        if metadata is not None:
            text, base64 = metadata_to_text(metadata)
            key = "metadata_text_base64" if base64 else "metadata"
            attributes = {key: text if base64 else metadata.document} | attributes
        root = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": attributes,
            # Without it, readers list the folder, and warn about the manifest that they find.
            "consolidated_metadata": {
                "kind": "inline",
                "must_understand": False,
                "metadata": self._documents,
            },
        }
        self._write_json("zarr.json", root)
        write_manifest(self._folder, self._entries)

    def _take_text(self, field: Field, values: Array) -> None:
        utf8_from_text(values)
        self._make_folder(field.name)
        for key, data in text_array_files(values, self._dims[field.name], field.attrs).items():
            if key == "zarr.json":
                self._documents[field.name] = json.loads(data)
                self._write_json(f"{field.name}/zarr.json", self._documents[field.name])
                continue
            file = self._write(f"{field.name}/{key}", [data])
            self._entries[file.key] = file.entry

    def _make_folder(self, name: str) -> None:
        try:
            (self._folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(error, self._folder / name) from error

    def _write_json(self, key: str, document: Mapping[str, Any]) -> None:
        file = self._write(key, [document_bytes(document)])
        self._entries[file.key] = file.entry

    def _write(self, key: str, pieces: Iterable[bytes]) -> _File:
        """Write a file from its pieces as they come: no shard is ever held whole."""
        path = self._folder / key
        total = EntrySum()
        try:
            with self._created(path) as file:
                for piece in pieces:
                    file.write(piece)
                    total.add(piece)
                file.flush()
                start_writeback(file.fileno())
        except PtystoreError:
            # What reading and computing the pieces raises, which may be an OSError too.
            raise
        except OSError as error:
            raise storage_error(error, path) from error
        return _File(key, total.entry)

    def _created(self, path: Path) -> BinaryIO:
        try:
            return open(path, "xb", buffering=_BUFFER_BYTES)
        except FileNotFoundError:
            # A worker may be ahead of the thread that makes the folders.
            self._make_folder(path.parent.name)
            return open(path, "xb", buffering=_BUFFER_BYTES)
