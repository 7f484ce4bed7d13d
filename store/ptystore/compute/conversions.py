"""How values become canonical, one block of frames at a time: casts, signs, roots.

Each is called with the frames' indices and a block, (frames, …), and can be pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptystore.compute.frame_tally import FrameTally
from ptystore.compute.negative_counts import Screen
from ptystore.errors import InputError
from ptystore.model.lazy_array import Array, Indices

__all__ = [
    "AmplitudeToCounts",
    "Cast",
    "CountsToAmplitude",
    "KeepAmplitude",
    "KeepCounts",
    "Negated",
    "Reshaped",
    "WholeIndices",
]


class Cast:
    """Cast to a dtype, nothing else."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        with np.errstate(over="ignore"):
            return block.astype(self._dtype)


class WholeIndices:
    """Indices as int64; refuses what is no whole number that int64 holds."""

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        fits = np.ones(block.shape, bool)
        if block.dtype == np.uint64:
            fits = block <= np.uint64(np.iinfo(np.int64).max)
        elif block.dtype.kind == "f":
            wide = block.astype(np.float64)
            fits = (np.abs(wide) < 2.0**63) & (np.floor(wide) == wide)
        if not fits.all():
            first = int(np.flatnonzero(~fits.reshape(len(block), -1).all(axis=1))[0])
            raise InputError(f"holds {block[first]} at {frames[first]}, which is no index")
        return block.astype(np.int64)


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
    """``sqrt(counts) / scale`` as float32, of counts that `screen` lets pass."""

    def __init__(self, scale: float, tally: FrameTally, screen: Screen) -> None:
        self._scale = float(scale)
        self._tally = tally
        self._screen = screen

    def prepare(self, scratch: Path | None) -> None:
        """What the screen has to know before the first block."""
        self._screen.prepare(scratch)

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        block = self._screen(frames, block)
        self._tally.add(frames, block)
        # The root of an integer below 2**24 is the same in single as in double precision
        # once rounded; larger ones need the double, and so does a root that is divided.
        narrow = self._scale == 1.0 and block.dtype.itemsize <= 2 and block.dtype.kind in "iu"
        values = np.sqrt(block, dtype=np.float32 if narrow else np.float64)
        if self._scale != 1.0:
            values = values / self._scale
        return _single(values)


class KeepCounts:
    """Counts as float32, without a root, of counts that `screen` lets pass."""

    def __init__(self, tally: FrameTally, screen: Screen) -> None:
        self._tally = tally
        self._screen = screen

    def prepare(self, scratch: Path | None) -> None:
        """What the screen has to know before the first block."""
        self._screen.prepare(scratch)

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        block = self._screen(frames, block)
        self._tally.add(frames, block)
        return _single(block)


class KeepAmplitude:
    """Amplitude as float32."""

    def __init__(self, tally: FrameTally) -> None:
        self._tally = tally

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        self._tally.add(frames, block)
        return _single(block)


class AmplitudeToCounts:
    """``(scale · amplitude)²`` as float32."""

    def __init__(self, scale: float, tally: FrameTally) -> None:
        self._scale = float(scale)
        self._tally = tally

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        self._tally.add(frames, block)
        with np.errstate(over="ignore"):
            return _single(np.square(block.astype(np.float64) * self._scale))


def _single(values: Array) -> Array:
    """As float32; what is too large for it becomes infinite without a word of numpy's."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)
