"""Overlap of scan positions: groups of neighbours, and overlap metrics.

Two probes are taken as discs of one diameter D; their overlap is the part of a disc that the
other covers. Neighbours come from a KD-tree or a grid of cells, never from all pairs, and memory
grows with the number of positions, not of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from ptystore.compute.shapes import position_lists, probe_images
from ptystore.errors import InputError, ParameterError, located
from ptystore.model.contract import RECORD_NAMES
from ptystore.model.dataset import Dataset
from ptystore.model.results import MeasuredOverlap, OverlapMetrics
from ptystore.physics.spacing import as_positions, grid_cells

__all__ = [
    "WIDE_DIAMETER",
    "disc_overlap",
    "groups",
    "measure_overlap",
    "overlap_metrics",
    "probe_fwhm",
]

#: The diameter, as a part of the frame width, for views whose probe is smaller than their spacing.
WIDE_DIAMETER: Final = 0.6

_GROUP_NEIGHBORS: Final = 3  # gridsize 2: a frame and its three nearest
_POSITION_NEIGHBORS: Final = 6
_QUERY_ROWS: Final = 65_536
_PAIRS_PER_BLOCK: Final = 1_000_000


def measure_overlap(dataset: Dataset, diameter: float | None = None) -> MeasuredOverlap:
    """The overlap metrics of a scan's positions, with discs of `diameter` object pixels.

    Where no diameter is given it is the FWHM of the scan's probe.

    Raises
    ------
    ParameterError : the diameter is not a positive finite number.
    InputError : positions, or the probe where it is needed, are missing or not finite.
    """
    x, y = (field.values() for field in position_lists(dataset, "measuring overlap"))
    diameter_from = "given"
    if diameter is None:
        probe = probe_images(dataset, "the diameter of the overlapping discs")
        with located(file=dataset.file, member=probe.name):
            diameter, diameter_from = probe_fwhm(probe.values()), "probe FWHM"
    with located(file=dataset.file):
        metrics = overlap_metrics(x, y, diameter)
        spacing, width = _last_spacing(dataset)
        wide = None
        if spacing is not None and width is not None and diameter < spacing:
            wide = overlap_metrics(x, y, WIDE_DIAMETER * width)
    return MeasuredOverlap(
        diameter_from=diameter_from,
        spacing=spacing,
        frame_width=width,
        metrics=metrics,
        wide=wide,
    )


def _last_spacing(dataset: Dataset) -> tuple[float | None, int | None]:
    """Spacing and frame width of the last spaced view in the scan's history."""
    for record in reversed(dataset.metadata.history if dataset.metadata else []):
        parameters = record.get("parameters")
        if record.get("operation") == RECORD_NAMES["view"][1] and isinstance(parameters, dict):
            spacing, width = parameters.get("spacing"), parameters.get("frame_width")
            if isinstance(spacing, int | float) and isinstance(width, int) and width > 0:
                return float(spacing), width
    return None, None


def disc_overlap(distance: ArrayLike, diameter: float) -> NDArray[np.float64]:
    """Part of a disc that an equal disc covers, their centres `distance` apart.

    ``f(d) = (2R² acos(d/2R) - (d/2) √(4R² - d²)) / πR²`` with R half the diameter: the area of
    the lens between two circles. f(0) = 1, f(R) ≈ 0.391, f(d ≥ 2R) = 0.

    Parameters
    ----------
    distance : any shape, 0 or more, in the diameter's unit.
    diameter : positive.

    Returns
    -------
    float64 of the shape of `distance`.

    Raises
    ------
    ParameterError : the diameter is not a positive finite number.
    """
    _require_diameter(diameter)
    # With u = d/2R the formula is 2/π (acos u - u √(1 - u²)).
    u = np.minimum(np.asarray(distance, dtype=np.float64) / diameter, 1.0)
    return np.asarray((np.arccos(u) - u * np.sqrt(1.0 - u * u)) * (2 / math.pi))


def probe_fwhm(probe: ArrayLike) -> float:
    """Full width at half maximum of a probe: ``2 √(area(|P|² > max/2) / π)``, pixels.

    Parameters
    ----------
    probe : complex (Ny, Nx), or (modes, Ny, Nx), whose intensities are added.

    Raises
    ------
    InputError : no such shape, or a probe that is zero everywhere or not finite.
    """
    array = np.asarray(probe)
    if array.ndim not in (2, 3) or not array.size:
        raise InputError(f"a probe must be (Ny, Nx) or (modes, Ny, Nx), not {array.shape}")
    intensity = np.abs(array).astype(np.float64) ** 2
    if array.ndim == 3:
        intensity = intensity.sum(axis=0)
    peak = float(intensity.max())
    if not (math.isfinite(peak) and peak > 0):
        raise InputError(f"the probe's largest intensity is {peak}: it has no width")
    area = np.count_nonzero(intensity > peak / 2)
    return 2.0 * math.sqrt(area / math.pi)


def groups(x: ArrayLike, y: ArrayLike, neighbors: int = 3) -> NDArray[np.int64]:
    """One group for every frame: the frame, then its nearest others by distance, then by index.

    Parameters
    ----------
    x, y : float (n,), positions; several frames may share one.
    neighbors : others in a group.

    Returns
    -------
    int64 (n, neighbors + 1), indices of frames.

    Raises
    ------
    ParameterError : fewer than neighbors + 1 frames, or fewer than 1 neighbor.
    InputError : positions that are not finite or differ in number.
    """
    positions = as_positions(x, y)
    n = len(positions)
    if neighbors < 1 or n <= neighbors:
        raise ParameterError(f"{n} frames can not make groups of a frame and {neighbors} others")
    # Of frames at one place only the first neighbors + 1 can be anyone's neighbour, and all
    # frames there choose among the same: one query a place, whatever the number of repeats.
    place = np.unique(positions, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    rank = np.arange(n) - np.repeat(starts, np.diff(starts, append=n))
    members = np.sort(order[rank <= neighbors])
    nearest = members[_nearest(positions[members], positions[order[starts]], neighbors + 1)]
    result = np.empty((n, neighbors + 1), dtype=np.int64)
    result[:, 0] = np.arange(n)
    candidates = nearest[place]
    others = candidates != result[:, :1]
    others[others.all(axis=1), -1] = False  # a later repeat is not among its own nearest
    result[:, 1:] = candidates[others].reshape(n, neighbors)
    return result


def _nearest(
    points: NDArray[np.float64], queries: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """The `count` nearest of `points` to each query, by distance, then by index."""
    tree = KDTree(points)
    result = np.empty((len(queries), count), dtype=np.int64)
    for start in range(0, len(queries), _QUERY_ROWS):
        rows = np.arange(start, min(start + _QUERY_ROWS, len(queries)))
        width = count + 4
        # The tree breaks ties as it likes: ask for more until the last is beyond the tie.
        while rows.size:
            width = min(width, len(points))
            found = np.asarray(tree.query(queries[rows], k=width)[1]).reshape(len(rows), width)
            distance = _distance(points[found] - queries[rows][:, np.newaxis])
            order = np.lexsort((found, distance), axis=-1)
            result[rows] = np.take_along_axis(found, order[:, :count], axis=1)
            edge = np.take_along_axis(distance, order[:, [count - 1, -1]], axis=1)
            # The tree's own distances may differ from these in the last bit, hence the margin.
            tied = edge[:, 1] <= edge[:, 0] * (1 + 1e-9)
            rows = rows[tied] if width < len(points) else rows[:0]
            width *= 2
    return result


def overlap_metrics(x: ArrayLike, y: ArrayLike, diameter: float) -> OverlapMetrics:
    """The three overlap metrics of a set of positions; see `OverlapMetrics`.

    Parameters
    ----------
    x, y : float (n,), positions, object pixels.
    diameter : of a probe, object pixels.

    Raises
    ------
    ParameterError : the diameter is not a positive finite number.
    InputError : positions that are not finite or differ in number.
    """
    positions = as_positions(x, y)
    _require_diameter(diameter)
    unique = np.unique(positions, axis=0)
    n = len(positions)
    first = second = third = None
    reasons: dict[str, str] = {}
    if n > _GROUP_NEIGHBORS:
        group = groups(positions[:, 0], positions[:, 1], _GROUP_NEIGHBORS)
        members = positions[group]
        first = float(disc_overlap(_distance(members[:, 1:] - members[:, :1]), diameter).mean())
        third = _mean_group_overlap(members.mean(axis=1), diameter)
    else:
        reason = f"{n} frames: a group needs {_GROUP_NEIGHBORS + 1}"
        reasons |= {"metric1": reason, "metric3": reason}
    if len(unique) > 1:
        second = _mean_position_overlap(unique, diameter)
    else:
        reasons["metric2"] = f"{len(unique)} unique positions: a neighbour needs 2"
    return OverlapMetrics(
        metric1=first,
        metric2=second,
        metric3=third,
        reasons=reasons,
        frames=n,
        unique_positions=len(unique),
        diameter=float(diameter),
    )


def _mean_position_overlap(unique: NDArray[np.float64], diameter: float) -> float:
    """Metric 2, of at least two unique positions."""
    neighbors = min(_POSITION_NEIGHBORS, len(unique) - 1)
    tree = KDTree(unique)
    total = 0.0
    for start in range(0, len(unique), _QUERY_ROWS):
        distance = tree.query(unique[start : start + _QUERY_ROWS], k=neighbors + 1)[0]
        total += float(disc_overlap(distance[:, 1:], diameter).sum())  # the first is itself
    return total / (len(unique) * neighbors)


def _mean_group_overlap(centres: NDArray[np.float64], diameter: float) -> float:
    """Metric 3, from every group's centre of mass."""
    # Groups of one centre (repeated positions) count as one place with a weight.
    places, repeats = np.unique(centres, axis=0, return_counts=True)
    weight = repeats.astype(np.float64)
    total, count = weight - 1, weight - 1  # the others at the very place overlap wholly
    for i, j in _near_pairs(places, diameter):
        distance = _distance(places[i] - places[j])
        near = distance < diameter
        i, j = i[near], j[near]
        overlap = disc_overlap(distance[near], diameter)
        for one, other in ((i, j), (j, i)):
            total += np.bincount(one, overlap * weight[other], len(places))
            count += np.bincount(one, weight[other], len(places))
    means = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return float((means * weight).sum() / len(centres))


def _near_pairs(
    points: NDArray[np.float64], reach: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Blocks of index pairs that hold, once each, all pairs of points nearer than `reach`.

    Some pairs farther apart come with them. Cells are half of `reach` wide and the points sorted
    by cell, so that a point's candidates in one row of cells are one stretch: the rest of its
    own row up to two cells on, and five cells of each of the next two rows.
    """
    cells = grid_cells(points, reach / 2)
    stride = int(cells[:, 0].max()) + 5  # two empty cells at each end of a row
    key = cells[:, 1] * stride + cells[:, 0] + 2
    order = np.argsort(key, kind="stable")
    key = key[order]
    here = np.arange(len(points))
    start = np.stack([here + 1] + [np.searchsorted(key, key + row * stride - 2) for row in (1, 2)])
    stop = np.stack(
        [np.searchsorted(key, key + row * stride + 2, side="right") for row in (0, 1, 2)]
    )
    lengths = stop - start
    done = np.cumsum(lengths.sum(axis=0))
    first = 0
    while first < len(points):
        before = int(done[first - 1]) if first else 0
        last = int(np.searchsorted(done, before + _PAIRS_PER_BLOCK, side="right"))
        last = max(last, first + 1)  # one point's candidates may be more than a block
        size = lengths[:, first:last].reshape(-1)
        if size.any():
            left = np.repeat(np.tile(here[first:last], 3), size)
            shift = start[:, first:last].reshape(-1) - (np.cumsum(size) - size)
            right = np.arange(int(size.sum())) + np.repeat(shift, size)
            yield order[left], order[right]
        first = last


def _distance(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length along the last axis, of size 2."""
    dx, dy = difference[..., 0], difference[..., 1]
    return np.asarray(np.sqrt(dx * dx + dy * dy))


def _require_diameter(diameter: float) -> None:
    if not (math.isfinite(diameter) and diameter > 0):
        raise ParameterError(f"a probe diameter must be a positive number, not {diameter}")
