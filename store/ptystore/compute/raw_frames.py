"""What `prepare` makes of raw frames, block by block: turned, masked, corrected, cut, binned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ptystore.compute.detector_mask import MISSING, DetectorMask
from ptystore.compute.frame_tally import PixelTally
from ptystore.compute.turning import inverse, turned, turned_point
from ptystore.errors import InputError
from ptystore.model.lazy_array import Array, Indices, LazyArray, LazyBase, read_all
from ptystore.model.windows import window_of

__all__ = ["Corrections", "Cut", "CutImage", "CutMask", "PreparedFrames", "binned_dtype"]

#: Raw frames that are in memory at once, by their bytes: a block of the result may be of many.
PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class Cut:
    """Which pixels of a frame are kept, and how: crop, then bin, then pad.

    detector : (H, W) of the frame. crop : [y0, y1, x0, x1] of it, which may reach outside. bin :
    pixels in one, [y, x]. pad : pixels added, [top, bottom, left, right].
    """

    detector: tuple[int, int]
    crop: tuple[int, int, int, int]
    bin: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def cropped(self) -> tuple[int, int]:
        """(H, W) after the crop."""
        y0, y1, x0, x1 = self.crop
        return y1 - y0, x1 - x0

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the result."""
        top, bottom, left, right = self.pad
        height, width = (n // b for n, b in zip(self.cropped, self.bin, strict=True))
        return height + top + bottom, width + left + right

    @property
    def inner(self) -> tuple[slice, slice]:
        """The part of the crop that lies on the detector, as slices of the frame."""
        y0, y1, x0, x1 = self.crop
        height, width = self.detector
        return slice(max(0, y0), min(y1, height)), slice(max(0, x0), min(x1, width))

    def cropped_from(self, inner: Array, outside: Any) -> Array:
        """The whole crop (…, H, W) of what `inner` took, with a value for what is outside."""
        if inner.shape[-2:] == self.cropped:
            return inner
        canvas = np.full((*inner.shape[:-2], *self.cropped), outside, inner.dtype)
        y0, _, x0, _ = self.crop
        rows, columns = self.inner
        canvas[..., rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = (
            inner
        )
        return canvas

    def in_bins(self, cropped: Array) -> Array:
        """A view (…, h, by, w, bx) of a crop: what becomes one pixel is in axes -3 and -1."""
        by, bx = self.bin
        height, width = self.cropped
        return cropped.reshape(*cropped.shape[:-2], height // by, by, width // bx, bx)

    def padded(self, binned: Array, outside: Any) -> Array:
        """With the padding around."""
        if not any(self.pad):
            return binned
        top, _, left, _ = self.pad
        canvas = np.full((*binned.shape[:-2], *self.shape), outside, binned.dtype)
        height, width = binned.shape[-2:]
        canvas[..., top : top + height, left : left + width] = binned
        return canvas


@dataclass(frozen=True)
class Corrections:
    """What changes values: dark and flat (H, W) of the turned frame, and the limits of counts."""

    dark: Array | None = None
    flat: Array | None = None
    threshold: tuple[float | None, float | None] = (None, None)

    def __call__(self, values: Array, inner: tuple[slice, slice]) -> Array:
        """The values (b, h, w) of the part `inner`: (v - dark) / flat; beyond the limits zero."""
        if self.dark is not None or self.flat is not None:
            values = values.astype(np.float64)
        if self.dark is not None:
            values -= self.dark[inner]
        if self.flat is not None:
            values /= self.flat[inner]
        low, high = self.threshold
        beyond: Any = False
        if low is not None:
            beyond = values < low
        if high is not None:
            beyond = beyond | (values > high)
        return values if beyond is False else np.where(beyond, values.dtype.type(0), values)


def binned_dtype(dtype: np.dtype[Any], bins: int) -> np.dtype[Any]:
    """A dtype of the same kind that holds the sum of `bins` values: integers never wrap."""
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    if dtype.kind not in "iu" or bins == 1:
        return dtype
    limits = np.iinfo(dtype)
    for size in (1, 2, 4, 8):
        wider = np.dtype(f"{dtype.kind}{size}")
        own = np.iinfo(wider)
        if size >= dtype.itemsize and own.max >= limits.max * bins and own.min <= limits.min * bins:
            return wider
    return np.dtype(np.float64)


class PreparedFrames(LazyBase):
    """Frames (n, h, w) made of raw ones (n, H, W), a few of which are in memory at once.

    Turned as `orientation` says, then masked, corrected, cut; bad pixels are zero. A pixel at the
    largest value of its integer dtype, or that is not finite, is bad in that frame. `chunk_rows`
    raw frames are stored together. With `counts` there can be none below zero in a sum.
    """

    def __init__(
        self,
        source: LazyArray,
        orientation: int,
        mask: DetectorMask,
        corrections: Corrections,
        cut: Cut,
        dtype: npt.DTypeLike,
        *,
        chunk_rows: int = 1,
        counts: bool = True,
    ) -> None:
        self._rows, self._columns = _part_of_source(orientation, cut)
        window = window_of(source, self._rows.start, self._rows.stop)
        self._source = source if window is None else window
        if window is not None:
            self._rows = slice(None)
        self._orientation = orientation
        self._mask = mask
        self._corrections = corrections
        self._cut = cut
        self._refuse_negative = counts and cut.bin != (1, 1) and corrections.dark is None
        self._overflow = PixelTally()
        frame_bytes = source.dtype.itemsize * int(np.prod(self._source.shape[1:]))
        chunks = max(1, PIECE_BYTES // max(1, frame_bytes * chunk_rows))
        self._piece = chunks * chunk_rows
        self.shape = (source.shape[0], *cut.shape)
        self.dtype = np.dtype(dtype)
        self.sequential = source.sequential

    def prepare(self, scratch: Path | None) -> None:
        """Find the mask before the workers would wait for it."""
        self._mask.prepare(scratch)
        self._source.prepare(scratch)

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        if not self.sequential:
            return partial(self.read, start, stop)
        # What only goes forwards is read now, and cut at once: raw frames are large.
        block = self.read(start, stop)
        return lambda: block

    def read(self, start: int, stop: int) -> Array:
        ends = [*range(start - start % self._piece + self._piece, stop, self._piece), stop]
        made, first = np.zeros((max(0, stop - start), *self._cut.shape), self.dtype), start
        for end in ends:
            if end > first:
                block = self._source.read(first, end)
                made[first - start : end - start] = self._made(np.arange(first, end), block)
                first = end
        return made

    def take(self, indices: Indices) -> Array:
        made = np.zeros((len(indices), *self._cut.shape), self.dtype)
        for at in range(0, len(indices), self._piece):
            some = indices[at : at + self._piece]
            made[at : at + self._piece] = self._made(some, self._source.take(some))
        return made

    def _made(self, frames: Indices, block: Array) -> Array:
        cut, inner = self._cut, self._cut.inner
        raw = turned(block[:, self._rows, self._columns], self._orientation)
        always = self._mask.bad()[inner]
        own = _overflowing(raw)
        if own is not None:
            own &= ~always
        self._overflow.add(frames, own if own is not None and own.any() else None)
        bad = always if own is None else always | own
        with np.errstate(invalid="ignore"):
            values = self._corrections(raw, inner)
        values = np.where(bad, values.dtype.type(0), values)
        if self._refuse_negative:
            _refuse_negative(frames, values)
        values = cut.cropped_from(values, 0)
        if cut.bin != (1, 1):
            wide = self.dtype if self.dtype.kind in "iu" else np.dtype(np.float64)
            values = cut.in_bins(values).sum(axis=(-3, -1), dtype=wide)
            values[np.broadcast_to(self._any(bad), values.shape)] = 0
        return cut.padded(values, 0)

    def _any(self, bad: Array) -> Array:
        whole = self._cut.cropped_from(bad, True)
        return np.asarray(self._cut.in_bins(whole).any(axis=(-3, -1)))

    def lines(self) -> Iterable[str]:
        """What to tell the user once the frames are written."""
        frames = self._overflow.frames_marked()
        if len(frames):
            top = f"{np.iinfo(self._source.dtype).max}" if self._source.dtype.kind in "iu" else None
            yield (
                f"{len(frames)} frames hold pixels "
                f"{f'at {top}, which is overflow,' if top else 'that are not finite'} beside the "
                f"mask, now zero in that frame; the first is frame {frames[0]}"
            )


def _part_of_source(orientation: int, cut: Cut) -> tuple[slice, slice]:
    """The rows and columns of a frame before it is turned of which the crop is."""
    inner, back = cut.inner, inverse(orientation)
    first = (inner[0].start, inner[1].start)
    last = (inner[0].stop - 1, inner[1].stop - 1)
    corners = [turned_point(corner, cut.detector, back) for corner in (first, last)]
    (y0, y1), (x0, x1) = (sorted(int(one[axis]) for one in corners) for axis in (0, 1))
    return slice(y0, y1 + 1), slice(x0, x1 + 1)


def _overflowing(raw: Array) -> Array | None:
    """Where a frame measured nothing: the largest integer of its dtype, or no finite number."""
    if not raw.size:
        return None
    if raw.dtype.kind in "iu":
        top = np.iinfo(raw.dtype).max
        return np.asarray(raw == top) if raw.max() == top else None
    if raw.dtype.kind == "f" and not np.isfinite([raw.min(), raw.max()]).all():
        return ~np.isfinite(raw)
    return None


def _refuse_negative(frames: Indices, values: Array) -> None:
    if values.dtype.kind in "if" and values.size and values.min() < 0:
        first = frames[(values < 0).reshape(len(values), -1).any(axis=1)][0]
        raise InputError(
            f"holds negative counts, first in frame {first}, and sums of them would hide that",
            advice="--threshold 0, takes them for zero; --mask names bad pixels",
        )


class CutMask(LazyBase):
    """The mask (h, w), uint32, of the frames that a cut makes: a pixel is bad if any part is.

    What lies outside the detector, and padding, is missing.
    """

    def __init__(self, mask: DetectorMask, cut: Cut) -> None:
        self._mask = mask
        self._cut = cut
        self.shape = cut.shape
        self.dtype = np.dtype(np.uint32)

    def prepare(self, scratch: Path | None) -> None:
        """Find the mask."""
        self._mask.prepare(scratch)

    def read(self, start: int, stop: int) -> Array:
        cut = self._cut
        bits = cut.cropped_from(self._mask.bits()[cut.inner], MISSING)
        bits = np.bitwise_or.reduce(cut.in_bins(bits), axis=-1)
        bits = np.bitwise_or.reduce(bits, axis=-2)
        rows: Array = cut.padded(bits, MISSING)[start:stop].copy()
        return rows


class CutImage(LazyBase):
    """An image of the detector (H, W), turned and cut as the frames are, in its own dtype.

    Binned pixels are summed, or averaged with `mean`; `outside` stands where there is none.
    """

    def __init__(
        self, source: LazyArray, orientation: int, cut: Cut, *, mean: bool, outside: float
    ) -> None:
        self._source = source
        self._orientation = orientation
        self._cut = cut
        self._mean = mean
        self._outside = outside
        self.shape = cut.shape
        summed = source.dtype if mean else binned_dtype(source.dtype, cut.bin[0] * cut.bin[1])
        self.dtype = summed if summed.kind == "f" or not mean else np.dtype(np.float32)

    def read(self, start: int, stop: int) -> Array:
        cut = self._cut
        image = turned(read_all(self._source), self._orientation)[cut.inner]
        cropped = cut.cropped_from(image, self._outside)
        binned = cut.in_bins(cropped).sum(axis=(-3, -1), dtype=np.float64)
        if self._mean:
            binned /= cut.bin[0] * cut.bin[1]
        rows: Array = cut.padded(binned, self._outside)[start:stop].astype(self.dtype)
        return rows
