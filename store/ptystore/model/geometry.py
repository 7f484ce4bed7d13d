"""What is known of an experiment: energies, distances, pixel sizes, each with where it is from.

It stands in the metadata document, under `physics_parameters.geometry`, beside `raw_frame`, how the
frames lie on the detector; so it survives every format and every tool that keeps the document.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ptystore.errors import InputError
from ptystore.model.metadata import Metadata
from ptystore.model.strict_json import is_number, plain_copy

__all__ = ["FACTS", "Fact", "FactSpec", "Geometry", "RawFrame", "with_geometry"]

_PHYSICS: Final = "physics_parameters"
_GEOMETRY, _RAW_FRAME = "geometry", "raw_frame"


@dataclass(frozen=True)
class FactSpec:
    """What a fact is: how many numbers (0: a text), whether they are above zero, its words."""

    name: str
    numbers: int
    meaning: str
    positive: bool = True
    words: tuple[str, ...] = ()


_TABLE = (
    FactSpec("radiation", 0, "what was scattered", words=("photon", "electron", "optical")),
    FactSpec("propagation", 0, "from object to detector", words=("far", "near")),
    FactSpec("photon_energy_eV", 1, "energy of the photons"),
    FactSpec("electron_energy_eV", 1, "kinetic energy of the electrons"),
    FactSpec("wavelength_m", 1, "wavelength"),
    FactSpec("detector_distance_m", 1, "from object to detector"),
    FactSpec("focus_distance_m", 1, "from focus to object", positive=False),
    FactSpec("detector_pixel_size_m", 2, "pixel of the detector [y, x]"),
    FactSpec("object_pixel_size_m", 2, "pixel of the object [y, x]"),
    FactSpec("object_center_m", 2, "world coordinates of the object's middle [y, x]", False),
    FactSpec("object_shape", 2, "of an object that holds all windows [H, W]"),
    FactSpec("scan_shape", 2, "raster [slow, fast]"),
    FactSpec("exposure_s", 1, "exposure of a frame"),
    FactSpec("flux_per_s", 1, "photons or electrons a second"),
    FactSpec("probe_photon_count", 1, "photons of a frame"),
    FactSpec("tomography_angle_deg", 1, "rotation of the sample", positive=False),
    FactSpec("tilt_angle_deg", 1, "tilt of the sample", positive=False),
    FactSpec("polarization", 0, "of the light"),
    FactSpec("saturation_counts", 1, "from here on a pixel is saturated"),
    FactSpec("gain_adu_per_count", 1, "gain of the detector"),
    FactSpec("threshold_energy_eV", 1, "threshold of the detector"),
    FactSpec("mass_attenuation_m2_kg", 1, "of the sample", positive=False),
    FactSpec("detector_name", 0, "name of the detector"),
    FactSpec("probe_norm", 0, "of the Fourier transform", words=("orthonormal",)),
)

#: Every fact that there is, by name. Units are in the names: SI, energies in eV.
FACTS: Mapping[str, FactSpec] = {spec.name: spec for spec in _TABLE}


@dataclass(frozen=True)
class Fact:
    """A value (a number, a pair [y, x], a text), and where it is from.

    `source` is a path in a file, an option of the command line, or ``derived``.
    """

    value: Any
    source: str


@dataclass(frozen=True)
class Geometry(Mapping[str, Fact]):
    """Facts by name, those that are known; immutable.

    Raises `InputError` naming the fact for an unknown name and for a value that it can't have.
    """

    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked = {name: _checked(name, fact) for name, fact in self.facts.items()}
        object.__setattr__(self, "facts", {n: checked[n] for n in FACTS if n in checked})

    def __getitem__(self, name: str) -> Fact:
        return self.facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def number(self, name: str) -> float | None:
        """The value of a fact that is one number, None where it is not known."""
        return self.facts[name].value if name in self.facts else None

    def pair(self, name: str) -> tuple[float, float] | None:
        """The value of a fact that is a pair [y, x], None where it is not known."""
        value = self.facts[name].value if name in self.facts else None
        return None if value is None else (value[0], value[1])

    def text(self, name: str) -> str | None:
        """The value of a fact that is a text, None where it is not known."""
        return self.facts[name].value if name in self.facts else None

    def with_facts(self, facts: Mapping[str, Fact]) -> Geometry:
        """The same with other facts in place of its own."""
        return Geometry({**self.facts, **facts})

    def without(self, *names: str) -> Geometry:
        """The same without some facts."""
        return Geometry({name: fact for name, fact in self.facts.items() if name not in names})

    def to_json(self) -> dict[str, Any]:
        """``{name: {"value": …, "source": …}}``."""
        return {
            name: {"value": plain_copy(fact.value), "source": fact.source}
            for name, fact in self.facts.items()
        }

    @classmethod
    def from_json(cls, found: object) -> Geometry:
        """From what `to_json` gives. Raises `InputError` for anything else."""
        if not isinstance(found, Mapping):
            raise InputError("the geometry is not an object")
        facts = {}
        for name, entry in found.items():
            if not isinstance(entry, Mapping) or "value" not in entry:
                raise InputError(f"geometry.{name}: has no value")
            if entry["value"] is not None:
                facts[str(name)] = Fact(entry["value"], str(entry.get("source", "")))
        return cls(facts)

    @classmethod
    def of(cls, metadata: Metadata | None) -> Geometry:
        """What a document says; empty where it says nothing. Raises `InputError` for nonsense."""
        found = None if metadata is None else metadata.physics.get(_GEOMETRY)
        return cls() if found is None else cls.from_json(found)


@dataclass(frozen=True)
class RawFrame:
    """How the frames lie on the detector that took them: enough to undo and to redo it.

    detector_shape : (H, W) of the raw frames, None where nothing is known of them.
    center_px : [y, x] of the raw frame, turned as `orientation` says, where zero frequency is.
    crop : [y0, y1, x0, x1] of the turned raw frame. pad : pixels added [top, bottom, left, right].
    bin : raw pixels in one, [y, x]. orientation : 0 to 7; 4 transposes, then 2 flips rows,
    then 1 flips columns. threshold : [lo, hi], either None. dark, flat : whether they were
    applied. filled : none, zero or inpaint, what bad pixels hold.
    """

    detector_shape: tuple[int, int] | None = None
    center_px: tuple[float, float] | None = None
    crop: tuple[int, int, int, int] | None = None
    pad: tuple[int, int, int, int] | None = None
    bin: tuple[int, int] = (1, 1)
    orientation: int = 0
    threshold: tuple[float | None, float | None] | None = None
    dark: bool = False
    flat: bool = False
    filled: str = "none"

    def to_json(self) -> dict[str, Any]:
        """The members that are known, as JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if value is not None
        }

    @classmethod
    def from_json(cls, found: object) -> RawFrame:
        """From what `to_json` gives. Raises `InputError` for anything else."""
        if not isinstance(found, Mapping) or not found.keys() <= cls.__dataclass_fields__.keys():
            raise InputError("the raw frame is not an object of known members")
        members: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found.items()
        }
        return cls(**members)

    @classmethod
    def of(cls, metadata: Metadata | None) -> RawFrame | None:
        """What a document says; None where it says nothing. Raises `InputError` for nonsense."""
        found = None if metadata is None else metadata.physics.get(_RAW_FRAME)
        return None if found is None else cls.from_json(found)


def with_geometry(
    metadata: Metadata | None, geometry: Geometry, raw_frame: RawFrame | None = None
) -> Metadata:
    """The document with this geometry in place of its own, and this raw frame if there is one.

    Raises `InputError` where `physics_parameters` is no object.
    """
    metadata = metadata if metadata is not None else Metadata.create()
    physics = metadata.physics
    physics[_GEOMETRY] = geometry.to_json()
    if raw_frame is not None:
        physics[_RAW_FRAME] = raw_frame.to_json()
    return Metadata({**metadata.document, _PHYSICS: physics})


def _checked(name: str, fact: Fact) -> Fact:
    spec = FACTS.get(name)
    if spec is None:
        raise InputError(f"geometry.{name}: there is no such fact")
    value = fact.value
    if spec.numbers == 0:
        if not isinstance(value, str) or (spec.words and value not in spec.words):
            raise InputError(f"geometry.{name}: {value!r} is not one of {', '.join(spec.words)}")
        return fact
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    numbers = [float(one) if is_number(one) else math.nan for one in values]
    sound = all(math.isfinite(one) and (one > 0 or not spec.positive) for one in numbers)
    if len(numbers) != spec.numbers or not sound:
        raise InputError(f"geometry.{name}: {value!r} can't be {spec.meaning}")
    if name in ("scan_shape", "object_shape"):
        return Fact([int(one) for one in numbers], fact.source)
    return Fact(numbers[0] if spec.numbers == 1 else numbers, fact.source)
