"""Dectris detectors: a master file, and the files of frames that its links lead to."""

from __future__ import annotations

import math
import re

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.cxi_parts import first_of
from ptystore.formats.dialects.dectris_blocks import blocks_of, frames_of
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.nexus_detector import add_beam_center, add_exposure, add_pixel_mask
from ptystore.formats.dialects.nexus_units import Units, add_pixel_sizes
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import SMALL, Tree, number, reals, text
from ptystore.model.choices import Kind
from ptystore.model.contract import DIFFRACTION_NAMES
from ptystore.model.geometry import RawFrame
from ptystore.model.quantities import factor
from ptystore.physics.sampling import photon_wavelength

__all__ = ["DectrisData", "DectrisMaster"]

_DETECTOR = "/entry/instrument/detector"
_MORE = f"{_DETECTOR}/detectorSpecific"
_ENERGIES = (f"{_MORE}/photon_energy", "/entry/instrument/beam/incident_energy")
_WAVELENGTH = "/entry/instrument/beam/incident_wavelength"
_SATURATION = (
    f"{_DETECTOR}/saturation_value",
    f"{_MORE}/saturation_value",
    f"{_MORE}/countrate_correction_count_cutoff",
)

#: Detectors of electrons, by their descriptions.
_OF_ELECTRONS = re.compile(r"\b(ARINA|ELA|QUADRO|SINGLA)\b", re.IGNORECASE)

#: What is called the photons' energy, and is more than this (eV), is that of electrons.
_MOST_PHOTON = 200e3

#: An energy and a wavelength that differ by less are the same.
_SAME = 1e-4

_FRAMES = "/entry/data/data"


class DectrisMaster:
    """The master: facts, mask, and frames in ``data_NNNNNN``, which mostly are links to files."""

    name = "dectris"
    title = "master of a Dectris detector (EIGER, PILATUS4, ARINA), HDF5"
    line = 43
    keys = ("/entry/data/data_000001", _MORE)

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and tree.kind(_MORE) == "group" and bool(blocks_of(tree))

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        units = Units(scan, tree, is_si=True)
        _radiation(scan)
        units.add("detector_distance_m", "length", f"{_DETECTOR}/detector_distance")
        unset = number(tree, f"{_DETECTOR}/detector_distance")
        if unset is not None and unset[0] == 0 and context.options.distance is None:
            scan.remarks.append(f"{unset[1]} is 0, which is unset: --distance says it")
        add_pixel_sizes(units, _DETECTOR)
        _detector(scan)
        if context.options.mapped.keys().isdisjoint(DIFFRACTION_NAMES):
            scan.counts(frames_of(scan))
            height, width = scan.arrays["diffraction"].shape[1:]
            scan.raw_frame = RawFrame(detector_shape=(height, width))
            add_beam_center(scan, tree, _DETECTOR)
            if first_of(tree, f"{_DETECTOR}/beam_center_y") is None:
                scan.raw_remarks.append("where zero frequency is is not told: --center says it")
            _of_pixels(scan, (height, width))
        add_exposure(units, _DETECTOR)
        scan.lacks_positions("holds no positions: --positions FILE brings them")
        return scan.contents()


class DectrisData:
    """One file of frames: the master that links to it has all that is known of them."""

    name = "dectris-data"
    title = "data file of a Dectris detector, read through its master"
    line = 43
    keys = (_FRAMES,)

    def matches(self, tree: Tree) -> bool:
        numbered = {"image_nr_low", "image_nr_high"} <= tree.attrs(_FRAMES).keys()
        return tree.container == "hdf5" and numbered and tree.kind(_MORE) is None

    def read(self, tree: Tree, context: Context) -> Contents:
        stem = re.sub(r"_data_\d+$", "", tree.path.stem)
        raise InputError(
            "holds some of the frames of a Dectris detector, and nothing else of the scan",
            file=tree.path,
            advice=f"open the master, which links to it: {stem}_master{tree.path.suffix}; "
            "--dialect nexus takes these frames alone",
        )


def _radiation(scan: Scan) -> None:
    """Energy and wavelength; what is called the photons' energy may be that of electrons."""
    tree = scan.tree
    name = text(tree, f"{_DETECTOR}/description")
    energy = _positive(scan, "energy", 1.0, *_ENERGIES)
    wavelength = _positive(scan, "length", 1e-10, _WAVELENGTH)  # angstrom
    of_electrons = name is not None and _OF_ELECTRONS.search(name[0]) is not None
    if of_electrons or (energy is not None and energy[0] > _MOST_PHOTON):
        scan.fact("radiation", "electron", name[1] if of_electrons and name else "derived")
        # The wavelength beside it is that of photons of this energy.
        scan.found("electron_energy_eV", energy)
        return
    scan.found("wavelength_m", wavelength)
    if energy is None:
        return
    of_energy = photon_wavelength(energy[0])
    if wavelength is None or math.isclose(of_energy, wavelength[0], rel_tol=_SAME):
        scan.found("photon_energy_eV", energy)
        return
    scan.fact("photon_energy_eV", photon_wavelength(wavelength[0]), "derived")  # E = hc/λ
    scan.remarks.append(
        f"{energy[1]} says {energy[0]:g} eV, which is a wavelength of {of_energy:g} m, "
        f"{wavelength[1]} says {wavelength[0]:g} m, which counts"
    )


def _detector(scan: Scan) -> None:
    tree = scan.tree
    name = text(tree, f"{_DETECTOR}/description")
    if name is not None and name[0].strip():
        scan.fact("detector_name", name[0].strip(), name[1])
    threshold = f"{_DETECTOR}/threshold_energy", f"{_MORE}/threshold_energy"
    scan.found("threshold_energy_eV", _positive(scan, "energy", 1.0, *threshold))
    scan.found("saturation_counts", _positive(scan, None, 1.0, *_SATURATION))


def _positive(scan: Scan, kind: Kind | None, usual: float, *paths: str) -> tuple[float, str] | None:
    """The first number above zero, which is unset, in metres or eV; `usual` units are not said."""
    for path in paths:
        found = number(scan.tree, path)
        if found is None or not math.isfinite(found[0]) or found[0] <= 0:
            continue
        told = text(scan.tree, f"{path}@units")
        if kind is None or told is None:
            return found[0] * usual, path
        times = factor(told[0], kind)
        if times is not None:
            return found[0] * times, path
        scan.remarks.append(f"{path} is in {told[0]!r}, which is no {kind}: it is left out")
    return None


def _of_pixels(scan: Scan, frame: tuple[int, int]) -> None:
    """Bad pixels and their sensitivity."""
    tree = scan.tree
    for path in (f"{_MORE}/pixel_mask", f"{_DETECTOR}/pixel_mask"):
        if first_of(tree, path) is not None:
            add_pixel_mask(scan, tree, path)
            break
    path = first_of(tree, f"{_MORE}/flatfield", f"{_DETECTOR}/flatfield") or ""
    if tree.shape(path) == frame and math.prod(frame) <= SMALL:
        scan.arrays["flatfield"] = memory_array(reals(tree, path).astype(np.float32))
