"""Opens an HDF5 file, and reads one that ptystore wrote.

The HDF5 library tells where things lie, in the helper process; the values are read with `pread`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from ptystore.errors import (
    DamagedInputError,
    InputError,
    InputMissingError,
    IntegrityError,
    PtystoreError,
)
from ptystore.formats.assemble import Contents, FieldNotes, RawArray, ReadOptions
from ptystore.formats.attributes import RootNote, metadata_from_bytes
from ptystore.formats.choosing import chosen
from ptystore.formats.chunk_codec import crc32c
from ptystore.formats.hdf5.asking import ask
from ptystore.formats.hdf5.chunks import ChunkTable, DirectChunks
from ptystore.formats.hdf5.described import Group, Stored, described
from ptystore.formats.hdf5.places import NOTE_VERSION, OWN_GROUP, is_whole, said_text
from ptystore.formats.hdf5.tree import Hdf5Tree
from ptystore.formats.names import METADATA_MEMBER
from ptystore.formats.text import checked_text, text_from_utf8
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array, CachedArray, Indices, LazyBase
from ptystore.model.metadata import Metadata
from ptystore.model.source import Storage
from ptystore.storage.local import SourceFile

__all__ = ["read_hdf5", "read_note"]

#: Where in the note the checksums of attributes are, by the path of a dataset.
SAID = "attributes_crc32c"

DAMAGED_ATTRIBUTES = "its attributes are damaged: their checksum does not match"

#: What numpy and our own checks raise for a file that is not what it claims to be.
MALFORMED = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def read_hdf5(path: Path, options: ReadOptions, *, trusting: bool = False) -> Contents | Hdf5Tree:
    """What an HDF5 file of ours holds, or another tool's as a tree.

    What a field of ours says of itself is compared when it is first read, unless `trusting`.
    Raises `InputError` for what is no HDF5 file of plain arrays, `IntegrityError` where a
    file of ours is damaged.
    """
    source = SourceFile(path, growing=options.partial)
    root = described(source)
    if not root.has(OWN_GROUP, "note"):
        return Hdf5Tree(source, root, options)
    source = SourceFile(path) if options.partial else source  # a whole one never grows
    with _as_damage_of_ours(path):
        contents = _ours(source, root, read_note(source, root), trusting)
    return chosen(contents, options)


@contextmanager
def _as_damage_of_ours(path: Path) -> Iterator[None]:
    try:
        yield
    except DamagedInputError as error:
        raise IntegrityError(error.reason, file=path, member=error.member) from error
    except PtystoreError as error:
        raise error.located(file=path) from error.__cause__
    except MALFORMED as error:
        raise IntegrityError(f"is not what ptystore writes: {_words(error)}", file=path) from error


def read_note(source: SourceFile, root: Group) -> dict[str, Any]:
    """Our note in a file of ours, its checksum compared; what it says may be anything.

    Raises `IntegrityError`; `InputError` for a version that this release doesn't know.
    """
    with _as_damage_of_ours(source.path):
        note = json.loads(_checked_text(source, root.dataset(OWN_GROUP, "note")))
        version = note.get("version", 1)
        if type(version) is int and version > NOTE_VERSION:
            raise InputError(
                f"has a note of version {version}, this release reads {NOTE_VERSION}",
                advice="pip install --upgrade ptystore",
            )
        if type(version) is not int or version < 1 or (version > 1 and SAID not in note):
            raise ValueError(f"a note of version {version!r}")
        return dict(note)


def _words(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _checked_text(source: SourceFile, stored: Stored) -> str:
    # HDF5 fills texts up with zeros, of which JSON and base64 have none.
    data = stored.read_whole(source).rstrip(b"\0")
    if google_crc32c.value(data) != stored.attribute("crc32c"):
        member = stored.path.strip("/")
        raise IntegrityError("its checksum does not match", file=source.path, member=member)
    return data.decode("utf-8")


def _ours(source: SourceFile, root: Group, document: Mapping[str, Any], trusting: bool) -> Contents:
    note = RootNote.from_json(document)
    said = document.get(SAID)
    if said is not None and type(said) is not dict:
        raise ValueError("no checksums of attributes")
    arrays, notes = {}, {}
    for name, entry in note.fields.items():
        stored = root.dataset(name)
        stored.check_size(entry.dtype)
        axis = entry.frame_axis or 0
        shape = stored.shape or ()
        notes[name] = FieldNotes(entry.frame_axis, document["attrs"][name], entry.digest)
        expected = None if said is None or trusting else said[f"/{name}"]
        array: LazyBase
        if is_whole(shape, entry.dtype):
            array = CachedArray(WholeArray(source, name, stored, entry.dtype, axis, expected))
            storage = Storage("none", stored.stored_bytes)
        else:
            if stored.chunks is None:
                raise ValueError(f"{name}: no chunks")
            rows, chunk = shape[axis], stored.chunks[axis]
            row_bytes = entry.dtype.itemsize * int(np.prod(shape, dtype=object)) // rows
            if stored.chunks != tuple(chunk if d == axis else n for d, n in enumerate(shape)):
                raise ValueError(f"{name}: chunks that do not hold whole frames")
            layout = Layout(shape, axis, row_bytes, chunk, chunk, chunk)
            find = partial(_read_table, expected)
            array = DirectChunks(source, name, layout, entry.dtype, find)
            storage = Storage("blosc-lz4", stored.stored_bytes, layout.chunk_shape)
        arrays[name] = RawArray(shape, entry.dtype, partial(_as_is, array), storage)
    metadata = None
    if METADATA_MEMBER in root.members:
        stored = root.dataset(METADATA_MEMBER)
        expected = None if said is None else said[f"/{METADATA_MEMBER}"]
        _compare(expected, root.members[METADATA_MEMBER], source.path, METADATA_MEMBER)
        text = _checked_text(source, stored)
        base64 = stored.attribute("encoding") == "base64"
        metadata = metadata_from_bytes(text) if base64 else Metadata.from_json(text)
    return Contents(arrays, metadata, notes, note.digest, note.virtual, snapshot=source)


def _compare(expected: object, said: Mapping[str, Any], path: Path, member: str) -> None:
    """Compare what a dataset says of itself with its checksum, where there is one."""
    if expected is not None and crc32c(said_text(said)) != expected:
        raise IntegrityError(DAMAGED_ATTRIBUTES, file=path, member=member)


def _as_is(array: LazyBase, axis: int) -> LazyBase:
    """What builds an array whose cut axis is fixed by its file."""
    return array


def _own_field(source: SourceFile, name: str, expected: object, most: int) -> tuple[Array, bytes]:
    """The CRC32C of each chunk of a field, uint32, and what is known of where they lie.

    Raises `InputError`, what `MALFORMED` lists, and `IntegrityError` where its attributes are
    damaged.
    """
    head, table = ask(source, "own_field", name, most)
    _compare(expected, head["said"], source.path, name)
    stored = Group.of(head["root"]).dataset(OWN_GROUP, "crc32c", name)
    stored.check_size(np.dtype("u4"))
    assert stored.dtype is not None
    return np.frombuffer(stored.read_whole(source), stored.dtype), table


def _read_table(expected: object, source: SourceFile, name: str, layout: Layout) -> ChunkTable:
    """Where the chunks of an array lie, from the file's own index, and their checksums."""
    rows, axis, width = layout.chunk_rows, layout.axis, len(layout.shape) + 3
    count = -(-layout.rows // rows)
    try:
        crcs, found = _own_field(source, name, expected, 8 * width * count)
        table = ChunkTable.of_missing(crcs, count)
        for row in np.frombuffer(found, "<i8").reshape(-1, width).tolist():
            table.note(row[axis] // rows, row[-3], row[-2])
        return table
    except (InputMissingError, IntegrityError):
        raise
    except (InputError, *MALFORMED) as error:
        told = error.reason if isinstance(error, InputError) else _words(error)
        reason = f"its table of chunks is damaged: {told}"
        raise IntegrityError(reason, file=source.path, member=name) from error


class WholeArray(LazyBase):
    """A small array of one of our files: 0-d, empty, or text; checked as a whole."""

    def __init__(
        self,
        source: SourceFile,
        name: str,
        stored: Stored,
        dtype: np.dtype[Any],
        axis: int,
        expected: object,
    ) -> None:
        self._source = source
        self._name = name
        self._stored = stored
        self._expected = expected
        self.shape = stored.shape or ()
        self.dtype = dtype
        self.axis = axis

    def read(self, start: int, stop: int) -> Array:
        try:
            crcs = _own_field(self._source, self._name, self._expected, 0)[0].tolist()
            data = self._stored.read_whole(self._source)
        except (InputMissingError, IntegrityError):
            raise
        except (InputError, *MALFORMED) as error:
            told = error.reason if isinstance(error, InputError) else _words(error)
            raise IntegrityError(told, file=self._source.path, member=self._name) from error
        if crcs != [google_crc32c.value(data)]:
            raise IntegrityError(
                "its checksum does not match", file=self._source.path, member=self._name
            )
        assert self._stored.dtype is not None
        values = np.frombuffer(data, self._stored.dtype).reshape(self.shape)
        if self.dtype.kind == "U":
            texts = [bytes(text) for text in values.reshape(-1)]
            return checked_text(text_from_utf8(texts, self.dtype, self.shape))
        return values.astype(self.dtype)

    def take(self, indices: Indices) -> Array:
        return np.take(self.read(0, 1), indices, axis=self.axis)
