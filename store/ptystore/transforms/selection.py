"""Some frames of a scan: every per-frame field cut along its own frame axis, nothing read."""

from __future__ import annotations

from ptystore.model.dataset import Dataset, Field
from ptystore.model.lazy_array import Indices, SelectedArray

__all__ = ["select_frames"]


def select_frames(dataset: Dataset, frames: Indices) -> list[Field]:
    """All fields of the scan at the frames `frames` (int64), by stored role and not by shape."""
    return [
        field.with_array(SelectedArray(field.array, frames)) if field.role == "per_frame" else field
        for field in dataset.values()
    ]
