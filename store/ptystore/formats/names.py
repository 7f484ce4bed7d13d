"""Names that every format can hold, those that a store keeps for itself, and who is renamed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping

from ptystore.errors import ParameterError

__all__ = [
    "METADATA_MEMBER",
    "RESERVED_NAMES",
    "MemberNames",
    "another_name",
    "check_name",
    "leave_out",
]

#: The member or dataset that holds the metadata document, where a format has no other place.
METADATA_MEMBER = "_metadata"

#: Names that a store needs for itself.
RESERVED_NAMES = frozenset({"zarr.json", "ptystore-manifest.json"})

_NAME = re.compile(r"[A-Za-z0-9_\-+][A-Za-z0-9_\-.+ ]{0,127}")


def check_name(name: str) -> str | None:
    """What is wrong with a field's name, None if nothing is.

    Names become file names and attributes: ASCII letters, digits, `_ - . +` and space
    inside, at most 128 characters, no leading dot or `__`, none that a store needs itself.
    """
    if not _NAME.fullmatch(name) or name.endswith(" "):
        return "is not an acceptable name: letters, digits, _ - . + and spaces inside, at most 128"
    if name.startswith("__") or name.lower() in RESERVED_NAMES:
        return "is a reserved name"
    return None


def leave_out(member: str) -> str:
    """The advice to go on without a member that can't be read."""
    return f"ptystore ingest SRC DST --skip {shlex.quote(member)} leaves it out"


def another_name(member: str) -> str:
    """The advice to take a member under a name that is acceptable, or not at all."""
    last = re.sub(r"[^A-Za-z0-9_\-+.]+", "_", re.split(r"[/\\]", member)[-1]).strip("._ ")[:128]
    new = last if last and check_name(last) is None else "NEW"
    renaming = f"ptystore ingest SRC DST --rename {shlex.quote(f'{member}={new}')} takes it"
    return f"{renaming}, --skip {shlex.quote(member)} leaves it out"


class MemberNames:
    """Which members of a source are taken, and under which names.

    Raises `ParameterError` where a name is skipped and renamed, two get one name, or a new name
    is not acceptable.
    """

    def __init__(self, skip: Collection[str], rename: Mapping[str, str]) -> None:
        for old, new in rename.items():
            problem = "is skipped and renamed" if old in skip else check_name(new)
            if problem:
                told = problem if old in skip else f"can't be renamed to {new!r}: that {problem}"
                raise ParameterError(told, member=old)
        for new in rename.values():
            given = [old for old, other in rename.items() if other == new]
            if len(given) > 1:
                raise ParameterError(f"{' and '.join(given)} can't both be renamed to {new}")
        self._skip = frozenset(skip)
        self._rename = dict(rename)

    def __bool__(self) -> bool:
        return bool(self._skip or self._rename)

    def of(self, member: str) -> str | None:
        """The name that a member is taken under, None where it is left out."""
        return None if member in self._skip else self._rename.get(member, member)

    def require_all_in(self, members: Iterable[str]) -> None:
        """Raise `ParameterError` for a name to be skipped or renamed that no member has."""
        there = list(members)
        for name in (*sorted(self._skip), *self._rename):
            if name not in there:
                listed = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
                raise ParameterError(
                    "is to be skipped or renamed, but there is no such member",
                    member=name,
                    advice=f"there are {listed}",
                )
