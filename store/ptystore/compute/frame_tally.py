"""Which frames hold what is no measured value: saturated pixels, NaN, negative counts, gaps.

A pixel that holds such a value in every frame tells nothing of a frame: it is a gap of the
detector, or a pixel that is masked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ptystore.model.lazy_array import Array, Indices
from ptystore.model.process_lock import ProcessLock

__all__ = ["FrameTally", "PixelTally", "pixels_named", "sentinels"]

_NAMED = 4


def pixels_named(pixels: Array) -> str:
    """The pixels that are True, as "3 pixels, (0, 7), (1, 7) and (2, 7)"; a few of many."""
    places = [f"({', '.join(str(int(at)) for at in place)})" for place in np.argwhere(pixels)]
    count, shown = len(places), places[:_NAMED]
    if count > len(shown):
        return f"{count} pixels, {', '.join(shown)} …"
    listed = " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
    return f"pixel {listed}" if count == 1 else f"{count} pixels, {listed}"


def sentinels(dtype: np.dtype[Any]) -> tuple[int, ...]:
    """The values of an integer dtype that detectors write for gaps and for dead pixels.

    The largest is what saturated pixels have, too.
    """
    top = int(np.iinfo(dtype).max)
    return top, top - 1


class PixelTally:
    """Collects, from any worker, the frames with marked pixels and the pixels always marked.

    The same frames may be added again.
    """

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._marked = np.zeros(0, np.int64)  # pixels of each frame, -1 where it was not seen
        self._always: Array | None = None

    def add(self, frames: Indices, marked: Array | None) -> None:
        """Note of frames which pixels are marked, bool (frames, …); None where none is."""
        if not len(frames):
            return
        per_frame = 0 if marked is None else marked.reshape(len(marked), -1).sum(axis=1)
        always = np.zeros((), bool) if marked is None else marked.all(axis=0)
        with self._lock:
            missing = int(frames.max()) + 1 - len(self._marked)
            if missing > 0:
                room = np.full(max(missing, len(self._marked)), -1, np.int64)
                self._marked = np.concatenate([self._marked, room])
            self._marked[frames] = per_frame
            self._always = np.asarray(always if self._always is None else self._always & always)

    def always(self) -> Array | None:
        """The pixels marked in every frame, bool (…); None where there are none.

        Of a single frame nothing can be said.
        """
        with self._lock:
            several = np.count_nonzero(self._marked >= 0) > 1
            found = self._always
        return found if several and found is not None and found.any() else None

    def frames(self) -> Indices:
        """The frames with marked pixels beside those that always are."""
        always = self.always()
        gaps = 0 if always is None else int(np.count_nonzero(always))
        with self._lock:
            return np.flatnonzero(self._marked > gaps)

    def frames_marked(self) -> Indices:
        """The frames with any marked pixel."""
        with self._lock:
            return np.flatnonzero(self._marked > 0)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]


class FrameTally:
    """What is said of frames once all of them have gone by."""

    def __init__(self) -> None:
        self.saturated = PixelTally()
        self.dead = PixelTally()
        self.not_finite = PixelTally()
        self.top: int | None = None

    def add(self, frames: Indices, block: Array) -> None:
        """Look at one block of frames."""
        if block.dtype.kind in "iu":
            self.top, dead = sentinels(block.dtype)
            reached = block.max() if block.size else 0
            self.saturated.add(frames, block == self.top if reached == self.top else None)
            self.dead.add(frames, block == dead if reached >= dead else None)
        elif block.dtype.kind == "f":
            # Both are NaN where any value is; they are found much faster than each one looked at.
            sound = not block.size or np.isfinite([block.min(), block.max()]).all()
            bad = None if sound else ~np.isfinite(block)
            self.not_finite.add(frames, bad)

    def lines(self) -> Iterable[str]:
        """What to tell the user, nothing where all frames are sound."""
        saturated, not_finite = self.saturated.frames(), self.not_finite.frames()
        if len(saturated):
            yield (
                f"{len(saturated)} frames are saturated: they reach {self.top}, "
                f"the largest value of their dtype; the first is frame {saturated[0]}"
            )
        if len(not_finite):
            yield (
                f"{len(not_finite)} frames hold NaN or infinity; the first is frame {not_finite[0]}"
            )
        for what, pixels in self.gaps():
            yield (
                f"{what} in every frame: {pixels_named(pixels)}: gaps of the detector, not "
                "counts; ptystore canonicalize --negative mask puts them into a mask"
            )

    def gaps(self) -> Iterable[tuple[str, Array]]:
        """What pixels hold in every frame that no pixel measures, and which do, bool (ky, kx)."""
        top = self.top or 0
        for tally, what in (
            (self.saturated, f"{top}"),
            (self.dead, f"{top - 1}"),
            (self.not_finite, "not finite"),
        ):
            always = tally.always()
            if always is not None:
                yield what, always
