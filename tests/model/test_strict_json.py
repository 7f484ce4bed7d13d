"""JSON in and out of a document: stricter than Python's, with the path in every refusal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptystore.errors import InputError
from ptystore.model.metadata import Metadata

LIMIT = 16 * 2**20

NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(WORDS, VALUES, max_size=5)


def refusal(call: Callable[[], object]) -> InputError:
    """The error of a call that must be refused, its message fit for one line of a terminal."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.member == "_metadata"
    assert caught.value.reason.startswith("$")
    assert "\n" not in caught.value.reason
    caught.value.reason.encode("utf-8")
    return caught.value


def refused_text(text: str) -> str:
    error = refusal(lambda: Metadata.from_json(text))
    assert "--metadata keep-text" in (error.advice or "")
    return error.reason


def nested(depth: int) -> str:
    """An object in which `depth` containers stand inside each other."""
    return '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


# Reading and writing


@given(DOCUMENTS)
def test_json_round_trip(document: dict[str, Any]) -> None:
    metadata = Metadata.from_json(json.dumps(document))
    assert metadata.document == document
    assert Metadata.from_json(metadata.to_json()) == metadata
    # Order, and 1 apart from 1.0 and True, which == does not tell.
    assert json.dumps(metadata.document) == json.dumps(document)
    assert metadata == Metadata(document)


def test_written_json_is_for_people_too() -> None:
    assert Metadata({"z": "Å", "a": [1]}).to_json() == '{\n  "z": "Å",\n  "a": [\n    1\n  ]\n}'


BAD_TEXTS = {
    "empty": ("", r"^\$: not JSON: Expecting value at line 1, column 1"),
    "malformed": ('{"a": {"b": [1, 2,\n oops]}}', r"^\$\.a\.b\[2\]: not JSON: .* line 2, column 2"),
    "cut": ('{"a": {"key": "tex', r"^\$\.a\.key: not JSON: Unterminated string"),
    "no key": ('{"a": 1, b: 2}', r"^\$: not JSON"),
    "empty key": ('{"": {"x": ?}}', r'^\$\[""\]\.x: not JSON'),
    "two documents": ('{"a": 1} {}', r"^\$: not JSON: Extra data at line 1, column 10"),
    "byte order mark": ("\ufeff{}", r"^\$: not JSON"),
    "control character": ('{"a": "\n"}', r"^\$\.a: not JSON: Invalid control character"),
    "closing only": ("]" * 5000, r"^\$: not JSON"),
    "array": ("[1]", r"^\$: the document is an array, not an object"),
    "text": ('"text"', r"^\$: the document is a text, not an object"),
    "null": ("null", r"^\$: the document is null, not an object"),
    "NaN": ('{"physics_parameters": {"nphotons": NaN}}', r"^\$\.physics_parameters\.nphotons: NaN"),
    "Infinity": ('{"a": [0, Infinity]}', r"^\$\.a\[1\]: infinite"),
    "-Infinity": ('{"a": -Infinity}', r"^\$\.a: infinite"),
    "overflow": ('{"a": [{"b": -1e999}]}', r"^\$\.a\[0\]\.b: infinite, or too large for a float"),
    "duplicate": ('{"a": {"N": 1, "x": 2, "N": 1}}', r"^\$\.a\.N: the key appears twice"),
    "escaped duplicate": ('{"N": 1, "\\u004e": 1}', r"^\$\.N: the key appears twice"),
    "duplicate root": ('{"a": 1, "a": [NaN]}', r"^\$\.a: the key appears twice"),
    "long integer": ('{"a": -1' + "0" * 4300 + "}", r"^\$\.a: an integer of more than 4300 digits"),
    "long document": ("7" * 5000, r"^\$: an integer of more than 4300"),
    "escaped surrogate": ('{"a": "x\\ud800"}', r"^\$\.a: a lone surrogate \(U\+D800\) at char.* 1"),
    "raw surrogate": ('{"a": "\udc80"}', r"^\$\.a: a lone surrogate \(U\+DC80\)"),
    "raw pair": ('{"a": "\ud83d\ude00"}', r"^\$\.a: a lone surrogate"),
    "surrogate key": ('{"a": {"\\udfff": 1}}', r'^\$\.a\["\\udfff"\]: a lone surrogate'),
    "raw surrogate key": ('{"\udfff": 1}', r'^\$\["\\udfff"\]: a lone surrogate'),
    "65 deep": (nested(65), r"^\$\.a(\[0\]){63}: nests deeper than 64"),
    "never closed": ('{"a": ' * 100_000, r"nests deeper than 64"),
    "very deep": ("[" * 10**6, r"nests deeper than 64"),
    "endless string": ('{"a": "' + '\\"' * 10**6, r"^\$\.a: not JSON: Unterminated"),
    "odd keys": ('{"a b": {"1": {"Å\\n": NaN}}}', r'^\$\["a b"\]\["1"\]\[".u00c5.n"\]: NaN'),
    "long key": ('{"' + "k" * 10**5 + '": NaN}', r'^\$\["k{60}\.\.\."\]: NaN'),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_refuses_what_is_not_strict_json(text: str, reason: str) -> None:
    assert re.search(reason, refused_text(text))


@pytest.mark.parametrize(("text", "reason"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_keeps_the_text_where_asked(text: str, reason: str) -> None:
    for kept in (Metadata.keep_text(text), Metadata.from_json(text, strict=False)):
        assert kept.text == text
        assert kept.to_json() == text
        assert (kept.document, kept.history, kept.physics) == ({}, [], {})


def test_accepts_what_is_at_the_limits() -> None:
    for text in (
        nested(64),
        '{"a": ' + "9" * 4300 + "}",
        '{"a": "\\ud83d\\ude00"}',  # an escaped pair is one character
        '{"a": "[[[[{{{{ \\" [[[["}' + " " * 10**5,
        '{"a": 1e-999}',
        '{"a": {"N": 1}, "b": {"N": 1}}',
        '{"a": [' + "[], " * 1000 + "[]]}",
    ):
        metadata = Metadata.from_json(text)
        assert metadata.document == json.loads(text)
        assert Metadata.from_json(metadata.to_json()) == metadata


def test_size_limit_counts_utf8() -> None:
    for letter, size in (("x", 1), ("é", 2), ("𝛙", 4)):
        count = (LIMIT - 9) // size
        text = f'{{"a": "{letter * count}"}}'
        text += " " * (LIMIT - len(text.encode()))
        assert len(Metadata.from_json(text).document["a"]) == count
        for read in (Metadata.from_json, Metadata.keep_text):
            error = refusal(lambda read=read, text=text: read(text + " "))
            assert "16777217 bytes of text, over the 16777216 allowed" in error.reason
            assert error.advice is None  # keeping the text would not help


def test_size_limit_counts_lone_surrogates_as_three_bytes() -> None:
    Metadata.keep_text("\udc80" * (LIMIT // 3))
    assert (
        "16777218 bytes" in refusal(lambda: Metadata.keep_text("\udc80" * (LIMIT // 3 + 1))).reason
    )


def test_written_json_is_never_too_long_to_read() -> None:
    # Indented, each of these numbers takes 46 bytes: they are written without.
    deep: Any = [1] * (LIMIT // 40)
    for _ in range(20):
        deep = [deep]
    metadata = Metadata({"a": deep})
    assert Metadata.from_json(metadata.to_json()) == metadata
    assert "over the 16777216" in refusal(Metadata({"a": "x" * LIMIT}).to_json).reason


# Documents from Python values


def test_numpy_and_python_values_become_plain_json() -> None:
    metadata = Metadata(
        {
            "float32": np.float32(0.5),
            "float64": np.float64(1e9),
            "integer": np.uint16(65535),
            "boolean": np.True_,
            "text": np.str_("Å"),
            "array": np.arange(6, dtype=np.int16).reshape(2, 3),
            "scalar": np.array(2.5),
            "objects": np.array([None, "a", 1], dtype=object),
            "tuple": (1, (2.0, None)),
            "path": Path("scans") / "a.npz",
            np.str_("key"): {"empty": ()},
        }
    )
    expected = {
        "float32": 0.5,
        "float64": 1e9,
        "integer": 65535,
        "boolean": True,
        "text": "Å",
        "array": [[0, 1, 2], [3, 4, 5]],
        "scalar": 2.5,
        "objects": [None, "a", 1],
        "tuple": [1, [2.0, None]],
        "path": str(Path("scans") / "a.npz"),
        "key": {"empty": []},
    }
    assert metadata.document == expected

    def types(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: (type(key), types(item)) for key, item in value.items()}
        return [types(item) for item in value] if isinstance(value, list) else type(value)

    assert types(metadata.document) == types(expected)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
BAD_VALUES: dict[str, tuple[Any, str]] = {
    "NaN": ([1.0, math.nan], r"\$\.a\[1\]: NaN"),
    "infinity": (np.float32("inf"), r"\$\.a: infinite"),
    "NaN in an array": (np.array([[0, math.nan]]), r"\$\.a\[0\]\[1\]: NaN"),
    "complex": (1j, r"\$\.a: a value of type complex"),
    "NumPy complex": (np.complex64(1), r"\$\.a: a value of type complex64"),
    "complex array": (np.zeros(1, np.complex64), r"\$\.a\[0\]: a value of type complex"),
    "bytes": ({"b": b"x"}, r"\$\.a\.b: a value of type bytes"),
    "date": (np.datetime64("2026-01-01"), r"\$\.a: a value of type datetime64"),
    "set": ({1}, r"\$\.a: a value of type set"),
    "object": (object(), r"\$\.a: a value of type object"),
    "key": ({1: 2}, r"\$\.a: a key of type int"),
    "surrogate": ("\ud800", r"\$\.a: a lone surrogate"),
    "surrogate key": ({"\ud800": 1}, r"\$\.a.* a lone surrogate"),
    "long integer": (10**4300, r"\$\.a: an integer of more than 4300 digits"),
    "cycle": (CYCLE, r"\$\.a(\[0\]){63}: nests deeper than 64"),
}


@pytest.mark.parametrize(("value", "reason"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_refuses_values_that_are_not_json(value: Any, reason: str) -> None:
    assert re.match(reason, refusal(lambda: Metadata({"a": value})).reason)
