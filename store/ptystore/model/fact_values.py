"""Facts of an experiment as a person gives them: numbers in the fact's own unit, or with a unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import Kind
from ptystore.model.geometry import FACTS, Fact, Geometry
from ptystore.model.quantities import parse_quantity

__all__ = ["said_fact"]

# What a fact is by the unit at the end of its name.
_KINDS: tuple[tuple[str, Kind], ...] = (
    ("_eV", "energy"),
    ("_m", "length"),
    ("_s", "time"),
    ("_deg", "angle"),
)


def said_fact(name: str, given: Any, source: str) -> Fact:
    """A fact from a number, a pair (y, x), or a text such as ``"8.8keV"`` or ``"75um,50um"``.

    One size stands for both of a pair. Raises `ParameterError` for an unknown fact, for a text
    without a unit where the fact has one, and for a value that it can't have.
    """
    spec = FACTS.get(name)
    if spec is None:
        raise ParameterError(
            "there is no such fact", member=name, advice=f"there are {', '.join(FACTS)}"
        )
    value = given
    if spec.numbers:
        try:
            parts = [_number(name, one) for one in _parts(given)]
        except ParameterError as error:
            raise error.located(member=source) from None
        except (TypeError, ValueError):
            raise ParameterError(f"{given!r} is no {spec.meaning}", member=source) from None
        if spec.numbers == 2 and len(parts) == 1 and not name.endswith(("_shape", "_center_m")):
            parts *= 2
        value = parts if spec.numbers == 2 else parts[0] if len(parts) == 1 else parts
    try:
        return Geometry({name: Fact(value, source)})[name]
    except InputError as error:
        raise ParameterError(error.reason, member=source) from None


def _parts(given: Any) -> Iterable[Any]:
    if isinstance(given, str):
        return given.split(",")
    return given if isinstance(given, (list, tuple)) else [given]


def _number(name: str, given: Any) -> float:
    kind = next((kind for end, kind in _KINDS if name.endswith(end)), None)
    if isinstance(given, str) and kind is not None and not name.endswith("_per_s"):
        return parse_quantity(given, kind)
    return float(given)
