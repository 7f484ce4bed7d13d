"""The bad pixels of a detector: what its file and the caller say, gaps, hot and dead pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ptystore.compute.frame_tally import pixels_named
from ptystore.compute.negative_counts import DetectorGaps
from ptystore.compute.turning import turned, turned_shape
from ptystore.model.lazy_array import Array, LazyArray, SelectedArray, read_all
from ptystore.model.process_lock import ProcessLock

__all__ = ["BAD", "HAS_SIGNAL", "MISSING", "DetectorMask", "frame_sample", "hot_and_dead"]

# Words of a CXI mask: 0 is a good pixel.
HOT, DEAD, BAD, MISSING, HAS_SIGNAL = 0x4, 0x8, 0x80, 0x200, 0x1000

#: Frames that tell gaps, and frames that tell hot and dead pixels.
GAP_FRAMES, STATISTICS_FRAMES = 16, 64

# Above its neighbours by so many median deviations, and by so much, a pixel is hot.
_DEVIATIONS, _TIMES = 20, 3
# Where its neighbours counted this much, a pixel that counted nothing is dead.
_DEAD_BESIDE = 20
_BAND = 128

# No detector has more bad pixels: their mask is taken the wrong way round.
_MOST_MASKED = 0.5


def frame_sample(frames: LazyArray, count: int) -> LazyArray:
    """Up to `count` frames of (n, H, W): from the first to the last, at equal distances.

    Of an array that only goes forwards they are the first ones.
    """
    of = frames.shape[0]
    if frames.sequential:
        return SelectedArray(frames, np.arange(min(count, of)))
    return SelectedArray(frames, np.unique(np.linspace(0, max(0, of - 1), min(count, of)).round()))


class DetectorMask:
    """The word of a CXI mask for each pixel of the turned raw frame, found at the first question.

    `frames` (n, H, W) are looked at in a sample: pixels at the same extreme value in all of it
    measure nothing (see `DetectorGaps`); hot and dead ones are looked for with `statistics`.
    `known` are masks (H, W) of the frames before they are turned, of CXI bits.
    """

    def __init__(
        self,
        frames: LazyArray,
        known: Sequence[LazyArray],
        orientation: int,
        statistics: bool,
    ) -> None:
        self._frames = frames
        self._known = tuple(known)
        self._orientation = orientation
        self._statistics = statistics
        self._gaps = DetectorGaps(frame_sample(frames, GAP_FRAMES))
        self._lock = ProcessLock()
        self._bits: Array | None = None
        self._bad: Array | None = None
        self._outliers: Array = np.zeros(frames.shape[1:], np.uint32)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the turned frame."""
        return turned_shape((self._frames.shape[1], self._frames.shape[2]), self._orientation)

    def prepare(self, scratch: Path | None) -> None:
        """Find it now."""
        self.bits(scratch)

    def bad(self) -> Array:
        """Which pixels are bad, bool (H, W)."""
        self.bits()
        assert self._bad is not None
        return self._bad

    def bits(self, scratch: Path | None = None) -> Array:
        """The words, uint32 (H, W)."""
        with self._lock:
            if self._bits is None:
                bits = self._gaps.bits(scratch).copy()
                for mask in self._known:
                    bits |= read_all(mask).astype(np.uint32) & ~np.uint32(HAS_SIGNAL)
                if self._statistics:
                    sample = frame_sample(self._frames, STATISTICS_FRAMES)
                    self._outliers = hot_and_dead(sample, bits != 0)
                    bits |= self._outliers
                self._bits = np.ascontiguousarray(turned(bits, self._orientation))
                self._bad = self._bits != 0
            return self._bits

    def lines(self) -> Iterable[str]:
        """What to tell the user once the frames are written."""
        self.bits()
        known = np.zeros(self._frames.shape[1:], bool)
        for mask in self._known:
            known |= (read_all(mask).astype(np.uint32) & ~np.uint32(HAS_SIGNAL)) != 0
        if known.mean() > _MOST_MASKED:
            yield (
                f"{known.mean():.1%} of all pixels are masked by the scan's mask and --mask: "
                "where True is a good pixel, --mask-good says so"
            )
        gaps = (self._gaps.bits() != 0) & ~known
        hot, dead = ((self._outliers & word) != 0 for word in (HOT, DEAD))
        for what, pixels in (
            ("masked, as they hold no counts in any frame that was looked at", gaps),
            ("masked, as they count far more than their neighbours", hot),
            ("masked, as they count nothing where their neighbours do", dead),
        ):
            if pixels.any():
                yield f"{what}: {pixels_named(turned(pixels, self._orientation))}"


def hot_and_dead(frames: LazyArray, bad: Array) -> Array:
    """CXI words (H, W) for pixels of (n, H, W) frames that stand out of their eight neighbours.

    Of the sum over the frames, hot is what exceeds the neighbours' median by 20 median deviations
    of all pixels, counted in that median's Poisson noise, and the second largest of them threefold;
    dead is a pixel without a count whose neighbours have 20. Bad pixels are no neighbours.
    """
    total = np.zeros(frames.shape[1:], np.float64)
    for at in range(frames.shape[0]):
        total += frames.read(at, at + 1)[0]
    total[bad] = np.nan
    middle, second = _neighbours(total)
    with np.errstate(invalid="ignore"):
        excess = (total - middle) / np.sqrt(middle + 1)
        deviation = np.nanmedian(np.abs(excess)) if np.isfinite(excess).any() else np.nan
        hot = (excess > _DEVIATIONS * max(deviation, 0.5)) & (total > _TIMES * second)
        dead = (total == 0) & (middle >= _DEAD_BESIDE)
    return np.where(hot, HOT, 0).astype(np.uint32) | np.where(dead, DEAD, 0).astype(np.uint32)


def _neighbours(image: Array) -> tuple[Array, Array]:
    """The median, and the second largest, of each pixel's eight neighbours that are numbers."""
    wide = np.pad(image, 1, constant_values=np.nan)
    height, width = image.shape
    middle, second = np.full(image.shape, np.nan), np.full(image.shape, np.nan)
    for top in range(0, height, _BAND):
        rows = min(_BAND, height - top)
        around = np.stack(
            [
                wide[top + dy : top + dy + rows, dx : dx + width]
                for dy in range(3)
                for dx in range(3)
                if (dy, dx) != (1, 1)
            ]
        )
        around.sort(axis=0)  # what is no number comes last
        count = np.isfinite(around).sum(axis=0)
        for into, at in (
            (middle, (np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2)),
            (second, (np.maximum(count - 2, 0),) * 2),
        ):
            lower, upper = (np.take_along_axis(around, k[None], axis=0)[0] for k in at)
            into[top : top + rows] = np.where(count > 0, (lower + upper) / 2, np.nan)
    return middle, second
