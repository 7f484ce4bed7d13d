"""The verb that completes what a scan says of its experiment, in its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ptystore_cli.options import ANONYMOUS_HELP, Jobs, Output
from ptystore_cli.printing.written import print_written
from ptystore_cli.registry import verb
from ptystore_cli.terminal import progress_bar, warn

_FACTS = "Facts"


def _option(help: str, metavar: str) -> Any:
    return typer.Option(rich_help_panel=_FACTS, metavar=metavar, help=help)


@dataclass(frozen=True)
class Facts:
    """The facts that can be set, each an option."""

    energy: Annotated[str | None, _option("Energy of the photons.", "8.8keV")] = None
    electron_energy: Annotated[
        str | None, _option("Kinetic energy of the electrons.", "300keV")
    ] = None
    wavelength: Annotated[str | None, _option("Wavelength.", "0.14nm")] = None
    distance: Annotated[str | None, _option("From object to detector.", "2m")] = None
    detector_pixel: Annotated[
        str | None, _option("Of the detector; two as Y,X where they differ.", "75um")
    ] = None
    pixel_size: Annotated[
        str | None, _option("Of the object; two as Y,X where they differ.", "20nm")
    ] = None
    focus_distance: Annotated[str | None, _option("From focus to object.", "1mm")] = None
    object_center: Annotated[
        str | None, _option("World coordinates of the object's middle, Y,X.", "0um,3um")
    ] = None
    scan_shape: Annotated[str | None, _option("Raster, slow axis first.", "NY,NX")] = None
    exposure: Annotated[str | None, _option("Exposure of a frame.", "10ms")] = None
    radiation: Annotated[str | None, _option("photon, electron or optical.", "photon")] = None
    propagation: Annotated[str | None, _option("To the detector: far or near.", "far")] = None
    saturation: Annotated[
        str | None, _option("Counts from which on a pixel is saturated.", "COUNTS")
    ] = None
    detector_name: Annotated[str | None, _option("Name of the detector.", "NAME")] = None

    def given(self) -> tuple[dict[str, str], dict[str, str]]:
        """The facts that were given, and the option that each is from, by the fact's name."""
        facts = {fact: getattr(self, name) for name, fact in _NAMES.items()}
        options = {fact: f"--{name.replace('_', '-')}" for name, fact in _NAMES.items()}
        return {fact: text for fact, text in facts.items() if text is not None}, options


# The fact that an option is of.
_NAMES = {
    "energy": "photon_energy_eV",
    "electron_energy": "electron_energy_eV",
    "wavelength": "wavelength_m",
    "distance": "detector_distance_m",
    "detector_pixel": "detector_pixel_size_m",
    "pixel_size": "object_pixel_size_m",
    "focus_distance": "focus_distance_m",
    "object_center": "object_center_m",
    "scan_shape": "scan_shape",
    "exposure": "exposure_s",
    "radiation": "radiation",
    "propagation": "propagation",
    "saturation": "saturation_counts",
    "detector_name": "detector_name",
}


@verb("set scan.zarr --energy 8.8keV --distance 2m", "set scan.h5 --unset exposure")
def set(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="A scan that ptystore wrote.")],
    said: Facts,
    output: Output,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A fact that is not known after all, named as by info or as an option here. May "
            "be repeated.",
        ),
    ] = None,
    jobs: Jobs = None,
    anonymous: Annotated[bool, typer.Option("--anonymous", help=ANONYMOUS_HELP)] = False,
) -> None:
    """Complete what a scan says of its experiment; frames are not touched, a record says so."""
    import ptystore

    facts, options = said.given()
    with progress_bar(ptystore.open(scan).nbytes, output) as advance:
        done = ptystore.set_geometry(
            scan,
            facts,
            unset=[_NAMES.get(name.replace("-", "_"), name) for name in unset or ()],
            sources=options,
            jobs=jobs,
            anonymous=anonymous or None,
            progress=advance,
            warn=lambda line: warn(line, output),
        )
    print_written(done, ptystore.open(scan), output)
