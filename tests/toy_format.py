"""A format in one file, to show that a row of the table is all that a format is.

``.toy``: a magic word, the encoded chunks of every field, then a JSON document with where they
lie and their checksums, its length and its own checksum.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ptystore.errors import InputError, IntegrityError, PtystoreError
from ptystore.formats.assemble import Contents, FieldNotes, RawArray, ReadOptions
from ptystore.formats.attributes import RootNote, metadata_from_bytes, metadata_to_text
from ptystore.formats.checking import check_contents
from ptystore.formats.chunk_codec import crc32c, encode
from ptystore.formats.chunked_array import ChunkedArray, chunks_of
from ptystore.formats.text import text_from_utf8, utf8_from_text
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import Layout, plan, plan_whole
from ptystore.model.lazy_array import Array, LazyBase, MemoryArray
from ptystore.model.metadata import Metadata
from ptystore.model.results import VerifyReport
from ptystore.model.source import Storage
from ptystore.storage.local import SourceFile
from ptystore.transfer.one_pass import WholePart
from ptystore.transfer.options import CheckOptions, WriteOptions

_MAGIC = b"PTYTOY1\n"
_END = struct.Struct("<2Q")


class Toy:
    """The row."""

    name = "toy"
    suffixes = (".toy",)
    is_folder = False
    keeps_recipes = True
    write_options: frozenset[str] = frozenset()
    plan_columns = ("chunk",)

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(_MAGIC)

    def read(self, path: Path, options: ReadOptions) -> Contents:
        file = SourceFile(path)
        document = read_document(file)
        note = RootNote.from_json(document["note"])
        arrays, notes = {}, {}
        for name, entry in note.fields.items():
            stored = document["fields"][name]
            array = _array(file, name, stored, entry.dtype, entry.frame_axis or 0)
            storage = Storage("blosc-lz4", sum(length for _, length, _ in stored["chunks"]))
            arrays[name] = RawArray(array.shape, entry.dtype, lambda _, a=array: a, storage)
            notes[name] = FieldNotes(entry.frame_axis, stored["attrs"], entry.digest)
        text = document["metadata"]
        metadata = None if text is None else _metadata(text)
        return Contents(arrays, metadata, notes, note.digest, note.virtual)

    def is_ours(self, path: Path) -> bool:
        try:
            self.read(path, ReadOptions())
        except PtystoreError:
            return False
        return True

    def sink(self, staging: Path, dataset: Dataset, options: WriteOptions) -> ToySink:
        return ToySink(staging)

    def check(self, path: Path, options: CheckOptions) -> VerifyReport:
        return check_contents(self.name, self.read(path, ReadOptions()), path, options)


def read_document(file: SourceFile) -> dict[str, Any]:
    """The document at the end of a file."""
    length, crc = _END.unpack(file.read(file.size - _END.size, _END.size))
    data = file.read(file.size - _END.size - length, length)
    if crc32c(data) != crc:
        raise IntegrityError("its document is damaged", file=file.path)
    document: dict[str, Any] = json.loads(data)
    return document


def _metadata(text: list[Any]) -> Metadata:
    return metadata_from_bytes(text[0]) if text[1] else Metadata.from_json(text[0])


def _array(
    file: SourceFile, name: str, stored: dict[str, Any], dtype: np.dtype[Any], axis: int
) -> LazyBase:
    shape = tuple(stored["shape"])
    if dtype.kind == "U":
        texts = [text.encode() for text in stored["texts"]]
        return MemoryArray(text_from_utf8(texts, dtype, shape), axis)
    return ToyArray(file, name, plan(shape, dtype.itemsize, axis), dtype, stored["chunks"])


class ToyArray(ChunkedArray):
    """The chunks of one field, each at (offset, length) with its CRC32C."""

    def __init__(
        self,
        file: SourceFile,
        name: str,
        layout: Layout,
        dtype: np.dtype[Any],
        chunks: list[list[int]],
    ) -> None:
        super().__init__(file.path, name, layout, dtype)
        self._file = file
        self._chunks = chunks

    def stored(self, chunks: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        for chunk in chunks:
            offset, length, crc = self._chunks[chunk]
            try:
                data = self._file.read(offset, length)
            except InputError as error:
                raise self.damage("the file is truncated", chunk, chunk + 1) from error
            if crc32c(data) != crc:
                raise self.damage("the checksum does not match", chunk, chunk + 1)
            yield chunk, memoryview(data)


@dataclass(frozen=True)
class ToyPart:
    """Encodes chunks."""

    layout: Layout
    adopts = False

    def encode(self, start: int, blocks: Iterator[Array]) -> list[bytes]:
        return [encode(chunk) for rows in blocks for chunk in chunks_of(self.layout, rows)]

    def adopt(self, start: int) -> list[bytes]:
        raise NotImplementedError


class ToySink:
    """Appends chunks to one file, the document last."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = open(path, "xb")  # noqa: SIM115 - closed by `close` or `abandon`
        self._file.write(_MAGIC)
        self._fields: dict[str, dict[str, Any]] = {}

    def layout(self, field: Field) -> Layout:
        cut = plan_whole if field.dtype.kind == "U" else plan
        return cut(field.shape, field.dtype.itemsize, field.array.axis)

    def part(self, field: Field, layout: Layout) -> ToyPart | WholePart:
        return WholePart(layout) if field.dtype.kind == "U" else ToyPart(layout)

    def start(self, field: Field, layout: Layout) -> None:
        stored = {"shape": field.shape, "attrs": dict(field.attrs), "chunks": [], "texts": []}
        self._fields[field.name] = stored

    def accept(self, field: Field, encoded: list[bytes] | Array) -> None:
        stored = self._fields[field.name]
        if not isinstance(encoded, list):
            stored["texts"] = [text.decode() for text in utf8_from_text(encoded)]
            return
        for data in encoded:
            stored["chunks"].append([self._file.tell(), len(data), crc32c(data)])
            self._file.write(data)

    def finish(self, field: Field, digest: str) -> None:
        return None

    def close(self, metadata: Metadata | None, note: RootNote) -> None:
        text = None if metadata is None else metadata_to_text(metadata)
        document = {"note": note.to_json(), "metadata": text, "fields": self._fields}
        data = json.dumps(document).encode()
        self._file.write(data + _END.pack(len(data), crc32c(data)))
        self._file.close()

    def abandon(self) -> None:
        self._file.close()
