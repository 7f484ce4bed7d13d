"""What is done with counts below zero, which detectors write where they count nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from ptystore.compute.frame_tally import PixelTally, pixels_named, sentinels
from ptystore.errors import InputError
from ptystore.model.layout import plan
from ptystore.model.lazy_array import Array, Indices, LazyArray
from ptystore.model.process_lock import ProcessLock

__all__ = ["DetectorGaps", "MaskBits", "RefuseNegative", "Screen", "ZeroGaps", "ZeroNegative"]

# Words of a CXI mask: 0 is a good pixel.
_INVALID, _DEAD, _BAD, _MISSING = 0x1, 0x8, 0x80, 0x200


class Screen(Protocol):
    """Takes a block of counts and gives one without negative counts, or raises `InputError`."""

    def prepare(self, scratch: Path | None) -> None:
        """What has to be known before the first block."""
        ...

    def __call__(self, frames: Indices, block: Array, /) -> Array: ...


class RefuseNegative:
    """Negative counts are an error that names the first frame, and pixels that look like gaps."""

    def prepare(self, scratch: Path | None) -> None:
        return None

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        if not _may_be_negative(block):
            return block
        negative = block < 0
        bad = negative.reshape(len(block), -1).any(axis=1)
        reason = f"holds negative counts, first in frame {frames[bad][0]}"
        always = np.asarray(negative.all(axis=0))
        value = block[0, always]
        if len(block) > 1 and (negative == always).all() and (block[:, always] == value).all():
            values = " and ".join(f"{one:g}" for one in np.unique(value)[::-1][:3])
            told = f"{values} in all of frames {frames[0]} to {frames[-1]}, as of gaps"
            reason += f": {told}: {pixels_named(always)}"
        raise InputError(
            reason,
            advice="canonicalize with --negative mask, where pixels have the same negative value "
            "in every frame, or with --negative zero",
        )


class ZeroNegative:
    """Negative counts become zero."""

    def __init__(self) -> None:
        self._tally = PixelTally()

    def prepare(self, scratch: Path | None) -> None:
        return None

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        negative = block < 0 if _may_be_negative(block) else None
        self._tally.add(frames, negative)
        if negative is None:
            return block
        return np.where(negative, block.dtype.type(0), block)

    def lines(self) -> Iterable[str]:
        """What to tell the user once the frames are written."""
        always, frames = self._tally.always(), self._tally.frames()
        if always is not None:
            yield f"negative in every frame, and now zero: {pixels_named(always)}"
        if len(frames):
            said = f"{len(frames)} frames had negative counts, now zero"
            yield f"{said}; the first is frame {frames[0]}"


class ZeroGaps:
    """The gaps become zero, and any other negative counts are an error."""

    def __init__(self, gaps: DetectorGaps) -> None:
        self._gaps = gaps

    def prepare(self, scratch: Path | None) -> None:
        """Find the gaps, before the workers would wait for it."""
        self._gaps.prepare(scratch)

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        bits = self._gaps.bits()
        if bits.any():
            block = np.where(bits != 0, block.dtype.type(0), block)
        if _may_be_negative(block):
            first = np.flatnonzero((block < 0).reshape(len(block), -1).any(axis=1))[0]
            raise InputError(
                f"holds negative counts beside the gaps, first in frame {frames[first]}: "
                "only what is the same in every frame is masked",
                advice="canonicalize with --negative zero",
            )
        return block


class DetectorGaps:
    """The pixels at the same extreme value in every frame: gaps, dead and masked pixels.

    Extreme are negative values, the two largest of an integer dtype, NaN and infinity.
    `frames` is (n, ky, kx). One pass over them finds out, at the first question; it ends as
    soon as there can be no such pixel.
    """

    def __init__(self, frames: LazyArray) -> None:
        self._frames = frames
        self._lock = ProcessLock()
        self._bits: Array | None = None

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(ky, kx)."""
        return self._frames.shape[1:]

    def prepare(self, scratch: Path | None) -> None:
        """Find them now."""
        self.bits(scratch)

    def bits(self, scratch: Path | None = None) -> Array:
        """The word of a CXI mask for each pixel, uint32 (ky, kx), 0 where it measures."""
        with self._lock:
            if self._bits is None:
                self._frames.prepare(scratch)
                self._bits = self._over_all_frames()
                # Whoever reads all of them next begins a pass of his own.
                self._frames.prepare(scratch)
            return self._bits

    def _over_all_frames(self) -> Array:
        layout = plan(self._frames.shape, self._frames.dtype.itemsize)
        value: Array | None = None
        for start, stop in layout.blocks(0, layout.rows):
            block = self._frames.read(start, stop)
            if value is None:
                value = block[0]
                same = _extreme(value)
            if not same.any():
                break
            same[same] = _all_like(block[:, same], value[same])
        bits = np.zeros(self.frame_shape, np.uint32)
        if value is not None:
            bits[same] = _words(value[same])
        return bits

    def lines(self) -> Iterable[str]:
        """What to tell the user once the frames are written."""
        bad = self.bits() != 0
        if bad.any():
            yield f"masked, as they hold no counts in any frame: {pixels_named(bad)}"


class MaskBits:
    """Rows of a mask: the gaps' bits, together with those of the mask that is there."""

    def __init__(self, gaps: DetectorGaps) -> None:
        self._gaps = gaps

    def prepare(self, scratch: Path | None) -> None:
        """Find the gaps."""
        self._gaps.prepare(scratch)

    def __call__(self, rows: Indices, *known: Array) -> Array:
        bits: Array = self._gaps.bits()[rows]
        for mask in known:
            bits = np.bitwise_or(bits, mask.astype(np.uint32))
        return bits


def _may_be_negative(block: Array) -> bool:
    """Whether any value is below zero; a NaN hides none."""
    if block.dtype.kind not in "if" or not block.size:
        return False
    # Twice as quick as a minimum that passes over NaN, which is what a NaN is looked for with.
    least = block.min()
    return bool(least < 0) or bool(np.isnan(least) and np.fmin.reduce(block, axis=None) < 0)


def _extreme(values: Array) -> Array:
    extreme = np.asarray(values < 0)
    if values.dtype.kind == "f":
        extreme |= ~np.isfinite(values)
    elif values.dtype.kind in "iu":
        extreme |= values >= sentinels(values.dtype)[-1]
    return extreme


def _all_like(block: Array, value: Array) -> Array:
    """Where all rows are equal to `value`; what is not finite is all alike."""
    like = block == value
    if block.dtype.kind == "f":
        like |= ~np.isfinite(block) & ~np.isfinite(value)
    return np.asarray(like.all(axis=0))


def _words(values: Array) -> Array:
    """The words that say why: detectors write -1 and the largest value of an integer for gaps,
    -2 and the one below it for dead pixels."""
    words = np.full(values.shape, _MISSING, np.uint32)
    if values.dtype.kind in "if":
        words[values < -1] = _BAD
        words[values == -2] = _DEAD
    if values.dtype.kind in "iu":
        words[values == sentinels(values.dtype)[-1]] = _DEAD
    if values.dtype.kind == "f":
        words[~np.isfinite(values)] = _INVALID
    return words
