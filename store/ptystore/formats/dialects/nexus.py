"""NeXus as instruments write it: by the classes of groups, not by their names."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.cxi_parts import add_frames, entry_of, first_of
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.nexus_detector import add_beam_center, add_exposure, add_pixel_mask
from ptystore.formats.dialects.nexus_signal import positions_named, signal_of_entry
from ptystore.formats.dialects.nexus_tree import below, entries_of
from ptystore.formats.dialects.nexus_units import Units, add_pixel_sizes, add_radiation
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import SMALL, Tree, number, reals, text, values
from ptystore.model.contract import DIFFRACTION_NAMES

__all__ = ["Nexus"]


class Nexus:
    """Frames and facts; which motors are x and y only the caller knows."""

    name = "nexus"
    title = "NeXus"
    line = 44
    keys = ("/entry", "/entry/instrument", "/entry/data")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and bool(entries_of(tree))

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        entries = entries_of(tree)
        if not entries:
            raise InputError("has no group of NX_class NXentry", file=tree.path)
        entry = entry_of(tree, entries, context.entry)
        mapped = context.options.mapped
        name = next((name for name in DIFFRACTION_NAMES if name in mapped), None)
        path = signal_of_entry(tree, entry) if name is None else _in_own(tree, mapped[name])
        detector = _detector(scan, entry, path)
        units = Units(scan, tree, is_si=False)
        _radiation(units, entry)
        if detector is not None:
            _detector_facts(units, detector)
        if path is not None:
            add_frames(scan, tree, path, may_be_raster=True)
            _without_center(scan)
            if detector is not None:
                _of_frames(units, detector)
            _monitor(scan, entry)
        contents = _contents(scan, entry, is_mapped=name is not None)
        if name is None or path is None:
            return contents
        # Which of several stacks is meant; it is still what this file says of it.
        return dataclasses.replace(contents, already_mapped=frozenset({name}))


def _in_own(tree: Tree, told: str) -> str | None:
    """The path of a stack in this file, None where the caller names another file's."""
    path = f"/{told.strip('/')}"
    return path if first_of(tree, path) and len(tree.shape(path)) in (3, 4) else None


def _detector(scan: Scan, entry: str, path: str | None) -> str | None:
    """The group of the detector that took the frames, None where that is not known."""
    tree = scan.tree
    groups = below(tree, entry, "NXdetector")
    if path is not None:
        around = [group for group in groups if path.startswith(f"{group}/")]
        if around:
            return around[-1]
        same = [group for group in groups if tree.is_same(f"{group}/data", path)]
        if same:
            return same[0]
        shape = tree.shape(path)
        alike = [group for group in groups if shape and tree.shape(f"{group}/data") == shape]
        groups = alike or groups
    if len(groups) > 1:
        names = ", ".join(groups)
        scan.remarks.append(f"which detector the frames are of is not told, of {names}")
        return None
    return groups[0] if groups else None


def _radiation(units: Units, entry: str) -> None:
    tree = units.tree
    source = next(iter(below(tree, entry, "NXsource")), None)
    probe = None if source is None else text(tree, f"{source}/probe")
    is_electron = probe is not None and probe[0].strip().lower().startswith("electron")
    beams = below(tree, entry, "NXbeam")
    optics = below(tree, entry, "NXmonochromator")
    wavelengths = [f"{beam}/incident_wavelength" for beam in beams]
    energies = [f"{beam}/{name}" for beam in beams for name in ("incident_energy", "energy")]
    add_radiation(
        units,
        [*wavelengths, *(f"{one}/wavelength" for one in optics)],
        [*energies, *(f"{one}/energy" for one in optics)],
        is_electron=is_electron,
    )


def _detector_facts(units: Units, detector: str) -> None:
    scan, tree = units.scan, units.tree
    distances = (f"{detector}/distance", f"{detector}/detector_distance")
    units.add("detector_distance_m", "length", *distances)
    add_pixel_sizes(units, detector)
    units.add("threshold_energy_eV", "energy", f"{detector}/threshold_energy")
    saturation = number(tree, f"{detector}/saturation_value")
    if saturation is not None and math.isfinite(saturation[0]) and saturation[0] > 0:
        scan.found("saturation_counts", saturation)
    name = text(tree, f"{detector}/description", f"{detector}/local_name")
    if name is not None and name[0].strip():
        scan.fact("detector_name", name[0].strip(), name[1])


def _without_center(scan: Scan) -> None:
    """Frames of a detector: zero frequency is wherever the beam is."""
    if scan.raw_frame is not None:
        scan.raw_frame = dataclasses.replace(scan.raw_frame, center_px=None)


def _of_frames(units: Units, detector: str) -> None:
    scan, tree = units.scan, units.tree
    add_beam_center(scan, tree, detector)
    add_exposure(units, detector)
    add_pixel_mask(scan, tree, f"{detector}/pixel_mask")
    path = first_of(tree, f"{detector}/flatfield")
    frame = scan.frame_shape()
    if path is not None and tree.shape(path) == frame and math.prod(frame) <= SMALL:
        scan.arrays["flatfield"] = memory_array(reals(tree, path).astype(np.float32))


def _monitor(scan: Scan, entry: str) -> None:
    """The one monitor that has a value for each frame."""
    tree, count = scan.tree, scan.arrays["diffraction"].shape[0]
    paths = [f"{group}/data" for group in below(tree, entry, "NXmonitor")]
    fitting = [path for path in paths if math.prod(tree.shape(path) or (0,)) == count]
    if len(fitting) == 1 and tree.kind(fitting[0]) == "array":
        found = values(tree, fitting[0])
        if found.dtype.kind in "iuf":
            scan.arrays["monitor"] = memory_array(found.reshape(-1).astype(np.float64))


def _contents(scan: Scan, entry: str, *, is_mapped: bool) -> Contents:
    near = positions_named(scan.tree, entry)
    told = f"; there are {', '.join(near)}" if near else ""
    scan.lacks_positions(
        "which motors are x and y is not told: --positions FILE:/path/{y,x} names them" + told
    )
    if scan.raw_frame is not None and scan.raw_frame.center_px is None:
        scan.raw_remarks.append("where zero frequency is is not told: --center says it")
    if not scan.arrays and not is_mapped:
        raise InputError(
            f"{entry} has no stack of frames in an NXdata or NXdetector",
            file=scan.tree.path,
            advice="--map diffraction=/path/of/the/frames takes any array",
        )
    return scan.contents()
