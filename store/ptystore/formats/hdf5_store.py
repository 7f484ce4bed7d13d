"""All of ptystore that imports h5py: HDF5 files of our own, and those of other tools.

Chunks are encoded by the workers and written with `write_direct_chunk`, and read with
`pread` from where the file's own index says, because the HDF5 library works under one
lock. Everything of ours that no HDF5 reader needs lies in the group ``__ptystore__``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import google_crc32c
import h5py
import hdf5plugin
import numpy as np

from ptystore.contract import dimension_names
from ptystore.dataset import Dataset, Field, Storage
from ptystore.errors import (
    InputError,
    InputMissingError,
    IntegrityError,
    PtystoreError,
)
from ptystore.formats.assemble import Contents, FieldNotes, RawArray, ReadOptions
from ptystore.formats.attributes import RootNote, metadata_from_bytes, metadata_to_text
from ptystore.formats.chunk_codec import BLOSC, encode
from ptystore.formats.chunked_array import chunks_of
from ptystore.formats.foreign import foreign_metadata, json_attrs, supported_dtype
from ptystore.formats.hdf5_chunks import ChunkTable, DirectChunks
from ptystore.formats.hdf5_nodes import check_size, has_node, own_node, require_readable
from ptystore.formats.hdf5_stream import Hdf5Stream
from ptystore.formats.hdf5_trouble import explained
from ptystore.formats.publish import storage_error
from ptystore.formats.source_file import SourceFile
from ptystore.formats.text import checked_text, text_from_utf8, utf8_from_text
from ptystore.formats.writable import METADATA_MEMBER
from ptystore.formats.zip_directory import check_name
from ptystore.layout import Layout, plan, plan_whole
from ptystore.lazy_array import Array, CachedArray, Indices, LazyBase
from ptystore.metadata import Metadata

__all__ = ["Hdf5Sink", "is_our_hdf5", "read_hdf5"]

OWN_GROUP = "__ptystore__"

# What h5py, numpy and our own checks raise for a file that is not what it claims to be.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError)


@contextmanager
def _opened(path: Path, member: str | None = None) -> Iterator[h5py.File]:
    """An HDF5 file for reading; whatever the library says becomes one line."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except PtystoreError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise explained(error, path, member) from error


def is_our_hdf5(path: Path) -> bool:
    """Whether ptystore wrote the file."""
    try:
        with _opened(path) as file:
            return has_node(file, OWN_GROUP, "note")
    except PtystoreError:
        return False


class Hdf5Sink:
    """Takes the chunks of every field into one HDF5 file."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self._path = path
        self._dataset = dataset
        shapes = {field.name: field.shape for field in dataset.values()}
        self._dims = dimension_names(shapes, {f.name: f.frame_axis for f in dataset.values()})
        self._crcs: list[Array] = []
        try:
            self._stream = Hdf5Stream(path)
        except OSError as error:
            raise storage_error(error, path) from error
        with self._explained():
            # Version 1.10's format has an index for chunks that never grow, and metadata
            # checksums; every HDF5 since 2016 reads it.
            self._file = h5py.File(self._stream, "w", libver=("v110", "v110"))
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
        if _is_whole(field.shape, field.dtype):
            return plan_whole(field.shape, field.dtype.itemsize, field.array.axis)
        return plan(field.shape, field.dtype.itemsize, field.array.axis)

    def start(self, field: Field, layout: Layout) -> None:
        self._crcs = []
        if _is_whole(field.shape, field.dtype):
            if not field.nbytes:
                self._write_whole(field, np.empty(field.shape, field.dtype))
            return
        filter_ = hdf5plugin.Blosc(
            cname=BLOSC["cname"], clevel=BLOSC["clevel"], shuffle=hdf5plugin.Blosc.BITSHUFFLE
        )
        with self._explained():
            self._file.create_dataset(
                field.name,
                shape=field.shape,
                dtype=field.dtype.newbyteorder("<"),
                chunks=layout.chunk_shape,
                track_times=False,
                **filter_,
            )

    def encode(
        self, field: Field, layout: Layout, start: int, blocks: Iterator[Array]
    ) -> Array | list[tuple[int, bytes, int]]:
        """The chunks of a shard as (row, bytes, CRC32C), or the values of a small array."""
        if _is_whole(field.shape, field.dtype):
            (values,) = blocks
            return np.moveaxis(values, 0, layout.axis) if layout.shape else values.reshape(())
        encoded = []
        for block in blocks:
            for chunk in chunks_of(layout, block):
                data = encode(chunk)
                encoded.append((start, data, google_crc32c.value(data)))
                start += layout.chunk_rows
        return encoded

    def adopter(self, field: Field, layout: Layout) -> None:
        return None

    def accept(self, field: Field, encoded: Array | list[tuple[int, bytes, int]]) -> None:
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
                # The dtype tells HDF5 that the bytes are UTF-8; it converts from nothing else.
                kind = h5py.string_dtype("utf-8", longest)
                stored = np.array(texts, kind).reshape(values.shape)
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
        document["attrs"] = {one.name: dict(one.attrs) for one in self._dataset.values()}
        with self._explained():
            if metadata is not None:
                text, base64 = metadata_to_text(metadata)
                self._write_text(self._file, METADATA_MEMBER, text)
                if base64:
                    self._file[METADATA_MEMBER].attrs["encoding"] = "base64"
            text = json.dumps(document, allow_nan=False)
            self._write_text(self._own, "note", text)
            self._file.close()
            self._stream.close()

    @staticmethod
    def _write_text(group: h5py.Group, name: str, text: str) -> None:
        data = text.encode("utf-8")
        kind = h5py.string_dtype("utf-8", max(1, len(data)))
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


def _is_whole(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array is written in one piece: HDF5 can't chunk a 0-d or an empty one."""
    return not shape or 0 in shape or dtype.kind == "U"


def read_hdf5(path: Path, options: ReadOptions) -> Contents:
    """What an HDF5 file holds, ours or another tool's.

    Raises `InputError` for what is no HDF5 file of plain arrays, `IntegrityError` where a
    file of ours is damaged.
    """
    source = SourceFile(path)
    with _opened(path) as file:
        if not has_node(file, OWN_GROUP, "note"):
            return _foreign(path, file, options)
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
    document = json.loads(_checked_text(path, own_node(file, OWN_GROUP, "note")))
    note = RootNote.from_json(document, file=path)
    arrays, notes = {}, {}
    for name, entry in note.fields.items():
        stored = own_node(file, name)
        check_size(stored, entry.dtype)
        axis = entry.frame_axis or 0
        shape = tuple(int(n) for n in stored.shape)
        notes[name] = FieldNotes(entry.frame_axis, document["attrs"][name], entry.digest)
        array: LazyBase
        if _is_whole(shape, entry.dtype):
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
        stored = own_node(file, METADATA_MEMBER)
        text = _checked_text(path, stored)
        base64 = stored.attrs.get("encoding") == "base64"
        metadata = metadata_from_bytes(text, file=path) if base64 else Metadata.from_json(text)
    return Contents(arrays, metadata, notes, note.digest, note.virtual)


def _as_is(array: LazyBase, axis: int) -> LazyBase:
    """What builds an array whose cut axis is fixed by its file."""
    return array


def _read_table(path: Path, name: str, layout: Layout) -> ChunkTable:
    """Where the chunks of an array lie, from the file's own index, and their checksums."""
    rows, axis = layout.chunk_rows, layout.axis
    try:
        with _opened(path, name) as file:
            crcs = own_node(file, OWN_GROUP, "crc32c", name)
            check_size(crcs, np.dtype("u4"))
            table = ChunkTable.of_missing(crcs[...], -(-layout.rows // rows))
            own_node(file, name).id.chunk_iter(
                lambda one: table.note(one.chunk_offset[axis] // rows, one.byte_offset, one.size)
            )
            return table
    except InputMissingError:
        raise
    except InputError as error:
        reason = f"its table of chunks is damaged: {error.reason}"
        raise IntegrityError(reason, file=path, member=name, advice=error.advice) from error


def _foreign(path: Path, file: h5py.File, options: ReadOptions) -> Contents:
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
        require_readable(node, h5py.h5z.filter_avail)
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
        with _opened(self._path, self._name) as file:
            node = own_node(file, self._name)
            view = node.asstr() if self.dtype.kind == "U" else node
            key: Any = (slice(None),) * self.axis + (rows,) if self.shape else ()
            return np.asarray(view[key]).astype(self.dtype, copy=False)


class WholeArray(ForeignHdf5Array):
    """A small array of one of our files: 0-d, empty, or text; checked as a whole."""

    def read(self, start: int, stop: int) -> Array:
        try:
            with _opened(self._path, self._name) as file:
                values = np.asarray(own_node(file, self._name)[()])
                crcs = own_node(file, OWN_GROUP, "crc32c", self._name)
                check_size(crcs, np.dtype("u4"))
                crcs = crcs[...]
        except InputError as error:
            raise IntegrityError(error.reason, file=self._path, member=self._name) from error
        if crcs.tolist() != [google_crc32c.value(values.tobytes())]:
            raise IntegrityError("its checksum does not match", file=self._path, member=self._name)
        if self.dtype.kind == "U":
            texts = [bytes(one) for one in values.reshape(-1)]
            return checked_text(text_from_utf8(texts, self.dtype, self.shape))
        return values.astype(self.dtype)

    def take(self, indices: Indices) -> Array:
        return np.take(self.read(0, 1), indices, axis=self.axis)
