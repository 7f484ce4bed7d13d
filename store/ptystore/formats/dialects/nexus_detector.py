"""What NeXus says of a detector beside frames: the beam's centre, exposures, bad pixels."""

from __future__ import annotations

import dataclasses

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.cxi_parts import first_of
from ptystore.formats.dialects.nexus_units import Units
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, number, text, values
from ptystore.model.quantities import factor

__all__ = ["add_beam_center", "add_exposure", "add_pixel_mask"]

#: Bits of a `pixel_mask`: gap, dead, under- and over-responding, noisy; and what CXI calls them.
_BITS = {1: 0x200, 2: 0x8, 4: 0x80, 8: 0x4, 16: 0x400}

#: CXI's bit of a pixel that is bad for another reason.
_INVALID = 1


def add_beam_center(scan: Scan, tree: Tree, detector: str) -> None:
    """Pixel [y, x] of zero frequency in place of what the raw frame has; 0, 0 stands for unset.

    A centre in metres is divided by the detector's pixel. Raises `InputError` naming the option
    that says the centre where its units are not understood.
    """
    paths = [f"{detector}/beam_center_{axis}" for axis in "yx"]
    found = [number(tree, path) for path in paths]
    frame = scan.raw_frame
    if found[0] is None or found[1] is None or frame is None:
        return
    if not found[0][0] and not found[1][0]:
        scan.raw_remarks.append(
            f"{paths[0]} and x are 0, which is unset: --center says where it is"
        )
        return
    pixel = scan.value("detector_pixel_size_m")
    center = []
    for axis, (value, path) in enumerate((found[0], found[1])):
        told = text(tree, f"{path}@units")
        if told is None or told[0].strip().lower() in ("pixel", "pixels", "px", "", "1"):
            center.append(value)
            continue
        times = factor(told[0], "length")
        if times is None or pixel is None:
            reason = f"is in {told[0]!r}, and can't be brought to pixels"
            raise InputError(
                reason,
                file=tree.path,
                member=path,
                advice="--detector-pixel says how large one is" if times else None,
            )
        center.append(value * times / pixel[axis])
    scan.raw_frame = dataclasses.replace(frame, center_px=(center[0], center[1]))
    scan.warn_of_center()


def add_exposure(units: Units, detector: str) -> None:
    """`count_time`, one for all frames or one for each."""
    scan, path = units.scan, f"{detector}/count_time"
    if first_of(scan.tree, path) is None:
        return
    found = values(units.tree, path).reshape(-1)
    found = found.astype(np.float64) if found.dtype.kind in "iuf" else np.zeros(0)
    count = scan.arrays["diffraction"].shape[0] if "diffraction" in scan.arrays else 1
    if not found.size or not np.isfinite(found).all() or not found.max() > 0:
        return
    times = units.times("time", path, float(found.max()))
    if times is None:
        return
    if np.ptp(found) <= 1e-6 * found.max():
        scan.fact("exposure_s", float(found[0]) * times, path)
    elif len(found) == count:
        scan.arrays["exposure"] = memory_array(found * times)


def add_pixel_mask(scan: Scan, tree: Tree, path: str) -> None:
    """A mask of NeXus's bits, 0 is good, as CXI's bits; left out, and said, for another shape."""
    frame = scan.frame_shape()
    if frame is None or first_of(tree, path) is None:
        return
    shape = tree.shape(path)
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    if shape != frame:
        scan.remarks.append(
            f"{path} has shape {tree.shape(path)}, and the frames are {frame}: it is left out; "
            "--map mask=FILE:PATH takes another"
        )
        return
    found = values(tree, path).reshape(shape).astype(np.int64)
    bits = np.zeros(shape, np.uint32)
    for theirs, ours in _BITS.items():
        bits[found & theirs != 0] |= ours
    bits[found & ~sum(_BITS) != 0] |= _INVALID
    scan.arrays["mask"] = memory_array(bits)
