"""Opens an HDF5 file, and reads one that ptystore wrote.

The HDF5 library works under one lock, so chunks are read with `pread` from where the file's
own index says.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import google_crc32c
import h5py
import numpy as np

from ptystore.errors import InputError, InputMissingError, IntegrityError, PtystoreError
from ptystore.formats.assemble import Contents, FieldNotes, RawArray, ReadOptions
from ptystore.formats.attributes import RootNote, metadata_from_bytes
from ptystore.formats.hdf5.chunks import ChunkTable, DirectChunks
from ptystore.formats.hdf5.library import (
    OWN_GROUP,
    ForeignHdf5Array,
    is_whole,
    opened,
    read_foreign_hdf5,
)
from ptystore.formats.hdf5.nodes import check_size, has_node, own_dataset
from ptystore.formats.names import METADATA_MEMBER
from ptystore.formats.text import checked_text, text_from_utf8
from ptystore.model.dataset import Storage
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array, CachedArray, Indices, LazyBase
from ptystore.model.metadata import Metadata
from ptystore.storage.local import SourceFile

__all__ = ["read_hdf5"]

# What h5py, numpy and our own checks raise for a file that is not what it claims to be.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError)


def read_hdf5(path: Path, options: ReadOptions) -> Contents:
    """What an HDF5 file holds, ours or another tool's.

    Raises `InputError` for what is no HDF5 file of plain arrays, `IntegrityError` where a
    file of ours is damaged.
    """
    source = SourceFile(path)
    with opened(path) as file:
        if not has_node(file, OWN_GROUP, "note"):
            return read_foreign_hdf5(path, file, options)
        try:
            return _ours(path, source, file)
        except PtystoreError as error:
            raise error.located(file=path) from error.__cause__
        except _MALFORMED as error:
            raise IntegrityError(f"is not what ptystore writes: {error}", file=path) from error


def _checked_text(path: Path, stored: h5py.Dataset) -> str:
    data = bytes(stored[()])
    if google_crc32c.value(data) != stored.attrs["crc32c"]:
        member = str(stored.name).strip("/")
        raise IntegrityError("its checksum does not match", file=path, member=member)
    return data.decode("utf-8")


def _ours(path: Path, source: SourceFile, file: h5py.File) -> Contents:
    document = json.loads(_checked_text(path, own_dataset(file, OWN_GROUP, "note")))
    note = RootNote.from_json(document)
    arrays, notes = {}, {}
    for name, entry in note.fields.items():
        stored = own_dataset(file, name)
        check_size(stored, entry.dtype)
        axis = entry.frame_axis or 0
        shape = tuple(int(n) for n in stored.shape)
        notes[name] = FieldNotes(entry.frame_axis, document["attrs"][name], entry.digest)
        array: LazyBase
        if is_whole(shape, entry.dtype):
            array = CachedArray(WholeArray(path, name, shape, entry.dtype, axis))
            storage = Storage("none", stored.id.get_storage_size())
        else:
            rows, chunk = shape[axis], stored.chunks[axis]
            row_bytes = entry.dtype.itemsize * int(np.prod(shape, dtype=object)) // rows
            if stored.chunks != tuple(chunk if d == axis else n for d, n in enumerate(shape)):
                raise ValueError(f"{name}: chunks that do not hold whole frames")
            layout = Layout(shape, axis, row_bytes, chunk, chunk, chunk)
            array = DirectChunks(source, name, layout, entry.dtype, _read_table)
            storage = Storage("blosc-lz4", stored.id.get_storage_size(), layout.chunk_shape)
        arrays[name] = RawArray(shape, entry.dtype, partial(_as_is, array), storage)
    metadata = None
    if METADATA_MEMBER in file:
        stored = own_dataset(file, METADATA_MEMBER)
        text = _checked_text(path, stored)
        base64 = stored.attrs.get("encoding") == "base64"
        metadata = metadata_from_bytes(text) if base64 else Metadata.from_json(text)
    return Contents(arrays, metadata, notes, note.digest, note.virtual)


def _as_is(array: LazyBase, axis: int) -> LazyBase:
    """What builds an array whose cut axis is fixed by its file."""
    return array


def _read_table(path: Path, name: str, layout: Layout) -> ChunkTable:
    """Where the chunks of an array lie, from the file's own index, and their checksums."""
    rows, axis = layout.chunk_rows, layout.axis
    try:
        with opened(path, name) as file:
            crcs = _read_crcs(file, name)
            table = ChunkTable.of_missing(crcs, -(-layout.rows // rows))

            def note(chunk: h5py.h5d.StoreInfo) -> None:
                table.note(chunk.chunk_offset[axis] // rows, chunk.byte_offset, chunk.size)

            own_dataset(file, name).id.chunk_iter(note)
            return table
    except InputMissingError:
        raise
    except InputError as error:
        reason = f"its table of chunks is damaged: {error.reason}"
        raise IntegrityError(reason, file=path, member=name, advice=error.advice) from error


def _read_crcs(file: h5py.File, name: str) -> Array:
    """The CRC32C of each chunk of an array of ours, uint32, shape (chunks,); (1,) if whole."""
    stored = own_dataset(file, OWN_GROUP, "crc32c", name)
    check_size(stored, np.dtype("u4"))
    crcs: Array = stored[...]
    return crcs


class WholeArray(ForeignHdf5Array):
    """A small array of one of our files: 0-d, empty, or text; checked as a whole."""

    def read(self, start: int, stop: int) -> Array:
        try:
            with opened(self._path, self._name) as file:
                values = np.asarray(own_dataset(file, self._name)[()])
                crcs = _read_crcs(file, self._name)
        except InputError as error:
            raise IntegrityError(error.reason, file=self._path, member=self._name) from error
        if crcs.tolist() != [google_crc32c.value(values.tobytes())]:
            raise IntegrityError("its checksum does not match", file=self._path, member=self._name)
        if self.dtype.kind == "U":
            texts = [bytes(text) for text in values.reshape(-1)]
            return checked_text(text_from_utf8(texts, self.dtype, self.shape))
        return values.astype(self.dtype)

    def take(self, indices: Indices) -> Array:
        return np.take(self.read(0, 1), indices, axis=self.axis)
