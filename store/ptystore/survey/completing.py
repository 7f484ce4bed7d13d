"""Which facts of an experiment a scan lacks, and the commands that complete it."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any, NamedTuple

from ptystore.model.contract import DIFFRACTION_NAMES, POSITION_NAMES
from ptystore.model.dataset import Dataset
from ptystore.model.geometry import Geometry, RawFrame
from ptystore.model.source import Understood

__all__ = ["Lack", "completing_commands", "lacks_of"]

_MEASURED = ("position_y_m", "position_x_m")


class Lack(NamedTuple):
    """A fact, or what else a scan needs, by its name; and the option that gives it."""

    name: str
    option: str

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return self._asdict()


def lacks_of(
    dataset: Dataset, geometry: Geometry, raw_frame: RawFrame | None, *, is_raw: bool = False
) -> list[Lack]:
    """What is not known of a scan and not derived from what is, in the order of an experiment.

    Of electrons whose object pixel is known, neither distance nor detector pixel is needed: axes
    in angles tell it. `is_raw` says that frames are as a detector's files have them.
    """
    understood = _understood(dataset)
    has_frames = any(name in dataset for name in DIFFRACTION_NAMES)
    found = []
    if not has_frames:
        option = "--with FILE" if understood.pairs else "--map diffraction=FILE:PATH"
        found.append(Lack("diffraction", option))
    found += _of_geometry(geometry, _is_of_electrons(understood, geometry))
    # Measured ones become pixels as soon as it is known how large those are.
    measured = all(name in dataset for name in _MEASURED)
    will_be = measured and "object_pixel_size_m" not in geometry
    if not will_be and not all(name in dataset for name in POSITION_NAMES):
        found.append(Lack("xcoords, ycoords", "--positions FILE"))
    is_raw = is_raw or raw_frame is not None
    if has_frames and is_raw and (raw_frame is None or raw_frame.center_px is None):
        found.append(Lack("center_px", "--center Y,X"))
    return found


def _of_geometry(geometry: Geometry, of_electrons: bool) -> list[Lack]:
    found = []
    if "wavelength_m" not in geometry:
        energy = ("electron_energy_eV", "--electron-energy …keV")
        found.append(Lack(*(energy if of_electrons else ("photon_energy_eV", "--energy …keV"))))
    if not (of_electrons and "object_pixel_size_m" in geometry):
        for name, option in (
            ("detector_distance_m", "--distance …m"),
            ("detector_pixel_size_m", "--detector-pixel …um"),
        ):
            if name not in geometry:
                found.append(Lack(name, option))
    if not found and "object_pixel_size_m" not in geometry:
        found.append(Lack("object_pixel_size_m", "--pixel-size …nm"))
    return found


def completing_commands(dataset: Dataset, lacks: Collection[Lack]) -> list[str]:
    """The command lines that give a scan what it lacks, to be filled in; none of one in memory.

    What ptystore wrote gets facts in its place and all else in a copy; another tool's file is
    ingested, once.
    """
    if dataset.source is None or not lacks:
        return []
    source = shlex.quote(str(dataset.source.path))
    facts = [lack.option for lack in lacks if lack.name.endswith(("_m", "_eV"))]
    center = [lack.option for lack in lacks if lack.name == "center_px"]
    rest = [lack.option for lack in lacks if lack.option not in (*facts, *center)]
    if not _understood(dataset).is_ours:
        return [f"ptystore ingest {source} out.zarr {' '.join(lack.option for lack in lacks)}"]
    commands = (
        (f"ptystore set {source}", facts),
        (f"ptystore ingest {source} out.zarr", rest),
        (f"ptystore prepare {source} out.zarr", center),
    )
    return [f"{command} {' '.join(options)}" for command, options in commands if options]


def _understood(dataset: Dataset) -> Understood:
    told = None if dataset.source is None else dataset.source.understood
    return told or Understood(title="")


def _is_of_electrons(understood: Understood, geometry: Geometry) -> bool:
    told = geometry.text("radiation")
    return understood.of_electrons if told is None else told == "electron"
