"""How values become canonical, one block of frames at a time: casts, signs, roots.

Each is called with the frames' indices and a block, (frames, …), and can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.model.lazy_array import Array, Indices
from ptystore.model.process_lock import ProcessLock

__all__ = [
    "AmplitudeToCounts",
    "Cast",
    "CountsToAmplitude",
    "KeepCounts",
    "Negated",
    "Reshaped",
    "SaturatedFrames",
]


class Cast:
    """Cast to a dtype, nothing else."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return block.astype(self._dtype)


class Negated:
    """The other sign, in a given dtype."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return np.asarray(-block.astype(self._dtype))


class Reshaped:
    """The same values, each frame in another shape."""

    def __init__(self, frame_shape: tuple[int, ...]) -> None:
        self._frame_shape = frame_shape

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return block.reshape(block.shape[0], *self._frame_shape)


class CountsToAmplitude:
    """``sqrt(counts) / scale`` as float32; refuses negative counts, notes saturated frames."""

    def __init__(self, scale: float, tally: SaturatedFrames) -> None:
        self._scale = float(scale)
        self._tally = tally

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        _check_counts(frames, block, self._tally)
        # The root of an integer below 2**24 is the same in single as in double precision
        # once rounded; larger ones need the double, and so does a root that is divided.
        narrow = self._scale == 1.0 and block.dtype.itemsize <= 2 and block.dtype.kind in "iu"
        values = np.sqrt(block, dtype=np.float32 if narrow else np.float64)
        if self._scale != 1.0:
            values = values / self._scale
        return values.astype(np.float32, copy=False)


class KeepCounts:
    """Counts as float32, without a root; refuses negative counts, notes saturated frames."""

    def __init__(self, tally: SaturatedFrames) -> None:
        self._tally = tally

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        _check_counts(frames, block, self._tally)
        return block.astype(np.float32)


class AmplitudeToCounts:
    """``(scale · amplitude)²`` as float32."""

    def __init__(self, scale: float) -> None:
        self._scale = float(scale)

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return np.square(block.astype(np.float64) * self._scale).astype(np.float32)


def _check_counts(frames: Indices, block: Array, tally: SaturatedFrames) -> None:
    if block.size == 0:
        return
    if block.dtype.kind in "if" and block.min() < 0:
        bad = (block < 0).reshape(block.shape[0], -1).any(axis=1)
        raise InputError(
            f"holds negative counts, first in frame {frames[bad][0]}",
            advice="subtract the dark field before, or clip at zero",
        )
    if block.dtype.kind in "iu":
        top = np.iinfo(block.dtype).max
        if block.max() == top:
            full = (block == top).reshape(block.shape[0], -1).any(axis=1)
            tally.note(frames[full], int(top))


class SaturatedFrames:
    """Collects, from any worker, the frames that reach the largest value of their dtype."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._frames: set[int] = set()
        self._top = 0

    def note(self, frames: Indices, top: int) -> None:
        """Remember frames; the same ones may be noted again."""
        with self._lock:
            self._frames.update(frames.tolist())
            self._top = top

    def lines(self) -> Iterable[str]:
        """What to tell the user, nothing where no frame is saturated."""
        with self._lock:
            count, first = len(self._frames), min(self._frames, default=None)
        if count:
            yield (
                f"{count} frames are saturated: they reach {self._top}, "
                f"the largest value of their dtype; the first is frame {first}"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
