"""What ptychodus 1.7 keeps in a CXI file beside frames: names of its products, as arrays."""

from __future__ import annotations

import math

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.cxi_parts import add_probe, first_of, translation_of
from ptystore.formats.dialects.ptychodus_parts import add_pixel, bare, frame_numbers
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, has, number, numbers, text, values
from ptystore.formats.dialects.views import reshaped
from ptystore.model.lazy_array import Array, Indices

__all__ = ["add_facts", "add_product", "is_ptychodus", "position_numbers"]

#: Facts, the names they may have, and whether 0 stands for unset.
_FACTS = (
    ("exposure_s", ("exposure_time_s",), True),
    ("probe_photon_count", ("probe_photon_count",), True),
    ("tomography_angle_deg", ("tomography_angle_deg",), True),
    ("mass_attenuation_m2_kg", ("mass_attenuation_m2_kg", "mass_attenuation_m2_per_kg"), False),
    ("focus_distance_m", ("focus_object_distance_m",), False),
    ("tilt_angle_deg", ("tilt_angle_deg",), False),
)


def is_ptychodus(tree: Tree, entry: str) -> bool:
    """Whether ptychodus wrote the entry."""
    program = text(tree, f"{entry}/process_1/program")
    is_its = program is not None and program[0].strip() == "Ptychodus"
    return is_its or tree.kind(f"{entry}/ptychodus") == "group"


def position_numbers(tree: Tree, entry: str) -> Array | None:
    """The numbers (n,) of the frames that the positions belong to; None where there are none."""
    return frame_numbers(tree, f"{entry}/ptychodus/probe_position_indexes")


def add_facts(scan: Scan, tree: Tree, entry: str) -> None:
    """The facts that ptychodus adds to a file of frames as well as to a product."""
    own = f"{entry}/ptychodus"
    for name, names, zero_is_unset in _FACTS:
        found = number(tree, *(f"{own}/{one}" for one in names))
        if found is not None and math.isfinite(found[0]):
            (scan.positive if zero_is_unset else scan.found)(name, found)
    far = number(tree, f"{own}/far_field")
    if far is not None:
        scan.fact("propagation", "far" if far[0] else "near", far[1])
    polarization = text(tree, f"{own}/polarization")
    if polarization is not None and polarization[0]:
        scan.fact("polarization", *polarization)


def add_product(scan: Scan, tree: Tree, entry: str, rows: Indices | None) -> None:
    """All that it holds, of the positions at `rows` (m,), or of all; frames, if any, are there yet.

    Raises `InputError` where what there is one of for each position is not as many.
    """
    own = f"{entry}/ptychodus"
    add_probe(scan, tree, entry, is_surely=True)
    path = first_of(tree, f"{entry}/image_2/data")
    if path is not None:
        _object(scan, tree, path)
    _pixel(scan, tree, entry)
    center = [number(tree, f"{own}/object_center_{axis}_m") for axis in "yx"]
    if center[0] is not None and center[1] is not None:
        scan.fact("object_center_m", [center[0][0], center[1][0]], center[0][1])
    spacing = numbers(tree, f"{own}/object_layer_spacing_m")
    if spacing is not None and spacing[0].size:
        scan.arrays["slice_spacing_m"] = memory_array(np.atleast_1d(spacing[0]))
    loss = numbers(tree, f"{own}/loss_values")
    if loss is not None and loss[0].size:
        scan.arrays["loss"] = memory_array(np.atleast_1d(loss[0]).reshape(-1))
    _positions(scan, tree, entry, rows)


def _object(scan: Scan, tree: Tree, path: str) -> None:
    raw = bare(tree.array(path, "objectGuess"))
    if len(raw.shape) not in (2, 3):
        reason = f"has shape {raw.shape}, where (layer, H, W) should be"
        raise InputError(reason, file=tree.path, member=path)
    shape = raw.shape[1:] if len(raw.shape) == 3 and raw.shape[0] == 1 else raw.shape
    scan.arrays["objectGuess"] = reshaped(raw, shape)


def _pixel(scan: Scan, tree: Tree, entry: str) -> None:
    own, name = f"{entry}/ptychodus", "object_pixel_size_m"
    add_pixel(scan, tree, name, *(f"{own}/{of}_pixel_{{side}}_m" for of in ("object", "probe")))
    for image in ("image_2", "image_1"):
        size = numbers(tree, f"{entry}/{image}/image_size")
        shape = tree.shape(f"{entry}/{image}/data")
        if scan.value(name) is None and size is not None and size[0].size >= 2 and len(shape) >= 2:
            width, height = size[0].reshape(-1)[:2].tolist()
            if width > 0 and height > 0:
                scan.fact(name, [height / shape[-2], width / shape[-1]], size[1])


def _positions(scan: Scan, tree: Tree, entry: str, rows: Indices | None) -> None:
    """The translations (x, y, z) in metres, which move the probe whatever the basis says."""
    found = translation_of(scan, tree, entry)
    if found is None:
        scan.lacks_positions("holds no positions: --positions names a file of them")
        return
    translation, path = found
    frames = scan.arrays.get("diffraction")
    if rows is None and frames is not None and frames.shape[0] != len(translation):
        raise InputError(
            f"has {len(translation)} translations for {frames.shape[0]} frames",
            file=tree.path,
            member=path,
            advice="--positions names a file of others",
        )
    taken = np.arange(len(translation)) if rows is None else rows
    _per_position(scan, tree, entry, len(translation), taken)
    y, x = translation[taken, 1], translation[taken, 0]
    frame, center = scan.frame_shape(), scan.value("object_center_m")
    pixel = None if frame is None else scan.pixel(frame)
    if "objectGuess" not in scan.arrays or frame is None:
        scan.relative_positions_m(y, x, frame)
        return
    scan.positions_m(y, x)
    if pixel is None or center is None:
        lacks = "nothing says how large its pixel is: --pixel-size tells"
        if pixel is not None:
            lacks = "there is no object_center_y_m: --map ycoords=FILE:PATH brings pixels"
        scan.remarks.append(f"the positions are in metres, there is an object, and {lacks}")
        return
    scan.positions_from_center(y, x, frame, pixel, center)


def _per_position(scan: Scan, tree: Tree, entry: str, count: int, taken: Indices) -> None:
    own = f"{entry}/ptychodus"
    indexes = position_numbers(tree, entry)
    found = {"frame_index": (indexes, f"{own}/probe_position_indexes")}
    for name in ("probe_photon_counts", "opr_weights"):
        path = f"{own}/{name}"
        found[name] = (np.atleast_1d(values(tree, path)) if has(tree, path) else None, path)
    for name, (entries, path) in found.items():
        if entries is None:
            continue
        if len(entries) != count:
            reason = f"has {len(entries)} entries for {count} positions"
            raise InputError(reason, file=tree.path, member=path)
        if name == "opr_weights" and entries.ndim == 1:
            entries = entries[:, None]
        scan.arrays[name] = memory_array(entries[taken])
