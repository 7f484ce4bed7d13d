"""Chunks of an HDF5 file, read with `pread` past the library's lock and checked by CRC32C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import InputError, InputMissingError
from ptystore.formats.chunk_codec import crc32c
from ptystore.formats.chunked_array import ChunkedArray, neighbours
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array
from ptystore.model.process_lock import ProcessLock
from ptystore.storage.base import reading_frames
from ptystore.storage.local import SourceFile

__all__ = ["ChunkTable", "DirectChunks"]

# Neighbouring chunks are read together, up to this many bytes.
_RUN_BYTES = 4 << 20


@dataclass(frozen=True)
class ChunkTable:
    """Where the chunks of an array lie, and their checksums: a few bytes for each chunk.

    `spans` has a row (offset, length) for each chunk, int64, −1 for one that is not there.
    """

    spans: Array
    crcs: Array

    @classmethod
    def of_missing(cls, crcs: Array, count: int) -> ChunkTable:
        """The table of `count` chunks of which none was found yet.

        Raises ValueError where there are not as many checksums.
        """
        if crcs.shape != (count,):
            raise ValueError(f"checksums {crcs.shape} for {count} chunks")
        return cls(np.full((count, 2), -1, np.int64), crcs)

    def note(self, chunk: int, offset: int, length: int) -> None:
        """A chunk was found. Raises ValueError where there can be no such chunk.

        Those that are never noted are damage of just their frames, told when they are read.
        """
        if not 0 <= chunk < len(self.spans) or min(offset, length) < 0:
            raise ValueError(f"chunk {chunk} of {len(self.spans)}")
        self.spans[chunk] = offset, length


TableReader = Callable[[SourceFile, str, Layout], ChunkTable]


class DirectChunks(ChunkedArray):
    """The values of one array of an HDF5 file of ours.

    `read_table` finds the chunks, at the first read; it can be pickled, as the array can.
    """

    def __init__(
        self,
        source: SourceFile,
        name: str,
        layout: Layout,
        dtype: np.dtype[Any],
        read_table: TableReader,
    ) -> None:
        super().__init__(source.path, name, layout, dtype)
        self._source = source
        self._read_table = read_table
        self._reset()

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._table: ChunkTable | None = None

    def _found(self) -> ChunkTable:
        with self._lock:
            if self._table is None:
                self._table = self._read_table(self._source, self._name, self._layout)
            return self._table

    def prepare(self, scratch: Path | None) -> None:
        """Find the chunks now."""
        self._found()

    def stored(self, chunks: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        table = self._found()
        spans = []
        for chunk in chunks:
            offset, length = table.spans[chunk].tolist()
            if offset < 0:
                raise self.damage("the chunk is missing", chunk, chunk + 1)
            spans.append((chunk, offset, length))
        for run in neighbours(spans, _RUN_BYTES):
            begin, end = run[0][1], run[-1][1] + run[-1][2]
            rows = self._layout.chunk_rows
            first, last = run[0][0] * rows, min((run[-1][0] + 1) * rows, self._layout.rows) - 1
            try:
                with reading_frames(self._name, first, last):
                    data = self._source.read_array(begin, end - begin).data
            except InputMissingError:
                raise
            except InputError:
                raise self.damage("the file is truncated", run[0][0], run[-1][0] + 1) from None
            for chunk, offset, length in run:
                body = data[offset - begin : offset - begin + length]
                if crc32c(body) != table.crcs[chunk]:
                    raise self.damage("the checksum does not match", chunk, chunk + 1)
                yield chunk, body

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        del kept["_lock"], kept["_table"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
