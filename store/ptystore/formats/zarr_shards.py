"""The files that hold an array's values: shards of chunks, or one chunk a file.

A shard is its chunks one after another, then an index of (offset, length) pairs, then the
index's CRC32C (the Zarr v3 `sharding_indexed` codec, index at the end). An array whose
shard is one chunk is stored as plain chunks. Here a chunk that is not there is an error,
never zeros.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from ptystore.errors import StorageError
from ptystore.formats.chunk_codec import ChunkError, checked, encode, with_checksum
from ptystore.formats.chunked_array import ChunkedArray, chunks_of, neighbours
from ptystore.layout import Layout
from ptystore.lazy_array import Array

__all__ = ["ShardedArray", "checksum", "pack_shard", "shard_key"]

_MISSING = (1 << 64) - 1


def shard_key(layout: Layout, start: int) -> str:
    """The file, in the array's folder, of the shard that starts at row `start`."""
    at = start // layout.shard_rows
    places = (str(at) if d == layout.axis else "0" for d in range(len(layout.shape)))
    return ".".join(("c", *places))


def pack_shard(layout: Layout, blocks: Iterable[Array]) -> list[bytes]:
    """The pieces of one shard file from its blocks of rows, in order."""
    pieces = [
        with_checksum(encode(chunk)) for block in blocks for chunk in chunks_of(layout, block)
    ]
    if layout.chunks_per_shard == 1:
        return pieces
    index = np.full((layout.chunks_per_shard, 2), _MISSING, "<u8")
    lengths = np.array([len(piece) for piece in pieces], "<u8")
    index[: len(pieces), 1] = lengths
    index[: len(pieces), 0] = np.cumsum(lengths) - lengths
    return [*pieces, with_checksum(index.tobytes())]


@dataclass(frozen=True)
class _Shard:
    """An open shard file and where its chunks lie: (offset, length), one row a chunk."""

    fd: int
    size: int
    index: Array


class ShardedArray(ChunkedArray):
    """The values of one array of a Zarr store."""

    @property
    def store(self) -> Path:
        """The folder of the store."""
        return self._store

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

    def stored(self, chunks: Iterable[int]) -> Iterator[tuple[int, memoryview]]:
        for first, group in self._by_shard(chunks):
            for chunk, data in self._chunk_bytes(first, group):
                try:
                    yield chunk, checked(data)
                except ChunkError as error:
                    raise self.damage(str(error), chunk, chunk + 1) from error

    def _by_shard(self, chunks: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """Ascending chunk numbers grouped by shard: (first row of the shard, its chunks)."""
        per_shard = self._layout.chunks_per_shard
        group: list[int] = []
        for chunk in chunks:
            if group and chunk // per_shard != group[0] // per_shard:
                yield group[0] // per_shard * self._layout.shard_rows, group
                group = []
            group.append(chunk)
        if group:
            yield group[0] // per_shard * self._layout.shard_rows, group

    def _chunk_bytes(self, first: int, chunks: list[int]) -> Iterator[tuple[int, memoryview]]:
        """The stored bytes of some chunks of the shard that starts at row `first`."""
        shard = self._open(first)
        try:
            base = first // self._layout.chunk_rows
            spans = [(chunk, *self._span(shard, chunk, chunk - base)) for chunk in chunks]
            for run in neighbours(spans):
                begin, end = run[0][1], run[-1][1] + run[-1][2]
                data = self._pread(shard, begin, end - begin, run[0][0], run[-1][0] + 1)
                for chunk, offset, length in run:
                    yield chunk, data[offset - begin : offset - begin + length]
        finally:
            os.close(shard.fd)

    def _open(self, first: int) -> _Shard:
        path = self._store / self._name / shard_key(self._layout, first)
        base = first // self._layout.chunk_rows
        count = self._layout.chunks_per_shard
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            reason = f"the file {path.name} is missing"
            raise self.damage(reason, base, base + count) from None
        except OSError as error:
            raise StorageError(f"can't be read: {error.strerror}", file=path) from error
        try:
            size = os.fstat(fd).st_size
            if count == 1:
                return _Shard(fd, size, np.array([[0, size]], np.uint64))
            return _Shard(fd, size, self._read_index(fd, size, base, count))
        except BaseException:
            os.close(fd)
            raise

    def _read_index(self, fd: int, size: int, base: int, count: int) -> Array:
        length = 16 * count + 4
        data = os.pread(fd, length, max(0, size - length))
        try:
            if len(data) < length:
                raise ChunkError("it is too short")
            return np.frombuffer(checked(memoryview(data)), "<u8").reshape(count, 2)
        except ChunkError as error:
            reason = f"the shard's index is damaged: {error}"
            raise self.damage(reason, base, base + count) from error

    def _span(self, shard: _Shard, chunk: int, place: int) -> tuple[int, int]:
        offset, length = (int(one) for one in shard.index[place])
        if offset == _MISSING:
            raise self.damage("the chunk is missing", chunk, chunk + 1)
        if offset + length > shard.size:
            raise self.damage("the chunk lies outside its shard", chunk, chunk + 1)
        return offset, length

    def _pread(self, shard: _Shard, offset: int, length: int, first: int, last: int) -> memoryview:
        try:
            data = os.pread(shard.fd, length, offset)
        except OSError as error:
            raise StorageError(
                f"read failed: {error.strerror}", file=self._store, member=self._name
            ) from error
        if len(data) < length:
            raise self.damage("the shard is truncated", first, last)
        return memoryview(data)


def checksum(pieces: Iterable[bytes]) -> int:
    """The CRC32C of pieces written one after another."""
    crc = 0
    for piece in pieces:
        crc = google_crc32c.extend(crc, piece)
    return crc
