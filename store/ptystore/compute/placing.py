"""Where positions lie in an object, and how large its pixels are: facts that follow from facts.

Shared by whatever reads positions and by transforms that change the frames' size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ptystore.errors import ParameterError
from ptystore.model.geometry import Fact
from ptystore.model.lazy_array import Array
from ptystore.physics.sampling import electron_wavelength, far_field_pixel, photon_wavelength

__all__ = [
    "Placed",
    "derived_facts",
    "object_pixel",
    "pixel_contradiction",
    "placed",
    "within_object",
]

_WAVELENGTHS = {"photon_energy_eV": photon_wavelength, "electron_energy_eV": electron_wavelength}
_ENERGIES = frozenset({*_WAVELENGTHS, "wavelength_m"})

# An energy and a wavelength that differ by less are the same.
_SAME = 1e-4

# By so much an object's pixel may be off what follows from the detector's.
_NEAR = 1e-2


def derived_facts(found: Mapping[str, Fact], said: Mapping[str, Fact]) -> dict[str, Fact]:
    """What a file has and what the caller said, which counts more, with the wavelength if known.

    Where the caller gave an energy or a wavelength, the file's own of all three are left out.
    Raises `ParameterError` where the caller's contradict each other.
    """
    facts = {**found, **said}
    if _ENERGIES & said.keys():
        for name in _ENERGIES - said.keys():
            facts.pop(name, None)
        _require_one_radiation(said)
        if "radiation" not in said:
            facts |= _radiation(found, said)
    for name, wavelength in _WAVELENGTHS.items():
        if name in facts and "wavelength_m" not in facts:
            facts["wavelength_m"] = Fact(wavelength(facts[name].value), "derived")
    return facts


def _radiation(found: Mapping[str, Fact], said: Mapping[str, Fact]) -> dict[str, Fact]:
    """What an energy that the caller gave says of the radiation, where the file says another."""
    if "electron_energy_eV" in said:
        return {"radiation": Fact("electron", said["electron_energy_eV"].source)}
    known = found.get("radiation")
    if "photon_energy_eV" in said and known is not None and known.value == "electron":
        return {"radiation": Fact("photon", said["photon_energy_eV"].source)}
    return {}


def _require_one_radiation(said: Mapping[str, Fact]) -> None:
    if len(_WAVELENGTHS.keys() & said.keys()) > 1:
        raise ParameterError("of photons or of electrons, not both", member="energy")
    for name, wavelength in _WAVELENGTHS.items():
        if name in said and "wavelength_m" in said:
            of_energy, own = wavelength(said[name].value), said["wavelength_m"]
            if not math.isclose(of_energy, own.value, rel_tol=_SAME):
                raise ParameterError(
                    f"{own.value:g} m is not the wavelength of {said[name].value:g} eV, which is "
                    f"{of_energy:g} m",
                    member=own.source,
                    advice="one of them is enough",
                )


def object_pixel(facts: Mapping[str, Fact], frame: tuple[int, int] | None) -> Fact | None:
    """The object's pixel [y, x] in metres: as known, or of frames of that size in the far field."""
    if "object_pixel_size_m" in facts:
        return facts["object_pixel_size_m"]
    needed = ("wavelength_m", "detector_distance_m", "detector_pixel_size_m")
    if frame is None or 0 in frame or any(name not in facts for name in needed):
        return None
    wavelength, distance, detector = (facts[name].value for name in needed)
    own = [
        far_field_pixel(wavelength, distance, n, size)
        for n, size in zip(frame, detector, strict=True)
    ]
    return Fact(own, "derived")


def pixel_contradiction(facts: Mapping[str, Fact], frame: tuple[int, int] | None) -> str | None:
    """A line on an object's pixel that is not the far field's λz/(NΔ) of frames of that size.

    None where they agree to 1 %, where one of them is not known, and in the near field.
    """
    own = facts.get("object_pixel_size_m")
    is_near = "propagation" in facts and facts["propagation"].value == "near"
    if own is None or own.source == "derived" or is_near:
        return None
    rest = {name: fact for name, fact in facts.items() if name != "object_pixel_size_m"}
    far = object_pixel(rest, frame)
    if far is None or np.allclose(own.value, far.value, rtol=_NEAR, atol=0):
        return None
    sizes = [" by ".join(f"{size:.4g}" for size in fact.value) for fact in (own, far)]
    return (
        f"{own.source} says that an object's pixel is {sizes[0]} m, which counts; by wavelength, "
        f"distance and detector pixel, λz/(NΔ), it is {sizes[1]} m"
    )


class Placed(NamedTuple):
    """Positions in object pixels, anchor N//2, and the shape of an object that holds them all."""

    y: Array
    x: Array
    shape: tuple[int, int]


def placed(y: Array, x: Array, frame: tuple[int, int], pixel: tuple[float, float]) -> Placed:
    """Positions of which only differences are known, in units of which `pixel` are one pixel.

    They are moved so that the windows of all frames of that size lie inside one object.
    """
    moved = [
        within_object(np.asarray(values, np.float64) / own, size)
        for values, size, own in zip((y, x), frame, pixel, strict=True)
    ]
    (in_y, height), (in_x, width) = moved
    return Placed(in_y, in_x, (height, width))


def within_object(pixels: Array, size: int, margin: int = 0) -> tuple[Array, int]:
    """Positions moved so that all windows lie inside one object, and that object's extent.

    The extent is ``ceil(max - min) + N + 2·margin``. Positions that are no numbers stay so.
    """
    known = pixels[np.isfinite(pixels)]
    low, high = (float(np.min(known)), float(np.max(known))) if known.size else (0.0, 0.0)
    return pixels - low + margin + size // 2, int(np.ceil(high - low)) + size + 2 * margin
