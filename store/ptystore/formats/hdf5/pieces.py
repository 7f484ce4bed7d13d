"""Chunked arrays of another tool's HDF5 file: read where they lie, decoded here where that can be.

Chunks of any shape, which need not be whole frames. Filters that are not decoded here run in the
helper process.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ptystore.errors import DamagedInputError, InputError, InputMissingError
from ptystore.formats.chunk_codec import DamagedChunk
from ptystore.formats.chunked_array import DamagedInputRows, Span, in_threads, neighbours
from ptystore.formats.hdf5.asking import ask
from ptystore.formats.hdf5.filters import Pipeline
from ptystore.formats.hdf5.frame_window import FrameWindow
from ptystore.formats.hdf5.stored_arrays import Box, StoredArray
from ptystore.formats.never_written import Ranges, gaps
from ptystore.model.lazy_array import Array, Indices, rows_first
from ptystore.model.process_lock import ProcessLock
from ptystore.storage.base import reading_frames

__all__ = ["ChunkedPieces"]

# Neighbouring chunks are read together, or decoded in the helper, up to this many bytes.
_RUN_BYTES = 4 << 20

#: A row of chunks, which of its rows are wanted, and where they go in the result.
Part = tuple[int, slice | Indices, slice | Indices]


@dataclass(frozen=True)
class Table:
    """The chunks that are stored, by ascending number in the grid of all; all of int64."""

    numbers: Indices
    offsets: Indices
    sizes: Indices
    masks: Indices

    def find(self, number: int) -> tuple[int, int, int] | None:
        """Offset, size and filter mask of a chunk; None where it was never stored."""
        at = int(np.searchsorted(self.numbers, number))
        if at == len(self.numbers) or self.numbers[at] != number:
            return None
        return int(self.offsets[at]), int(self.sizes[at]), int(self.masks[at])


class ChunkedPieces(StoredArray):
    """An array in `chunks` of some shape. `pipeline` is None where the helper has to decode it.

    Raises `DamagedInputError` where there are more chunks than can be.
    """

    def __init__(self, pipeline: Pipeline | None, chunks: tuple[int, ...], **common: Any) -> None:
        super().__init__(**common)
        self._pipeline = pipeline
        self._chunks = chunks
        self._grid = tuple(-(-n // c) for n, c in zip(self.shape, chunks, strict=True))
        self._count = math.prod(self._grid)
        if self._count >= 1 << 62:
            raise DamagedInputError(f"announces {self._count} chunks, more than can be")
        self._steps = tuple(math.prod(self._grid[d + 1 :]) for d in range(len(chunks)))
        # Whether a chunk is whole rows, one after another, with bytes as numpy has them.
        self._fits_in_place = (
            self.axis == 0
            and chunks[1:] == self.shape[1:]
            and self._stored_dtype == self.dtype
            and self.dtype.kind != "b"
        )
        self._reset()

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._found: Table | None = None

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        del kept["_lock"], kept["_found"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def _table(self) -> Table:
        with self._lock:
            if self._found is None:
                self._found = self._read_table()
            return self._found

    def _read_table(self) -> Table:
        size, shape = self._source.size, self._stored_shape()
        width = len(shape) + 3
        most = 8 * width * min(self._count, size)
        told = ask(self._source, "chunk_table", self._name, most, shape=shape)[1]
        rows = np.frombuffer(told, "<i8")
        rows = rows.reshape(-1, width)
        rows = rows[rows[:, -3] >= 0]  # others have a place in the grid, and none in the file
        first, (offsets, sizes, masks) = self._first_elements(rows[:, :-3]), rows[:, -3:].T
        places = first // np.array(self._chunks)
        sound = (
            (first == places * np.array(self._chunks)).all()
            and ((places >= 0) & (places < np.array(self._grid))).all()
            and ((offsets > 0) & (sizes > 0) & (offsets <= size - sizes)).all()
        )
        numbers = places @ np.array(self._steps)
        order = np.argsort(numbers, kind="stable")
        if not sound or (np.diff(numbers[order]) == 0).any():
            raise DamagedInputError(
                "its table of chunks is damaged", file=self._source.path, member=self._name
            )
        return Table(numbers[order], offsets[order], sizes[order], masks[order])

    def _stored_shape(self) -> tuple[int, ...]:
        """The shape that the array has in the file."""
        return self.shape

    def _first_elements(self, stored: Indices) -> Indices:
        """Where each chunk begins, from where it does in the file."""
        return stored

    def merged(self) -> MergedPieces | None:
        # Where no chunk holds frames of two lines, and the last one of a line is whole.
        shape, chunks = self.shape, self._chunks
        if len(shape) < 2 or chunks[0] != 1 or shape[1] % chunks[1]:
            return None
        return MergedPieces(shape[1], self._pipeline, chunks[1:], **self._merged_axes())

    def missing(self) -> Ranges:
        whole = self._count // self._grid[self.axis] if self._count else 0
        numbers = self._table().numbers
        if len(numbers) == self._count:
            return []
        found, counts = np.unique(
            numbers // self._steps[self.axis] % self._grid[self.axis], return_counts=True
        )
        rows = self._chunks[self.axis]
        return gaps(found[counts == whole].tolist(), self._grid[self.axis], rows, self._rows)

    def read(self, start: int, stop: int) -> Array:
        out = np.empty(self._with_rows(max(0, stop - start)), self.dtype)
        if not out.size:
            return out
        rows = self._chunks[self.axis]
        parts: list[Part] = []
        for at in range(start // rows, -(-stop // rows)):
            a, b = max(start, at * rows), min(stop, (at + 1) * rows)
            parts.append((at, slice(a - at * rows, b - at * rows), slice(a - start, b - start)))
        self._read_parts(out, parts)
        return out

    def take(self, indices: Indices) -> Array:
        indices = np.asarray(indices, np.int64)
        out = np.empty(self._with_rows(len(indices)), self.dtype)
        if not out.size:
            return out
        targets = np.argsort(indices, kind="stable")
        at, rows = np.divmod(indices[targets], self._chunks[self.axis])
        edges = np.flatnonzero(np.diff(at)) + 1
        groups = zip(np.split(at, edges), np.split(rows, edges), np.split(targets, edges))  # noqa: B905
        self._read_parts(out, [(int(group[0]), wanted, to) for group, wanted, to in groups])
        return out

    def _read_parts(self, out: Array, parts: list[Part]) -> None:
        self._table()
        across = self._count // self._grid[self.axis]
        part_bytes = math.prod(self._chunks) * self.dtype.itemsize * across
        if self._pipeline is None:
            self._read_some(out, parts)
            return
        in_threads(parts, part_bytes, partial(self._read_some, out))

    def _read_some(self, out: Array, parts: Sequence[Part]) -> None:
        """Put the wanted rows of some rows of chunks where they belong in `out`."""
        read = self._decoded if self._pipeline else self._decoded_elsewhere
        wanted = {part[0]: part for part in parts}
        target = rows_first(out, self.axis)
        for place, values in read(out, parts):
            _, rows, to = wanted[place[self.axis]]
            corner = [p * c for p, c in zip(place, self._chunks, strict=True)]
            box = [slice(a, a + c) for a, c in zip(corner, self._chunks, strict=True)]
            clip = [slice(0, n - a) for n, a in zip(self.shape, corner, strict=True)]
            del box[self.axis], clip[self.axis]
            target[(to, *box)] = rows_first(values, self.axis)[(rows, *clip)]

    def _places(self, at: int) -> Iterator[tuple[int, ...]]:
        """The places in the grid of the chunks of one row of chunks."""
        ranges = [range(n) for n in self._grid]
        ranges[self.axis] = range(at, at + 1)
        return itertools.product(*ranges)

    def _sorted_out(
        self, parts: Iterable[Part]
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, int, int] | None]]:
        """Each chunk of the parts, and where it is; refused where it is nowhere."""
        table = self._table()
        for at, _, _ in parts:
            for place in self._places(at):
                number = sum(p * step for p, step in zip(place, self._steps, strict=True))
                found = table.find(number)
                if found is None and self._fill is None:
                    rows = self._chunks[self.axis]
                    raise self.never_written(
                        [(max(a, at * rows), b) for a, b in self.missing() if b >= at * rows]
                    )
                yield place, found

    def _decoded(
        self, out: Array, parts: Sequence[Part]
    ) -> Iterator[tuple[tuple[int, ...], Array]]:
        """The values of chunks; those that belong as a whole in `out` are decoded there."""
        wanted = {part[0]: part for part in parts}
        scratch = np.empty(math.prod(self._chunks) * self._stored_dtype.itemsize, np.uint8)
        for place, body, mask in self._bodies(parts):
            if body is None:
                yield place, np.full(self._chunks, self._fill_value(), self.dtype)
                continue
            room = self._room(out, wanted[place[self.axis]])
            self._decode(place, body, mask, scratch if room is None else room)
            if room is None:
                yield place, self._native(scratch.data).reshape(self._chunks)

    def _bodies(
        self, parts: Iterable[Part]
    ) -> Iterator[tuple[tuple[int, ...], memoryview | None, int]]:
        """The bytes of each chunk of the parts, None of one that was never stored; its mask."""
        spans: list[Span] = []
        places: dict[int, tuple[int, ...]] = {}
        masks: dict[int, int] = {}
        for place, found in self._sorted_out(parts):
            if found is None:
                yield place, None, 0
                continue
            number = len(places)
            places[number], masks[number] = place, found[2]
            spans.append((number, found[0], found[1]))
        for run in neighbours(spans, _RUN_BYTES):
            begin, end = run[0][1], run[-1][1] + run[-1][2]
            rows = sorted(places[number][self.axis] for number, _, _ in run)
            step = self._chunks[self.axis]
            last = min((rows[-1] + 1) * step, self.shape[self.axis]) - 1
            with reading_frames(self._name, rows[0] * step, last):
                data = self._source.read_array(begin, end - begin).data
            for number, offset, length in run:
                yield places[number], data[offset - begin : offset - begin + length], masks[number]

    def window(self, first: int, last: int) -> FrameWindow | None:
        """Rows of pixels alone, of frames that are a chunk each; see `model.windows`."""
        pipeline, shape = self._pipeline, self.shape
        if pipeline is None or not pipeline.has_spans or not self._fits_in_place:
            return None
        if len(shape) != 3 or self._chunks[0] != 1 or not 0 <= first < last <= shape[1]:
            return None
        return FrameWindow(self, first, last)

    def spans(self, frames: Sequence[int], begin: int, end: int) -> Iterator[tuple[int, Array]]:
        """The bytes `begin` to `end` of frames that are a chunk each, of what has a `window`."""
        assert self._pipeline is not None
        parts: list[Part] = [(at, slice(0, 1), slice(0, 1)) for at in frames]
        for place, body, mask in self._bodies(parts):
            if body is None:
                fill = np.full(self._chunks, self._fill_value(), self.dtype)
                yield place[0], fill.reshape(-1).view(np.uint8)[begin:end]
                continue
            try:
                yield place[0], self._pipeline.decode_span(body, mask, begin, end)
            except DamagedChunk as error:
                raise self._damaged(place, str(error)) from None

    def _room(self, out: Array, part: Part) -> Array | None:
        """The bytes of `out` where a whole chunk of the part belongs, if there is such a place."""
        _, rows, to = part
        if (
            not self._fits_in_place
            or not isinstance(rows, slice)
            or not isinstance(to, slice)
            or rows.stop - rows.start != self._chunks[0]
        ):
            return None
        return out[to].reshape(-1).view(np.uint8)

    def _decode(self, place: tuple[int, ...], data: memoryview, mask: int, out: Array) -> None:
        assert self._pipeline is not None
        try:
            self._pipeline.decode_into(data, mask, out)
        except DamagedChunk as error:
            raise self._damaged(place, str(error)) from None

    def _damaged(self, place: tuple[int, ...], reason: str) -> DamagedInputRows:
        rows = self._chunks[self.axis]
        first, last = place[self.axis] * rows, min((place[self.axis] + 1) * rows, self._rows) - 1
        if self._count != self._grid[self.axis]:
            reason = f"the chunk {place} of {self._grid}: {reason}"
        return self.damage(first, last, reason)

    def _decoded_elsewhere(
        self, out: Array, parts: Sequence[Part]
    ) -> Iterator[tuple[tuple[int, ...], Array]]:
        """The same from the helper, some chunks at a time; never in place."""
        size = max(1, math.prod(self._chunks) * self.dtype.itemsize)
        places = (place for place, _ in self._sorted_out(parts))
        while group := list(itertools.islice(places, max(1, _RUN_BYTES // size))):
            try:
                yield from self._asked_for(group)
            except DamagedInputRows:
                raise
            except InputError:
                # Once more one by one, to know which of them it is.
                for place in group:
                    yield from self._asked_for([place])

    def _asked_for(self, places: list[tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], Array]]:
        boxes = []
        for place in places:
            begin = [p * c for p, c in zip(place, self._chunks, strict=True)]
            ends = zip(begin, self._chunks, self.shape, strict=True)
            boxes.append((begin, [min(a + c, n) for a, c, n in ends]))
        try:
            values = self._asked(boxes)
        except InputMissingError:
            raise
        except InputError as error:
            if len(places) > 1:
                raise
            raise self._damaged(places[0], error.reason) from error
        yield from zip(places, values, strict=True)


class MergedPieces(ChunkedPieces):
    """An array (slow, fast, …) seen as (slow·fast, …): the same chunks in the same order.

    Only the HDF5 library counts by two axes; `line` is the length of the second one.
    """

    def __init__(
        self, line: int, pipeline: Pipeline | None, chunks: tuple[int, ...], **common: Any
    ) -> None:
        super().__init__(pipeline, chunks, **common)
        self._line = line

    def _stored_shape(self) -> tuple[int, ...]:
        return (self.shape[0] // self._line, self._line, *self.shape[1:])

    def _first_elements(self, stored: Indices) -> Indices:
        return np.column_stack([stored[:, 0] * self._line + stored[:, 1], stored[:, 2:]])

    def merged(self) -> None:
        return None

    def _asked(self, boxes: list[Box]) -> list[Array]:
        stored = []
        for begin, end in boxes:
            slow, fast = divmod(begin[0], self._line)
            last = fast + end[0] - begin[0]
            stored.append(([slow, fast, *begin[1:]], [slow + 1, last, *end[1:]]))
        return [values[0] for values in super()._asked(stored)]
