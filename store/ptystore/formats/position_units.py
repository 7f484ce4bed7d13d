"""The units that scan positions are in: lengths, or object pixels."""

from __future__ import annotations

from ptystore.errors import InputError, ParameterError
from ptystore.model.quantities import factor, units_of

__all__ = ["is_pixels", "to_metres"]

_PIXELS = {"px", "pixel", "pixels", "object pixel", "object pixels", "1"}


def is_pixels(units: str) -> bool:
    """Whether units are those of the contract's positions."""
    return units.strip().lower() in _PIXELS


def to_metres(told: str | None, found: str | None) -> float | None:
    """What positions are multiplied by to be in metres, None where they are in object pixels.

    `told` is what the caller says, which counts more than what is `found`. Raises `InputError`
    where neither is known, and for units that are no length.
    """
    units = told if told is not None else found
    known = f"px, {', '.join(units_of('length'))}"
    if units is None:
        raise InputError(
            "does not say in which units its positions are",
            advice=f"--position-units says it: {known}",
        )
    if is_pixels(units):
        return None
    times = factor(units, "length")
    if times is None:
        kind = ParameterError if told is not None else InputError
        raise kind(
            f"has positions in {units!r}, which is no length",
            advice=f"--position-units says what they are: {known}",
        )
    return times
