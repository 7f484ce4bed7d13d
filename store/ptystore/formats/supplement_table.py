"""A table in a text file: rows of fields, with a line of names above them or none.

Commas, semicolons, tabs or white space part the fields; ``#``, ``%``, ``!`` and ``//`` begin a
comment; decimal commas are understood where semicolons or tabs part.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.position_units import is_pixels
from ptystore.model.lazy_array import Array
from ptystore.model.quantities import factor
from ptystore.storage.local import SourceFile

__all__ = ["TextTable", "looks_like_text", "read_table"]

# A million positions with their frame numbers.
_MOST_BYTES = 64 << 20

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

_COMMENT = re.compile(r"#|%|!|//")
_BEFORE_UNIT = re.compile(r"\s+([(\[])")
_DECIMAL_OR_WHOLE = re.compile(r"[+-]?(\d*,)?\d+(?:[eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class TextTable:
    """The fields of each row, all rows of one length; `lines` are their numbers in the file.

    `names` are those of the columns, None where the file has none.
    """

    names: tuple[str, ...] | None
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]

    @property
    def width(self) -> int:
        return len(self.rows[0])

    def column(self, at: int) -> Array:
        """A column, (n,) float64. Raises `InputError` naming a line that has no number there."""
        fields = [row[at] for row in self.rows]
        try:
            return np.array(fields, np.float64)
        except ValueError:
            pass
        values = np.empty(len(fields))
        for row, field in enumerate(fields):
            number = _number(field)
            if number is None:
                raise InputError(f"line {self.lines[row]}: {field!r} is no number")
            values[row] = number
        return values


def looks_like_text(head: bytes) -> bool:
    """Whether a file that begins so may be a table of text."""
    return bool(head.strip()) and (b"\0" not in head or head.startswith(_UTF_16))


def read_table(file: SourceFile) -> TextTable:
    """The table in a text file, read whole.

    Raises `InputError` where it is too large, has no rows of numbers, or rows of several lengths.
    """
    if file.size > _MOST_BYTES:
        raise InputError(f"has {file.size} bytes: too large for a table of text", file=file.path)
    data = file.read(0, file.size)
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    numbered = [(at, line.strip()) for at, line in enumerate(text.splitlines(), 1)]
    lines = [(at, line) for at, line in numbered if line and not _COMMENT.match(line)]
    if not lines:
        raise InputError("holds no rows", file=file.path)
    parting = _parting([line for _, line in lines[1:20] or lines])
    rows = _parted([line for _, line in lines], parting)
    numbers = [at for at, _ in lines]
    names: tuple[str, ...] | None = None
    if all(_number(field) is None for field in rows[0]):
        fields = _as_wide(rows.pop(0), rows, parting)
        numbers.pop(0)
        if rows and _are_units(rows[0]) and len(rows[0]) == len(fields):
            units = rows.pop(0)
            numbers.pop(0)
            fields = [f"{name} {unit}".strip() for name, unit in zip(fields, units, strict=True)]
        names = tuple(fields)
    else:
        names = _in_comment(numbered, numbers[0], len(rows[0]), parting)
    if not rows:
        raise InputError("holds no rows of numbers", file=file.path)
    width = len(names) if names is not None else len(rows[0])
    for at, row in zip(numbers, rows, strict=True):
        if len(row) != width:
            reason = f"line {at} has {len(row)} fields, the first {width}"
            raise InputError(reason, file=file.path)
    return TextTable(names, rows, numbers)


def _in_comment(
    numbered: Sequence[tuple[int, str]], first: int, width: int, parting: str | None
) -> tuple[str, ...] | None:
    """The names in a comment right above the first row, as `np.savetxt` writes them, if any.

    Empty lines and comments may lie between.
    """
    for _, line in reversed(numbered[: first - 1]):
        mark = _COMMENT.match(line)
        told = line[mark.end() :].strip() if mark is not None else ""
        if not told and (mark is not None or not line):
            continue
        fields = _named_apart(_parted([told], parting)[0], width, parting) if told else []
        named = len(fields) == width and all(field and _number(field) is None for field in fields)
        return tuple(fields) if named else None
    return None


def _as_wide(names: list[str], rows: list[list[str]], parting: str | None) -> list[str]:
    """The names of as many columns as the rows have; a mark at the end of a line parts nothing."""
    width = len(rows[0]) if rows else len(names)
    if len(names) == width + 1 and not names[-1]:
        return names[:-1]
    if width == len(names) + 1 and all(len(row) == width and not row[-1] for row in rows):
        for row in rows:
            row.pop()
        return names
    return _named_apart(names, width, parting)


def _named_apart(names: list[str], width: int, parting: str | None) -> list[str]:
    """Names parted by white space with a unit in brackets put to what it is of."""
    if parting is not None or len(names) == width:
        return names
    return _BEFORE_UNIT.sub(r"\1", " ".join(names)).split()


def _are_units(fields: Sequence[str]) -> bool:
    """Whether a line below the names has units, of some columns at least."""
    bare = [field.strip("()[] ") for field in fields]
    known = [one for one in bare if is_pixels(one) or factor(one, "length") is not None]
    return bool(known) and all(_number(one) is None for one in bare)


def _parting(lines: Sequence[str]) -> str | None:
    """What parts the fields of lines, None for white space, as between numbers with commas."""
    fields = [line.split() for line in lines]
    if all(len(one) > 1 and all(map(_DECIMAL_OR_WHOLE.fullmatch, one)) for one in fields):
        return None
    return next((mark for mark in (";", "\t", ",") if any(mark in one for one in lines)), None)


def _parted(lines: Sequence[str], parting: str | None) -> list[list[str]]:
    if parting is None:
        return [line.split() for line in lines]
    reader = csv.reader(lines, delimiter=parting, skipinitialspace=True)
    rows = [[field.strip() for field in row] for row in reader]
    # A mark at the end of every line parts nothing.
    if all(len(row) > 1 and not row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    return rows


def _number(field: str) -> float | None:
    if _DECIMAL_COMMA.fullmatch(field):
        field = field.replace(",", ".")
    try:
        return float(field)
    except ValueError:
        return None
