"""JSON as every reader understands it: stricter than Python's own, with paths in the errors.

Python's `json` accepts NaN, duplicate keys, lone surrogates and any depth; other readers then
reject the store that holds them. `parse` refuses these in a text, `normalise` in Python values.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeGuard, TypeVar

import numpy as np

from ptystore.errors import InputError

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_INTEGER_DIGITS",
    "RELATIVE_TOLERANCE",
    "check_size",
    "dump",
    "is_number",
    "normalise",
    "parse",
    "plain_copy",
    "refused",
    "show_value",
    "values_agree",
]

MAX_BYTES: Final = 16 * 2**20
MAX_DEPTH: Final = 64
MAX_INTEGER_DIGITS: Final = 4300
RELATIVE_TOLERANCE: Final = 1e-9

_FIRST_TOO_LONG = 10**MAX_INTEGER_DIGITS
_MEMBER = "_metadata"
_KEEP_TEXT = "--metadata keep-text stores the text as it is, without interpreting it"

# Possessive, and closing quote optional: one pass over the text whatever it holds.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_BRACKET = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)

# Of a surrogate, alone or of a pair, or its escape: few documents hold any.
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]|\\u[dD][89abAB]|\\u[dD][c-fC-F]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"{}", b"[]")

_TOKEN = re.compile(_STRING + r"|[\[\]{},]", re.DOTALL)

JsonPath = tuple[str | int, ...]
Plain = TypeVar("Plain")


class _Refused(NamedTuple):
    """Stands in a parsed tree where the parser met something to refuse: paths are known later."""

    reason: str
    key: str | None = None


def parse(text: str) -> dict[str, Any]:
    """The JSON object in `text`, keys in order.

    Raises
    ------
    InputError : the text is over 16 MiB as UTF-8, is not JSON, is not an object, nests deeper
        than 64, or holds NaN, an infinity, a float that overflows, an integer of over 4300
        digits, a key twice in one object, or a lone surrogate. The reason begins with the
        JSON path; member is `_metadata`.
    """
    check_size(text)
    try:
        if not _is_shallow(text):
            _check_depth(text)
        met = _Met()
        tree = json.loads(
            text,
            object_pairs_hook=met.pairs,
            parse_int=met.digits,
            parse_float=met.decimal,
            parse_constant=met.constant,
        )
        if not isinstance(tree, dict | _Refused):
            raise refused((), f"the document is {_kind(tree)}, not an object")
        # What the parser makes is plain already; a second look finds where something stands.
        if isinstance(tree, _Refused) or met.flaw or _LONE_SURROGATE.search(text):
            tree = normalise(tree)
        document: dict[str, Any] = tree
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        path = _path_at(text, error.pos)
        raise refused(path, f"not JSON: {error.msg} at {where}", _KEEP_TEXT) from None
    except InputError as error:
        error.advice = _KEEP_TEXT
        raise
    return document


def normalise(value: object, path: JsonPath = ()) -> Any:
    """A deep copy of `value` in plain JSON types.

    NumPy scalars and arrays, tuples and paths become numbers, lists and text.

    Parameters
    ----------
    value : what is to become JSON.
    path : where it will stand in the document; its length counts as depth.

    Raises
    ------
    InputError : a NaN or infinity, a complex number, bytes, a key that is not text, a lone
        surrogate, an integer of over 4300 digits, depth over 64, or any other object. The
        reason begins with the JSON path.
    """
    if isinstance(value, _Refused):
        raise refused(path if value.key is None else (*path, value.key), value.reason)
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int | np.integer):
        return _digits_checked(int(value), path)
    if isinstance(value, float | np.floating):
        return _finite(float(value), path)
    if isinstance(value, os.PathLike):
        return normalise(os.fspath(value), path)
    if isinstance(value, np.ndarray):
        return normalise(value.tolist(), path)
    if not isinstance(value, Mapping | list | tuple):
        raise refused(path, f"{_kind(value)} can not be stored as JSON")
    if len(path) >= MAX_DEPTH:
        raise refused(path, f"nests deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        return {_key(key, path): normalise(item, (*path, key)) for key, item in value.items()}
    return [normalise(item, (*path, index)) for index, item in enumerate(value)]


def plain_copy(value: Plain) -> Plain:
    """A copy of plain JSON values that shares no list and no object with them."""
    copied: Plain = _copied(value)
    return copied


def _copied(value: Any) -> Any:
    # Exact types, which plain values have: several times as fast as copy.deepcopy.
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value


def dump(document: dict[str, Any]) -> str:
    """`document`, normalised before, as JSON that `parse` reads back equal.

    Raises InputError where it is over 16 MiB as UTF-8: no reader would take it.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if _utf8_size(text) > MAX_BYTES:
        # Indenting makes a list of small numbers several times as long as its source was.
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    check_size(text)
    return text


def check_size(text: str) -> None:
    """Raises InputError where `text` is over 16 MiB as UTF-8."""
    if (size := _utf8_size(text)) > MAX_BYTES:
        raise refused((), f"{size} bytes of text, over the {MAX_BYTES} allowed")


def _utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def refused(path: JsonPath, what: str, advice: str | None = None) -> InputError:
    """The error for what stands at `path` of the document."""
    return InputError(f"{_show_path(path)}: {what}", member=_MEMBER, advice=advice)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a JSON value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def values_agree(one: object, other: object) -> bool:
    """Equal JSON values, numbers within 1e-9 relative."""
    if is_number(one) and is_number(other):
        try:
            return one == other or math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE)
        except OverflowError:  # an integer beyond any float
            return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(values_agree, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(values_agree(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


def show_value(value: object) -> str:
    """A value in a message: JSON, short, a large or small float as 1e9."""
    if isinstance(value, float):
        mantissa, exponent = f"{value:.12e}".split("e")
        if not -4 <= int(exponent) < 6:
            return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        return f"{value:.13g}"
    shown = json.dumps(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _show_path(path: JsonPath) -> str:
    """`$.physics_parameters.nphotons`, `$.a[3]["odd key"]`; ASCII, one line, not endless."""
    shown = "$"
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,60}", part):
            shown += f".{part}"
        else:
            shown += f"[{json.dumps(part if len(part) <= 60 else part[:60] + '...')}]"
    return shown if len(shown) <= 240 else f"{shown[:120]}...{shown[-117:]}"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean"}
    if value is None:
        return "null"
    return names.get(type(value), f"a value of type {type(value).__name__}")


def _text(value: str, path: JsonPath) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        where = f"a lone surrogate (U+{ord(value[error.start]):04X}) at character {error.start}"
        raise refused(path, f"{where}, which is not text") from None
    return str.__str__(value)  # a plain str of a subclass such as np.str_


def _key(key: object, path: JsonPath) -> str:
    if not isinstance(key, str):
        raise refused(path, f"a key of type {type(key).__name__}; JSON keys are text")
    return _text(key, (*path, key))


def _finite(value: float, path: JsonPath) -> float:
    if math.isnan(value):
        raise refused(path, "NaN is not JSON")
    if math.isinf(value):
        raise refused(path, "infinite, or too large for a float")
    return value


def _digits_checked(value: int, path: JsonPath) -> int:
    if abs(value) >= _FIRST_TOO_LONG:
        raise refused(path, f"an integer of more than {MAX_INTEGER_DIGITS} digits")
    return value


class _Met:
    """The parser's hooks; `flaw` is set by what is to be refused."""

    def __init__(self) -> None:
        self.flaw = False

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        self.flaw = True
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                break
            seen.add(key)
        return _Refused("the key appears twice in one object", key)

    def digits(self, digits: str) -> int | _Refused:
        if len(digits) <= MAX_INTEGER_DIGITS or len(digits.lstrip("-")) <= MAX_INTEGER_DIGITS:
            return int(digits)
        self.flaw = True
        return _Refused(f"an integer of more than {MAX_INTEGER_DIGITS} digits")

    def decimal(self, digits: str) -> float:
        value = float(digits)
        self.flaw = self.flaw or math.isinf(value)
        return value

    def constant(self, name: str) -> float:
        self.flaw = True
        return float(name)


def _is_shallow(text: str) -> bool:
    """Whether nothing nests over 64, if the text is JSON: a level of brackets at a time."""
    data = _WHOLE_STRING.sub("", text).encode("utf-8", "surrogatepass")
    brackets = data.translate(_ALIKE, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return True
        brackets = brackets.replace(b"[]", b"")
    return not brackets


def _check_depth(text: str) -> None:
    """Refuse nesting over 64 before the parser, which recurses, sees it."""
    depth = 0
    for match in _BRACKET.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise refused(_path_at(text, match.start()), f"nests deeper than {MAX_DEPTH}")
        elif first in "]}":
            depth -= 1


def _path_at(text: str, end: int) -> JsonPath:
    """The path of what stands at character `end`, as far as the text before it is JSON."""
    path: list[str | int | None] = []  # one entry an open bracket; None awaits its key
    for match in _TOKEN.finditer(text, 0, end):
        token = match.group()
        if token in ("[", "{"):
            path.append(0 if token == "[" else None)
        elif not path:
            continue
        elif token in ("]", "}"):
            path.pop()
        elif token == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        elif path[-1] is None and token[0] == '"':
            path[-1] = token[1:].removesuffix('"')
    return tuple(part for part in path if part is not None)
