"""Writes a dataset as a Zarr v3 store: shards by the workers, documents at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ptystore.errors import PtystoreError
from ptystore.formats.attributes import RootNote, geometry_attributes, metadata_to_text
from ptystore.formats.text import utf8_from_text
from ptystore.formats.zarr.adopt import Adopter
from ptystore.formats.zarr.library import array_document, text_array_files
from ptystore.formats.zarr.manifest import ROOT_KEY, Entry, EntrySum, write_manifest
from ptystore.formats.zarr.shards import pack_shard, shard_key
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import Layout, plan, plan_whole
from ptystore.model.lazy_array import Array
from ptystore.model.metadata import Metadata
from ptystore.transfer.destination import storage_error
from ptystore.transfer.one_pass import WholePart
from ptystore.transfer.writeback import start_writeback

__all__ = ["StoredFile", "ZarrSink", "document_bytes"]

# Gathers small chunks into larger writes.
_BUFFER_BYTES = 256 << 10


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """A `zarr.json` as it is written: the same document gives the same bytes."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8")


@dataclass(frozen=True)
class StoredFile:
    """A file that was written: its key in the store, length and checksums."""

    key: str
    entry: Entry


def write_file(folder: Path, key: str, pieces: Iterable[bytes]) -> StoredFile:
    """Write a file of the store in `folder` from its pieces as they come: none is held whole.

    Raises `StorageError` naming the file, and what making the pieces raises.
    """
    path = folder / key
    total = EntrySum()
    try:
        with _created(path) as file:
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
    return StoredFile(key, total.entry)


def _created(path: Path) -> BinaryIO:
    try:
        return open(path, "xb", buffering=_BUFFER_BYTES)
    except FileNotFoundError:
        # A worker may be ahead of the thread that makes the folders.
        path.parent.mkdir(exist_ok=True)
        return open(path, "xb", buffering=_BUFFER_BYTES)


@dataclass(frozen=True)
class ShardPart:
    """Writes the shards of one numeric array into the staging folder, or takes them over."""

    folder: Path
    name: str
    layout: Layout
    adopter: Adopter | None

    @property
    def adopts(self) -> bool:
        return self.adopter is not None

    def encode(self, start: int, blocks: Iterator[Array]) -> StoredFile:
        key = f"{self.name}/{shard_key(self.layout, start)}"
        return write_file(self.folder, key, pack_shard(self.layout, blocks))

    def adopt(self, start: int) -> StoredFile:
        assert self.adopter is not None
        return StoredFile(*self.adopter.take(self.layout, start))


class ZarrSink:
    """Takes the shards of every field into a staging folder."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self._folder = folder
        self._dims = dataset.dims()
        self._entries: dict[str, Entry] = {}
        self._documents: dict[str, dict[str, Any]] = {}

    def layout(self, field: Field) -> Layout:
        if field.dtype.kind == "U":
            # Text is small and goes into one chunk.
            return plan_whole(field.shape, field.dtype.itemsize, field.array.axis)
        return plan(field.shape, field.dtype.itemsize, field.array.axis)

    def part(self, field: Field, layout: Layout) -> ShardPart | WholePart:
        if field.dtype.kind == "U":
            return WholePart(layout)
        adopter = Adopter.of(field, layout, self._folder) if layout.shards() else None
        return ShardPart(self._folder, field.name, layout, adopter)

    def start(self, field: Field, layout: Layout) -> None:
        if field.dtype.kind == "U":
            if not field.nbytes:
                self._take_text(field, np.empty(field.shape, field.dtype))
            return
        self._make_folder(field.name)
        little = field.dtype.newbyteorder("<")
        document = array_document(layout, little, self._dims[field.name], field.attrs)
        self._take_document(field.name, document)

    def accept(self, field: Field, encoded: StoredFile | Array) -> None:
        if isinstance(encoded, StoredFile):
            self._entries[encoded.key] = encoded.entry
        else:
            self._take_text(field, encoded)

    def finish(self, field: Field, digest: str) -> None:
        return None

    def abandon(self) -> None:
        """Nothing is open: the staging folder holds all there is."""

    def close(self, metadata: Metadata | None, note: RootNote) -> None:
        """Write the root document and the manifest, after the last field."""
        attributes: dict[str, Any] = {"ptystore": note.to_json()}
        if metadata is not None:
            text, base64 = metadata_to_text(metadata)
            key = "metadata_text_base64" if base64 else "metadata"
            document = {key: text if base64 else metadata.document}
            attributes = document | geometry_attributes(metadata) | attributes
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
        self._note(write_file(self._folder, ROOT_KEY, [document_bytes(root)]))
        write_manifest(self._folder, self._entries)

    def _take_text(self, field: Field, values: Array) -> None:
        utf8_from_text(values)
        self._make_folder(field.name)
        for key, data in text_array_files(values, self._dims[field.name], field.attrs).items():
            if key == ROOT_KEY:
                self._take_document(field.name, json.loads(data))
            else:
                self._note(write_file(self._folder, f"{field.name}/{key}", [data]))

    def _make_folder(self, name: str) -> None:
        try:
            (self._folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(error, self._folder / name) from error

    def _take_document(self, name: str, document: dict[str, Any]) -> None:
        self._documents[name] = document
        self._note(write_file(self._folder, f"{name}/{ROOT_KEY}", [document_bytes(document)]))

    def _note(self, file: StoredFile) -> None:
        self._entries[file.key] = file.entry
