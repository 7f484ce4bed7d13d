"""Set: facts of an experiment that a scan lacks or has wrong, without touching a frame."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from ptystore.compute.placing import derived_facts, object_pixel, pixel_contradiction
from ptystore.compute.shapes import frame_shape
from ptystore.errors import ParameterError
from ptystore.model.contract import POSITION_NAMES
from ptystore.model.dataset import Dataset, Field
from ptystore.model.fact_values import said_fact
from ptystore.model.geometry import FACTS, Fact, Geometry, with_geometry
from ptystore.transforms.renew_positions import (
    MEASURED,
    positions_from_metres,
    positions_rescaled,
)

__all__ = ["set_facts"]

_ENERGIES = ("photon_energy_eV", "electron_energy_eV", "wavelength_m")
# What an object's pixel in the far field follows from.
_SAMPLING = ("wavelength_m", "detector_distance_m", "detector_pixel_size_m")
_PIXEL = "object_pixel_size_m"


def set_facts(
    dataset: Dataset,
    facts: Mapping[str, Any],
    *,
    unset: Collection[str] = (),
    sources: Mapping[str, str] | None = None,
) -> Dataset:
    """The scan with other facts of its geometry, and what follows from them renewed.

    `facts` are numbers in the unit of the fact's name, pairs (y, x) or texts with a unit, such
    as ``{"photon_energy_eV": "8.8keV"}``; `sources` say where each is from. Facts in `unset` are
    no longer known. Wavelength and object pixel are derived anew where they had been derived; so
    are, of a scan without an object, positions in object pixels that were measured in metres. Of
    frames nothing is read.

    Raises `ParameterError` where nothing is asked for, for unknown facts, values that they can't
    have, energies that contradict each other, and for what can't be unset as it is not known.
    """
    if not facts and not unset:
        raise ParameterError(
            "there is nothing to set", advice="name facts, as --energy 8.8keV --distance 2m"
        )
    said = {
        name: said_fact(name, value, (sources or {}).get(name, "caller"))
        for name, value in facts.items()
    }
    before = dataset.geometry
    _check(said, unset, before, dataset.frame_count)
    frame = frame_shape(dataset)
    geometry = _completed(before, said, unset, frame)
    fields, geometry = _positions(dataset, before, geometry, frame)
    record = {
        "facts": {name: geometry[name].value for name in said},
        "unset": sorted(unset),
        "derived": {
            name: fact.value
            for name, fact in geometry.items()
            if fact.source == "derived" and before.get(name) != fact
        },
        "renewed": sorted(fields),
    }
    told = pixel_contradiction(geometry, frame) if said else None
    result = dataset.transformed(
        {**dataset.fields, **fields}.values(),
        "set",
        record,
        checks=() if told is None else (partial(tuple, (told,)),),
    )
    return dataclasses.replace(result, metadata=with_geometry(result.metadata, geometry))


def _check(
    said: Mapping[str, Fact], unset: Collection[str], before: Geometry, count: int | None
) -> None:
    raster = said.get("scan_shape")
    if raster is not None and count is not None and math.prod(raster.value) != count:
        raise ParameterError(
            f"{raster.value[0]} by {raster.value[1]} is no raster of {count} frames",
            member=raster.source,
        )
    for name in unset:
        if name not in FACTS or name in said or name not in before:
            reason = "is set and unset" if name in said else "is not known, and can't be unset"
            there = ", ".join(before) or "none"
            raise ParameterError(reason, member=name, advice=f"the facts are {there}")


def _completed(
    before: Geometry,
    said: Mapping[str, Fact],
    unset: Collection[str],
    frame: tuple[int, int] | None,
) -> Geometry:
    """The facts, and those that follow from them."""
    changed = {*said, *unset}
    known = {name: fact for name, fact in before.items() if name not in unset}
    wavelength = known.get("wavelength_m")
    if wavelength is not None and wavelength.source == "derived" and changed & {*_ENERGIES}:
        del known["wavelength_m"]
    facts = derived_facts(known, said)
    pixel = facts.get(_PIXEL)
    is_derived = pixel is None or (pixel.source == "derived" and _PIXEL not in said)
    is_near = "propagation" in facts and facts["propagation"].value == "near"
    if is_derived and not is_near and any(facts.get(n) != before.get(n) for n in _SAMPLING):
        was_whole = all(name in before for name in _SAMPLING)
        rest = {name: fact for name, fact in facts.items() if name != _PIXEL}
        found = object_pixel(rest, frame)
        if found is not None:
            facts[_PIXEL] = found
        elif was_whole:
            facts = rest
    return Geometry(facts)


def _positions(
    dataset: Dataset, before: Geometry, geometry: Geometry, frame: tuple[int, int] | None
) -> tuple[dict[str, Field], Geometry]:
    """Positions that were measured in metres, in the new pixel."""
    if frame is None or not all(name in dataset for name in MEASURED):
        return {}, geometry
    if "objectGuess" in dataset or "Y" in dataset:
        return {}, geometry
    if not any(name in dataset for name in POSITION_NAMES):
        return positions_from_metres(dataset, geometry, frame)
    old, new = before.pair(_PIXEL), geometry.pair(_PIXEL)
    if old is None or new is None:
        return {}, geometry
    ratio = (old[0] / new[0], old[1] / new[1])
    if all(math.isclose(one, 1, rel_tol=1e-12) for one in ratio):
        return {}, geometry
    return positions_rescaled(dataset, geometry, frame, ratio)
