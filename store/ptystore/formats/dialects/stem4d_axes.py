"""The axes of a 4D-STEM scan: what they tell of positions and of the object's pixel."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import RawArray
from ptystore.formats.dialects.raster4d import flattened
from ptystore.formats.dialects.scan import Scan
from ptystore.model.choices import Kind
from ptystore.model.lazy_array import Array
from ptystore.model.quantities import factor

__all__ = ["Axis", "add_scan"]

# By how much of a step the points of an axis may be off an even spacing.
_UNEVEN = 1e-3


@dataclass(frozen=True)
class Axis:
    """Where the points of an axis are, in its `units`, None where that is not known."""

    points: Array | None
    units: str
    source: str

    def times(self, kind: Kind) -> float | None:
        """What the points are multiplied by to be in the kind's own unit, None for other units."""
        plain = unicodedata.normalize("NFC", self.units).strip().replace("⁻¹", "^-1")
        return factor(plain, kind)

    def step(self) -> float | None:
        """The distance of even points, above zero; None of uneven ones and of fewer than two."""
        if self.points is None or len(self.points) < 2:
            return None
        first, last = float(self.points[0]), float(self.points[-1])
        step = (last - first) / (len(self.points) - 1)
        even = first + step * np.arange(len(self.points))
        if not math.isfinite(step) or not step:
            return None
        off = np.max(np.abs(np.asarray(self.points, np.float64) - even))
        return abs(step) if off <= _UNEVEN * abs(step) else None


def add_scan(scan: Scan, raw: RawArray, axes: Sequence[Axis]) -> None:
    """Frames (Ry, Rx, Qy, Qx), or (n, Qy, Qx) without a raster, and what their axes tell.

    The order of the axes counts, not their names. Raises `InputError` for any other number of axes.
    """
    if len(raw.shape) not in (3, 4):
        raise InputError(f"has shape {raw.shape}, not (Ry, Rx, Qy, Qx) of a 4D-STEM scan")
    is_raster = len(raw.shape) == 4
    scan.counts(flattened(raw) if is_raster else raw)
    frame = (raw.shape[-2], raw.shape[-1])
    _add_pixels(scan, axes[-2:], frame)
    if not is_raster:
        scan.lacks_positions("the frames lie on no raster: --positions FILE gives the positions")
        return
    scan.fact("scan_shape", list(raw.shape[:2]), axes[0].source)
    metres = [_in_metres(scan, axis) for axis in axes[:2]]
    if metres[0] is not None and metres[1] is not None:
        y, x = np.meshgrid(metres[0], metres[1], indexing="ij")
        scan.relative_positions_m(y.reshape(-1), x.reshape(-1), frame)


def _in_metres(scan: Scan, axis: Axis) -> Array | None:
    times = axis.times("length")
    if axis.points is None or times is None or not np.isfinite(axis.points).all():
        what = f"is in {axis.units!r}, which is no length" if times is None else "has no scale"
        scan.lacks_positions(f"{axis.source} {what}: --positions FILE gives the positions")
        return None
    return np.asarray(axis.points, np.float64) * times


def _add_pixels(scan: Scan, axes: Sequence[Axis], frame: tuple[int, int]) -> None:
    """The detector's pixel, or the object's from an angle or a reciprocal length a pixel.

    dx = λ / (N Δθ) and dx = 1 / (N Δq): the extent of the pattern is the inverse of the pixel.
    """
    steps = [axis.step() for axis in axes]
    kinds: tuple[Kind, ...] = ("length", "angle", "reciprocal")
    for kind in kinds:
        times = [axis.times(kind) for axis in axes]
        pixels = [
            step * own for step, own in zip(steps, times, strict=True) if step and own is not None
        ]
        if len(pixels) == 2:
            break
    else:
        units = " and ".join(sorted({repr(axis.units) for axis in axes}))
        scan.remarks.append(
            f"the detector's axes, in {units}, tell no pixel size: --detector-pixel and "
            "--distance, or --pixel-size, do"
        )
        return
    if kind == "length":
        scan.fact("detector_pixel_size_m", pixels, axes[0].source)
        return
    if scan.pixel(frame) is not None:  # by what the caller said
        return
    wavelength = 1.0 if kind == "reciprocal" else scan.value("wavelength_m")
    if wavelength is None:
        scan.remarks.append(
            f"{axes[0].source} is an angle, which tells no pixel size without a wavelength: "
            "--electron-energy, --energy or --wavelength"
        )
        return
    if kind == "angle":
        pixels = [math.radians(pixel) for pixel in pixels]
    own = [wavelength / (n * pixel) for n, pixel in zip(frame, pixels, strict=True)]
    scan.fact("object_pixel_size_m", own, "derived")
