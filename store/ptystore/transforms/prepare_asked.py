"""What is asked of `prepare`, checked: pairs [y, x] of whole numbers, and the cut they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptystore.compute.raw_frames import Cut, binned_dtype
from ptystore.errors import ParameterError

__all__ = ["Asked", "Sizes", "asked_for"]

Sizes = int | tuple[int, int]
Threshold = tuple[float | None, float | None]


@dataclass(frozen=True)
class Asked:
    """How frames are turned, limited and cut."""

    orientation: int
    threshold: Threshold | None
    crop: tuple[int, int] | None
    bin: tuple[int, int]
    pad: tuple[int, int] | None

    def cut(self, frame: tuple[int, int], center: tuple[float, float] | None) -> Cut:
        """The cut out of turned frames (H, W), `center` [y, x] being known if there is a crop.

        Raises `ParameterError` where it does not go.
        """
        spans: list[int] = []
        pads: list[int] = []
        for axis, word in enumerate(("rows", "columns")):
            extent, times = frame[axis], self.bin[axis]
            size = extent if self.crop is None else self.crop[axis]
            if size % times:
                whole = size // times * times
                raise ParameterError(
                    f"{size} {word} don't make whole bins of {times}",
                    member="--bin",
                    advice=f"--crop {whole} does" if whole else None,
                )
            first = 0
            if self.crop is not None and center is not None:
                # Of the bin that zero frequency is to be in, the middle comes to lie on it.
                middle = size // times // 2 * times + (times - 1) / 2
                first = math.floor(center[axis] - middle + 0.5)
            if first >= extent or first + size <= 0:
                reason = f"{size} {word} around {center} lie outside the frame of {extent}"
                raise ParameterError(reason, member="--crop")
            spans += [first, first + size]
            pads += self._pads(size // times, axis)
        y0, y1, x0, x1 = spans
        top, bottom, left, right = pads
        return Cut(frame, (y0, y1, x0, x1), self.bin, (top, bottom, left, right))

    def _pads(self, size: int, axis: int) -> tuple[int, int]:
        if self.pad is None:
            return 0, 0
        wanted = self.pad[axis]
        if wanted < size:
            raise ParameterError(f"to {wanted} pixels, where there are {size}", member="--pad")
        before = wanted // 2 - size // 2
        return before, wanted - size - before

    def dtype(self, raw: np.dtype[Any], *, is_corrected: bool) -> np.dtype[Any]:
        """The dtype of the frames that are made of raw ones."""
        if is_corrected and (raw.kind != "f" or raw.itemsize < 4):
            raw = np.dtype(np.float32 if raw.itemsize <= 2 else np.float64)
        return binned_dtype(raw, self.bin[0] * self.bin[1])


def asked_for(
    orientation: int,
    threshold: Sequence[float | None] | None,
    crop: Sizes | None,
    bin: Sizes,
    pad: Sizes | None,
) -> Asked:
    """All of it checked. Raises `ParameterError` naming the option."""
    if isinstance(orientation, bool) or orientation not in range(8):
        raise ParameterError(f"{orientation!r} is none of 0 to 7", member="--orientation")
    limits: Threshold | None = None
    if threshold is not None:
        limits = _limits(threshold)
    return Asked(
        int(orientation),
        limits,
        None if crop is None else _sizes(crop, "--crop"),
        _sizes(bin, "--bin"),
        None if pad is None else _sizes(pad, "--pad"),
    )


def _limits(given: Sequence[float | None]) -> Threshold:
    known = [None if one is None else float(one) for one in given]
    numbers = [one for one in known if one is not None]
    if len(known) != 2 or any(map(math.isnan, numbers)) or sorted(numbers) != numbers:
        raise ParameterError(f"{given!r} is no range lo,hi", member="--threshold")
    low, high = known
    # An infinite limit is none, and JSON has no infinity.
    return (
        None if low is None or math.isinf(low) else low,
        None if high is None or math.isinf(high) else high,
    )


def _sizes(given: Sizes, option: str) -> tuple[int, int]:
    pair = given if isinstance(given, (tuple, list)) else (given, given)
    if len(pair) != 2 or not all(float(one).is_integer() and one > 0 for one in pair):
        raise ParameterError(f"{given!r} is neither N nor N,M", member=option)
    return int(pair[0]), int(pair[1])
