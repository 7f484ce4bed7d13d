"""What the parser takes in one go is what a look at every value would have given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptystore.errors import InputError
from ptystore.model.strict_json import MAX_DEPTH, normalise, parse, plain_copy

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ODD = st.sampled_from(["[{", '"]', "\\", "\ud800", "\U0001f600", "\\ud800"])
VALUES = st.recursive(
    SCALARS | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
)


def outcome(work: Callable[[], Any]) -> Any:
    """What comes of it: a document, or the reason for refusing it."""
    try:
        return work()
    except InputError as error:
        return error.reason


@given(st.dictionaries(st.text(max_size=3), VALUES), st.booleans())
def test_a_text_is_taken_or_refused_as_its_values_are(document: Any, escaped: bool) -> None:
    text = json.dumps(document, ensure_ascii=escaped)
    assert outcome(lambda: parse(text)) == outcome(lambda: normalise(json.loads(text)))


@pytest.mark.parametrize("kinds", ["[", "{", "[{", "{[["])
@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 2 * MAX_DEPTH])
def test_levels_are_counted_one_by_one(kinds: str, levels: int) -> None:
    inner = [kinds[k % len(kinds)] for k in range(levels - 1)]
    text = '{"a":' + "".join('{"a":' if kind == "{" else "[" for kind in inner) + "1"
    text += "".join("}" if kind == "{" else "]" for kind in reversed(inner)) + "}"
    # Brackets beside and in strings count for nothing.
    text = text.replace('"a":1', '"a":1, "[[{": "]}\\"["', 1)
    if levels <= MAX_DEPTH:
        assert parse(text) == json.loads(text)
    else:
        with pytest.raises(InputError, match="nests deeper than 64"):
            parse(text)


@given(VALUES.filter(lambda value: value == value))
def test_a_copy_shares_nothing(value: Any) -> None:
    copied = plain_copy(value)
    assert repr(copied) == repr(value)

    def parts(tree: Any) -> list[int]:
        inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
        own = [id(tree)] if isinstance(tree, dict | list) else []
        return own + [part for item in inner for part in parts(item)]

    assert not set(parts(copied)) & set(parts(value))
