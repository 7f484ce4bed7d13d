"""SLAC's `.npz`: frames last, positions in pixels or metres, and sometimes what they were taken at.

PtychoPINN's own files of frames last say more (a document, numbers of the scan): they are none.
"""

from __future__ import annotations

import math

import numpy as np

from ptystore.errors import InputError, ParameterError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.ptychodus_parts import positions_of
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, has, number
from ptystore.formats.dialects.views import frames_by
from ptystore.model.lazy_array import Array, Indices

__all__ = ["SlacScan"]

_FRAMES = "/diffraction"
_NOMINAL = ("/ycoords_start", "/xcoords_start")
_REFINED = ("/ycoords", "/xcoords")
#: No position in pixels is so small, and no scan in metres so large.
_LARGEST_M = 1e-3

_FACTS = (
    ("detector_distance_m", ("/detector_distance_m",)),
    ("photon_energy_eV", ("/photon_energy_eV", "/probe_energy_ev")),
)
_DETECTOR_PIXEL = "/detector_pixel_size_m"


class SlacScan:
    """Counts (H, W, n), whatever their dtype, and positions (n,)."""

    name = "slac"
    title = "SLAC scan, frames last, .npz"
    line = 64
    keys = (_FRAMES, *_NOMINAL)

    def matches(self, tree: Tree) -> bool:
        if tree.container != "npz" or not has(tree, *self.keys):
            return False
        shape, count = tree.shape(_FRAMES), math.prod(tree.shape(_NOMINAL[1]))
        is_last = len(shape) == 3 and shape[-1] == count != shape[0]
        is_ours = any(has(tree, path) for path in ("/scan_index", "/Y", "/diff3d"))
        return is_last and not is_ours and tree.plain(ReadOptions()).metadata is None

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        plain = tree.plain(context.options)
        scan.arrays.update(plain.arrays)
        scan.remarks.extend(plain.remarks)
        for name, paths in _FACTS:
            found = number(tree, *paths)
            _forget(scan, paths)
            if found is not None and math.isfinite(found[0]):
                scan.positive(name, found)
        pixel = number(tree, _DETECTOR_PIXEL)
        _forget(scan, (_DETECTOR_PIXEL,))
        if pixel is not None and pixel[0] > 0:
            scan.fact("detector_pixel_size_m", [pixel[0]] * 2, pixel[1])
        frame = _frames(scan, tree)
        _positions(scan, tree, frame)
        return scan.contents()


def _forget(scan: Scan, paths: tuple[str, ...]) -> None:
    for path in paths:
        scan.arrays.pop(path.strip("/"), None)


def _frames(scan: Scan, tree: Tree) -> tuple[int, int]:
    """The frames, and (H, W) of one. They come first, but where the caller says that they don't."""
    raw = tree.array(_FRAMES, "diffraction")
    if len(raw.shape) != 3:
        raise InputError(f"has shape {raw.shape}, where (H, W, n) should be", member=_FRAMES)
    order = scan.context.options.axis_order
    if order == "nhw":
        raise ParameterError(
            "SLAC's frames come last",
            member="--axis-order",
            advice="--dialect none reads it as another tool's",
        )
    height, width, count = raw.shape
    # The caller's word on the order will be applied to what is given here.
    scan.counts(raw if order == "hwn" else _frames_first(raw, (count, height, width)))
    scan.pixel((height, width))
    return height, width


def _frames_first(raw: RawArray, shape: tuple[int, int, int]) -> RawArray:
    return frames_by(_first, raw, 2, shape)


def _first(frames: Indices, block: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(block, -1, 0))


def _positions(scan: Scan, tree: Tree, frame: tuple[int, int]) -> None:
    """Refined positions if there are some, else the nominal ones."""
    refined, nominal = _pair(tree, _REFINED), _pair(tree, _NOMINAL)
    taken = refined or nominal
    if taken is None:
        scan.lacks_positions("holds no positions: --positions names a file of them")
        return
    in_metres = _is_metres(taken)
    _forget(scan, (*_REFINED, *_NOMINAL))
    if in_metres:
        scan.relative_positions_m(*taken, frame)
        if "objectGuess" in scan.arrays and "ycoords" in scan.arrays:
            scan.remarks.append(
                "the positions are in metres: only their differences are known, not where they are "
                "in objectGuess"
            )
        return
    scan.positions(*taken)
    if nominal is None:
        return
    if not _is_metres(nominal):
        for name, found in zip(_NOMINAL, nominal, strict=True):
            scan.arrays[name.strip("/")] = memory_array(found)
    else:
        scan.positions_m(*nominal)
    if refined is None:
        scan.remarks.append("there are no ycoords and xcoords: the nominal positions are taken")


def _pair(tree: Tree, paths: tuple[str, str]) -> tuple[Array, Array] | None:
    if not has(tree, *paths):
        return None
    return positions_of(tree, paths[0]), positions_of(tree, paths[1])


def _is_metres(pair: tuple[Array, Array]) -> bool:
    known = [np.abs(values[np.isfinite(values)]) for values in pair]
    return max((float(one.max()) for one in known if one.size), default=0.0) <= _LARGEST_M
