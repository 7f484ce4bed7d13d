"""The eight orientations of a frame: 4 transposes, then 2 flips rows, then 1 flips columns."""

from __future__ import annotations

import numpy as np

from ptystore.model.lazy_array import Array

__all__ = ["after", "inverse", "turned", "turned_point", "turned_shape"]


def turned(frames: Array, orientation: int) -> Array:
    """A view of frames (…, ky, kx) as `orientation`, 0 to 7, turns them."""
    if orientation & 4:
        frames = np.swapaxes(frames, -2, -1)
    if orientation & 2:
        frames = frames[..., ::-1, :]
    if orientation & 1:
        frames = frames[..., ::-1]
    return frames


def turned_shape(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(H, W) of a turned frame."""
    return (shape[1], shape[0]) if orientation & 4 else shape


def turned_point(
    point: tuple[float, float], shape: tuple[int, int], orientation: int
) -> tuple[float, float]:
    """Where a point [y, x] of a frame (H, W) is once it is turned: a flip takes c to n - 1 - c."""
    y, x = (point[1], point[0]) if orientation & 4 else point
    height, width = turned_shape(shape, orientation)
    return (height - 1 - y if orientation & 2 else y), (width - 1 - x if orientation & 1 else x)


def after(first: int, second: int) -> int:
    """The one orientation that does what two do after one another."""
    if second & 4:
        # A transposition behind flips is one before them, with rows and columns changed over.
        first = (first ^ 4) & 4 | (first & 1) << 1 | (first & 2) >> 1
    return first ^ (second & 3)


def inverse(orientation: int) -> int:
    """The orientation that undoes another."""
    return next(back for back in range(8) if after(orientation, back) == 0)
