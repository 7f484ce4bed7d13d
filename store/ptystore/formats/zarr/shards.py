"""The files that hold an array's values: shards of chunks, or one chunk a file.

A shard is its chunks one after another, then an index of (offset, length) pairs, then the
index's CRC32C (the Zarr v3 `sharding_indexed` codec, index at the end). An array whose
shard is one chunk is stored as plain chunks. Here a chunk that is not there is an error,
never zeros.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ptystore.errors import PtystoreError, StorageError
from ptystore.formats.chunk_codec import DamagedChunk, checked, encode, with_checksum
from ptystore.formats.chunked_array import ChunkedArray, DamagedRows, Span, chunks_of, neighbours
from ptystore.formats.zarr.manifest import Entry, entry_of_open, unlike
from ptystore.formats.zarr.shard_index import FileIdentity, IndexCache
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array
from ptystore.storage.base import changed
from ptystore.storage.local import SourceFolder
from ptystore.storage.system import pread

__all__ = ["ShardedArray", "pack_chunks", "pack_shard", "shard_count", "shard_key"]

_MISSING = (1 << 64) - 1

# Neighbouring chunks are read together, up to about this many bytes: few calls, and what was
# read is still in the processor's cache when it is decoded.
_RUN_BYTES = 1 << 20


def shard_key(layout: Layout, start: int) -> str:
    """The file, in the array's folder, of the shard that starts at row `start`."""
    if not layout.shape:
        return "c"
    after = len(layout.shape) - layout.axis - 1
    return f"c{'.0' * layout.axis}.{start // layout.shard_rows}{'.0' * after}"


def shard_count(layout: Layout) -> int:
    """The number of shards, as `len(layout.shards())` without making the list."""
    return -(-layout.rows // layout.shard_rows) if layout.row_bytes else 0


def pack_shard(layout: Layout, blocks: Iterable[Array]) -> Iterator[bytes]:
    """The pieces of one shard file from its blocks of rows, in order, as they are encoded."""
    chunks = (chunk for block in blocks for chunk in chunks_of(layout, block))
    return pack_chunks(layout, (with_checksum(encode(chunk)) for chunk in chunks))


def pack_chunks(layout: Layout, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of one shard file from its encoded chunks, each with its checksum."""
    found = []
    for piece in pieces:
        found.append(len(piece))
        yield piece
    if layout.chunks_per_shard > 1:
        index = np.full((layout.chunks_per_shard, 2), _MISSING, "<u8")
        lengths = np.array(found, "<u8")
        index[: len(found), 1] = lengths
        index[: len(found), 0] = np.cumsum(lengths) - lengths
        yield with_checksum(index.tobytes())


class _Shard(NamedTuple):
    """An open shard file and where its chunks lie: (offset, length), one row a chunk."""

    fd: int
    size: int
    chunks: Array


class ShardedArray(ChunkedArray):
    """The values of one array of a Zarr store.

    `files` are what the manifest says of the array's own files, None where it can't be believed.
    """

    def __init__(
        self,
        store: SourceFolder,
        name: str,
        layout: Layout,
        dtype: np.dtype[Any],
        files: Mapping[str, Entry] | None,
    ) -> None:
        super().__init__(store.path, name, layout, dtype)
        self._folder = store
        self._files = files
        self._indexes = IndexCache()
        # Files that were touched after the opening, and found to be the same all the same.
        self._proven: dict[int, FileIdentity] = {}

    @property
    def folder(self) -> SourceFolder:
        """The folder of the store."""
        return self._folder

    @property
    def files(self) -> Mapping[str, Entry] | None:
        """What the manifest says of the array's files, by their names in its folder."""
        return self._files

    @property
    def name(self) -> str:
        """The array's name in the store."""
        return self._name

    def same_cuts(self, layout: Layout) -> bool:
        """Whether files written by `layout` would be cut as this array's are."""
        own = self._layout
        return (own.shape, own.axis, own.chunk_rows, own.shard_rows) == (
            layout.shape,
            layout.axis,
            layout.chunk_rows,
            layout.shard_rows,
        )

    def stored(self, chunks: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        for first, group in self._by_shard(chunks):
            with self._opened(first) as shard:
                for run in neighbours(self._spans(shard, first, group), _RUN_BYTES):
                    data = self._pread(shard, run)
                    for chunk, offset, length in run:
                        at = offset - run[0][1]
                        piece = data if len(run) == 1 else data[at : at + length]
                        yield chunk, self._checked(chunk, piece)

    def damage(self, reason: str, first_chunk: int, last_chunk: int) -> DamagedRows:
        """As any chunked array's, the shard's file named."""
        key = shard_key(self._layout, first_chunk * self._layout.chunk_rows)
        named = reason if key in reason else f"{reason} (file {key})"
        return super().damage(named, first_chunk, last_chunk)

    def _checked(self, chunk: int, data: bytes) -> memoryview:
        try:
            return checked(data)
        except DamagedChunk as error:
            raise self.damage(str(error), chunk, chunk + 1) from None

    def _by_shard(self, chunks: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
        """Ascending chunk numbers grouped by shard: (first row of the shard, its chunks)."""
        per_shard = self._layout.chunks_per_shard
        at = 0
        while at < len(chunks):
            shard = chunks[at] // per_shard
            end = bisect_left(chunks, (shard + 1) * per_shard, at)
            yield shard * self._layout.shard_rows, chunks[at:end]
            at = end

    @contextmanager
    def _opened(self, first: int) -> Iterator[_Shard]:
        """The shard that starts at row `first`, as it was when the store was opened."""
        key = shard_key(self._layout, first)
        base = first // self._layout.chunk_rows
        count = self._layout.chunks_per_shard
        try:
            with self._folder.opened(f"{self._name}/{key}") as fd:
                status = os.fstat(fd)
                identity = (
                    status.st_dev,
                    status.st_ino,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                )
                touched = self._folder.may_have_changed(status)
                same = not touched or self._is_same(fd, first, key, identity)
                yield _Shard(fd, status.st_size, self._index(fd, first, identity))
                if not same:
                    # Sound in itself, and yet not the file of the store that was opened.
                    raise changed(self._store).located(member=self._name)
        except (FileNotFoundError, NotADirectoryError):
            raise self.damage(f"the file {key} is missing", base, base + count) from None
        except OSError as error:
            if isinstance(error, PtystoreError):
                raise
            if error.errno in (errno.EISDIR, errno.EINVAL, errno.ENXIO):
                reason = f"the file {key} is not a regular file"
                raise self.damage(reason, base, base + count) from None
            raise self._unread(error, base, base + count) from error

    def _is_same(self, fd: int, first: int, key: str, identity: FileIdentity) -> bool:
        """Whether a file is the one that the manifest lists, where there is a manifest."""
        if self._files is None or self._proven.get(first) == identity:
            return True
        if key not in self._files or unlike(entry_of_open(fd), self._files[key]):
            return False
        self._proven[first] = identity
        return True

    def _index(self, fd: int, first: int, identity: FileIdentity) -> Array:
        """Where the chunks of the shard lie: (offset, length), one row a chunk."""
        size = identity[2]
        base, count = first // self._layout.chunk_rows, self._layout.chunks_per_shard
        if count == 1:
            return np.array([[0, size]], np.uint64)
        index = self._indexes.get(first, identity)
        if index is None:
            index = self._read_index(fd, size, base, count)
            self._indexes.keep(first, identity, index)
        return index

    def _unread(self, error: OSError, first_chunk: int, last_chunk: int) -> StorageError:
        told = self.damage(f"read failed: {error.strerror}", first_chunk, last_chunk)
        return StorageError(told.reason, file=self._store, member=self._name)

    def _read_index(self, fd: int, size: int, base: int, count: int) -> Array:
        length = 16 * count + 4
        try:
            data = pread(fd, length, size - length) if length <= size else b""
            if len(data) < length:
                raise DamagedChunk("it is too short")
            return np.frombuffer(checked(data), "<u8").reshape(count, 2)
        except DamagedChunk as error:
            reason = f"the shard's index is damaged: {error}"
            raise self.damage(reason, base, base + count) from None

    def _spans(self, shard: _Shard, first: int, chunks: Sequence[int]) -> list[Span]:
        base = first // self._layout.chunk_rows
        places = [chunk - base for chunk in chunks]
        spans = []
        for chunk, (offset, length) in zip(chunks, shard.chunks[places].tolist(), strict=True):
            if offset == _MISSING:
                raise self.damage("the chunk is missing", chunk, chunk + 1)
            if offset + length > shard.size:
                raise self.damage("the chunk lies outside its shard", chunk, chunk + 1)
            spans.append((chunk, offset, length))
        return spans

    def _pread(self, shard: _Shard, run: list[Span]) -> bytes:
        offset = run[0][1]
        length = run[-1][1] + run[-1][2] - offset
        try:
            data = pread(shard.fd, length, offset)
        except OSError as error:
            raise self._unread(error, run[0][0], run[-1][0] + 1) from None
        if len(data) < length:
            raise self.damage("the shard is truncated", run[0][0], run[-1][0] + 1)
        return data
