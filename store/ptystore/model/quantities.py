"""Numbers with units: as a person types them and as files have them, in SI and eV.

A table of a page, and not pint: what a scan needs is lengths, energies, times and angles, and a
library of units would cost every start of the command line more than reading a file's headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, get_args

from ptystore.errors import ParameterError
from ptystore.model.choices import Kind

__all__ = ["JOULE_IN_EV", "factor", "parse_quantity", "units_of"]

#: 1 J in eV (CODATA 2018, exact by the SI's definitions).
JOULE_IN_EV: Final = 1 / 1.602176634e-19

_DEGREE: Final = 3.141592653589793 / 180

# Of each kind the unit that values have here is first: m, eV, s, degrees, radians, counts.
_UNITS: Mapping[Kind, Mapping[str, float]] = {
    "length": {
        **{"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6},
        **{"nm": 1e-9, "pm": 1e-12, "angstrom": 1e-10, "Å": 1e-10, "A": 1e-10},
    },
    "energy": {"eV": 1.0, "keV": 1e3, "MeV": 1e6, "J": JOULE_IN_EV},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9},
    "angle": {"deg": 1.0, "rad": 1 / _DEGREE, "mrad": 1e-3 / _DEGREE},
    "reciprocal": {"1/m": 1.0, "1/nm": 1e9, "1/um": 1e6, "1/angstrom": 1e10, "1/Å": 1e10},
}

_PREFIXES: Final = {"": "", "centi": "c", "milli": "m", "micro": "u", "nano": "n", "pico": "p"}

# How files spell them besides, in lower case. MeV is none of them: meV is something else.
_SPELLED: Final = {
    **{
        f"{prefix}{meter}{plural}": f"{short}m"
        for prefix, short in _PREFIXES.items()
        for meter in ("meter", "metre")
        for plural in ("", "s")
    },
    **{
        f"{prefix}second{plural}": f"{_PREFIXES[prefix]}s"
        for prefix in ("", "milli", "micro", "nano")
        for plural in ("", "s")
    },
    **{"micron": "um", "microns": "um", "angstrom": "angstrom", "angstroms": "angstrom"},
    **{"ev": "eV", "electronvolt": "eV", "electron_volt": "eV", "kev": "keV"},
    **{"joule": "J", "joules": "J", "sec": "s", "msec": "ms", "usec": "us"},
    **{"degree": "deg", "degrees": "deg", "°": "deg", "radian": "rad", "radians": "rad"},
    **{"nm^-1": "1/nm", "a^-1": "1/angstrom", "å^-1": "1/angstrom", "m^-1": "1/m"},
}

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*", re.ASCII)


def units_of(kind: Kind) -> tuple[str, ...]:
    """The units that are understood, the one that values are kept in first."""
    return tuple(_UNITS[kind])


def factor(unit: str, kind: Kind) -> float | None:
    """What a value in `unit` is multiplied by, to be in the kind's own unit; None if unknown."""
    unit = unit.strip()
    table = _UNITS[kind]
    return table.get(unit) or table.get(_SPELLED.get(unit.lower(), ""))


def parse_quantity(text: str, kind: Kind) -> float:
    """``"8.8keV"`` as eV, ``"75um"`` as metres: a number and its unit, which is always required.

    Raises `ParameterError` with the list of units for a bare number and for an unknown unit.
    """
    assert kind in get_args(Kind)
    found = _NUMBER.fullmatch(text)
    times = factor(found[2], kind) if found and found[2] else None
    if not found or times is None:
        known = ", ".join(units_of(kind))
        reason = "has no unit" if found and not found[2] else f"is no {kind}"
        raise ParameterError(f"{text!r} {reason}: a number and one of {known}")
    # A unit of an exact power of ten as a division, so that 75um is the double 7.5e-05.
    number = float(found[1])
    return number / round(1 / times) if times < 1 and _is_power(times) else number * times


def _is_power(times: float) -> bool:
    inverse = round(1 / times)
    return str(inverse).strip("0") == "1"
