"""Frames and parameters in two files, ``NAME_dp`` and ``NAME_para``: pty-chi's and fold_slice's."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray
from ptystore.formats.dialects.coordinates import from_rounded_middle
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.far_field import with_distance
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree, has, number, numbers
from ptystore.formats.dialects.views import reshaped
from ptystore.model.lazy_array import Array

__all__ = ["FoldSlicePair", "FramesOfPair", "PtyChiPair"]

_FRAMES, _PARAMETERS = "_dp", "_para"
_DP = "/dp"


class PtyChiPair:
    """pty-chi's parameters: probe, object and positions in metres, and the frames beside them."""

    name = "pty-chi"
    title = "pty-chi pair, NAME_para.hdf5 and NAME_dp.hdf5"
    line = 53
    keys = ("/probe_position_x_m", "/probe_position_y_m", "/object")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and has(tree, *self.keys) and _is_pty_chi(tree)

    def read(self, tree: Tree, context: Context) -> Contents:
        return _read(tree, context, self.name)


class FoldSlicePair:
    """fold_slice's parameters: positions and pixel in metres, and the frames beside them."""

    name = "fold-slice"
    title = "fold_slice pair, NAME_para.hdf5 and NAME_dp.hdf5"
    line = 52
    keys = ("/ppX", "/ppY")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and has(tree, *self.keys)

    def read(self, tree: Tree, context: Context) -> Contents:
        return _read(tree, context, self.name)


class FramesOfPair:
    """The frames of either: what is beside them tells which."""

    name = "dp"
    title = "frames of a pair, NAME_dp.hdf5"
    line = 54
    keys = (_DP,)

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and len(tree.shape(_DP)) == 3

    def read(self, tree: Tree, context: Context) -> Contents:
        return _read(tree, context, self.name)


def _is_pty_chi(tree: Tree) -> bool:
    """A product of ptychodus has the same names, and this attribute."""
    keys = ("/probe_position_x_m", "/probe_position_y_m")
    return has(tree, *keys) and "detector_object_distance_m" not in tree.attrs()


def _is_fold_slice(tree: Tree) -> bool:
    return has(tree, *FoldSlicePair.keys)


def _has_parameters(tree: Tree) -> bool:
    return _is_fold_slice(tree) or _is_pty_chi(tree)


def _read(tree: Tree, context: Context, name: str) -> Contents:
    scan = Scan(tree, context, name)
    frames = tree if has(tree, _DP) else None
    parameters = tree if _has_parameters(tree) else None
    if frames is None or parameters is None:
        suffixes = (_PARAMETERS, _FRAMES) if frames is None else (_FRAMES, _PARAMETERS)
        partner = scan.partner(*_beside(tree.path, *suffixes))
        if partner is not None:
            if frames is None and has(partner, _DP):
                frames = partner
            elif parameters is None and _has_parameters(partner):
                parameters = partner
            else:
                lacks = "no dp" if frames is None else "no positions of pty-chi or fold_slice"
                reason = f"holds {lacks}: it is no partner of {tree.path.name}"
                if context.options.partner is not None:
                    raise InputError(reason, file=partner.path)
                scan.remarks.append(f"{partner.path.name} {reason}")
    if frames is not None:
        scan.counts(frames.array(_DP, "diffraction"))
    else:
        scan.lacks_frames("the frames are in a file NAME_dp.hdf5, which --with names")
    if parameters is None:
        scan.lacks_positions("the positions are in a file NAME_para.hdf5, which --with names")
    elif _is_fold_slice(parameters):
        scan.dialect = FoldSlicePair.name
        _fold_slice(scan, parameters)
    else:
        scan.dialect = PtyChiPair.name
        _pty_chi(scan, parameters)
    return scan.contents()


def _beside(path: PurePath, own: str, others: str) -> list[str]:
    """What the partner of NAME_own may be called, with any suffix of HDF5."""
    if not path.stem.endswith(own):
        return []
    stem = path.stem.removesuffix(own) + others
    return list(dict.fromkeys(stem + suffix for suffix in (path.suffix, ".hdf5", ".h5")))


def _pty_chi(scan: Scan, tree: Tree) -> None:
    if has(tree, "/probe"):
        scan.arrays["probeGuess"] = _without_ones(tree.array("/probe", "probeGuess"))
    has_object = len(tree.shape("/object")) >= 2
    if has_object:
        scan.arrays["objectGuess"] = _without_ones(tree.array("/object", "objectGuess"))
    for owner in ("/object", "/probe"):
        sides = [number(tree, f"{owner}@pixel_{side}_m") for side in ("height", "width")]
        if sides[0] is not None and sides[1] is not None:
            scan.fact("object_pixel_size_m", [sides[0][0], sides[1][0]], f"{owner}@pixel_height_m")
            break
    y, x = (_positions(tree, f"/probe_position_{axis}_m") for axis in ("y", "x"))
    frame = with_distance(scan)
    pixel = scan.pixel(frame) if frame is not None else None
    if not has_object or frame is None or pixel is None:
        scan.relative_positions_m(y, x, frame)
        return
    scan.positions_m(y, x)
    extents = tree.shape("/object")[-2:]
    placed = [
        from_rounded_middle(values, own, extent, size)
        for values, own, extent, size in zip((y, x), pixel, extents, frame, strict=True)
    ]
    scan.positions(placed[0], placed[1])


def _fold_slice(scan: Scan, tree: Tree) -> None:
    scan.found("wavelength_m", number(tree, "/lambda"))
    scan.found("tomography_angle_deg", number(tree, "/angle"))
    pixel = number(tree, "/dx")
    if pixel is not None:
        scan.fact("object_pixel_size_m", [pixel[0]] * 2, pixel[1])
    y, x = (_positions(tree, path) for path in ("/ppY", "/ppX"))
    scan.relative_positions_m(y, x, with_distance(scan))


def _positions(tree: Tree, path: str) -> Array:
    """Metres (n,), stored as (n,), (n, 1) or (1, n)."""
    found = numbers(tree, path)
    if found is None or found[0].ndim > 1:
        shape = tree.shape(path)
        raise InputError(f"has shape {shape}, where (n,) positions should be", member=path)
    return np.atleast_1d(found[0])


def _without_ones(raw: RawArray) -> RawArray:
    """([opr,] mode, y, x) or (slice, y, x) as the contract has it: (y, x) for a single one."""
    shape = raw.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return reshaped(raw, shape)
