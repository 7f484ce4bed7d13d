"""NXptycho: positions by the chain of transformations of the sample."""

from __future__ import annotations

import numpy as np

from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.cxi_basis import probe_positions
from ptystore.formats.dialects.cxi_parts import add_detector_maps, add_frames, entry_of, first_of
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.nexus_detector import (
    add_beam_center,
    add_exposure,
    add_pixel_mask,
)
from ptystore.formats.dialects.nexus_motion import spread, translation_by_motion
from ptystore.formats.dialects.nexus_tree import below, entries_of
from ptystore.formats.dialects.nexus_units import Units, add_pixel_sizes, add_radiation
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree, reals, text
from ptystore.model.lazy_array import Array

__all__ = ["NexusPtycho"]

_DEFINITION = "NXptycho"


class NexusPtycho:
    """Its converter labels J as eV and metres as um, in which no scan is: not believed."""

    name = "nxptycho"
    title = "NeXus, NXptycho"
    line = 40
    keys = ("/entry/definition", "/entry/instrument/detector/data", "/entry/sample")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and bool(entries_of(tree, _DEFINITION))

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        entries = entries_of(tree, _DEFINITION) or ["entry"]
        entry = entry_of(tree, entries, context.entry)
        units = Units(scan, tree, is_si=False, is_mislabelled=True)
        detector = _group(tree, entry, "NXdetector", "detector")
        beam = _group(tree, entry, "NXbeam", "beam")
        add_radiation(
            units,
            (f"{beam}/incident_wavelength", f"{beam}/wavelength"),
            (f"{beam}/energy", f"{beam}/incident_energy"),
        )
        units.add("detector_distance_m", "length", f"{detector}/distance")
        add_pixel_sizes(units, detector)
        path = first_of(tree, f"{detector}/data")
        if path is not None:
            add_frames(scan, tree, path, may_be_raster=True)
            add_beam_center(scan, tree, detector)
            add_exposure(units, detector)
            add_detector_maps(scan, tree, detector)
            add_pixel_mask(scan, tree, f"{detector}/pixel_mask")
        _positions(units, _group(tree, entry, "NXsample", "sample"))
        return scan.contents()


def _group(tree: Tree, entry: str, nx_class: str, name: str) -> str:
    """The first group of a class, else the one that has the usual name."""
    found = below(tree, entry, nx_class)
    return found[0] if found else f"{entry}/{'' if name == 'sample' else 'instrument/'}{name}"


def _positions(units: Units, sample: str) -> None:
    """The sample's place at each frame, which the probe's is the opposite of: as in CXI."""
    scan = units.scan
    if "diffraction" not in scan.arrays or scan.context.options.positions.place is not None:
        return
    count, shape = scan.arrays["diffraction"].shape[0], scan.value("scan_shape")
    grid = None if shape is None else (int(shape[0]), int(shape[1]))
    translation = translation_by_motion(units, sample, count, grid)
    if translation is None:
        translation = _by_positioners(units, sample, count, grid)
    if translation is None:
        scan.lacks_positions("holds no positions that tell x from y: --positions names them")
        return
    y, x = probe_positions(translation, None)
    scan.relative_positions_m(y, x, scan.frame_shape())


def _by_positioners(
    units: Units, sample: str, count: int, grid: tuple[int, int] | None
) -> Array | None:
    """The same of motors that are called x and y, None where they are not told apart."""
    tree, found = units.tree, {}
    for group in _positioners(tree, sample):
        path = first_of(tree, f"{group}/raw_value", f"{group}/value")
        name = text(tree, f"{group}/name")
        axis = (name[0] if name else group).strip().lower()[-1:]
        if path is None or axis not in ("x", "y"):
            continue
        if axis in found:
            return None
        raw = reals(tree, path)
        largest = float(np.abs(raw).max()) if raw.size else 0.0
        times = units.times("length", path, largest, "--positions with --position-units")
        assert times is not None
        found[axis] = spread(tree, path, raw * times, count, grid)
    if len(found) != 2:
        return None
    return np.stack([found["x"], found["y"], np.zeros(count)], 1)


def _positioners(tree: Tree, sample: str) -> list[str]:
    named = [
        f"{sample}/{name}"
        for name in tree.children(sample)
        if name.startswith("positioner") and tree.kind(f"{sample}/{name}") == "group"
    ]
    return list(dict.fromkeys([*below(tree, sample, "NXpositioner"), *named]))
