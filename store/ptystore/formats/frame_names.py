"""The order of many files by the numbers in their names, and which numbers are not there."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.never_written import in_words
from ptystore.model.lazy_array import Indices

__all__ = ["OrderedNames", "ordered_names"]

_DIGITS = re.compile(r"(\d+)", re.ASCII)

# A number of this many digits fits an int64.
_MOST_DIGITS = 18


@dataclass(frozen=True)
class OrderedNames:
    """Names in order; `numbers` (n,) int64 where one number of each tells it from all others.

    `gaps` says which numbers are not there.
    """

    names: tuple[str, ...]
    numbers: Indices | None
    gaps: str | None


def ordered_names(names: Sequence[str]) -> OrderedNames:
    """Names that differ in numbers alone, by the first number that is different in each of them.

    Where no number is, as of lines and points, by all that differ. Raises `InputError` for names
    that differ in more, and for two of the same numbers.
    """
    split = [_DIGITS.split(name) for name in names]
    texts = [tuple(parts[::2]) for parts in split]
    for name, text in zip(names, texts, strict=True):
        if text != texts[0]:
            raise InputError(
                f"{names[0]} and {name} differ in more than numbers: nothing says their order",
                advice="name some of them by a quoted pattern such as 'scan12_*.tif', or all in "
                "order in a list, --files LIST",
            )
    long = [name for name, parts in zip(names, split, strict=True) if _too_long(parts[1::2])]
    if long:
        raise InputError(f"{long[0]} has a number of more than {_MOST_DIGITS} digits")
    if len(names) == 1 or not split[0][1::2]:
        return OrderedNames(tuple(names), None, None)
    table = np.array([[int(digits) for digits in parts[1::2]] for parts in split], np.int64)
    # A number that is in a name twice, such as in that of its folder, is one.
    columns = [tuple(column) for column in table.T.tolist() if len(set(column)) > 1]
    varying = np.array(list(dict.fromkeys(columns)), np.int64).reshape(-1, len(names)).T
    order = np.lexsort(varying.T[::-1]) if varying.size else np.arange(len(names))
    rows = varying[order]
    same = np.flatnonzero((rows[1:] == rows[:-1]).all(axis=1)) if rows.size else np.arange(1)
    if same.size:
        one, two = (names[int(order[same[0] + at])] for at in (0, 1))
        raise InputError(f"{one} and {two} have the same number: nothing says their order")
    telling = [at for at in range(rows.shape[1]) if len(np.unique(rows[:, at])) == len(rows)]
    if not telling:
        return OrderedNames(tuple(names[at] for at in order), None, _absent_of_several(rows))
    column = varying[:, telling[0]]
    order = np.argsort(column)
    numbers = column[order]
    return OrderedNames(tuple(names[at] for at in order), numbers, _absent(numbers))


def _too_long(digits: Sequence[str]) -> bool:
    return any(len(one) > _MOST_DIGITS for one in digits)


def _absent(numbers: Indices) -> str | None:
    """The numbers between the first and the last that no file has, in steps that all share."""
    steps = np.diff(numbers)
    step = math.gcd(*steps.tolist())
    holes = np.flatnonzero(steps > step)
    if not holes.size:
        return None
    ranges = []
    for at in holes.tolist():
        ranges.append((int(numbers[at]) + step, int(numbers[at + 1]) - step))
    return f"there are no files of the numbers {in_words(ranges)}"


def _absent_of_several(rows: Indices) -> str | None:
    """The combinations of lines and points that no file has."""
    values = [np.unique(rows[:, at]).tolist() for at in range(rows.shape[1])]
    whole = math.prod(len(one) for one in values)
    if whole == len(rows) or whole > 2 * len(rows):
        return None
    there = set(map(tuple, rows.tolist()))
    missing = [one for one in itertools.product(*values) if one not in there]
    shown = ", ".join("-".join(map(str, one)) for one in missing[:8])
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    return f"there are no files of the numbers {shown}{more}"
