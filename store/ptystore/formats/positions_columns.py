"""Which columns of a table are y and x, by their names and by what the caller says of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ptystore.errors import InputError, ParameterError
from ptystore.formats.position_units import is_pixels
from ptystore.model.lazy_array import Array
from ptystore.model.quantities import factor

__all__ = ["Column", "chosen_columns", "units_in"]

_COLUMNS = "--position-columns"
_WORDS = ("y", "x", "frame", "frame0", "frame1")
_PASSED_OVER = ("-", "_")
_NUMBER_WORDS = {"frame", "image", "index", "idx", "number", "nr", "no", "num", "id"}


@dataclass(frozen=True)
class Column:
    """A column by its name, None in a table without names, and its units if the file says."""

    name: str | None
    units: str | None
    values: Callable[[], Array]


def chosen_columns(
    columns: Sequence[Column], told: str | None
) -> tuple[Mapping[str, Column], int | None]:
    """y, x and, where there is one, frame; and where the frame numbers count from if told.

    `told` is as `OtherTools` has it. Raises `InputError` where the columns are not told apart,
    `ParameterError` for what names no two columns.
    """
    named = [column.name for column in columns if column.name is not None]
    if told is None:
        if not named:
            raise InputError(
                f"has {len(columns)} columns and no names for them",
                advice="say which they are: --position-columns y,x or x,y; "
                "frame,x,y,- with frame numbers and a column to pass over",
            )
        return _by_names(columns, named), None
    entries = [entry.strip() for entry in told.split(",")]
    if all("=" in entry for entry in entries):
        pairs = [entry.partition("=") for entry in entries]
        words = [word.strip() for word, _, _ in pairs]
        found = [_named(columns, name.strip()) for _, _, name in pairs]
        return _as_axes(words, found)
    if all(entry in (*_WORDS, *_PASSED_OVER) for entry in entries):
        kept = [word for word in entries if word not in _PASSED_OVER]
        if named:
            by_name = [_word_in_names(columns, word) for word in kept]
            if any(column is not None for column in by_name):
                missing = [w for w, column in zip(kept, by_name, strict=True) if column is None]
                if missing:
                    raise _no_such(missing[0], columns)
                return _as_axes(kept, [column for column in by_name if column is not None])
        if len(entries) != len(columns):
            raise InputError(
                f"has {len(columns)} columns, {_COLUMNS} {told} names {len(entries)}",
                advice=f"name each, {_PASSED_OVER[0]} for one to pass over: "
                f"{_COLUMNS} y,x{',-' * max(0, len(columns) - 2)}",
            )
        pairs_of = list(zip(entries, columns, strict=True))
        return _as_axes(kept, [column for word, column in pairs_of if word not in _PASSED_OVER])
    if len(entries) not in (2, 3):
        raise ParameterError(f"{told!r} names {len(entries)} columns, not y and x", member=_COLUMNS)
    return _as_axes(["y", "x", "frame"][: len(entries)], [_named(columns, e) for e in entries])


def _as_axes(
    words: Sequence[str], found: Sequence[Column]
) -> tuple[Mapping[str, Column], int | None]:
    axes: dict[str, Column] = {}
    first = None
    for word, column in zip(words, found, strict=True):
        axis = "frame" if word in ("frame", "frame0", "frame1") else word
        if axis not in ("y", "x", "frame") or axis in axes:
            raise ParameterError(f"{', '.join(words)}: y and x, each once", member=_COLUMNS)
        axes[axis] = column
        first = int(word[-1]) if word in ("frame0", "frame1") else first
    if not {"y", "x"} <= axes.keys():
        raise ParameterError(f"{', '.join(words)}: y and x, each once", member=_COLUMNS)
    return axes, first


def _by_names(columns: Sequence[Column], named: Sequence[str]) -> Mapping[str, Column]:
    """The columns whose names tell what they are."""
    found = {word: _word_in_names(columns, word) for word in ("y", "x", "frame")}
    axes = {word: column for word, column in found.items() if column is not None}
    if not {"y", "x"} <= axes.keys():
        raise InputError(
            f"its columns {', '.join(named)} don't say which are y and x",
            advice=f"name them, y first: {_COLUMNS} {_example(named)}",
        )
    return axes


def _example(named: Sequence[str]) -> str:
    """What may be said of columns that have these names."""
    if len(named) != 2:
        return "NAME,NAME"
    return f"{named[0]},{named[1]}, or {named[1]},{named[0]}"


def _word_in_names(columns: Sequence[Column], word: str) -> Column | None:
    """The only column whose name says that it is y, x or the frame's number."""
    if word.startswith("frame"):
        numbering = [c for c in columns if _tokens(c.name) and _tokens(c.name) <= _NUMBER_WORDS]
        framed = [c for c in numbering if "frame" in _tokens(c.name)]
        numbering = framed if len(numbering) > 1 else numbering
        return numbering[0] if len(numbering) == 1 else None
    other = "x" if word == "y" else "y"
    found = [c for c in columns if word in _tokens(c.name) and other not in _tokens(c.name)]
    exact = [c for c in found if (c.name or "").lower() == word]
    found = exact if len(found) > 1 else found
    return found[0] if len(found) == 1 else None


def _tokens(name: str | None) -> set[str]:
    return set(re.findall(r"[a-zµμ]+", (name or "").lower()))


def _named(columns: Sequence[Column], name: str) -> Column:
    """A column by its name, or by its number from 1."""
    found = [column for column in columns if column.name == name]
    if len(found) == 1:
        return found[0]
    if not found and re.fullmatch(r"\d{1,4}", name, re.ASCII) and 0 < int(name) <= len(columns):
        return columns[int(name) - 1]
    raise _no_such(name, columns)


def _no_such(name: str, columns: Sequence[Column]) -> InputError:
    there = ", ".join(c.name or str(at) for at, c in enumerate(columns, 1))
    return InputError(
        f"has no column {name!r}, or several",
        advice=f"there are {there}; two are named y first: {_COLUMNS} NAME,NAME",
    )


def units_in(name: str) -> str | None:
    """The units that a column's name ends in, such as ``x_um`` or ``y [nm]``."""
    tokens = re.findall(r"[A-Za-zµμÅ]+", name.rpartition("/")[2])
    if len(tokens) < 2:
        return None
    last = tokens[-1]
    known = is_pixels(last) or (
        (len(last) > 1 or last == "m") and factor(last, "length") is not None
    )
    return last if known else None
