"""Arrays after one another along their frame axis, seen as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.model.lazy_array import Array, Indices, LazyArray
from ptystore.model.windows import window_of

__all__ = ["ConcatenatedArray"]


class ConcatenatedArray:
    """The rows of several arrays, one array after another, each read only where it is needed.

    All have the same axis and the same size along every other; values have the narrowest dtype
    that holds those of all.
    """

    def __init__(self, parts: Sequence[LazyArray]) -> None:
        self._parts = tuple(parts)
        self.axis = parts[0].axis
        self.sequential = any(part.sequential for part in parts)
        # Where each part begins, and where the last one ends.
        rows = [part.shape[self.axis] for part in parts]
        self._starts = np.cumsum([0, *rows])
        shape = list(parts[0].shape)
        shape[self.axis] = int(self._starts[-1])
        self.shape = tuple(shape)

    @property
    def possible_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """Of the narrowest that the parts' own may be to the widest."""
        every = [part.possible_dtypes for part in self._parts]
        found = (np.result_type(*(own[end] for own in every)) for end in (0, -1))
        return tuple(dict.fromkeys(found))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Computed where a part computes its own."""
        return np.result_type(*(part.dtype for part in self._parts))

    def read(self, start: int, stop: int) -> Array:
        return self.begin(start, stop)()

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        begun = []
        for part, first, end in zip(self._parts, self._starts, self._starts[1:], strict=False):
            low, high = max(start, int(first)), min(stop, int(end))
            if low < high:
                begun.append(part.begin(low - int(first), high - int(first)))
        return partial(self._finish, begun or [self._parts[0].begin(0, 0)])

    def _finish(self, begun: Sequence[Callable[[], Array]]) -> Array:
        blocks = [finish() for finish in begun]
        block = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=self.axis)
        return block.astype(self.dtype, copy=False)

    def take(self, indices: Indices) -> Array:
        indices = np.asarray(indices, np.int64)
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        shape = list(self.shape)
        shape[self.axis] = len(indices)
        out = np.empty(shape, self.dtype)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            rows = self._parts[number].take(indices[here] - self._starts[number])
            out[(slice(None),) * self.axis + (here,)] = rows
        return out

    def window(self, first: int, last: int) -> ConcatenatedArray | None:
        """Rows of pixels alone of frames (n, H, W); see `model.windows`."""
        found = [window_of(part, first, last) for part in self._parts if self.axis == 0]
        parts = [part for part in found if part is not None]
        return ConcatenatedArray(parts) if len(parts) == len(self._parts) else None

    def prepare(self, scratch: Path | None) -> None:
        for part in self._parts:
            part.prepare(scratch)
