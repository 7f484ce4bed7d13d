"""What is known of a format: who reads it, how it is laid out, what of it becomes what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Item", "KnownFormat", "Layout", "maybe", "needed"]


@dataclass(frozen=True)
class Item:
    """One thing in a file of a format.

    path : where it is, as ``/entry/data``, an attribute as ``/entry@name``; a name in angle
        brackets stands for any.
    what : dims and dtype, or what the text or the group is.
    unit : of its values, empty where they have none.
    gives : names of fields and facts that it becomes.
    required : whether a file of that format must have it.
    """

    path: str
    what: str
    unit: str = ""
    gives: tuple[str, ...] = ()
    required: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "path": self.path,
            "what": self.what,
            "unit": self.unit,
            "gives": list(self.gives),
            "required": self.required,
        }


def needed(path: str, what: str, *gives: str, unit: str = "") -> Item:
    """A thing that a file of the format must have."""
    return Item(path, what, unit, gives, True)


def maybe(path: str, what: str, *gives: str, unit: str = "") -> Item:
    """A thing that a file of the format may have."""
    return Item(path, what, unit, gives, False)


@dataclass(frozen=True)
class Layout:
    """How a format lays a scan out.

    `containers` are kinds of files that hold it, `known_by` is what makes a file one of them.
    `pairs` says whether a second file belongs to it, `of_electrons` whether it is of electrons
    whatever it says, `notes` are what items alone don't tell: orders, signs, middles.
    """

    containers: tuple[str, ...]
    known_by: str
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    pairs: bool = False
    of_electrons: bool = False

    @property
    def gives(self) -> tuple[str, ...]:
        """The fields and facts that a file of the format can hold."""
        return tuple(dict.fromkeys(name for item in self.items for name in item.gives))


@dataclass(frozen=True, kw_only=True)
class KnownFormat:
    """One format or dialect that is read: `suffixes` are those under which it is written too."""

    name: str
    title: str
    is_ours: bool
    suffixes: tuple[str, ...]
    layout: Layout

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "ours": self.is_ours,
            "containers": list(self.layout.containers),
            "reads": list(self.layout.gives),
            "writes": list(self.suffixes),
            "known_by": self.layout.known_by,
            "items": [item.to_dict() for item in self.layout.items],
            "notes": list(self.layout.notes),
        }
