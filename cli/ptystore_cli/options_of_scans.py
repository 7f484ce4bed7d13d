"""The options that tell what another tool's files lack: facts, arrays, positions, a choice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ptystore import Mover, OtherTools, Unpaired

__all__ = ["OtherScans"]

_FACTS = "Facts of the scan"
_POSITIONS = "Positions of SRC"
_READING = "Reading SRC"

_ENERGY = "8.8keV"
_LENGTH = "75um"


@dataclass(frozen=True)
class OtherScans:
    """What the caller knows of a scan that ptystore did not write."""

    dialect: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_READING,
            metavar="NAME",
            help="The format that SRC is in, where its keys don't tell; none takes its arrays "
            "as they are.",
        ),
    ] = None
    partner: Annotated[
        Path | None,
        typer.Option(
            "--with",
            rich_help_panel=_READING,
            metavar="FILE",
            help="The file that belongs to SRC, where it is not found beside it.",
        ),
    ] = None
    entry: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_READING,
            metavar="NAME",
            help="Which of several entries or storages of SRC.",
        ),
    ] = None
    map: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            rich_help_panel=_READING,
            metavar="FIELD=[FILE:]PATH",
            help="Take an array of SRC, or of another file, as a field. May be repeated.",
        ),
    ] = None
    files: Annotated[
        Path | None,
        typer.Option(
            "--files",
            rich_help_panel=_READING,
            metavar="LIST",
            help="A list of the files below the folder SRC that hold the frames, in order.",
        ),
    ] = None
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            rich_help_panel=_READING,
            help="Take the frames that are there of a file that is still being written.",
        ),
    ] = False
    frames: Annotated[
        str | None,
        typer.Option(
            "--frames",
            rich_help_panel=_READING,
            metavar="10:500:2",
            help="Take only these frames: every second one from 10 on and before 500, or 0,3,7.",
        ),
    ] = None
    skip_first: Annotated[
        int,
        typer.Option(
            "--skip-first",
            min=0,
            rich_help_panel=_READING,
            metavar="N",
            help="Leave out the first N frames.",
        ),
    ] = 0
    unpaired: Annotated[
        Unpaired,
        typer.Option(
            rich_help_panel=_POSITIONS,
            help="Frames and positions without a partner: refused, dropped, or frames kept.",
        ),
    ] = "refuse"
    energy: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_FACTS, metavar=_ENERGY, help="Energy of the photons, with its unit."
        ),
    ] = None
    electron_energy: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_FACTS,
            metavar="300keV",
            help="Instead of it, of electrons: kinetic energy.",
        ),
    ] = None
    wavelength: Annotated[
        str | None,
        typer.Option(rich_help_panel=_FACTS, metavar="0.14nm", help="Instead of an energy."),
    ] = None
    distance: Annotated[
        str | None,
        typer.Option(rich_help_panel=_FACTS, metavar="2m", help="From object to detector."),
    ] = None
    detector_pixel: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_FACTS,
            metavar=_LENGTH,
            help="Size of the detector's pixels; two as Y,X where they differ.",
        ),
    ] = None
    pixel_size: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_FACTS,
            metavar="20nm",
            help="Size of the object's pixels; two as Y,X where they differ.",
        ),
    ] = None
    positions: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_POSITIONS,
            metavar="FILE[:KEY]",
            help="Scan positions: CSV, text, .npy, .npz, HDF5; braces name two arrays: "
            "'scan.nxs:/entry/data/{y,x}'.",
        ),
    ] = None
    position_columns: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_POSITIONS,
            metavar="y,x",
            help="The columns in order: y, x, frame for the frame's number, - for any other; or "
            "two names or numbers from 1, y first.",
        ),
    ] = None
    position_units: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_POSITIONS,
            metavar="um",
            help="Units of the positions, px for object pixels; counts more than the file's.",
        ),
    ] = None
    positions_move: Annotated[
        Mover,
        typer.Option(rich_help_panel=_POSITIONS, help="What the motors move."),
    ] = "probe"
    flipx: Annotated[
        bool,
        typer.Option(
            "--flipx", rich_help_panel=_POSITIONS, help="Change the sign of the x positions."
        ),
    ] = False
    flipy: Annotated[
        bool,
        typer.Option(
            "--flipy", rich_help_panel=_POSITIONS, help="Change the sign of the y positions."
        ),
    ] = False
    swap_xy: Annotated[
        bool,
        typer.Option(
            "--swap-xy", rich_help_panel=_POSITIONS, help="Take x for y and y for x, after signs."
        ),
    ] = False
    affine: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_POSITIONS,
            metavar="a,b,c,d,e,f",
            help="Then y' = a·y + b·x + c and x' = d·y + e·x + f, c and f in metres (or pixels).",
        ),
    ] = None

    def other_tools(self) -> OtherTools:
        """The keyword arguments of `ptystore.open` that are of other tools' scans."""
        read = self.positions is not None
        return {
            "dialect": self.dialect,
            "partner": self.partner,
            "entry": self.entry,
            "energy": self.energy,
            "electron_energy": self.electron_energy,
            "wavelength": self.wavelength,
            "distance": self.distance,
            "detector_pixel": self.detector_pixel,
            "pixel_size": self.pixel_size,
            "map": _fields(self.map or ()),
            "positions": self.positions,
            "position_columns": self.position_columns,
            "position_units": self.position_units,
            "positions_move": self.positions_move,
            "flipx": self.flipx and read,
            "flipy": self.flipy and read,
            "swap_xy": self.swap_xy,
            "affine": self.affine,
            "frames": self.frames,
            "skip_first": self.skip_first,
            "unpaired": self.unpaired,
            "files": self.files,
            "partial": self.partial,
        }

    def flips_left(self) -> dict[str, bool]:
        """The flips that are not of positions that are read, for `ptystore.canonicalize`."""
        read = self.positions is not None
        return {"flipx": self.flipx and not read, "flipy": self.flipy and not read}

    def require_no_flips_left(self) -> None:
        """Raise `typer.BadParameter` for flips without positions that are read."""
        for option, given in self.flips_left().items():
            if given:
                raise typer.BadParameter(
                    "is for --positions, and for ptystore canonicalize", param_hint=f"--{option}"
                )


def _fields(given: Iterable[str]) -> dict[str, str]:
    """``[FILE:]PATH`` by field, from ``FIELD=[FILE:]PATH``. Raises `typer.BadParameter`."""
    fields: dict[str, str] = {}
    for text in given:
        field, _, place = text.partition("=")
        if not (field and place):
            raise typer.BadParameter(f"{text!r} is not FIELD=[FILE:]PATH", param_hint="--map")
        if field in fields:
            raise typer.BadParameter(f"{field} is mapped twice", param_hint="--map")
        fields[field] = place
    return fields
