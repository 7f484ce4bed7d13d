"""Numbers with the units that stand beside them, as NeXus and CXI have them, and radiation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.facts import caller_facts
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree, text, values
from ptystore.model.choices import Kind
from ptystore.model.lazy_array import Array
from ptystore.model.quantities import JOULE_IN_EV, factor, units_of
from ptystore.physics.sampling import electron_wavelength, photon_wavelength

__all__ = ["Units", "add_pixel_sizes", "add_radiation"]

#: Photons have more eV than this and fewer J.
_JOULE = 1e-12

#: What is labelled um and smaller than 10 nm is in metres.
_MICRON = 1e-2

#: An energy and a wavelength that differ by less are the same.
_SAME = 1e-4

_RADIATION = {"photon_energy_eV", "electron_energy_eV", "wavelength_m"}

_OPTIONS = {
    "detector_distance_m": "--distance",
    "detector_pixel_size_m": "--detector-pixel",
    "photon_energy_eV": "--energy",
    "electron_energy_eV": "--electron-energy",
    "wavelength_m": "--wavelength",
}


@dataclass(frozen=True)
class Units:
    """How the values of a tree are brought to metres, eV, seconds, degrees.

    `is_si` says that values without units are in those, but energies in J: else a fact without
    units is refused. `is_mislabelled` distrusts lengths in um that are too small to be in um.
    """

    scan: Scan
    tree: Tree
    is_si: bool
    is_mislabelled: bool = False

    def found(self, name: str, kind: Kind, paths: Sequence[str]) -> tuple[float, str] | None:
        """The first of `paths` that is a number, as the fact `name`, in its own unit.

        None where there is none and where the caller gave the fact. Raises `InputError` naming the
        option that gives it where its units are not known.
        """
        said = caller_facts(self.scan.context.options)
        if name in said or (name in _RADIATION and _RADIATION & said.keys()):
            return None
        for path in paths:
            value = self._one(path)
            if value is None:
                continue
            times = self.times(kind, path, value, _OPTIONS.get(name))
            if times is not None:
                return value * times, path
        return None

    def add(self, name: str, kind: Kind, *paths: str) -> None:
        """The fact that is the first number above zero of `paths`: others stand for unset."""
        found = self.found(name, kind, paths)
        if found is not None and found[0] > 0:
            self.scan.found(name, found)

    def times(
        self, kind: Kind, path: str, largest: float, option: str | None = None
    ) -> float | None:
        """What the values at `path`, of which the `largest` is given, are multiplied by.

        None, and a remark, where no `option` says what is not known; else raises `InputError`.
        """
        told = text(self.tree, f"{path}@units", f"{path}@unit")
        if told is None and self.is_si:
            if kind != "energy":
                return 1.0
            if abs(largest) < _JOULE:
                return JOULE_IN_EV
            self.scan.remarks.append(
                f"{path} is {largest:g} and has no units: taken for eV, for no photon has so many J"
            )
            return 1.0
        times = None if told is None else factor(told[0], kind)
        if told is None or times is None:
            is_what = "has no units" if told is None else f"is in {told[0]!r}, which is no {kind}"
            if option is None:
                self.scan.remarks.append(f"{path} {is_what}: it is left out")
                return None
            raise InputError(
                f"{is_what}; known are {', '.join(units_of(kind))}",
                file=self.tree.path,
                member=path,
                advice=f"{option} says it",
            )
        is_label_of_joule = kind == "energy" and times >= 1 and times < JOULE_IN_EV
        if is_label_of_joule and 0 < abs(largest) < _JOULE:
            self.scan.remarks.append(f"{path} is labelled {told[0]} and taken for J: {largest:g}")
            return JOULE_IN_EV
        if self.is_mislabelled and kind == "length" and times == 1e-6 and 0 < largest < _MICRON:
            self.scan.remarks.append(f"{path} is labelled {told[0]} and taken for m: {largest:g}")
            return 1.0
        return times

    def _one(self, path: str) -> float | None:
        """The number at `path`, also where it is repeated for every frame."""
        if self.tree.kind(path) not in ("array", "text"):
            return None
        if self.tree.kind(path) == "text":
            found: Array = np.array([self.tree.text(path)], np.str_)
        else:
            found = values(self.tree, path).reshape(-1)
        if found.dtype.kind == "c":
            return None
        try:
            numbers = found.astype(np.float64)
        except (TypeError, ValueError):
            return None
        if not numbers.size or not np.isfinite(numbers).all():
            return None
        if np.ptp(numbers) > 1e-6 * np.abs(numbers).max():
            self.scan.remarks.append(
                f"{path} goes from {numbers.min():g} to {numbers.max():g}: none is taken for all"
            )
            return None
        return float(numbers[0])


def add_pixel_sizes(units: Units, group: str) -> None:
    """The pixel of the detector from ``y_pixel_size`` and ``x_pixel_size`` in `group`."""
    name = "detector_pixel_size_m"
    sizes = [units.found(name, "length", (f"{group}/{axis}_pixel_size",)) for axis in "yx"]
    if sizes[0] is not None and sizes[1] is not None and sizes[0][0] > 0 and sizes[1][0] > 0:
        units.scan.fact(name, [sizes[0][0], sizes[1][0]], sizes[0][1])


def add_radiation(
    units: Units, wavelengths: Sequence[str], energies: Sequence[str], *, is_electron: bool = False
) -> None:
    """Wavelength and energy by the first of each that is there; the wavelength wins."""
    scan = units.scan
    wavelength = units.found("wavelength_m", "length", wavelengths)
    wavelength = None if wavelength is None or wavelength[0] <= 0 else wavelength
    name = "electron_energy_eV" if is_electron else "photon_energy_eV"
    if is_electron:
        scan.fact("radiation", "electron", "derived")
    # What an energy without units would tell, a wavelength tells already.
    try:
        energy = units.found(name, "energy", energies)
    except InputError:
        if wavelength is None:
            raise
        energy = None
    scan.found("wavelength_m", wavelength)
    if energy is None or energy[0] <= 0:
        return
    of_energy = (electron_wavelength if is_electron else photon_wavelength)(energy[0])
    if wavelength is None or math.isclose(of_energy, wavelength[0], rel_tol=_SAME):
        scan.found(name, energy)
        return
    scan.remarks.append(
        f"{energy[1]} says {energy[0]:g} eV, which is a wavelength of {of_energy:g} m, "
        f"{wavelength[1]} says {wavelength[0]:g} m, which counts"
    )
    if not is_electron:
        scan.fact(name, photon_wavelength(wavelength[0]), "derived")  # E = hc/λ, as λ = hc/E
