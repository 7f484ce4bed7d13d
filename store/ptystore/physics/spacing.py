"""Choosing scan positions: a smallest spacing, a random fraction, and what grouping needs.

Pure functions on positions in object pixels; all frames are named by their index in the scan.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptystore.errors import InputError, ParameterError

__all__ = [
    "VIEW_OVERLAP",
    "as_positions",
    "fraction_indices",
    "grid_cells",
    "require_neighbors",
    "spaced_indices",
    "view_spacing",
]

VIEW_OVERLAP: Final = {"dense": 0.7, "sparse": 0.2}


def view_spacing(overlap: float, frame_width: int) -> float:
    """Smallest distance of neighbours in a view: ``(1 - overlap) · N``, object pixels.

    Rounded to 1e-9 pixel, so that 0.7 of 60 asks for 18 and not for 18.000000000000004, which
    would refuse every neighbour of a raster with steps of 18.

    Raises
    ------
    ParameterError : the overlap is not at least 0 and below 1, or the width not positive.
    """
    if not 0 <= overlap < 1:
        raise ParameterError(f"an overlap must be 0 or more and below 1, not {overlap}")
    if frame_width < 1:
        raise ParameterError(f"a frame width must be positive, not {frame_width}")
    return round((1.0 - overlap) * frame_width, 9)


def spaced_indices(x: ArrayLike, y: ArrayLike, minimum_spacing: float) -> NDArray[np.int64]:
    """Greedy selection in scan order: a frame stays if all kept so far are far enough away.

    Parameters
    ----------
    x, y : float (n,), positions.
    minimum_spacing : kept if ``sqrt(dx² + dy²) >= minimum_spacing`` to all kept before; 0 or
        less keeps all.

    Returns
    -------
    int64 (kept,), ascending; exactly what the plain loop over all pairs gives.

    Raises
    ------
    ParameterError : the spacing is NaN.
    InputError : positions that are not finite or differ in number.
    """
    positions = as_positions(x, y)
    if math.isnan(minimum_spacing):
        raise ParameterError("a minimum spacing must be a number, not nan")
    if minimum_spacing <= 0 or not len(positions):
        return np.arange(len(positions), dtype=np.int64)
    # A cell is at least the spacing wide: whatever is too near lies in this one or one beside.
    cells = grid_cells(positions, minimum_spacing)
    occupied: dict[tuple[int, int], list[tuple[float, float]]] = {}
    kept: list[int] = []
    points = zip(positions.tolist(), cells.tolist(), strict=True)
    for index, ((px, py), (cx, cy)) in enumerate(points):
        near = (
            point
            for column in (cx - 1, cx, cx + 1)
            for row in (cy - 1, cy, cy + 1)
            for point in occupied.get((column, row), ())
        )
        if all(
            math.sqrt((px - qx) * (px - qx) + (py - qy) * (py - qy)) >= minimum_spacing
            for qx, qy in near
        ):
            kept.append(index)
            occupied.setdefault((cx, cy), []).append((px, py))
    return np.array(kept, dtype=np.int64)


def fraction_indices(n: int, fraction: float, seed: int) -> NDArray[np.int64]:
    """A reproducible random subsample of ``round(n · fraction)`` of n frames, ascending, int64.

    With one seed a smaller fraction is a subset of a larger one. May be empty.

    Raises
    ------
    ParameterError : the fraction is not above 0 and at most 1, or n or seed is negative.
    """
    if not 0 < fraction <= 1:
        raise ParameterError(f"a fraction must be above 0 and at most 1, not {fraction}")
    if n < 0 or seed < 0:
        raise ParameterError(f"can not draw from {n} frames with seed {seed}")
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: round(n * fraction)]).astype(np.int64)


def require_neighbors(k_neighbors: int, gridsize: int) -> None:
    """Raise a ParameterError unless ``k_neighbors >= gridsize²``, what grouping needs."""
    if gridsize < 1:
        raise ParameterError(f"a gridsize must be 1 or more, not {gridsize}")
    if k_neighbors < gridsize**2:
        raise ParameterError(
            f"k_neighbors is {k_neighbors}, but gridsize {gridsize} needs at least "
            f"{gridsize**2} (gridsize²)"
        )


def as_positions(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Positions as float64 (n, 2), x first, or an InputError."""
    columns = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        raise InputError(
            f"x and y must be of one length, not of shapes {columns[0].shape}, {columns[1].shape}"
        )
    positions = np.stack(columns, axis=1)
    if not np.isfinite(positions).all():
        bad = int(np.flatnonzero(~np.isfinite(positions).all(axis=1))[0])
        raise InputError(f"position {bad} is not finite")
    return positions


def grid_cells(positions: NDArray[np.float64], width: float) -> NDArray[np.int64]:
    """Cell (column, row) of each position, int64 (n, 2) from 0, in cells hardly over `width`.

    The part in a million by which they are wider makes rounding harmless: positions nearer than
    `width` are never two cells apart. Cells are widened where there would be over 1e9 in a row.
    """
    offset = positions - positions.min(axis=0)
    side = max(width, float(offset.max()) * 1e-9) * (1 + 1e-6)
    cells: NDArray[np.int64] = np.floor(offset / side).astype(np.int64)
    return cells
