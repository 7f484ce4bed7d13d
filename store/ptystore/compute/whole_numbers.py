"""Whether frames of floating-point numbers are counts by their content: all of them whole.

Amplitude is the root of counts: apart from a few small numbers its values are fractions.
"""

from __future__ import annotations

import numpy as np

from ptystore.model.layout import plan
from ptystore.model.lazy_array import Array, LazyArray, rows_first

__all__ = ["WholeNumbers", "counts_by_content"]

#: Whole numbers up to this may be amplitude: of no light at all, or of a few perfect squares.
_AMPLITUDE_MAX = 10.0
# Beyond so many bytes of whole numbers, larger ones among them, no fraction is waited for.
_SURE_BYTES = 64 << 20


class WholeNumbers:
    """What blocks of floating-point values have in common.

    NaN and infinity tell nothing, nor do values so large that their dtype has no fractions.
    """

    def __init__(self) -> None:
        self.are_all_whole = True
        self.largest = -np.inf

    def add(self, block: Array) -> None:
        """Look at one more block, unless an earlier one had a fraction."""
        if not self.are_all_whole or not block.size:
            return
        telling = np.abs(block) < 2.0 ** np.finfo(block.dtype).nmant
        self.are_all_whole = bool(((np.floor(block) == block) | ~telling).all())
        self.largest = max(self.largest, float(block.max(where=telling, initial=-np.inf)))

    @property
    def are_counts(self) -> bool:
        """Whether what was seen can't be amplitude."""
        return self.are_all_whole and self.largest > _AMPLITUDE_MAX


def counts_by_content(frames: LazyArray) -> float | None:
    """The largest value of floating-point frames that are counts by content, else None.

    The frames are read until there is a fraction, which is at once in those of amplitude, or
    no doubt.
    """
    found = WholeNumbers()
    layout = plan(frames.shape, frames.dtype.itemsize, frames.axis)
    for start, stop in layout.blocks(0, layout.rows):
        block = rows_first(frames.read(start, stop), frames.axis)
        # Of amplitude a few rows tell, and the others need not be looked at.
        found.add(block[:1])
        found.add(block[1:])
        sure = found.are_counts and stop * layout.row_bytes >= _SURE_BYTES
        if sure or not found.are_all_whole:
            break
    return found.largest if found.are_counts else None
