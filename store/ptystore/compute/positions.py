"""Scan positions against the object: which frames' windows reach outside it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ptystore.model.dataset import Field
from ptystore.model.lazy_array import Array, Indices

__all__ = ["frames_outside", "warn_of_frames_outside"]


def frames_outside(
    x: Array, y: Array, object_shape: tuple[int, int], window: tuple[int, int]
) -> Indices:
    """The frames whose window, of shape `window` (y, x), is not wholly inside the object.

    Pixel N//2 of a window sits at the frame's position, in object pixels.
    """
    outside = np.zeros(len(x), bool)
    for position, size, width in zip((y, x), object_shape, window, strict=True):
        corner = position - width // 2
        # Written so that a position that is no number counts as outside.
        outside |= ~((corner >= 0) & (corner + width - 1 <= size - 1))
    return np.flatnonzero(outside)


def warn_of_frames_outside(
    xcoords: Field, ycoords: Field, object_shape: tuple[int, int], window: tuple[int, int]
) -> Iterable[str]:
    """A line that says how many frames have windows outside the object; none where none has."""
    found = frames_outside(xcoords.values(), ycoords.values(), object_shape, window)
    if len(found):
        yield (
            f"{len(found)} of {len(xcoords)} frames have windows of {window[0]}×{window[1]} "
            f"that reach outside the object of {object_shape[0]}×{object_shape[1]}, "
            f"the first is frame {found[0]}"
        )
