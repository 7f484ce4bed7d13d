"""A virtual dataset as a lazy array: each row is read from the pieces that it is in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ptystore.formats.chunked_array import in_threads
from ptystore.formats.hdf5.selections import Along, Lines, Rows, across, keys, whole
from ptystore.formats.hdf5.stored_arrays import StoredArray
from ptystore.formats.never_written import MaybeUnwritten, Ranges
from ptystore.model.lazy_array import Array, LazyArray

__all__ = ["MOST_STEPS", "Piece", "VirtualArray", "apart"]

#: Runs of neighbours of all pieces together.
MOST_STEPS = 8_000_000

#: A piece, and which of its rows are wanted, by their numbers in it.
Hit = tuple["Piece", int, int]


@dataclass(frozen=True)
class Piece:
    """A part of a virtual array and the part of another, cut along its first axis, that it is.

    The values of both are in C order; their shapes may differ. `rows` and `axes` say where they
    belong, `taken` which part of `source` it is, an entry an axis.
    """

    rows: Rows
    axes: tuple[Along, ...]
    source: LazyArray
    taken: tuple[Along, ...]

    @property
    def row_size(self) -> int:
        """Values in a row of the virtual array."""
        return math.prod(one.size for one in self.axes)

    @property
    def taken_size(self) -> int:
        """Values in a row of what is taken."""
        return math.prod(one.size for one in self.taken[1:])

    def values(self, first: int, last: int) -> Array:
        """The rows `first` up to `last`, (rows, …)."""
        begin, end = first * self.row_size, last * self.row_size
        low, high = begin // self.taken_size, -(-end // self.taken_size)
        at = self.taken[0].at(np.arange(low, high))
        if int(at[-1]) - int(at[0]) == len(at) - 1:
            read = self.source.read(int(at[0]), int(at[-1]) + 1)
        else:
            read = self.source.take(at)
        found = across(self.taken[1:], read)
        shape = (last - first, *(one.size for one in self.axes))
        if found.shape == shape:
            return found
        skipped = begin - low * self.taken_size
        return (
            np.ascontiguousarray(found).reshape(-1)[skipped : skipped + end - begin].reshape(shape)
        )

    def rows_of(self, first: int, last: int) -> Ranges:
        """The rows of the virtual array that hold anything of the source's rows, last included."""
        low, high = self.taken[0].below(first), self.taken[0].below(last + 1)
        begin = low * self.taken_size // self.row_size
        end = -(-high * self.taken_size // self.row_size)
        begins, length = self.rows.runs()
        found = []
        for at in range(begin // length, -(-end // length)):
            low, high = max(begin - at * length, 0), min(end - at * length, length)
            found.append((int(begins[at]) + low, int(begins[at]) + high - 1))
        return found


class VirtualArray(StoredArray):
    """The pieces, which do not overlap, in the order of their first rows; cut along axis 0.

    `line` is the length of the second axis, where it is seen with the first one as one.
    """

    def __init__(self, pieces: Sequence[Piece], line: int | None = None, **common: Any) -> None:
        super().__init__(**common)
        self._pieces = sorted(pieces, key=lambda one: one.rows.start)
        self._line = line
        self._firsts = [one.rows.start for one in self._pieces]
        ends = np.array([one.rows.end for one in self._pieces], np.int64)
        self._ends = np.maximum.accumulate(ends)
        self._row_size = math.prod(self.shape[1:])
        covered = sum(one.rows.size * one.row_size for one in self._pieces)
        self._has_gaps = covered < math.prod(self.shape)

    def read(self, start: int, stop: int) -> Array:
        shape = self._with_rows(max(0, stop - start))
        if not math.prod(shape):
            return np.empty(shape, self.dtype)
        hits = self._hits(start, stop)
        if self._has_gaps:
            found = sum((last - first) * piece.row_size for piece, first, last in hits)
            if found < math.prod(shape):
                if self._fill is None:
                    raise self.never_written(
                        [(max(a, start), b) for a, b in self._gaps() if b >= start]
                    )
                out = np.full(shape, self._fill_value(), self.dtype)
                self._read_hits(out, start, hits)
                return out
        if len(hits) == 1:
            # All of it, and nobody else's: what the source made is the result.
            piece, first, last = hits[0]
            return np.ascontiguousarray(piece.values(first, last)).reshape(shape)
        out = np.empty(shape, self.dtype)
        step = max(1, math.prod(shape) * self.dtype.itemsize // len(hits))
        in_threads(hits, step, partial(self._read_hits, out, start))
        return out

    def _hits(self, start: int, stop: int) -> list[Hit]:
        low = int(np.searchsorted(self._ends, start, side="right"))
        high = int(np.searchsorted(self._firsts, stop, side="left"))
        found = [
            (piece, piece.rows.below(start), piece.rows.below(stop))
            for piece in self._pieces[low:high]
        ]
        return [(piece, first, last) for piece, first, last in found if first < last]

    def _read_hits(self, out: Array, start: int, hits: Sequence[Hit]) -> None:
        for piece, first, last in hits:
            rows = piece.rows.at(np.arange(first, last)) - start
            at: Any = rows
            if rows[-1] - rows[0] == len(rows) - 1:
                at = slice(int(rows[0]), int(rows[-1]) + 1)
            out[keys(at, piece.axes, len(out))] = piece.values(first, last)

    def missing(self) -> Ranges:
        found = self._gaps() if self._has_gaps else []
        for piece in self._pieces:
            if isinstance(piece.source, MaybeUnwritten):
                for first, last in piece.source.missing():
                    found += piece.rows_of(first, last)
        return _united(found)

    def _gaps(self) -> Ranges:
        """The rows of which no piece has all values."""
        begins, ends, sizes = [], [], []
        for piece in self._pieces:
            first, length = piece.rows.runs()
            begins.append(first)
            ends.append(first + length)
            sizes.append(np.full(len(first), piece.row_size, np.int64))
        size = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
        edges = np.concatenate([*begins, *ends, [0, self.shape[0]]]).astype(np.int64)
        changes = np.concatenate([size, -size, [0, 0]])
        order = np.argsort(edges, kind="stable")
        edges, held = edges[order], np.cumsum(changes[order])
        short = np.flatnonzero((np.diff(edges) > 0) & (held[:-1] < self._row_size))
        return _united([(int(edges[at]), int(edges[at + 1]) - 1) for at in short])

    def merged(self) -> VirtualArray | None:
        if len(self.shape) < 2 or self._line is not None:
            return None
        line = self.shape[1]
        pieces = []
        for piece in self._pieces:
            assert isinstance(piece.rows, Along)
            rows = Lines(piece.rows, piece.axes[0], line)
            if rows.steps > MOST_STEPS:
                return None
            pieces.append(apart(Piece(rows, piece.axes[1:], piece.source, piece.taken)))
        return VirtualArray(pieces, line, **self._merged_axes())


def apart(piece: Piece) -> Piece:
    """The same of a source of which smaller parts can be read, where its rows are many frames."""
    while len(piece.taken) > 1 and piece.taken_size > piece.row_size:
        merged = getattr(piece.source, "merged", lambda: None)()
        line = piece.source.shape[1]
        first, second = piece.taken[:2]
        if merged is None:
            break
        if first.size == 1:
            begin = first.start * line + second.start
            rows = Along(begin, second.stride, second.count, second.block)
        elif first.count == 1 and second == whole(line):
            rows = Along(first.start * line, first.size * line, 1, first.size * line)
        else:
            break
        piece = Piece(piece.rows, piece.axes, merged, (rows, *piece.taken[2:]))
    return piece


def _united(ranges: Ranges) -> Ranges:
    """The same rows in ascending ranges that do not touch."""
    found: Ranges = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found
