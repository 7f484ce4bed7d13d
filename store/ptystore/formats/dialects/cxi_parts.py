"""What CXI and NXcxi_ptycho share: frames, masks, darks, monitors, translations, probes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.ptychodus_parts import bare
from ptystore.formats.dialects.raster4d import flattened
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import SMALL, Tree, reals, text, values
from ptystore.formats.dialects.views import reshaped
from ptystore.formats.supplement_views import as_bits
from ptystore.model.geometry import RawFrame
from ptystore.model.lazy_array import Array
from ptystore.model.metadata import Metadata

__all__ = [
    "add_detector_maps",
    "add_frames",
    "add_monitor",
    "add_probe",
    "check_corner",
    "entry_of",
    "first_of",
    "frames_path",
    "translation_of",
    "with_told",
]

#: Of CXI's bits, the one that says that there is a signal, which is good.
_HAS_SIGNAL = 0x1000


def entry_of(tree: Tree, entries: Sequence[str], said: str | None) -> str:
    """The path of the entry that the caller named, else of the file's default or its only one.

    Raises `InputError` for one that is not there, and where there are several.
    """
    known = ", ".join(entries)
    if said is not None:
        wanted = said.strip("/")
        for name in (wanted, f"entry_{wanted}", f"entry{wanted}"):
            if name in entries:
                return f"/{name}"
        raise InputError(f"has no entry {said}", file=tree.path, advice=f"there are {known}")
    default = text(tree, "/@default")
    if default is not None and default[0].strip("/") in entries:
        return f"/{default[0].strip('/')}"
    if len(entries) > 1:
        raise InputError(
            f"holds several entries: {known}",
            file=tree.path,
            advice=f"--entry {entries[0]} says which",
        )
    return f"/{entries[0]}"


def first_of(tree: Tree, *paths: str) -> str | None:
    """The first of the paths that is an array, or one whose values are in other files."""
    return next((path for path in paths if tree.kind(path) in ("array", "outside")), None)


def frames_path(tree: Tree, entry: str) -> str | None:
    """Where the frames of an entry are."""
    return first_of(tree, f"{entry}/data_1/data", f"{entry}/instrument_1/detector_1/data")


def add_frames(scan: Scan, tree: Tree, path: str, *, may_be_raster: bool) -> None:
    """Frames (n, H, W), or (slow, fast, H, W) in a row, as counts.

    Raises `InputError` for other shapes.
    """
    raw = bare(tree.array(path, "diffraction"))
    if len(raw.shape) == 4 and may_be_raster:
        scan.fact("scan_shape", list(raw.shape[:2]), path)
        raw = flattened(raw)
    if len(raw.shape) != 3:
        reason = f"has shape {raw.shape}, where (n, H, W) frames should be"
        raise InputError(reason, file=tree.path, member=path)
    scan.counts(raw)
    height, width = raw.shape[1:]
    scan.raw_frame = RawFrame((height, width), (float(height // 2), float(width // 2)))


def add_detector_maps(scan: Scan, tree: Tree, detector: str) -> None:
    """The mask, dark frames as background, and the sensitivity of the pixels."""
    frame = scan.frame_shape()
    if frame is None:
        return
    found = _map(scan, tree, f"{detector}/mask", "mask", frame)
    if found is not None:
        if found.dtype.kind == "b":
            scan.arrays["mask"] = as_bits(found)
        else:
            bits = found.astype(np.uint32)
            scan.arrays["mask"] = memory_array(np.where(bits == _HAS_SIGNAL, 0, bits).astype("u4"))
    for name, path in (("background", "data_dark"), ("flatfield", "qe_mask")):
        whole = _map(scan, tree, f"{detector}/{path}", name, frame, averaged=name == "background")
        if whole is not None:
            scan.arrays[name] = memory_array(whole.astype(np.float32))


def _map(
    scan: Scan,
    tree: Tree,
    path: str,
    name: str,
    frame: tuple[int, int],
    *,
    averaged: bool = False,
) -> Array | None:
    """One number for each pixel (H, W) of the detector; of several such frames their mean."""
    if first_of(tree, path) is None:
        return None
    shape = tree.shape(path)
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    several = averaged and len(shape) == 3 and shape[1:] == frame
    if (shape != frame and not several) or math.prod(shape) > SMALL:
        scan.remarks.append(
            f"{path} has shape {tree.shape(path)}, and the frames are {frame}: it is left out; "
            f"--map {name}=FILE:PATH takes another"
        )
        return None
    found = values(tree, path).reshape(shape)
    is_whole = name != "mask" or found.dtype.kind != "f" or np.array_equal(found, np.round(found))
    if found.dtype.kind not in "biuf" or not is_whole:
        scan.remarks.append(f"{path} is {found.dtype}, no {name}: it is left out")
        return None
    return found.mean(0, np.float64) if several else found


def add_monitor(scan: Scan, tree: Tree, entry: str) -> None:
    """The intensity that came with each frame."""
    path = first_of(
        tree,
        f"{entry}/data_1/intensities",
        f"{entry}/sample_1/geometry_1/intensities",
        f"{entry}/instrument_1/detector_1/intensities",
    )
    if path is None:
        return
    found = values(tree, path)
    count = scan.arrays["diffraction"].shape[0] if "diffraction" in scan.arrays else found.size
    if found.size != count or found.dtype.kind not in "iuf":
        told = f"{path} has shape {found.shape} for {count} frames: it is left out"
        scan.remarks.append(told)
        return
    scan.arrays["monitor"] = memory_array(found.reshape(-1).astype(np.float64))


def translation_of(scan: Scan, tree: Tree, entry: str) -> tuple[Array, str] | None:
    """The sample's translations (n, 3), x, y, z, as the file has them, and where they are.

    Raises `InputError` for another shape, unless the caller names others.
    """
    path = first_of(
        tree,
        f"{entry}/data_1/translation",
        f"{entry}/sample_1/geometry_1/translation",
        f"{entry}/instrument_1/detector_1/translation",
    )
    if path is None:
        return None
    found = values(tree, path)
    if found.ndim == 3:
        found = found.reshape(-1, found.shape[-1])
    if found.ndim != 2 or found.shape[1] not in (2, 3) or found.dtype.kind not in "iuf":
        if scan.context.options.positions.place is not None:
            return None
        raise InputError(
            f"is {found.dtype} of shape {found.shape}, where (n, 3) translations should be",
            file=tree.path,
            member=path,
            advice="--positions names a file of others",
        )
    whole = np.zeros((len(found), 3))
    whole[:, : found.shape[1]] = found
    return whole, path


def add_probe(scan: Scan, tree: Tree, entry: str, *, is_surely: bool) -> None:
    """The probe ([[opr,] mode,] y, x), axes of length 1 in front left out.

    Unless `is_surely` one, it must be complex and as large as the frames: CXI has other images.
    """
    path = first_of(tree, f"{entry}/image_1/data", f"{entry}/instrument_1/source_1/illumination")
    if path is None:
        return
    raw = bare(tree.array(path, "probeGuess"))
    shape = raw.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    if not 2 <= len(shape) <= 4:
        if is_surely:
            reason = f"has shape {shape}, where 2 to 4 axes should be"
            raise InputError(reason, file=tree.path, member=path)
        return
    if is_surely or (raw.dtype.kind == "c" and shape[-2:] == scan.frame_shape()):
        scan.arrays["probeGuess"] = reshaped(raw, shape)
    else:
        scan.remarks.append(
            f"{path} is {raw.dtype} of shape {raw.shape}, no probe for the frames: it is left "
            f"out; --map probeGuess={path} takes it"
        )


def check_corner(scan: Scan, tree: Tree, detector: str, basis: Array | None) -> None:
    """Say where the corner of the detector puts the beam, if that is not where it should be."""
    path = f"{detector}/corner_position"
    frame = scan.frame_shape()
    if basis is None or frame is None or first_of(tree, path) is None:
        return
    corner = reals(tree, path).reshape(-1)
    across, beam = basis[:2], corner[:2]
    if corner.size != 3 or not np.isfinite(corner).all() or not beam.any():
        return
    if abs(np.linalg.det(across)) < 1e-6 * float(np.prod(np.linalg.norm(across, axis=0))):
        return
    # The corner is half a pixel before the middle of the first one.
    center = np.linalg.solve(across, -beam) - 0.5
    if any(abs(at - size // 2) > 1 for at, size in zip(center, frame, strict=True)):
        scan.remarks.append(
            f"{path} puts the beam at pixel {center[0]:.1f}, {center[1]:.1f}, and frames of CXI "
            f"have it at {frame[0] // 2}, {frame[1] // 2}: --center {center[0]:.1f},"
            f"{center[1]:.1f} takes the former"
        )


def with_told(contents: Contents, tree: Tree, entry: str) -> Contents:
    """The contents with what the file's maker wrote of it."""
    found = {
        "name": text(tree, f"{entry}/title", f"{entry}/sample_1/name"),
        "comments": text(tree, f"{entry}/experiment_description"),
    }
    kept = {
        name: one[0].encode("utf-8", "replace").decode("utf-8")
        for name, one in found.items()
        if one is not None and one[0].strip()
    }
    if not kept:
        return contents
    return dataclasses.replace(contents, metadata=Metadata.create(additional=kept))
