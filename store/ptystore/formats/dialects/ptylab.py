"""PtyLab: a scan in HDF5 (`ptychogram`, `encoder`), and the result of a reconstruction."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ptystore.compute.turning import turned
from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray
from ptystore.formats.dialects.coordinates import about_middle
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, has, number, numbers, reals, values
from ptystore.formats.dialects.views import frames_by, reshaped, whole_by
from ptystore.model.geometry import RawFrame
from ptystore.model.lazy_array import Array, Indices

__all__ = ["PtyLabResult", "PtyLabScan"]

#: Kept under their own names, of a scan.
_KEPT = ("emptyBeam", "entrancePupilDiameter")


class PtyLabScan:
    """A scan as PtyLab 0.3 reads it: counts, positions in metres (row, column) of the probe.

    A result that the caller names as partner gives probe and object.
    """

    name = "ptylab"
    title = "PtyLab scan, HDF5"
    line = 50
    keys = ("/ptychogram", "/encoder")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and has(tree, *self.keys)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        partner = scan.partner()
        if partner is not None and not _is_result(partner):
            raise InputError("is no result of PtyLab: holds no 6-D object", file=partner.path)
        own = tree if has(tree, "/object") or has(tree, "/probe") else None
        return _read(scan, tree, partner or own)


class PtyLabResult:
    """Object and probe (6-D each) of a reconstruction; a scan as partner gives frames."""

    name = "ptylab-result"
    title = "PtyLab result, HDF5"
    line = 51
    keys = ("/object", "/probe", "/zo")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and has(tree, *self.keys) and _is_result(tree)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        partner = scan.partner()
        if partner is not None and not has(partner, *PtyLabScan.keys):
            raise InputError("is no scan of PtyLab: holds no ptychogram", file=partner.path)
        return _read(scan, partner, tree)


def _is_result(tree: Tree) -> bool:
    return len(tree.shape("/object")) == 6


def _read(scan: Scan, raw: Tree | None, result: Tree | None) -> Contents:
    for tree in (raw, result):
        if tree is not None:
            _facts(scan, tree)
    if raw is not None:
        _frames(scan, raw)
    extents = None if result is None else _reconstruction(scan, result)
    encoders = [
        (tree, path)
        for tree, path in ((result, "/encoder_corrected"), (raw, "/encoder"), (result, "/encoder"))
        if tree is not None and has(tree, path)
    ]
    if not encoders:
        scan.lacks_positions("holds no positions: --positions names a file of them")
        return scan.contents()
    count = scan.arrays["diffraction"].shape[0] if raw is not None else None
    positions = _encoder(*encoders[0], count)
    frame = scan.frame_shape()
    pixel = scan.value("object_pixel_size_m") if frame is None else scan.pixel(frame)
    if extents is None or pixel is None:
        scan.relative_positions_m(positions[:, 0], positions[:, 1], frame)
    else:
        measured = next((one for one in encoders if one[1] == "/encoder"), encoders[0])
        in_metres = _encoder(*measured, count)
        scan.positions_m(in_metres[:, 0], in_metres[:, 1])
        y, x = (about_middle(positions[:, axis], pixel[axis], extents[axis]) for axis in (0, 1))
        scan.positions(y, x)
    return scan.contents()


def _facts(scan: Scan, tree: Tree) -> None:
    if math.prod(tree.shape("/wavelength")) == 1:
        scan.found("wavelength_m", number(tree, "/wavelength"))
    elif has(tree, "/wavelength"):
        scan.remarks.append("has several wavelengths, none of which is taken for the scan's")
    scan.positive("detector_distance_m", number(tree, "/zo"))
    for name, path in (("detector_pixel_size_m", "/dxd"), ("object_pixel_size_m", "/dxp")):
        pixel = number(tree, path)
        if pixel is not None:
            scan.fact(name, [pixel[0]] * 2, path)
    tilt = number(tree, "/theta")
    if tilt is not None and math.isfinite(tilt[0]):
        scan.found("tilt_angle_deg", tilt)


def _frames(scan: Scan, tree: Tree) -> None:
    """The frames as the file's orientation has them, and where that puts zero frequency."""
    raw = tree.array("/ptychogram", "diffraction")
    if len(raw.shape) != 3:
        raise InputError(f"has shape {raw.shape}, where (n, N, N) should be", member="/ptychogram")
    orientation = _orientation(tree)
    count, *shape = raw.shape
    center = [size // 2 for size in shape]
    for name in _KEPT:
        if has(tree, f"/{name}"):
            scan.arrays[name] = tree.array(f"/{name}", name)
    turned_shape = shape[::-1] if orientation & 4 else shape
    if orientation:
        function = partial(_turned_block, orientation)
        raw = frames_by(function, raw, 0, (count, *turned_shape))
        empty = scan.arrays.get("emptyBeam")
        if empty is not None and list(empty.shape) == shape:
            turn = partial(_turned_whole, orientation)
            scan.arrays["emptyBeam"] = whole_by(turn, empty, tuple(turned_shape))
        center = center[::-1] if orientation & 4 else center
        # Flips count pixels from the other end, which moves the middle of an even number of them.
        for axis, flip in ((0, 2), (1, 1)):
            if orientation & flip:
                center[axis] = turned_shape[axis] - 1 - center[axis]
        if any(at != size // 2 for at, size in zip(center, turned_shape, strict=True)):
            scan.raw_remarks.append(
                f"orientation {orientation} leaves zero frequency at pixel {center} of "
                f"{turned_shape}: cropping around the centre puts it to N//2"
            )
    scan.counts(raw)
    scan.raw_frame = RawFrame(
        detector_shape=(shape[0], shape[1]),
        center_px=(float(center[0]), float(center[1])),
        orientation=orientation,
    )


def _orientation(tree: Tree) -> int:
    found = number(tree, "/orientation")
    if found is None:
        return 0
    if found[0] not in range(8):
        raise InputError(f"is {found[0]:g}, where 0 to 7 should be", member="/orientation")
    return int(found[0])


def _turned_block(orientation: int, frames: Indices, block: Array) -> Array:
    return turned(block, orientation)


def _turned_whole(orientation: int, values: Array) -> Array:
    return turned(values, orientation)


def _encoder(tree: Tree, path: str, count: int | None) -> Array:
    """Positions (n, 2) in metres, (row, column), stored as (n, 2) or (2, n)."""
    found = reals(tree, path)
    if found.ndim != 2 or 2 not in found.shape:
        raise InputError(
            f"has shape {found.shape}, where (n, 2) positions should be",
            file=tree.path,
            member=path,
        )
    rows_fit = found.shape[1] == 2 and (count is None or found.shape[0] == count)
    return found if rows_fit or found.shape[0] != 2 else found.T


def _reconstruction(scan: Scan, tree: Tree) -> tuple[int, int] | None:
    """Probe, object and loss; the object's (H, W), None where it is none that can be taken."""
    loss = numbers(tree, "/error")
    if loss is not None:
        scan.arrays["loss"] = memory_array(np.atleast_1d(loss[0]).reshape(-1))
    if has(tree, "/probe"):
        _probe(scan, tree)
    if not has(tree, "/object"):
        return None
    whole = tree.array("/object", "objectGuess")
    if len(whole.shape) == 6:
        *states, slices, height, width = whole.shape
        if states != [1, 1, 1]:
            _left_alone(scan, "object", whole)
            return None
        whole = reshaped(whole, (height, width) if slices == 1 else (slices, height, width))
    scan.arrays["objectGuess"] = whole
    return whole.shape[-2], whole.shape[-1]


def _probe(scan: Scan, tree: Tree) -> None:
    """The probe (nlambda, 1, mode, slice, y, x) as ([mode,] y, x)."""
    probe = tree.array("/probe", "probeGuess")
    if len(probe.shape) == 6:
        *states, modes, slices, height, width = probe.shape
        if states != [1, 1]:
            _left_alone(scan, "probe", probe)
            return
        if slices > 1:
            # Behind the first slice it is the same probe, propagated.
            probe = memory_array(values(tree, "/probe")[:, :, :, 0])
        probe = reshaped(probe, (height, width) if modes == 1 else (modes, height, width))
    scan.arrays["probeGuess"] = probe


def _left_alone(scan: Scan, name: str, raw: RawArray) -> None:
    scan.arrays[name] = raw
    scan.remarks.append(
        f"{name} has shape {raw.shape}, several wavelengths or states: kept as it is, "
        f"there is no {name}Guess"
    )
