"""What `prepare` does to fields beside the frames: images of the detector, positions, objects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ptystore.compute.detector_mask import BAD, HAS_SIGNAL
from ptystore.compute.frame_geometry import shrinking
from ptystore.compute.raw_frames import Cut, CutImage
from ptystore.errors import InputError, ParameterError
from ptystore.model.contract import POSITION_NAMES
from ptystore.model.dataset import Dataset, Field
from ptystore.model.geometry import Geometry
from ptystore.model.lazy_array import Array, CachedArray, LazyArray, MemoryArray
from ptystore.transforms.renew_positions import positions_from_metres, positions_rescaled

__all__ = ["Images", "cut_images", "images_of", "positions_after", "require_free_size"]

_INVALID = 0x1
_LIKE = 1e-9


@dataclass(frozen=True)
class Images:
    """Images (H, W) of the frames as they come: masks of CXI bits, dark and flat as float64."""

    masks: tuple[LazyArray, ...]
    dark: Array | None
    flat: Array | None

    @property
    def corrects(self) -> bool:
        """Whether values become floats."""
        return self.dark is not None or self.flat is not None


def images_of(
    dataset: Dataset,
    size: tuple[int, int],
    mask: npt.ArrayLike | None,
    mask_good: bool,
    dark: npt.ArrayLike | bool,
    flat: npt.ArrayLike | bool,
) -> Images:
    """The scan's own mask and what the caller gave. Raises `InputError` for another shape."""
    masks: list[LazyArray] = []
    if "mask" in dataset:
        own = dataset["mask"]
        if own.dtype.kind not in "biu" or own.shape != size:
            raise InputError(
                f"is {own.dtype} {own.shape}, where a mask of frames of {size} should be: CXI bits",
                member="mask",
                advice="--skip mask leaves it out",
            )
        masks.append(own.array)
    if mask is None and mask_good:
        raise ParameterError("is for --mask, which is not given", member="--mask-good")
    if mask is not None:
        masks.append(MemoryArray(_bits(_sized(np.asarray(mask), size, "--mask"), mask_good)))
    offset = _image(dataset, dark, "--dark", "background", size)
    gain = _image(dataset, flat, "--flat", "flatfield", size)
    if gain is not None:
        usable = np.isfinite(gain) & (gain > 0)
        masks.append(MemoryArray(np.where(usable, 0, BAD).astype(np.uint32)))
        gain = np.where(usable, gain, 1.0)
    return Images(tuple(masks), offset, gain)


def _image(
    dataset: Dataset,
    given: npt.ArrayLike | bool,
    option: str,
    own: str,
    size: tuple[int, int],
) -> Array | None:
    if given is False:
        return None
    values = dataset.require(own, option).values() if given is True else np.asarray(given)
    if values.dtype.kind not in "biuf":
        raise InputError(f"has dtype {values.dtype}, not real numbers", member=option)
    return _sized(values.astype(np.float64), size, option)


def _sized(values: Array, size: tuple[int, int], option: str) -> Array:
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.shape != size:
        raise InputError(f"has shape {values.shape}, and the frames {size}", member=option)
    return values


def _bits(mask: Array, is_good: bool) -> Array:
    if mask.dtype.kind not in "biuf":
        raise InputError(f"has dtype {mask.dtype}, not numbers", member="--mask")
    if mask.dtype.kind == "f" and not np.array_equal(mask, np.round(mask)):
        raise InputError("holds numbers that are not whole: it is no mask", member="--mask")
    if is_good or mask.dtype.kind in "bf":
        bits = np.where(mask == 0 if is_good else mask != 0, _INVALID, 0).astype(np.uint32)
    else:
        bits = mask.astype(np.uint32)
    if (bits & ~np.uint32(HAS_SIGNAL)).all():
        raise InputError(
            "leaves no good pixel",
            member="--mask",
            advice="without --mask-good True, or not 0, is a bad pixel"
            if is_good
            else "with --mask-good True, or not 0, is a good pixel",
        )
    return bits


def cut_images(
    dataset: Dataset, size: tuple[int, int], orientation: int, cut: Cut
) -> dict[str, Field]:
    """Background, which is summed in bins, and flat field, which is averaged, on the new frames."""
    found = {}
    for name, mean in (("background", False), ("flatfield", True)):
        field = dataset.fields.get(name)
        if field is not None and field.shape == size and field.dtype.kind in "biuf":
            image = CutImage(field.array, orientation, cut, mean=mean, outside=float(mean))
            found[name] = field.with_array(CachedArray(image))
    return found


def require_free_size(dataset: Dataset, size: tuple[int, int], orientation: int, cut: Cut) -> None:
    """Raise `InputError` where something in the scan is of frames of the old size."""
    ratio = shrinking(dataset.geometry, size, orientation, cut)
    is_same = _is_same(ratio)
    old, new = (f"{height}×{width}" for height, width in (size, cut.shape))
    for name, stays in (
        ("objectGuess", is_same),
        ("probeGuess", is_same and cut.shape == size),
        ("Y", is_same and cut.shape == size),
    ):
        if name in dataset and not stays:
            what = "its pixel is that" if name == "objectGuess" else "it is"
            raise InputError(
                f"is of frames of {old}: {what} of frames of this size, and not of {new}",
                member=name,
                advice=f"--skip {name} leaves it out, to be reconstructed from the new frames",
            )


def _is_same(ratio: tuple[float, float]) -> bool:
    return all(math.isclose(one, 1, rel_tol=_LIKE) for one in ratio)


def positions_after(
    dataset: Dataset,
    geometry: Geometry,
    size: tuple[int, int],
    orientation: int,
    cut: Cut,
) -> tuple[dict[str, Field], Geometry]:
    """The positions in object pixels of the new frames, inside one object whose shape is noted.

    `geometry` is that of the new frames. With an object they stay as they are; those that are
    known in metres alone come into pixels where the object's pixel is known.
    """
    if "objectGuess" in dataset or "Y" in dataset:
        return {}, geometry
    ratio = shrinking(dataset.geometry, size, orientation, cut)
    if all(name in dataset for name in POSITION_NAMES):
        if cut.shape == size and _is_same(ratio):
            return {}, geometry
        return positions_rescaled(dataset, geometry, cut.shape, ratio)
    return positions_from_metres(dataset, geometry, cut.shape)
