"""Some frames of a scan: every per-frame field cut along its own frame axis, nothing read."""

from __future__ import annotations

from ptystore.model.dataset import Dataset, Field
from ptystore.model.lazy_array import Indices, SelectedArray

__all__ = ["select_frames"]


def select_frames(dataset: Dataset, frames: Indices) -> list[Field]:
    """All fields of the scan at the frames `frames` (int64), by stored role and not by shape."""
    return [
        one.with_array(SelectedArray(one.array, frames)) if one.role == "per_frame" else one
        for one in dataset.values()
    ]
