"""Prepare: from the frames that a detector took to those of a canonical scan."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ptystore.compute.detector_mask import GAP_FRAMES, DetectorMask, frame_sample
from ptystore.compute.frame_geometry import (
    Pair,
    center_in_frames,
    estimated_center,
    geometry_after,
    raw_frame_after,
)
from ptystore.compute.raw_frames import Corrections, Cut, CutMask, PreparedFrames
from ptystore.compute.turning import inverse, turned, turned_point, turned_shape
from ptystore.errors import InputError, ParameterError, located
from ptystore.model.contract import DIFFRACTION_NAMES, standard_attrs
from ptystore.model.dataset import Check, Dataset, Field
from ptystore.model.geometry import RawFrame, with_geometry
from ptystore.model.lazy_array import Array, FramesFirst, LazyArray
from ptystore.model.source import OfRawFrames
from ptystore.transforms.prepare_asked import Asked, Sizes, asked_for
from ptystore.transforms.prepare_fields import (
    Images,
    cut_images,
    images_of,
    positions_after,
    require_free_size,
)

__all__ = ["prepare"]


def prepare(
    dataset: Dataset,
    *,
    orientation: int = 0,
    mask: npt.ArrayLike | None = None,
    mask_good: bool = False,
    find_bad: bool = False,
    dark: npt.ArrayLike | bool = False,
    flat: npt.ArrayLike | bool = False,
    threshold: tuple[float | None, float | None] | None = None,
    center: tuple[float, float] | Literal["auto"] | None = None,
    crop: Sizes | None = None,
    bin: Sizes = 1,
    pad: Sizes | None = None,
    names: Mapping[str, str] | None = None,
) -> Dataset:
    """The scan with its frames cut out of the raw ones around zero frequency, computed on reading.

    In this order, each where it was asked for: the frames are turned; the mask is put together;
    dark and flat are taken off; counts beyond the threshold become zero; the frames are cropped
    around the centre, binned and padded; bad pixels become zero. The scan's `raw_frame` says all
    of it, `mask` is (ky, kx) uint32, CXI bits, 0 is good. Positions in object pixels, of a scan
    without an object, become those of the new pixel, and all windows lie inside one object.

    Parameters
    ----------
    orientation : 0 to 7, about the whole raw frame: 4 transposes, then 2 flips rows, then 1
        flips columns.
    mask : (H, W) of the frames as they come, bool True or CXI bits not 0 are bad; with
        `mask_good` True, or not 0, is good. It is added to the scan's own mask and to the pixels
        that hold, in each of up to 16 frames, the same negative value, the same one of the two
        largest of an integer dtype, or no finite number; with `find_bad` also to those that
        are hot or dead by the counts of up to 64 frames.
    dark, flat : (H, W) of the frames as they come, or True for the scan's `background` and
        `flatfield`: floats, ``(counts - dark) / flat``. A pixel whose flat is not above zero is
        bad.
    threshold : (lo, hi), either None: counts below lo or above hi become zero.
    center : (y, x) of zero frequency in the frames as they come, in pixels from the first. If not
        given the scan's own, else, as with ``"auto"``, an estimate with a warning: the centroid
        of the mean of up to 16 frames, which are read here.
    crop : N or (N, M) of the frames' pixels, of which zero frequency is at N//2; what lies
        outside the detector is masked.
    bin : so many pixels become one, their sum in a dtype that holds it; bad if any part is.
    pad : N or (N, M) pixels in the end, masked zeros around the others.
    names : of the files that mask, dark and flat are from, under these names, for the record.

    Raises `ParameterError` for what makes no sense; `InputError` where there are no frames, an
    image has another shape, amplitude is to be summed or corrected, frames that were cut already
    are to be turned, or probe, object or patches are there for frames of another size; while
    reading, for negative counts that are to be summed.
    """
    with located(file=dataset.file):
        frames, source = _raw_frames(dataset)
        asked = asked_for(orientation, threshold, crop, bin, pad)
        before = RawFrame.of(dataset.metadata)
        _check_turn(asked, before)
        size = (source.shape[1], source.shape[2])
        images = images_of(dataset, size, mask, mask_good, dark, flat)
        _check_signal(frames, asked, images)
        bad = DetectorMask(source, images.masks, asked.orientation, find_bad)
        place = _Place.of(source, bad, asked, center, before)
        cut = asked.cut(turned_shape(size, asked.orientation), place.center)
        require_free_size(dataset, size, asked.orientation, cut)
    array = PreparedFrames(
        source,
        asked.orientation,
        bad,
        Corrections(
            _turned(images.dark, asked.orientation),
            _turned(images.flat, asked.orientation),
            asked.threshold or (None, None),
        ),
        cut,
        asked.dtype(frames.dtype, is_corrected=images.corrects),
        chunk_rows=_chunk_rows(frames),
        counts=frames.attrs.get("signal") == "counts",
    )
    raw_frame = _raw_frame(before, size, asked, place, cut, images)
    attrs = dataset["mask"].attrs if "mask" in dataset else standard_attrs("mask")
    geometry = geometry_after(dataset.geometry, size, asked.orientation, cut)
    moved, geometry = positions_after(dataset, geometry, size, asked.orientation, cut)
    fields = {
        **dataset.fields,
        **cut_images(dataset, size, asked.orientation, cut),
        **moved,
        frames.name: frames.with_array(array),
        "mask": Field("mask", CutMask(bad, cut), "global", attrs),
    }
    given = {"mask": mask, "dark": dark, "flat": flat}
    result = dataset.transformed(
        fields.values(),
        "prepare",
        {
            "frames": source.shape[0],
            **{name: _named(name, image, names or {}) for name, image in given.items()},
            "mask_good": mask_good,
            "find_bad": find_bad,
            **_told_of(asked, place, size),
            "fill": "zero",
            "raw_frame": raw_frame.to_json(),
        },
        checks=place.said,
        remarks=(bad.lines, array.lines),
    )
    checks = result.checks
    if crop is not None or center is not None:
        checks = tuple(check for check in checks if not isinstance(check, OfRawFrames))
    metadata = with_geometry(result.metadata, geometry, raw_frame)
    return dataclasses.replace(result, metadata=metadata, checks=checks)


def _raw_frames(dataset: Dataset) -> tuple[Field, LazyArray]:
    """The frames, and their values (n, H, W)."""
    if all(name in dataset for name in DIFFRACTION_NAMES):
        raise InputError(f"both {' and '.join(DIFFRACTION_NAMES)} are there: which are the frames?")
    frames = dataset.frames
    if frames.dtype.kind not in "biuf" or frames.ndim != 3 or frames.role != "per_frame":
        raise InputError(
            f"is {frames.dtype} {frames.shape}: frames are real numbers, one image each",
            member=frames.name,
            advice="which axis counts the frames is said by --axis-order; ptystore canonicalize "
            "drops axes of length 1",
        )
    array = frames.array if frames.array.axis == 0 else FramesFirst(frames.array)
    if 0 in array.shape:
        raise InputError(f"has shape {frames.shape}: there are no frames", member=frames.name)
    return frames, array


def _turned(image: Array | None, orientation: int) -> Array | None:
    return None if image is None else np.ascontiguousarray(turned(image, orientation))


def _chunk_rows(frames: Field) -> int:
    """Frames that are stored in one piece."""
    chunk = frames.storage.chunk_shape if frames.storage is not None else None
    return max(1, chunk[frames.array.axis]) if chunk else 1


def _check_turn(asked: Asked, before: RawFrame | None) -> None:
    is_cut = before is not None and (before.crop or before.pad or before.bin != (1, 1))
    if asked.orientation and is_cut:
        raise InputError(
            "was cropped, binned or padded already, and only whole raw frames can be turned: "
            "zero frequency would not stay at N//2",
            advice="turn and cut the raw frames in one go: --orientation 4 --crop 256",
        )


def _check_signal(frames: Field, asked: Asked, images: Images) -> None:
    changes = {
        "--bin": asked.bin != (1, 1),
        "--dark or --flat": images.corrects,
        "--threshold": asked.threshold is not None,
    }
    wanted = [option for option, is_given in changes.items() if is_given]
    if wanted and frames.attrs.get("signal") != "counts":
        raise InputError(
            f"passes for amplitude, and {wanted[0]} is for counts",
            member=frames.name,
            advice="--input-signal counts, if they are counts",
        )


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where zero frequency is in the turned frames, who says so, and what to tell of it."""

    center: Pair | None = None
    origin: Literal["caller", "file", "estimate"] | None = None
    said: tuple[Check, ...] = ()

    @classmethod
    def of(
        cls,
        source: LazyArray,
        bad: DetectorMask,
        asked: Asked,
        said: tuple[float, float] | Literal["auto"] | None,
        before: RawFrame | None,
    ) -> _Place:
        """As the caller says, else the scan, else by an estimate if the crop needs one."""
        size = (source.shape[1], source.shape[2])
        if said is not None and said != "auto":
            if len(said) != 2 or not all(math.isfinite(one) for one in said):
                raise ParameterError(f"{said!r} is no centre (y, x)", member="--center")
            given = (float(said[0]), float(said[1]))
            return cls(turned_point(given, size, asked.orientation), "caller")
        known = center_in_frames(before) if said is None else None
        if known is not None:
            return cls(turned_point(known, size, asked.orientation), "file")
        if said is None and asked.crop is None:
            return cls()
        sample = frame_sample(source, GAP_FRAMES)
        back = inverse(asked.orientation)
        (y, x), (off_y, off_x) = estimated_center(sample, turned(bad.bad(), back))
        line = (
            f"the centre is not known: taken for ({y:.1f}, {x:.1f}), the centroid of "
            f"{sample.shape[0]} frames, which scatter by {off_y:.1f} and {off_x:.1f} pixels; a "
            "pixel is much to a reconstruction: --center Y,X says it"
        )
        center = turned_point((y, x), size, asked.orientation)
        return cls(center, "estimate", (partial(tuple, (line,)),))

    def in_source(self, size: tuple[int, int], asked: Asked) -> Pair | None:
        """In pixels of the frames as they come."""
        if self.center is None:
            return None
        whole = turned_shape(size, asked.orientation)
        return turned_point(self.center, whole, inverse(asked.orientation))


def _raw_frame(
    before: RawFrame | None,
    size: tuple[int, int],
    asked: Asked,
    place: _Place,
    cut: Cut,
    images: Images,
) -> RawFrame:
    """How the new frames lie on the detector, and what was done to their values."""
    after = raw_frame_after(before, size, asked.orientation, cut, place.center)
    return dataclasses.replace(
        after,
        threshold=asked.threshold or after.threshold,
        dark=after.dark or images.dark is not None,
        flat=after.flat or images.flat is not None,
    )


def _told_of(asked: Asked, place: _Place, size: tuple[int, int]) -> dict[str, Any]:
    """What the record says of how frames (H, W) were turned, limited and cut."""
    return {
        "orientation": asked.orientation,
        "threshold": asked.threshold,
        "center": place.in_source(size, asked),
        "center_from": place.origin,
        "crop": asked.crop,
        "bin": asked.bin,
        "pad": asked.pad,
    }


def _named(name: str, image: Any, names: Mapping[str, str]) -> str | None:
    """What the record says of an image: the file's name, ``"own"`` for one of the scan's."""
    if image is None or image is False:
        return None
    return "own" if image is True else names.get(name, "array")
