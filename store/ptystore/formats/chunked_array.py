"""Arrays stored in encoded chunks: which chunks a read needs, and where their rows go.

Shared by the formats that store chunks; each says how it finds a chunk's bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import IntegrityError
from ptystore.formats.chunk_codec import ChunkError, decode
from ptystore.layout import Layout
from ptystore.lazy_array import Array, Indices, LazyBase

__all__ = ["ChunkedArray", "Span", "chunks_of", "neighbours"]

#: A chunk and where its bytes lie: (chunk, offset, length).
Span = tuple[int, int, int]


def chunks_of(layout: Layout, rows_first: Array) -> Iterator[Array]:
    """A block of rows cut into C-contiguous chunks, the array's last one filled up with zeros."""
    for at in range(0, rows_first.shape[0], layout.chunk_rows):
        rows = rows_first[at : at + layout.chunk_rows]
        if rows.shape[0] < layout.chunk_rows and layout.shape:
            full = np.zeros((layout.chunk_rows, *rows.shape[1:]), rows.dtype)
            full[: rows.shape[0]] = rows
            rows = full
        yield np.ascontiguousarray(np.moveaxis(rows, 0, layout.axis)) if layout.axis else rows


class ChunkedArray(LazyBase):
    """One array of a store in chunks of whole rows, random access, checked when read."""

    def __init__(self, store: Path, name: str, layout: Layout, dtype: np.dtype[Any]) -> None:
        self._store = store
        self._name = name
        self._layout = layout
        self.shape = layout.shape
        self.axis = layout.axis
        self.dtype = dtype

    def stored(self, chunks: Iterable[int]) -> Iterator[tuple[int, memoryview]]:
        """The encoded bytes of ascending `chunks`, each with its number, checksum compared.

        Raises `IntegrityError` from `damage` for one that is missing or damaged.
        """
        raise NotImplementedError

    def read(self, start: int, stop: int) -> Array:
        out = self._empty(max(0, stop - start))
        if out.size == 0:
            return out
        chunk_rows = self._layout.chunk_rows
        for chunk, data in self.stored(range(start // chunk_rows, -(-stop // chunk_rows))):
            self._place(out, start, stop, chunk, data)
        return out

    def take(self, indices: Indices) -> Array:
        indices = np.asarray(indices, np.int64)
        out = self._empty(len(indices))
        if out.size == 0:
            return out
        order = np.argsort(indices, kind="stable")
        in_order = indices[order]
        chunk_of = in_order // self._layout.chunk_rows
        needed, begins = np.unique(chunk_of, return_index=True)
        ends = np.append(begins[1:], len(in_order))
        spans = {int(c): (int(a), int(b)) for c, a, b in zip(needed, begins, ends, strict=True)}
        target = np.moveaxis(out, self.axis, 0)
        for chunk, data in self.stored([int(one) for one in needed]):
            a, b = spans[chunk]
            values = np.moveaxis(self._decoded(chunk, data), self.axis, 0)
            target[order[a:b]] = values[in_order[a:b] - chunk * self._layout.chunk_rows]
        return out

    def _empty(self, rows: int) -> Array:
        shape = tuple(rows if d == self.axis else n for d, n in enumerate(self.shape))
        return np.empty(shape, self.dtype)

    def _place(self, out: Array, start: int, stop: int, chunk: int, data: memoryview) -> None:
        """Decode a chunk into its rows of `out`, which holds the rows `start` to `stop`."""
        rows = self._layout.chunk_rows
        first, last = chunk * rows, (chunk + 1) * rows
        if self.axis == 0 and start <= first and last <= stop and self.shape:
            self._decode(chunk, data, out[first - start : last - start])
            return
        values = self._decoded(chunk, data)
        if not self.shape:
            out[...] = values
            return
        a, b = max(start, first), min(stop, last)
        target, source = np.moveaxis(out, self.axis, 0), np.moveaxis(values, self.axis, 0)
        target[a - start : b - start] = source[a - first : b - first]

    def _decoded(self, chunk: int, data: memoryview) -> Array:
        values = np.empty(self._layout.chunk_shape, self.dtype)
        self._decode(chunk, data, values)
        return values

    def _decode(self, chunk: int, data: memoryview, out: Array) -> None:
        try:
            decode(data, out)
        except ChunkError as error:
            raise self.damage(str(error), chunk, chunk + 1) from error

    def damage(self, reason: str, first_chunk: int, last_chunk: int) -> IntegrityError:
        """The error for the chunks `first_chunk` up to, not including, `last_chunk`."""
        rows = self._layout.chunk_rows
        first, last = first_chunk * rows, min(last_chunk * rows, self._layout.rows) - 1
        return IntegrityError(
            f"frames {first} to {last}: {reason}",
            file=self._store,
            member=self._name,
            advice="run ptystore verify for the whole extent of the damage",
        )


def neighbours(spans: Iterable[Span], limit: int = 1 << 62) -> Iterator[list[Span]]:
    """Runs of chunks that lie one after another in the file, at most `limit` bytes together."""
    run: list[Span] = []
    for span in spans:
        if run and (span[1] != run[-1][1] + run[-1][2] or span[1] - run[0][1] >= limit):
            yield run
            run = []
        run.append(span)
    if run:
        yield run
