"""Which chunks of another tool's Zarr array are there, by its files and the indexes of its shards.

Zarr readers take an absent chunk for one that is full of the fill value; writers leave out such
chunks, and chunks that nobody wrote. Files and indexes as in the specifications of Zarr 2 and 3
(https://zarr-specs.readthedocs.io).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptystore.formats.never_written import Ranges, gaps
from ptystore.storage.local import SourceFolder
from ptystore.storage.system import pread

__all__ = ["ChunkFiles"]

_NOWHERE = (1 << 64) - 1
_CHECKSUM_BYTES = 4
_INDEX_LIMIT = 256 << 20


@dataclass(frozen=True)
class ChunkFiles:
    """How an array's chunks are cut and its files called.

    `file_shape` is that of what a file holds, `chunk_shape` that of a chunk in it. `index_at` is
    0 or -1, where in the file the index of its chunks is, None where a file is one chunk.
    """

    folder: str
    shape: tuple[int, ...]
    file_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    prefix: tuple[str, ...]
    separator: str
    index_at: int | None
    index_checksum: int

    @classmethod
    def described(cls, folder: str, document: Mapping[str, Any]) -> ChunkFiles | None:
        """By an array's document, of Zarr 2 or 3; None for cuts that are not known here."""
        try:
            return _described(folder, document)
        except (LookupError, TypeError, ValueError, AttributeError):
            return None

    @property
    def chunks(self) -> int:
        """How many chunks there are when none is absent."""
        return math.prod(_grid(self.shape, self.chunk_shape))

    def absent(self, store: SourceFolder) -> int:
        """How many chunks are absent. Raises OSError."""
        return self.chunks - sum(self._present(store, 0).values()) if self.shape else 0

    def missing(self, store: SourceFolder, axis: int) -> Ranges:
        """The rows along an axis of which some chunk is absent. Raises OSError."""
        if not math.prod(self.shape) or not self.shape:
            return []
        grid = _grid(self.shape, self.chunk_shape)
        across = math.prod(grid) // grid[axis]
        present = self._present(store, axis)
        whole = sorted(at for at, count in present.items() if count == across)
        return gaps(whole, grid[axis], self.chunk_shape[axis], self.shape[axis])

    def _present(self, store: SourceFolder, axis: int) -> Counter[int]:
        """How many chunks are there, by their number along an axis."""
        found: Counter[int] = Counter()
        grid = _grid(self.shape, self.file_shape)
        for place, key in self._files(store):
            if any(at >= n for at, n in zip(place, grid, strict=True)):
                continue
            if self.index_at is None:
                found[place[axis]] += 1
            else:
                self._count_shard(store, place, key, axis, found)
        return found

    def _count_shard(
        self,
        store: SourceFolder,
        place: Sequence[int],
        key: str,
        axis: int,
        found: Counter[int],
    ) -> None:
        inside = [a // b for a, b in zip(self.file_shape, self.chunk_shape, strict=True)]
        length = 16 * math.prod(inside)
        if length > _INDEX_LIMIT:
            raise ValueError(f"an index of {length} bytes")
        with store.opened(key) as fd:
            begin = 0
            if self.index_at == -1:
                begin = os.fstat(fd).st_size - length - self.index_checksum
            data = pread(fd, length, begin) if begin >= 0 else b""
        if len(data) != length:
            return  # cut short, which reading it tells
        index = np.frombuffer(data, "<u8").reshape(*inside, 2)
        there = (index != _NOWHERE).any(-1)
        # Of a shard at the edge, only the chunks that hold some of the array count.
        grid = _grid(self.shape, self.chunk_shape)
        there = there[
            tuple(slice(n - at * k) for n, at, k in zip(grid, place, inside, strict=True))
        ]
        counts = there.sum(tuple(d for d in range(there.ndim) if d != axis))
        for at, count in enumerate(counts.tolist()):
            if count:
                found[place[axis] * inside[axis] + at] += count

    def _files(self, store: SourceFolder) -> Iterator[tuple[tuple[int, ...], str]]:
        """The place in the grid, and the key, of each file of values that is there."""
        parts = len(self.prefix) + len(self.shape)
        nested = self.separator == "/"
        for key in _keys(store, self.folder, parts if nested else 1):
            words = key.removeprefix(f"{self.folder}/").split(self.separator)
            numbers = words[len(self.prefix) :]
            if len(words) == parts and all(map(_is_number, numbers)):
                yield tuple(map(int, numbers)), key


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 19


def _keys(store: SourceFolder, folder: str, depth: int) -> Iterator[str]:
    with os.scandir(store.path.absolute() / folder) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        key = f"{folder}/{name}"
        if depth == 1:
            yield key
        elif os.path.isdir(store.path.absolute() / key):
            yield from _keys(store, key, depth - 1)


def _grid(shape: Sequence[int], cut: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-n // c) for n, c in zip(shape, cut, strict=True))


def _described(folder: str, document: Mapping[str, Any]) -> ChunkFiles | None:
    shape = tuple(document["shape"])
    if document["zarr_format"] == 2:
        cut = tuple(document["chunks"])
        separator = document.get("dimension_separator") or "."
        return ChunkFiles(folder, shape, cut, cut, (), separator, None, 0)
    grid = document["chunk_grid"]
    if grid["name"] != "regular":
        return None
    cut = tuple(grid["configuration"]["chunk_shape"])
    naming = document["chunk_key_encoding"]
    is_default = naming["name"] == "default"
    prefix = ("c",) if is_default else ()
    separator = (naming.get("configuration") or {}).get("separator", "/" if is_default else ".")
    chunk, index_at, checksum = cut, None, 0
    first = document["codecs"][0]
    if first["name"] == "sharding_indexed":
        sharding = first["configuration"]
        codecs = [codec["name"] for codec in sharding["index_codecs"]]
        if codecs not in (["bytes"], ["bytes", "crc32c"]):
            return None
        chunk = tuple(sharding["chunk_shape"])
        index_at = 0 if sharding.get("index_location", "end") == "start" else -1
        checksum = _CHECKSUM_BYTES * (len(codecs) - 1)
    return ChunkFiles(folder, shape, cut, chunk, prefix, separator, index_at, checksum)
