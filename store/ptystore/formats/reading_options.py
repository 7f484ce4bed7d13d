"""From what a caller says to `ReadOptions`: quantities with units, pairs, names of files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ptystore.errors import ParameterError
from ptystore.formats.assemble import ReadOptions
from ptystore.formats.supplement_said import FramesSaid, PositionsSaid
from ptystore.model.choices import Kind
from ptystore.model.contract import FIELDS
from ptystore.model.other_tools import OtherTools, Pair, Quantity
from ptystore.model.quantities import parse_quantity

__all__ = ["read_options"]


def read_options(other: OtherTools, **plain: Any) -> ReadOptions:
    """The options of `open`: `plain` are members of `ReadOptions` as they are.

    Raises `ParameterError` naming the option, with the list of units for a bare number in a text.
    """
    positions, partner, files = (other.get(name) for name in ("positions", "partner", "files"))
    energy = _quantity(other.get("energy"), "energy", "--energy")
    electrons = _quantity(other.get("electron_energy"), "energy", "--electron-energy")
    if energy is not None and electrons is not None:
        raise ParameterError("is of photons, --electron-energy of electrons", member="--energy")
    return ReadOptions(
        **plain,
        dialect=other.get("dialect"),
        partner=None if partner is None else Path(str(partner)),
        entry=other.get("entry"),
        energy=energy,
        electron_energy=electrons,
        wavelength=_quantity(other.get("wavelength"), "length", "--wavelength"),
        distance=_quantity(other.get("distance"), "length", "--distance"),
        detector_pixel=_pair(other.get("detector_pixel"), "--detector-pixel"),
        pixel_size=_pair(other.get("pixel_size"), "--pixel-size"),
        mapped=_mapped(other.get("map") or {}),
        positions=PositionsSaid(
            None if positions is None else os.fspath(positions),  # type: ignore[call-overload]
            other.get("position_columns"),
            other.get("position_units"),
            other.get("positions_move", "probe"),
            other.get("flipx", False),
            other.get("flipy", False),
            other.get("swap_xy", False),
            _six(other.get("affine")),
        ),
        frames=FramesSaid(
            other.get("frames"), int(other.get("skip_first", 0)), other.get("unpaired", "refuse")
        ),
        files=None if files is None else Path(str(files)),
        partial=bool(other.get("partial", False)),
    )


def _quantity(given: Quantity | None, kind: Kind, option: str) -> float | None:
    if given is None:
        return None
    try:
        value = parse_quantity(given, kind) if isinstance(given, str) else float(given)
    except ParameterError as error:
        raise error.located(member=option) from None
    if not (math.isfinite(value) and value > 0):
        raise ParameterError(f"{given} is not above zero", member=option)
    return value


def _pair(given: Pair | None, option: str) -> tuple[float, float] | None:
    """[y, x] of one quantity for both or of two, also in one text: ``"75um,50um"``."""
    if given is None:
        return None
    parts = given.split(",") if isinstance(given, str) else given
    both = list(parts) if isinstance(parts, (list, tuple)) else [parts]
    found = [_quantity(one, "length", option) for one in both]
    if len(found) not in (1, 2) or None in found:
        raise ParameterError(f"{given!r} is neither one size nor two, y and x", member=option)
    y, x = found[0], found[-1]
    assert y is not None
    assert x is not None
    return y, x


def _mapped(given: Mapping[str, str]) -> dict[str, str]:
    for field, place in given.items():
        if field not in FIELDS:
            raise ParameterError(
                "is no field that an array can be taken as",
                member=field,
                advice=f"there are {', '.join(FIELDS)}; --rename takes one under another name",
            )
        if not place:
            raise ParameterError("is to be taken from nowhere", member=field)
    return dict(given)


def _six(given: str | Iterable[float] | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    try:
        parts = given.split(",") if isinstance(given, str) else given
        return tuple(float(one) for one in parts)
    except (TypeError, ValueError):
        reason = f"{given!r} are not the six numbers a,b,c,d,e,f"
        raise ParameterError(reason, member="--affine") from None
