"""Arrays stored in encoded chunks: which chunks a read needs, and where their rows go.

Shared by the formats that store chunks; each says how it finds a chunk's bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ptystore.errors import DamagedInputError, IntegrityError
from ptystore.formats.chunk_codec import DamagedChunk, decode
from ptystore.model.layout import Layout
from ptystore.model.lazy_array import Array, Indices, LazyBase, rows_back, rows_first
from ptystore.pools.cores import usable_cores
from ptystore.pools.threads import ThreadPool

__all__ = [
    "ChunkedArray",
    "DamagedInputRows",
    "DamagedRows",
    "Span",
    "chunks_of",
    "in_threads",
    "neighbours",
]

Part = TypeVar("Part")

#: A chunk and where its bytes lie: (chunk, offset, length).
Span = tuple[int, int, int]

# Smaller chunks spend most of their time in Python, where threads only wait for each other;
# smaller reads are over before the threads have started.
_THREAD_CHUNK_BYTES = 128 << 10
_THREAD_BYTES = 4 << 20
_THREADS = 8

_FEW_ROWS = 8


def chunks_of(layout: Layout, rows_first: Array) -> Iterator[Array]:
    """A block of rows cut into C-contiguous chunks, the array's last one filled up with zeros."""
    for at in range(0, rows_first.shape[0], layout.chunk_rows):
        rows = rows_first[at : at + layout.chunk_rows]
        if rows.shape[0] < layout.chunk_rows and layout.shape:
            full = np.zeros((layout.chunk_rows, *rows.shape[1:]), rows.dtype)
            full[: rows.shape[0]] = rows
            rows = full
        yield np.ascontiguousarray(rows_back(rows, layout.axis, rows.ndim)) if layout.axis else rows


@dataclass(frozen=True)
class Picks:
    """Which rows are taken of which chunks, and where they go.

    The rows of `chunks[k]` are entries ``begins[k]`` to ``begins[k + 1]`` of `rows` (counted
    from the chunk's first) and of `targets`; `whole[k]` tells that they are all of its rows,
    in order and side by side in the result.
    """

    chunks: list[int]
    begins: list[int]
    rows: Indices
    targets: Indices
    whole: list[bool]

    @classmethod
    def of(cls, indices: Indices, chunk_rows: int) -> Picks:
        """The picks of some rows, at least one, in any order."""
        targets = np.argsort(indices, kind="stable")
        chunk_of, rows = np.divmod(indices[targets], chunk_rows)
        edges = np.flatnonzero(np.diff(chunk_of)) + 1
        begins = np.concatenate(([0], edges, [len(indices)]))
        first, last = begins[:-1], begins[1:] - 1
        # Steps to the next row and the next place at once; all of them within a whole chunk.
        steps = np.cumsum((np.diff(rows, prepend=-1) == 1) & (np.diff(targets, prepend=-1) == 1))
        whole = (last - first == chunk_rows - 1) & (steps[last] - steps[first] == chunk_rows - 1)
        return cls(chunk_of[first].tolist(), begins.tolist(), rows, targets, whole.tolist())


class DamagedRows(IntegrityError):
    """Damage in some rows of an array."""

    #: The first row, the last, and what is wrong with them; None once it was pickled.
    found: tuple[int, int, str] | None = None


class DamagedInputRows(DamagedInputError):
    """The same in what another tool wrote."""

    found: tuple[int, int, str] | None = None


def in_threads(
    parts: Sequence[Part], part_bytes: int, work: Callable[[Sequence[Part]], None]
) -> None:
    """Call `work` on all of the parts, some at a time in several threads where that is quicker."""
    whole = len(parts) * part_bytes
    if len(parts) <= 1 or part_bytes < _THREAD_CHUNK_BYTES or whole < _THREAD_BYTES:
        work(parts)
        return
    threads = min(usable_cores(), _THREADS, len(parts))
    step = -(-len(parts) // (4 * threads))
    # The threads end with the call, so that a fork never meets them.
    with ThreadPool(threads, "ptystore-read") as pool:
        for _ in pool.map(work, [parts[at : at + step] for at in range(0, len(parts), step)]):
            pass


class ChunkedArray(LazyBase):
    """One array of a store in chunks of whole rows, random access, checked when read."""

    def __init__(self, store: Path, name: str, layout: Layout, dtype: np.dtype[Any]) -> None:
        self._store = store
        self._name = name
        self._layout = layout
        self.shape = layout.shape
        self.axis = layout.axis
        self.dtype = dtype

    @property
    def layout(self) -> Layout:
        """How the array is cut in its file."""
        return self._layout

    def stored(self, chunks: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        """The encoded bytes of ascending `chunks`, each with its number, checksum compared.

        Raises `IntegrityError` from `damage` for one that is missing or damaged.
        """
        raise NotImplementedError

    def read(self, start: int, stop: int) -> Array:
        out = self._empty(max(0, stop - start))
        if out.size == 0:
            return out
        rows = self._layout.chunk_rows
        chunks = range(start // rows, -(-stop // rows))
        self._in_threads(chunks, partial(self._read_chunks, out, start, stop))
        return out

    def take(self, indices: Indices) -> Array:
        indices = np.asarray(indices, np.int64)
        out = self._empty(len(indices))
        if out.size == 0:
            return out
        picks = Picks.of(indices, self._layout.chunk_rows)
        self._in_threads(picks.chunks, partial(self._take_chunks, out, picks))
        return out

    def _empty(self, rows: int) -> Array:
        shape = tuple(rows if d == self.axis else n for d, n in enumerate(self.shape))
        return np.empty(shape, self.dtype)

    def _in_threads(self, chunks: Sequence[int], work: Callable[[Sequence[int]], None]) -> None:
        in_threads(chunks, self._layout.chunk_rows * self._layout.row_bytes, work)

    def _read_chunks(self, out: Array, start: int, stop: int, chunks: Sequence[int]) -> None:
        """Decode `chunks` into `out`, which holds the rows `start` to `stop`."""
        rows = self._layout.chunk_rows
        in_place = self.axis == 0 and bool(self.shape)
        target = rows_first(out, self.axis)
        values, values_rows = self._scratch()
        for chunk, data in self.stored(chunks):
            first, last = chunk * rows, (chunk + 1) * rows
            if in_place and start <= first and last <= stop:
                self._decode(chunk, data, out[first - start : last - start])
                continue
            self._decode(chunk, data, values)
            a, b = max(start, first), min(stop, last)
            target[a - start : b - start] = values_rows[a - first : b - first]

    def _take_chunks(self, out: Array, picks: Picks, chunks: Sequence[int]) -> None:
        """Decode `chunks` and put the rows that are wanted of them where they belong in `out`."""
        in_place = self.axis == 0
        target = rows_first(out, self.axis)
        values, values_rows = self._scratch()
        at = bisect_left(picks.chunks, chunks[0])
        for place, (chunk, data) in enumerate(self.stored(chunks), at):
            a, b = picks.begins[place], picks.begins[place + 1]
            if in_place and picks.whole[place]:
                first = int(picks.targets[a])
                self._decode(chunk, data, out[first : first + b - a])
                continue
            self._decode(chunk, data, values)
            if b - a == 1:
                target[picks.targets[a]] = values_rows[picks.rows[a]]
                continue
            if b - a > _FEW_ROWS:
                target[picks.targets[a:b]] = values_rows[picks.rows[a:b]]
                continue
            # A row at a time costs less than numpy's indexing by arrays.
            for to, row in zip(picks.targets[a:b].tolist(), picks.rows[a:b].tolist(), strict=True):
                target[to] = values_rows[row]

    def _scratch(self) -> tuple[Array, Array]:
        """Room for one chunk, and the same seen with its rows first."""
        values = np.empty(self._layout.chunk_shape, self.dtype)
        return values, rows_first(values, self.axis)

    def _decode(self, chunk: int, data: memoryview, out: Array) -> None:
        try:
            decode(data, out)
        except DamagedChunk as error:
            raise self.damage(str(error), chunk, chunk + 1) from None

    def damage(self, reason: str, first_chunk: int, last_chunk: int) -> DamagedRows:
        """The error for the chunks `first_chunk` up to, not including, `last_chunk`."""
        rows = self._layout.chunk_rows
        first, last = first_chunk * rows, min(last_chunk * rows, self._layout.rows) - 1
        error = DamagedRows(
            f"frames {first} to {last}: {reason}",
            file=self._store,
            member=self._name,
            advice="run ptystore verify for the whole extent of the damage",
        )
        error.found = (first, last, reason)
        return error


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
