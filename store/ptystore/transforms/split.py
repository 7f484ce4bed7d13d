"""Split: a train and a test scan from the two sides of a line across the positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptystore.compute.shapes import position_lists
from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import SplitAxis
from ptystore.model.dataset import Dataset
from ptystore.model.lazy_array import Array, Indices
from ptystore.transforms.geometry_kept import of_part
from ptystore.transforms.selection import select_frames

__all__ = ["split"]


def split(
    dataset: Dataset, *, axis: SplitAxis = "y", fraction: float = 0.5
) -> tuple[Dataset, Dataset]:
    """The scan's frames in two parts, (train, test): train where the position is below a line.

    The line lies at ``min + fraction · (max - min)`` of `ycoords` or `xcoords`, which are read
    here; a frame on it belongs to test. Every field that is per frame by its role is cut along
    its own frame axis, in scan order; all others are in both parts.

    Raises `ParameterError` for another axis or a fraction not between 0 and 1, `InputError`
    where the coordinates are missing or not finite, or where a part would be empty.
    """
    if axis not in ("y", "x"):
        raise ParameterError(f"the axis of a split is y or x, not {axis!r}")
    if not 0 < fraction < 1:
        raise ParameterError(f"a split's fraction must lie between 0 and 1, not be {fraction}")
    (field,) = position_lists(dataset, "splitting", (f"{axis}coords",))
    values = field.values()
    if not np.isfinite(values).all():
        raise InputError(
            "holds positions that are not finite", file=dataset.file, member=field.name
        )
    train, test, threshold = _sides(values, fraction)
    if not len(train) or not len(test):
        raise InputError(
            f"a split of {len(values)} frames at {threshold:g} leaves {len(train)} to train and "
            f"{len(test)} to test, and neither can be empty",
            file=dataset.file,
            member=field.name,
            advice="split along the other axis, or at another fraction",
        )
    shared = {
        "axis": axis,
        "fraction": fraction,
        "threshold": threshold,
        "train_frames": len(train),
        "test_frames": len(test),
        "parents": [dataset.source.path.name] if dataset.source else [],
    }
    return _part(dataset, "train", train, shared), _part(dataset, "test", test, shared)


def _sides(values: Array, fraction: float) -> tuple[Indices, Indices, float]:
    """Frames below the line, the others, and where the line lies."""
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, np.int64), 0.0
    low, high = float(values.min()), float(values.max())
    threshold = low + fraction * (high - low)
    below = values < threshold
    return np.flatnonzero(below), np.flatnonzero(~below), threshold


def _part(dataset: Dataset, name: str, frames: Indices, shared: dict[str, Any]) -> Dataset:
    return of_part(dataset, len(frames)).transformed(
        select_frames(dataset, frames),
        "split",
        {"part": name, **shared},
    )
