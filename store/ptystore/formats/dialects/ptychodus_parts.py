"""What the files of ptychodus have in common: probe, object, pixels, the mask of bad pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import RawArray
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree, has, number, numbers, values
from ptystore.formats.dialects.views import reshaped
from ptystore.formats.supplement_views import as_bits
from ptystore.model.lazy_array import Array

__all__ = [
    "add_fact",
    "add_mask",
    "add_pixel",
    "add_probe_and_object",
    "bare",
    "frame_numbers",
    "frames_of",
    "positions_of",
]


def add_fact(scan: Scan, tree: Tree, name: str, *names: str, zero_is_unset: bool = False) -> None:
    """A fact by the first of `names` at the root, attribute or array, that is a finite number."""
    places = [place for own in names for place in (f"/@{own}", f"/{own}")]
    found = number(tree, *places)
    if found is not None and math.isfinite(found[0]):
        (scan.positive if zero_is_unset else scan.found)(name, found)


def add_pixel(scan: Scan, tree: Tree, name: str, *places: str) -> None:
    """A pixel size [y, x] by the first of `places` with both sides, written ``…{side}…``."""
    for place in places:
        sides = [number(tree, place.format(side=side)) for side in ("height", "width")]
        if all(side is not None and side[0] > 0 for side in sides):
            scan.fact(name, [side[0] for side in sides if side], place.format(side="height"))
            return


def bare(raw: RawArray) -> RawArray:
    """Without the file's attributes: they have become facts, which transforms keep true."""
    return dataclasses.replace(raw, attrs={})


def add_probe_and_object(
    scan: Scan, tree: Tree, probe: str = "/probe", whole: str = "/object"
) -> None:
    """Probe ([[opr,] mode,] y, x) and object ([layer,] y, x), axes of length 1 in front left out.

    Raises `InputError` for any other number of axes.
    """
    for path, name, most in ((probe, "probeGuess", 4), (whole, "objectGuess", 3)):
        if not has(tree, path):
            continue
        raw = bare(tree.array(path, name))
        shape = raw.shape
        if not 2 <= len(shape) <= most:
            reason = f"has shape {shape}, where 2 to {most} axes should be"
            raise InputError(reason, file=tree.path, member=path)
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        scan.arrays[name] = reshaped(raw, shape)


def frames_of(tree: Tree, path: str) -> RawArray:
    """The stack of frames (n, H, W). Raises `InputError` for any other number of axes."""
    raw = bare(tree.array(path, "diffraction"))
    if len(raw.shape) != 3:
        reason = f"has shape {raw.shape}, where (n, H, W) should be"
        raise InputError(reason, file=tree.path, member=path)
    return raw


def add_mask(scan: Scan, tree: Tree, frame: tuple[int, ...]) -> None:
    """`bad_pixels` (H, W), True is bad, as the mask. Raises `InputError` for another shape."""
    path = "/bad_pixels"
    if not has(tree, path):
        return
    bad = values(tree, path)
    if bad.shape != frame:
        reason = f"has shape {bad.shape}, and the frames are {frame}"
        raise InputError(reason, file=tree.path, member=path)
    scan.arrays["mask"] = as_bits(bad != 0)


def frame_numbers(tree: Tree, path: str) -> Array | None:
    """The numbers of frames (n,), int64; None where there are none.

    Raises `InputError` for what are no whole numbers in a row.
    """
    if not has(tree, path):
        return None
    found = values(tree, path)
    flat = found.reshape(-1)
    if found.ndim != 1 or found.dtype.kind not in "iuf" or (flat != np.round(flat)).any():
        reason = f"is {found.dtype} of shape {found.shape}, where (n,) numbers of frames should be"
        raise InputError(reason, file=tree.path, member=path)
    return flat.astype(np.int64)


def positions_of(tree: Tree, path: str) -> Array:
    """Positions (n,) along one axis, float64. Raises `InputError` for any other shape."""
    found = numbers(tree, path)
    if found is None or found[0].ndim > 1:
        reason = f"has shape {tree.shape(path)}, where (n,) positions should be"
        raise InputError(reason, file=tree.path, member=path)
    return np.atleast_1d(found[0])
