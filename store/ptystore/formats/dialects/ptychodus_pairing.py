"""Which frame belongs to which position: by the numbers of the frames that both files have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.never_written import in_words
from ptystore.formats.supplement_pairing import ranges_of
from ptystore.model.lazy_array import Array, Indices

__all__ = ["Partners", "partners"]


class Partners(NamedTuple):
    """The positions that have a frame (m,), in their order, the frame of each (m,), and remarks."""

    positions: Indices
    frames: Indices
    remarks: tuple[str, ...]


def partners(of_positions: Array, of_frames: Array, *, may_lack: bool) -> Partners:
    """Positions and frames of the same numbers, (n,) and (m,) int64, which need not ascend.

    Frames without a position are left out. Raises `InputError` for positions without a frame
    unless they `may_lack` one, for a number that is there twice, and where nothing is in both.
    """
    for what, given in (("positions", of_positions), ("frames", of_frames)):
        unique, counts = np.unique(given, return_counts=True)
        if (counts > 1).any():
            raise InputError(f"there are several {what} of number {unique[counts > 1][0]}")
    order = np.argsort(of_frames)
    at = np.searchsorted(of_frames, of_positions, sorter=order)
    frames = order[np.minimum(at, len(order) - 1)] if len(order) else np.zeros(len(at), np.int64)
    found = of_frames[frames] == of_positions if len(order) else np.zeros(len(at), bool)
    missing, extra = of_positions[~found], np.setdiff1d(of_frames, of_positions)
    advice = "--unpaired drop leaves such positions out; --with names another file"
    if not found.any():
        raise InputError(
            f"no frame has the number of a position: frames {_some(of_frames)}, "
            f"positions {_some(of_positions)}",
            advice="--with names another file",
        )
    remarks = []
    if len(missing):
        if not may_lack:
            raise InputError(f"frames {_some(missing)} are missing", advice=advice)
        remarks.append(f"positions {_some(missing)} have no frame and are left out")
    if len(extra):
        remarks.append(f"frames {_some(extra)} have no position and are left out")
    return Partners(np.flatnonzero(found), frames[found], tuple(remarks))


def _some(given: Array) -> str:
    return in_words(ranges_of(np.sort(given))) or "none"
