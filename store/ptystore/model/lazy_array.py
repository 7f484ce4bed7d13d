"""The LazyArray protocol, the one way ptystore reads arrays, and its general forms.

A lazy array is cut along one `axis` (the frame axis, or the first axis of an array that
has none) and read in ranges of it. Formats bring their own forms; here are those that need
no file: in memory, computed from other arrays, selected frames, frames moved to the front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ptystore.model.process_lock import ProcessLock

__all__ = [
    "Array",
    "BlockFunction",
    "CachedArray",
    "ComputedArray",
    "FramesFirst",
    "Indices",
    "LazyArray",
    "LazyBase",
    "MemoryArray",
    "SelectedArray",
    "read_all",
    "rows_back",
    "rows_first",
]

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]

# Computes a block of frames: called with their indices and one block of each input.
BlockFunction = Callable[..., Array]


class LazyArray(Protocol):
    """An array that is read in ranges along `axis`; a 0-d array has one row, 0 to 1."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def possible_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """`dtype` alone, or what it may be where to tell would mean computing, narrowest first."""
        ...

    @property
    def axis(self) -> int:
        """The axis that `read` and `take` count along."""
        ...

    @property
    def sequential(self) -> bool:
        """True where only forward reads are cheap, as in a deflated NPZ member."""
        ...

    def read(self, start: int, stop: int) -> Array:
        """The rows `start` to `stop`, all other axes whole. The result is the caller's own."""
        ...

    def take(self, indices: Indices) -> Array:
        """The rows at `indices` (non-negative, any order, repeats allowed), in that order."""
        ...

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        """Do what must be done in order now; the rest is in the callable, for any thread."""
        ...

    def prepare(self, scratch: Path | None) -> None:
        """What has to happen once before a full pass, with a folder for scratch files."""
        ...


class LazyBase:
    """What most arrays share: random access, nothing to prepare, rows along the first axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axis = 0
    sequential = False

    @property
    def possible_dtypes(self) -> tuple[np.dtype[Any], ...]:
        return (self.dtype,)

    def read(self, start: int, stop: int) -> Array:
        raise NotImplementedError

    def take(self, indices: Indices) -> Array:
        """Reads each run of neighbouring rows once, forwards, and puts them in order."""
        needed, inverse = np.unique(indices, return_inverse=True)
        if len(needed) == 0:
            return self.read(0, 0)
        ends = np.flatnonzero(np.diff(needed) != 1) + 1
        runs = np.split(needed, ends)
        parts = [self.read(int(run[0]), int(run[-1]) + 1) for run in runs]
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self.axis)
        in_order = len(needed) == len(inverse) and bool((np.diff(inverse) == 1).all())
        return rows if in_order else np.take(rows, inverse, axis=self.axis)

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        return partial(self.read, start, stop)

    def prepare(self, scratch: Path | None) -> None:
        return None


def read_all(array: LazyArray) -> Array:
    """The whole array in memory."""
    return array.read(0, array.shape[array.axis] if array.shape else 1)


def rows_first(values: Array, axis: int) -> Array:
    """A view with the cut axis first; one value alone becomes one row."""
    return np.moveaxis(values, axis, 0) if values.ndim else values.reshape(1)


def rows_back(rows: Array, axis: int, ndim: int) -> Array:
    """The view that `rows_first` made of an array of `ndim` axes, turned back."""
    return np.moveaxis(rows, 0, axis) if ndim else rows.reshape(())


class MemoryArray(LazyBase):
    """An array that is in memory already."""

    def __init__(self, values: Array, axis: int = 0) -> None:
        values = np.asarray(values)
        # Native order, as from any file: what encodes or hashes a block needs no other case.
        self._values = values.astype(values.dtype.newbyteorder("="), copy=False)
        self.axis = axis
        self.shape = self._values.shape
        self.dtype = self._values.dtype

    def read(self, start: int, stop: int) -> Array:
        if not self.shape:
            return self._values.copy()
        return self._values[(slice(None),) * self.axis + (slice(start, stop),)].copy()

    def take(self, indices: Indices) -> Array:
        return np.take(self._values, indices, axis=self.axis)


class CachedArray(LazyBase):
    """Reads a small array (a probe, an object, coordinates) whole at first use and keeps it.

    The copy is not pickled; each process reads its own.
    """

    def __init__(self, source: LazyArray) -> None:
        self._source = source
        self.axis = source.axis
        self.shape = source.shape
        self.dtype = source.dtype
        self._reset()

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._values: Array | None = None

    def values(self) -> Array:
        """The whole array, read-only."""
        with self._lock:
            if self._values is None:
                self._values = read_all(self._source)
                self._values.flags.writeable = False
            return self._values

    def read(self, start: int, stop: int) -> Array:
        return MemoryArray(self.values(), self.axis).read(start, stop)

    def take(self, indices: Indices) -> Array:
        return np.take(self.values(), indices, axis=self.axis)

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        del kept["_lock"], kept["_values"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


class ComputedArray(LazyBase):
    """Frames computed from the same frames of other arrays, block by block, on reading.

    `function` must be picklable and give the same values however the frames are blocked.
    A `prepare(scratch)` method of it is called before a full pass, after the inputs' own.
    """

    def __init__(
        self,
        function: BlockFunction,
        inputs: Sequence[LazyArray],
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
    ) -> None:
        self._function = function
        self._inputs = tuple(inputs)
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.sequential = any(source.sequential for source in self._inputs)

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        begun = [source.begin(start, stop) for source in self._inputs]
        return partial(self._finish, np.arange(start, stop), begun)

    def _finish(self, frames: Indices, begun: Sequence[Callable[[], Array]]) -> Array:
        return self._function(frames, *(finish() for finish in begun))

    def read(self, start: int, stop: int) -> Array:
        return self.begin(start, stop)()

    def take(self, indices: Indices) -> Array:
        return self._function(indices, *(source.take(indices) for source in self._inputs))

    def prepare(self, scratch: Path | None) -> None:
        for source in self._inputs:
            source.prepare(scratch)
        own = getattr(self._function, "prepare", None)
        if own is not None:
            own(scratch)


class SelectedArray(LazyBase):
    """The frames of another array at given indices, in that order."""

    def __init__(self, source: LazyArray, indices: Indices) -> None:
        self._source = source
        self._indices = np.asarray(indices, dtype=np.int64)
        self.axis = source.axis
        shape = list(source.shape)
        shape[self.axis] = len(self._indices)
        self.shape = tuple(shape)
        self.dtype = source.dtype
        self.sequential = source.sequential

    def read(self, start: int, stop: int) -> Array:
        return self._source.take(self._indices[start:stop])

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        if not self.sequential:
            return super().begin(start, stop)
        block = self.read(start, stop)
        return lambda: block

    def take(self, indices: Indices) -> Array:
        return self._source.take(self._indices[indices])

    def window(self, first: int, last: int) -> LazyArray | None:
        """Rows of pixels alone of frames (n, H, W); see `model.windows`."""
        own = getattr(self._source, "window", None)
        found = None if own is None or self.axis else own(first, last)
        return None if found is None else SelectedArray(found, self._indices)

    def prepare(self, scratch: Path | None) -> None:
        self._source.prepare(scratch)


class FramesFirst(LazyBase):
    """Another array with its frame axis moved to the front: (H, W, n) seen as (n, H, W)."""

    def __init__(self, source: LazyArray) -> None:
        self._source = source
        rest = [n for d, n in enumerate(source.shape) if d != source.axis]
        self.shape = (source.shape[source.axis], *rest)
        self.dtype = source.dtype
        self.sequential = source.sequential

    def read(self, start: int, stop: int) -> Array:
        return self.begin(start, stop)()

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        finish = self._source.begin(start, stop)
        return lambda: rows_first(finish(), self._source.axis)

    def take(self, indices: Indices) -> Array:
        return rows_first(self._source.take(indices), self._source.axis)

    def prepare(self, scratch: Path | None) -> None:
        self._source.prepare(scratch)
