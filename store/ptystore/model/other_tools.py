"""What a caller may say of a scan of another tool's; importing this loads nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TypedDict

from ptystore.model.choices import Mover, Unpaired

__all__ = ["OtherTools", "Pair", "PathLike", "Quantity"]

PathLike = str | os.PathLike[str]

#: In eV or metres, or a text with a unit.
Quantity = float | str

#: One for both axes, or (y, x).
Pair = Quantity | tuple[Quantity, Quantity]


class OtherTools(TypedDict, total=False):
    """The keyword arguments of `open` for scans that ptystore did not write.

    dialect : what to take the file for; ``"none"`` takes its arrays as they are.
    partner : the file that belongs to it, where it is not found beside.
    entry : which of several entries or storages.
    energy, electron_energy : of photons or electrons, in eV, or a text such as ``"8.8keV"``.
    wavelength, distance : in metres, or a text such as ``"2m"``.
    detector_pixel, pixel_size : of the detector and of the object, in metres, or a text such as
        ``"75um"``; one for both, or two as (y, x).
    map : ``{field: "[FILE:]PATH"}``, any array of any file as any field of the contract.
    positions : ``"FILE[:KEY]"`` with scan positions; braces name two arrays:
        ``"scan.nxs:/entry/data/{y,x}"``.
    position_columns : ``"y,x"`` or ``"x,y"`` where there is no header, with ``frame`` for the
        column of frame numbers (``frame0`` and ``frame1`` where it is known from where they count)
        and ``-`` for one to pass over; or two names or numbers (from 1) of columns, y first.
    position_units : of the positions, ``"px"`` for object pixels.
    positions_move : what the motors move, ``"probe"`` or ``"sample"``.
    flipx, flipy, swap_xy, affine : see `PositionsSaid`.
    frames : ``"10:500:2"``; skip_first : so many frames are left out.
    unpaired : frames and positions without a partner are refused, dropped (``"drop"``), or the
        frames kept without a position (``"keep"``).
    files : a list of the files with the frames, one a line, below the folder that is opened.
    partial : take the frames that are there of a file that is still being written, or of a
        detector's that holds fewer than were asked for.
    """

    dialect: str | None
    partner: PathLike | None
    entry: str | None
    energy: Quantity | None
    electron_energy: Quantity | None
    wavelength: Quantity | None
    distance: Quantity | None
    detector_pixel: Pair | None
    pixel_size: Pair | None
    map: Mapping[str, str]
    positions: PathLike | None
    position_columns: str | None
    position_units: str | None
    positions_move: Mover
    flipx: bool
    flipy: bool
    swap_xy: bool
    affine: str | Iterable[float] | None
    frames: str | None
    skip_first: int
    unpaired: Unpaired
    files: PathLike | None
    partial: bool
