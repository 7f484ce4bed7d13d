"""All of ptystore that imports zarr-python: documents, arrays of text, stores of others.

The values of a numeric array are written and read by `zarr_shards`; the documents that
describe them come from zarr-python, so that whatever reads Zarr reads them.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import warnings
from collections.abc import Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.api.asynchronous
import zarr.storage
from zarr.abc.store import ByteRequest
from zarr.buffer import cpu
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer, BufferPrototype

from ptystore.errors import InputError, located
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.chunk_codec import BLOSC
from ptystore.formats.foreign import foreign_metadata, json_attrs, supported_dtype
from ptystore.formats.names import another_name, check_name, leave_out
from ptystore.formats.never_written import MEASURED, Ranges, fill_told, never_written
from ptystore.formats.text import checked_text, text_of_bytes
from ptystore.formats.zarr.absent import ChunkFiles
from ptystore.formats.zarr.limits import limited
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array, Indices, LazyBase
from ptystore.model.source import Storage
from ptystore.pools.event_loop import require_a_thread, run_coroutine
from ptystore.storage.local import SourceFolder

__all__ = [
    "array_document",
    "arrays_of_group",
    "foreign_array",
    "is_array",
    "members_of",
    "node_at",
    "open_foreign",
    "read_text_array",
    "text_array_files",
    "text_in",
]

# Documents at the root of a store, of Zarr 3 and of Zarr 2.
_DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")
_DOCUMENT_LIMIT = 64 << 20


def array_document(
    layout: Layout, dtype: np.dtype[Any], dims: tuple[str, ...], attrs: Mapping[str, Any]
) -> dict[str, Any]:
    """The `zarr.json` of a numeric array that `zarr_shards` writes."""
    files: dict[str, Any] = {}
    sharded = layout.chunks_per_shard > 1
    made = zarr.api.asynchronous.create_array(
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
    run_coroutine(made)
    document: dict[str, Any] = json.loads(files["zarr.json"].to_bytes())
    return document


def text_array_files(
    values: Array, dims: tuple[str, ...], attrs: Mapping[str, Any]
) -> dict[str, bytes]:
    """All files of an array of text, `zarr.json` included: one chunk of UTF-8 strings."""
    return run_coroutine(_text_array_files(values, dims, attrs))


async def _text_array_files(
    values: Array, dims: tuple[str, ...], attrs: Mapping[str, Any]
) -> dict[str, bytes]:
    files: dict[str, Any] = {}
    array = await zarr.api.asynchronous.create_array(
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
        await array.setitem(..., values)
    return {key: buffer.to_bytes() for key, buffer in files.items()}


def read_text_array(files: Mapping[str, bytes], dtype: np.dtype[Any]) -> Array:
    """The values of an array of text from its files, as the numpy `dtype` that it had."""
    return np.asarray(run_coroutine(_text_values(files))).astype(dtype)


async def _text_values(files: Mapping[str, bytes]) -> Any:
    buffers: dict[str, Any] = {key: cpu.Buffer.from_bytes(data) for key, data in files.items()}
    store = zarr.storage.MemoryStore(buffers, read_only=True)
    array = await zarr.api.asynchronous.open_array(store=store, mode="r")
    return await array.getitem(...)


class _RegularFiles(zarr.storage.LocalStore):
    """A folder of which only regular files are opened: a pipe would be waited for for ever."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        path = self.root / key
        try:
            mode = os.stat(path).st_mode
        except OSError:
            mode = stat.S_IFREG  # whatever is wrong is told on opening
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
            raise OSError(errno.EINVAL, f"{key} is {what}, not a file")
        return await super().get(key, prototype, byte_range)


def open_foreign(path: Path) -> tuple[SourceFolder, Any]:
    """A store that ptystore did not write, held as it is, and the group or array at its root.

    Raises `InputError` for what is no store that zarr-python reads.
    """
    with located(file=path):
        require_a_thread()  # zarr-python has one read, and waits for ever if it could not begin
    folder = SourceFolder(path, by_path=True)
    for key in _DOCUMENTS:
        with suppress(OSError, ValueError):
            folder.remember(key, folder.read(key, _DOCUMENT_LIMIT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python's remarks on other writers' choices
        try:
            return folder, zarr.open(_RegularFiles(path, read_only=True), mode="r")
        except Exception as error:
            raise InputError(f"is no Zarr store that can be read: {error}", file=path) from error


def is_array(node: Any) -> bool:
    """Whether a node is an array, or a group."""
    return isinstance(node, zarr.Array)


def members_of(group: Any, path: Path) -> list[tuple[str, Any]]:
    """The names and nodes in a group, in alphabetical order. Raises `InputError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return sorted(group.members(), key=itemgetter(0))
        except Exception as error:
            raise InputError(f"its members can't be read: {error}", file=path) from error


def node_at(group: Any, key: str) -> Any:
    """The node in a group, or in groups within it, at a path such as ``entry/data``, else None."""
    with warnings.catch_warnings(), suppress(KeyError, ValueError):
        warnings.simplefilter("ignore")
        return group[key]
    return None


def text_in(node: Any) -> str | None:
    """The one text that an array holds; None of any other array. Raises `InputError`."""
    if node.dtype.kind not in "OTUS" or math.prod(node.shape) != 1:
        return None
    (found,) = _read_whole(node).reshape(-1).tolist()
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def _read_whole(node: Any) -> Array:
    """All values of an array of text, now. Raises `InputError`."""
    _require_harmless(node)
    try:
        return np.asarray(limited(node)[...])
    except Exception as error:
        raise InputError(f"can't be read: {error}") from error


def _require_harmless(node: Any) -> None:
    """Refuse the one codec of numcodecs's that runs what it reads."""
    document = node.metadata.to_dict()
    parts = (document.get("compressor"), *(document.get("filters") or ()))
    named = [one.get("id") if isinstance(one, dict) else None for one in parts]
    named += [getattr(one, "codec_id", None) for one in parts]
    named += [one.get("name") for one in document.get("codecs", ())]
    if any(str(name).endswith("pickle") for name in named):
        raise InputError("is packed by pickle, which can run any code: it is never read")


def arrays_of_group(folder: SourceFolder, group: Any, options: ReadOptions) -> Contents:
    """The arrays in a group, under their own names. Raises `InputError` for anything else in it."""
    path, arrays = folder.path, dict[str, RawArray]()
    members = members_of(group, path)
    names = options.names()
    names.require_all_in(name for name, _ in members)
    remarks: tuple[str, ...] = ()
    for name, node in members:
        taken_as = names.of(name)
        if taken_as is None:
            continue
        advice = leave_out(name)
        problem = "is a group inside a group"
        if is_array(node):
            problem, advice = check_name(taken_as) or "", another_name(name)
        if not problem and taken_as in arrays:
            problem = f"is taken as {taken_as}, which is there"
        if problem:
            raise InputError(problem, file=path, member=name, advice=advice)
        files = ChunkFiles.described(name, node.metadata.to_dict())
        if files is not None and taken_as not in MEASURED:
            remarks += _absent_told(folder, name, files)
        arrays[taken_as] = foreign_array(folder, name, node, taken_as, options)
    metadata = foreign_metadata(dict(group.attrs), options)
    if options.missing == "fill":
        metadata, filled = fill_told(arrays, metadata)
        remarks += filled
    return Contents(arrays, metadata, snapshot=folder, remarks=remarks)


def _absent_told(folder: SourceFolder, name: str, files: ChunkFiles) -> tuple[str, ...]:
    try:
        absent = files.absent(folder)
    except (OSError, ValueError):
        return ()  # reading tells what is wrong
    if not absent:
        return ()
    return (f"{name}: {absent} of {files.chunks} chunks are absent, and have the fill value",)


def foreign_array(
    folder: SourceFolder, name: str, node: Any, field: str, options: ReadOptions
) -> RawArray:
    """An array at the path `name` of a store, "" for the root, to be taken as `field`.

    Raises `InputError` for a dtype that can't be taken.
    """
    files = None
    if field in MEASURED:
        files = ChunkFiles.described(name or ".", node.metadata.to_dict())
    fills = options.missing == "fill"
    with located(file=folder.path, member=name):
        _require_harmless(node)
    try:
        dtype = supported_dtype(np.dtype(node.dtype))
    except (InputError, TypeError) as error:
        reason = error.reason if isinstance(error, InputError) else str(error)
        raise InputError(reason, file=folder.path, member=name, advice=leave_out(name)) from None
    storage = Storage("zarr", None, tuple(node.chunks), node.shards)
    if dtype.kind == "U" and node.dtype.kind not in "US":
        # Strings of any length: numpy's type needs the longest, so the values are needed now.
        with located(file=folder.path, member=name):
            dtype = np.array(_read_whole(node).tolist(), str).dtype
    return RawArray(
        tuple(node.shape),
        dtype,
        lambda axis: ForeignZarrArray(
            folder, name, tuple(node.shape), dtype, axis, files, fills=fills
        ),
        storage,
        json_attrs(dict(node.attrs)),
    )


class ForeignZarrArray(LazyBase):
    """An array that zarr-python reads.

    Rows of which chunks are absent are refused where `files` tells which are there, unless the
    array `fills` them; of any other array they have the fill value.
    """

    def __init__(
        self,
        folder: SourceFolder,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axis: int,
        files: ChunkFiles | None,
        *,
        fills: bool,
    ) -> None:
        self._files = files
        self._fills = fills
        self._missing: Ranges | None = None
        self._folder = folder
        self._name = name
        self.shape = shape
        self.dtype = dtype
        self.axis = axis

    def missing(self) -> Ranges:
        """The rows that were never written, wholly or in part."""
        if self._missing is None:
            try:
                found = self._files.missing(self._folder, self.axis) if self._files else []
            except (OSError, ValueError) as error:
                raise InputError(
                    f"its chunks can't be looked at: {error}",
                    file=self._folder.path,
                    member=self._name,
                ) from error
            self._missing = found
        return self._missing

    def prepare(self, scratch: Any) -> None:
        """Refuse now what a full pass could not read."""
        if self.missing() and not self._fills:
            error = never_written(self.missing(), file=self._folder.path, member=self._name)
            error.found = None  # the whole of it, not the first frames alone
            raise error

    def _require_written(self, rows: slice | Indices) -> None:
        if self._fills or not self.missing():
            return
        wanted = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        first, last = np.array(self.missing()).T
        nearest = np.searchsorted(first, wanted, "right") - 1
        within = nearest[(nearest >= 0) & (wanted <= last[nearest])]
        lacking = [self.missing()[at] for at in np.unique(within)]
        if lacking:
            raise never_written(lacking, file=self._folder.path, member=self._name)

    def _select(self, rows: slice | Indices) -> Array:
        self._require_written(rows)
        path = self._folder.path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                store = _RegularFiles(path.absolute(), read_only=True)
                array = limited(zarr.open_array(store, path=self._name, mode="r"))
            key = (slice(None),) * self.axis + (rows,) if self.shape else ()
            values = np.asarray(array.oindex[key] if self.shape else array[()])
        except Exception as error:
            raise InputError(f"can't be read: {error}", file=path, member=self._name) from error
        self._folder.check_path()
        if values.dtype.kind == "S":
            with located(file=path, member=self._name):
                values = text_of_bytes(values)
        values = values.astype(self.dtype, copy=False)
        return checked_text(values) if self.dtype.kind == "U" else values

    def read(self, start: int, stop: int) -> Array:
        return self._select(slice(start, stop))

    def take(self, indices: Indices) -> Array:
        return self._select(np.asarray(indices, np.int64))
