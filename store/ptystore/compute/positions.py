"""Scan positions: which way they count, and which frames' windows reach outside the object."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ptystore.model.dataset import Field
from ptystore.model.lazy_array import Array, Indices

__all__ = ["frames_outside", "moved_by_probe", "warn_of_frames_outside"]


def moved_by_probe(y: Array, x: Array, affine: npt.ArrayLike) -> tuple[Array, Array]:
    """Measured positions as the probe moves over the object: ``[y', x'] = M · [y, x, 1]``.

    `affine` is M, (2, 3), as the attribute ``affine`` of ``position_y_m`` and ``position_x_m`` has
    it; positions without that attribute count so already.
    """
    (a, b, c), (d, e, f) = np.asarray(affine, np.float64)
    with np.errstate(invalid="ignore"):  # infinite positions are refused, or let pass, elsewhere
        return a * y + b * x + c, d * y + e * x + f


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
