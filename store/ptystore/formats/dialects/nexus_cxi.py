"""NXcxi_ptycho: the tree of CXI with the classes and the units of NeXus."""

from __future__ import annotations

from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.cxi import add_translations
from ptystore.formats.dialects.cxi_basis import add_detector_pixel_of_basis, basis_of
from ptystore.formats.dialects.cxi_parts import (
    add_detector_maps,
    add_frames,
    add_monitor,
    add_probe,
    entry_of,
    frames_path,
    with_told,
)
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.nexus_detector import add_beam_center, add_exposure
from ptystore.formats.dialects.nexus_tree import entries_of
from ptystore.formats.dialects.nexus_units import Units, add_pixel_sizes, add_radiation
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree

__all__ = ["NexusCxiPtycho"]

_DEFINITION = "NXcxi_ptycho"


class NexusCxiPtycho:
    """The source's energy is the storage ring's: the photons' is the beam's."""

    name = "nxcxi-ptycho"
    title = "NeXus, NXcxi_ptycho"
    line = 40
    keys = ("/entry_1/definition", "/entry_1/instrument_1/detector_1", "/entry_1/data_1")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and bool(entries_of(tree, _DEFINITION))

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        entries = entries_of(tree, _DEFINITION) or ["entry_1"]
        entry = entry_of(tree, entries, context.entry)
        instrument, detector = f"{entry}/instrument_1", f"{entry}/instrument_1/detector_1"
        units = Units(scan, tree, is_si=True)
        beam, source = f"{instrument}/beam_1", f"{instrument}/source_1"
        add_radiation(
            units,
            (f"{source}/wavelength", f"{beam}/incident_wavelength", f"{beam}/wavelength"),
            tuple(f"{beam}/{name}energy" for name in ("", "incident_beam_", "incident_")),
        )
        units.add("detector_distance_m", "length", f"{detector}/distance")
        add_pixel_sizes(units, detector)
        add_detector_pixel_of_basis(scan, basis_of(tree, detector), detector)
        path = frames_path(tree, entry)
        if path is not None:
            add_frames(scan, tree, path, may_be_raster=True)
            add_beam_center(scan, tree, detector)
            add_monitor(scan, tree, entry)
            add_detector_maps(scan, tree, detector)
            add_exposure(units, detector)
        add_probe(scan, tree, entry, is_surely=False)
        add_translations(scan, tree, entry, detector)
        return with_told(scan.contents(), tree, entry)
