"""What a product of ptychodus holds beside frames: facts, probe, object, positions in metres.

HDF5 has facts and pixel sizes as attributes, `.npz` as members; up to 2025 some names were others.
"""

from __future__ import annotations

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.ptychodus_parts import (
    add_fact,
    add_pixel,
    add_probe_and_object,
    frame_numbers,
    positions_of,
)
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, has, number, numbers, text, values
from ptystore.model.lazy_array import Array, Indices, read_all

__all__ = ["INDEXES", "POSITIONS", "add_product"]

POSITIONS = ("/probe_position_y_m", "/probe_position_x_m")
INDEXES = "/probe_position_indexes"

_RAW_DATA = "/raw_data"


def add_product(scan: Scan, tree: Tree, rows: Indices | None) -> None:
    """All that it holds, of the positions at `rows` (m,), or of all; frames, if any, are there yet.

    Raises `InputError` where what there is one of for each position is not as many.
    """
    _facts(scan, tree)
    add_probe_and_object(scan, tree)
    _spacing_and_loss(scan, tree)
    y, x = (positions_of(tree, path) for path in POSITIONS)
    _check_count(tree, POSITIONS[1], x, len(y))
    taken = np.arange(len(y)) if rows is None else rows
    indexes = frame_numbers(tree, INDEXES)
    if indexes is not None:
        _check_count(tree, INDEXES, indexes, len(y))
        scan.arrays["frame_index"] = memory_array(indexes[taken])
    photons = numbers(tree, "/probe_photon_counts")
    if photons is not None:
        found = np.atleast_1d(photons[0])
        _check_count(tree, photons[1], found, len(y))
        scan.arrays["probe_photon_counts"] = memory_array(found[taken])
    weights = _weights(tree)
    if weights is not None:
        _check_count(tree, "/opr_weights", weights, len(y))
        scan.arrays["opr_weights"] = memory_array(weights[taken])
    _place(scan, tree, y[taken], x[taken])


def _facts(scan: Scan, tree: Tree) -> None:
    for name, *names in (
        ("photon_energy_eV", "photon_energy_eV", "probe_energy_eV"),
        ("detector_distance_m", "detector_object_distance_m"),
        ("exposure_s", "exposure_time_s"),
        ("probe_photon_count", "probe_photon_count"),
        ("tomography_angle_deg", "tomography_angle_deg"),
    ):
        add_fact(scan, tree, name, *names, zero_is_unset=True)
    for name, *names in (
        ("mass_attenuation_m2_kg", "mass_attenuation_m2_per_kg", "mass_attenuation_m2_kg"),
        ("focus_distance_m", "focus_object_distance_m"),
        ("tilt_angle_deg", "tilt_angle_deg"),
    ):
        add_fact(scan, tree, name, *names)
    far = number(tree, "/@far_field", "/far_field")
    if far is not None:
        scan.fact("propagation", "far" if far[0] else "near", far[1])
    polarization = text(tree, "/@polarization", "/polarization")
    if polarization is not None and polarization[0]:
        scan.fact("polarization", *polarization)
    add_pixel(
        scan,
        tree,
        "object_pixel_size_m",
        *("/object@pixel_{side}_m", "/object_pixel_{side}_m"),
        *("/probe@pixel_{side}_m", "/probe_pixel_{side}_m"),
    )
    center = [number(tree, f"/object@center_{axis}_m", f"/object_center_{axis}_m") for axis in "yx"]
    if center[0] is not None and center[1] is not None:
        scan.fact("object_center_m", [center[0][0], center[1][0]], center[0][1])


def _spacing_and_loss(scan: Scan, tree: Tree) -> None:
    spacing = numbers(tree, "/object_layer_spacing_m")
    if spacing is not None and spacing[0].size:
        scan.arrays["slice_spacing_m"] = memory_array(np.atleast_1d(spacing[0]))
    loss = numbers(tree, "/loss_values", "/costs")
    if loss is not None and loss[0].size:
        found, epochs = np.atleast_1d(loss[0]), frame_numbers(tree, "/loss_epochs")
        # Epochs that are only counted from 0 or 1 say nothing that the order does not.
        known = epochs is None or (epochs - epochs[:1] == np.arange(len(epochs))).all()
        attrs = {} if epochs is None or known else {"epochs": epochs.tolist()}
        scan.arrays["loss"] = memory_array(found.reshape(-1), attrs)


def _weights(tree: Tree) -> Array | None:
    """The weights (n, opr), of which older readers know the attribute and writers the array."""
    if has(tree, "/opr_weights"):
        found = values(tree, "/opr_weights")
    else:
        stated = tree.attrs("/probe").get("opr_weights")
        if stated is None:
            return None
        found = np.asarray(stated)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or found.dtype.kind not in "iuf":
        reason = f"is {found.dtype} of shape {found.shape}, where (n, opr) weights should be"
        raise InputError(reason, file=tree.path, member="/opr_weights")
    return found


def _check_count(tree: Tree, path: str, found: Array, count: int) -> None:
    if len(found) != count:
        reason = f"has {len(found)} entries for {count} positions"
        raise InputError(reason, file=tree.path, member=path)


def _place(scan: Scan, tree: Tree, y: Array, x: Array) -> None:
    """The positions in metres, and in the object's pixels where it is known how it lies."""
    frame = scan.frame_shape()
    if "objectGuess" not in scan.arrays or frame is None:
        scan.relative_positions_m(y, x, frame)
        return
    scan.positions_m(y, x)
    pixel, center = scan.pixel(frame), scan.value("object_center_m")
    if pixel is None:
        scan.remarks.append(
            "the positions are in metres, and nothing says how large an object's pixel is: "
            "--pixel-size tells"
        )
        return
    if center is None:
        scan.remarks.append(
            "the positions are in metres alone: the object has no center_y_m and center_x_m; "
            "--map ycoords=FILE:PATH and --map xcoords=FILE:PATH bring positions in pixels"
        )
        return
    scan.positions_from_center(y, x, frame, pixel, center)
    as_pixels = [values / own for values, own in zip((y, x), pixel, strict=True)]
    _warn(scan, tree, any(center), as_pixels, frame)


def _warn(
    scan: Scan,
    tree: Tree,
    has_center: bool,
    as_pixels: list[Array],
    frame: tuple[int, int],
) -> None:
    """Say what a product that PtychoPINN exported holds, whose metres count from the corner."""
    extents = scan.arrays["objectGuess"].shape[-2:]
    placed = [read_all(scan.arrays[name].build(0)) for name in ("ycoords", "xcoords")]
    has_raw = has(tree, f"{_RAW_DATA}/xcoords", f"{_RAW_DATA}/ycoords")
    if not has_center:
        from_corner = _inside(as_pixels, extents, frame) and not _inside(placed, extents, frame)
        if has_raw and not from_corner:
            theirs = [numbers(tree, f"{_RAW_DATA}/{axis}coords") for axis in "yx"]
            from_corner = all(
                one is not None and one[0].shape == own.shape and np.allclose(one[0], own, atol=0.1)
                for one, own in zip(theirs, as_pixels, strict=True)
            )
        if from_corner:
            scan.remarks.append(
                "the object's centre is 0, and the positions seem to count from its corner, as "
                "PtychoPINN exports them: then all are half a field off"
            )
    if has_raw:
        scan.remarks.append(
            "holds a scan of PtychoPINN, which is left out: --map ycoords=/raw_data/ycoords, "
            "--map xcoords=/raw_data/xcoords and --map diffraction=/raw_data/diffraction take it"
        )


def _inside(
    pixels: list[Array], extents: tuple[int, ...], frame: tuple[int, int], slack: float = 1.0
) -> bool:
    """Whether all windows lie in the object, but for `slack` pixels."""
    corners = [values - size // 2 for values, size in zip(pixels, frame, strict=True)]
    return all(
        bool((corner >= -slack).all() and (corner + size <= extent + slack).all())
        for corner, size, extent in zip(corners, frame, extents, strict=True)
    )
