"""What becomes of geometry where frames are turned, cropped, binned and padded."""

from __future__ import annotations

import math

import numpy as np

from ptystore.compute.raw_frames import Cut
from ptystore.compute.turning import after, turned_point, turned_shape
from ptystore.errors import InputError
from ptystore.model.geometry import Fact, Geometry, RawFrame
from ptystore.model.lazy_array import Array, LazyArray

__all__ = [
    "center_in_frames",
    "estimated_center",
    "geometry_after",
    "raw_frame_after",
    "shrinking",
]

Pair = tuple[float, float]


def center_in_frames(raw: RawFrame | None) -> Pair | None:
    """Where zero frequency is in frames that lie on the detector so, pixels [y, x]; None if not
    known."""
    if raw is None or raw.center_px is None:
        return None
    crop, pad = raw.crop or (0, 0, 0, 0), raw.pad or (0, 0, 0, 0)
    y, x = (
        (raw.center_px[axis] - crop[2 * axis] - (raw.bin[axis] - 1) / 2) / raw.bin[axis]
        + pad[2 * axis]
        for axis in (0, 1)
    )
    return y, x


def raw_frame_after(
    before: RawFrame | None, size: tuple[int, int], orientation: int, cut: Cut, center: Pair | None
) -> RawFrame:
    """How frames lie on the detector once those (H, W) that lay `before` are turned and cut.

    `center` is in pixels of the turned frames. What is asked of values is for the caller to add.
    """
    if before is None:
        before = RawFrame(detector_shape=size)
    crop, pad = before.crop or (0, 0, 0, 0), before.pad or (0, 0, 0, 0)
    starts, bins, pads = (crop[0], crop[2]), before.bin, (pad[0], pad[2])

    def raw(axis: int, at: float) -> float:
        return starts[axis] + (at - pads[axis]) * bins[axis]

    known = before.center_px
    if center is not None:
        y, x = (raw(axis, center[axis]) + (bins[axis] - 1) / 2 for axis in (0, 1))
        known = (y, x)
    elif known is not None and orientation:
        known = turned_point(known, size, orientation)
    whole = turned_shape(size, orientation)
    is_whole = cut.crop == (0, whole[0], 0, whole[1])
    y0, y1, x0, x1 = (int(raw(at // 2, cut.crop[at])) for at in range(4))
    is_new = before.crop is None and before.pad is None and is_whole
    kept = is_whole and not any(cut.pad)
    return RawFrame(
        detector_shape=before.detector_shape or (size if is_new and before.bin == (1, 1) else None),
        center_px=known,
        crop=before.crop if is_new or kept else (y0, y1, x0, x1),
        pad=before.pad if kept else (cut.pad if any(cut.pad) else None),
        bin=(bins[0] * cut.bin[0], bins[1] * cut.bin[1]),
        orientation=after(before.orientation, orientation),
        threshold=before.threshold,
        dark=before.dark,
        flat=before.flat,
        filled="zero",
    )


def shrinking(geometry: Geometry, size: tuple[int, int], orientation: int, cut: Cut) -> Pair:
    """By how much an object's pixel [y, x] becomes smaller: old size over new.

    In the far field, where ``dx = λ z / (N Δ)``, it is the detector's width that counts; in the
    near field its pixel.
    """
    old = geometry.pair("detector_pixel_size_m") or (1.0, 1.0)
    new = _detector_pixel(old, orientation, cut)
    if geometry.text("propagation") == "near":
        return old[0] / new[0], old[1] / new[1]
    y, x = (cut.shape[axis] * new[axis] / (size[axis] * old[axis]) for axis in (0, 1))
    return y, x


def geometry_after(
    geometry: Geometry, size: tuple[int, int], orientation: int, cut: Cut
) -> Geometry:
    """The facts of frames (H, W) once they are turned and cut: pixels of detector and object."""
    changed = {}
    if cut.bin != (1, 1):  # a sum tells no longer whether a part of it was saturated
        geometry = geometry.without("saturation_counts")
    detector = geometry.pair("detector_pixel_size_m")
    if detector is not None:
        new = _detector_pixel(detector, orientation, cut)
        if new != detector:
            changed["detector_pixel_size_m"] = Fact(list(new), "derived")
    # By the ratio, so that a size which the file gives, and not λ z / (N Δ), stays its own.
    pixel, ratio = geometry.pair("object_pixel_size_m"), shrinking(geometry, size, orientation, cut)
    if pixel is not None and not all(math.isclose(one, 1, rel_tol=1e-12) for one in ratio):
        scaled = [one / by for one, by in zip(pixel, ratio, strict=True)]
        changed["object_pixel_size_m"] = Fact(scaled, "derived")
    return geometry.with_facts(changed)


def _detector_pixel(pixel: Pair, orientation: int, cut: Cut) -> Pair:
    y, x = (pixel[1], pixel[0]) if orientation & 4 else pixel
    return y * cut.bin[0], x * cut.bin[1]


def estimated_center(frames: LazyArray, bad: Array) -> tuple[Pair, Pair]:
    """The centroid [y, x] of the mean of frames (n, H, W), and how much single ones' scatter.

    Bad pixels, bool (H, W), those at the largest value of an integer dtype and what is no finite
    number do not count. Raises `InputError` where nothing is left.
    """
    rows, columns = np.arange(frames.shape[1]), np.arange(frames.shape[2])
    sums = []
    for at in range(frames.shape[0]):
        frame = frames.read(at, at + 1)[0]
        top = np.iinfo(frame.dtype).max if frame.dtype.kind in "iu" else np.inf
        counts = frame.astype(np.float64)
        counts[bad | ~np.isfinite(counts) | (frame == top) | (counts < 0)] = 0
        sums.append((counts.sum(), counts.sum(1) @ rows, counts.sum(0) @ columns))
    found = np.array([one for one in sums if one[0] > 0])
    if not len(found):
        raise InputError(
            "there are no counts from which the centre could be estimated",
            advice="--center Y,X says where it is",
        )
    total, y, x = found.sum(axis=0)
    scatter = (found[:, 1:] / found[:, :1]).std(axis=0)
    return (float(y / total), float(x / total)), (float(scatter[0]), float(scatter[1]))
