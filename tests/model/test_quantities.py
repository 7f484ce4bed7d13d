"""Numbers with units: as typed, and as files spell them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ptystore import ParameterError
from ptystore.model.quantities import JOULE_IN_EV, factor, parse_quantity


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("8.8keV", "energy", 8800.0),
        (" 300 keV ", "energy", 300e3),
        ("1.41e-15J", "energy", 1.41e-15 * JOULE_IN_EV),
        ("75um", "length", 7.5e-05),
        ("75µm", "length", 7.5e-05),
        ("75μm", "length", 7.5e-05),
        ("1.409angstrom", "length", 1.409e-10),
        ("1.409Å", "length", 1.409e-10),
        ("-2.5mm", "length", -2.5e-3),
        ("10ms", "time", 0.01),
        ("1mrad", "angle", 0.18 / math.pi),
        (".5deg", "angle", 0.5),
    ],
)
def test_what_is_typed(text: str, kind: Any, value: float) -> None:
    assert parse_quantity(text, kind) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("8.8", "energy", "has no unit: a number and one of eV, keV, MeV, J"),
        ("2", "length", "has no unit: a number and one of m, cm, mm, um"),
        ("2keV", "length", "is no length"),
        ("2meV", "energy", "is no energy"),
        ("um", "length", "is no length"),
        ("1,5um", "length", "is no length"),
        ("nan", "length", "is no length"),
        ("", "time", "is no time"),
    ],
)
def test_what_is_refused(text: str, kind: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        parse_quantity(text, kind)


@pytest.mark.parametrize(
    ("spelled", "kind", "value"),
    [
        ("Angstrom", "length", 1e-10),
        ("ANGSTROMS", "length", 1e-10),
        ("Micrometres", "length", 1e-6),
        ("millimetre", "length", 1e-3),
        ("picometer", "length", 1e-12),
        ("meters ", "length", 1.0),
        ("kev", "energy", 1e3),
        ("EV", "energy", 1.0),
        ("Joules", "energy", JOULE_IN_EV),
        ("milliseconds", "time", 1e-3),
        ("usec", "time", 1e-6),
        ("Degrees", "angle", 1.0),
        ("nm^-1", "reciprocal", 1e9),
    ],
)
def test_what_files_write(spelled: str, kind: Any, value: float) -> None:
    assert factor(spelled, kind) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("spelled", ["meV", "MEV", "Mm", "counts", "", "m/s"])
def test_what_no_unit_is_guessed_from(spelled: str) -> None:
    assert [factor(spelled, kind) for kind in ("length", "energy", "time", "angle")] == [None] * 4
