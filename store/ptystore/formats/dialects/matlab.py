"""PtychoShelves and fold_slice: reconstructions in MATLAB files, of version 5 or 7.3 (HDF5).

MATLAB shows `probe` (N, N[, mode[, opr]]) and `object` (H, W[, layer]); in HDF5 all axes of all
arrays are the other way round. There are no frames.
"""

from __future__ import annotations

import math

import numpy as np

from ptystore.compute.placing import placed
from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray
from ptystore.formats.dialects.coordinates import corner, middle
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.far_field import with_distance
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, number, values
from ptystore.formats.dialects.views import whole_by
from ptystore.model.lazy_array import Array

__all__ = ["MatlabReconstruction"]

_PROBE, _OBJECT = "/probe", "/object"
_ABOUT_MIDDLE, _CORNERS = "/outputs/probe_positions", "/p/positions"
_PIXEL, _WAVELENGTH, _ANGLE = "/p/dx_spec", "/p/lambda", "/p/angle"
_GAPS, _LOSS = "/p/multi_slice_param/z_distance", "/outputs/fourier_error_out"


class MatlabReconstruction:
    """Probe, object and positions of a reconstruction by PtychoShelves or fold_slice."""

    name = "ptychoshelves"
    title = "reconstruction of PtychoShelves or fold_slice, .mat (5 or 7.3)"
    line = 20
    keys = (_OBJECT, _PROBE, _ABOUT_MIDDLE)

    def matches(self, tree: Tree) -> bool:
        both = _is_there(tree, _PROBE) and _is_there(tree, _OBJECT)
        said = any(_is_there(tree, path) for path in (_ABOUT_MIDDLE, _CORNERS, _WAVELENGTH))
        return _is_matlab(tree) and (both or said)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        for name, path in (("probeGuess", _PROBE), ("objectGuess", _OBJECT)):
            if _is_there(tree, path):
                scan.arrays[name] = _rows_and_columns(tree, tree.array(path, name), path)
        if _is_there(tree, _WAVELENGTH):
            scan.positive("wavelength_m", number(tree, _WAVELENGTH))
        if _is_there(tree, _ANGLE):
            scan.found("tomography_angle_deg", number(tree, _ANGLE))
        if _is_there(tree, _PIXEL):
            scan.fact("object_pixel_size_m", _pixel(tree), _PIXEL)
        frame = with_distance(scan)
        _place(scan, frame)
        _slices(scan)
        if _is_there(tree, _LOSS):
            loss = _shown(tree, _LOSS)
            if loss.size == max(loss.shape, default=1):
                scan.arrays["loss"] = memory_array(loss.reshape(-1).astype(np.float64))
        scan.lacks_frames("holds no frames: --map diffraction=FILE:PATH brings them")
        return scan.contents()


def _is_matlab(tree: Tree) -> bool:
    if tree.container == "mat":
        return True
    paths = (_PROBE, _OBJECT, _ABOUT_MIDDLE, _CORNERS, _WAVELENGTH)
    return tree.container == "hdf5" and any("MATLAB_class" in tree.attrs(path) for path in paths)


def _is_there(tree: Tree, path: str) -> bool:
    """Whether there is an array with something in it: of an empty one MATLAB keeps the shape."""
    if tree.kind(path) != "array" or 0 in tree.shape(path):
        return False
    return not tree.attrs(path).get("MATLAB_empty")


def _shown(tree: Tree, path: str) -> Array:
    """A small array of real numbers in the shape that MATLAB shows."""
    found = values(tree, path)
    if found.dtype.kind not in "biuf":
        raise InputError(f"has dtype {found.dtype}, not real numbers", member=path)
    return found.T if tree.container == "hdf5" else found


def _pixel(tree: Tree) -> list[float]:
    """[y, x] of (width, height), or of one number for both."""
    found = _shown(tree, _PIXEL).reshape(-1)
    if found.size not in (1, 2):
        raise InputError(f"has {found.size} numbers, not width and height", member=_PIXEL)
    return [float(found[-1]), float(found[0])]


def _rows_and_columns(tree: Tree, raw: RawArray, path: str) -> RawArray:
    """(…, rows, columns), with what MATLAB has behind them in front, the last of it first."""
    ndim = len(raw.shape)
    if ndim < 2:
        raise InputError(f"has shape {raw.shape}, no rows and columns", member=path)
    if tree.container == "hdf5":
        shape = (*raw.shape[:-2], raw.shape[-1], raw.shape[-2])
    else:
        shape = (*raw.shape[:1:-1], *raw.shape[:2])
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return whole_by(_columns_last if tree.container == "hdf5" else _rows_last, raw, shape)


def _columns_last(stored: Array) -> Array:
    return _without_ones(np.swapaxes(stored, -1, -2))


def _rows_last(shown: Array) -> Array:
    return _without_ones(np.transpose(shown, (*range(shown.ndim - 1, 1, -1), 0, 1)))


def _without_ones(array: Array) -> Array:
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return np.ascontiguousarray(array)


def _place(scan: Scan, frame: tuple[int, int] | None) -> None:
    """Positions (n, 2): (x, y) about the object's middle, else first corners (row, column)."""
    tree = scan.tree
    path = _ABOUT_MIDDLE if _is_there(tree, _ABOUT_MIDDLE) else _CORNERS
    if not _is_there(tree, path):
        return
    found = _shown(tree, path).astype(np.float64)
    if found.ndim != 2 or found.shape[1] != 2:
        raise InputError(f"has shape {found.shape}, where (n, 2) positions should be", member=path)
    if frame is None:
        scan.remarks.append(f"{path} can't be placed without a probe, whose size is the frames'")
        return
    if path == _CORNERS:  # as MATLAB counts, from 1
        scan.positions(corner(found[:, 0] - 1, frame[0]), corner(found[:, 1] - 1, frame[1]))
        return
    if "objectGuess" not in scan.arrays:
        inside = placed(found[:, 1], found[:, 0], frame, (1.0, 1.0))
        scan.positions(inside.y, inside.x)
        scan.fact("object_shape", list(inside.shape), "derived")
        return
    height, width = scan.arrays["objectGuess"].shape[-2:]
    scan.positions(found[:, 1] + middle(height, frame[0]), found[:, 0] + middle(width, frame[1]))


def _slices(scan: Scan) -> None:
    """The distances between slices; what MATLAB has behind the last of them is left out."""
    if not _is_there(scan.tree, _GAPS) or "objectGuess" not in scan.arrays:
        return
    gaps = math.prod(scan.arrays["objectGuess"].shape[:-2]) - 1
    found = _shown(scan.tree, _GAPS).reshape(-1).astype(np.float64)
    if len(found) < gaps:
        scan.remarks.append(f"{_GAPS} has {len(found)} distances for {gaps + 1} slices: left out")
    elif gaps:
        scan.arrays["slice_spacing_m"] = memory_array(found[:gaps])
