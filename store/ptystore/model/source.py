"""Where a scan came from, and how its fields lie there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptystore.model.metadata import InputRef

__all__ = ["OfRawFrames", "Source", "Storage", "Understood"]


@dataclass(frozen=True)
class Storage:
    """How a field lies in its file: `stored_bytes` is None where that is not known."""

    codec: str
    stored_bytes: int | None = None
    chunk_shape: tuple[int, ...] | None = None
    shard_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class OfRawFrames:
    """What the user should know of frames that nobody has cut around their centre yet."""

    lines: tuple[str, ...]

    def __call__(self) -> tuple[str, ...]:
        return self.lines


@dataclass(frozen=True, kw_only=True)
class Understood:
    """How a file was taken: what it is in a few words, and by what it was known.

    `dialect` is None of a scan that ptystore wrote and of arrays taken under their own names.
    `keys` are the paths by which it was known, `nearest` says, of a file that no dialect knows,
    which is nearest and what of it is lacking. `pairs` says whether a second file belongs to one
    of that dialect, `of_electrons` whether it is of electrons whatever it says.
    """

    title: str
    dialect: str | None = None
    why: str = ""
    keys: tuple[str, ...] = ()
    nearest: str | None = None
    is_ours: bool = False
    pairs: bool = False
    of_electrons: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What reports say of it, as plain values."""
        return {
            "dialect": self.dialect,
            "title": self.title,
            "ours": self.is_ours,
            "why": self.why,
            "keys": list(self.keys),
            "nearest": self.nearest,
        }


@dataclass(frozen=True)
class Source:
    """The file a dataset was opened from, and the content digest that it records, if any.

    `others` are the further files of a dataset that was put together from several, `remarks` what
    the user should know of what was found, a line each; `understood` is how the file was taken.
    """

    path: Path
    digest: str | None = None
    remarks: tuple[str, ...] = ()
    others: tuple[Path, ...] = ()
    understood: Understood | None = None

    def as_input(self) -> InputRef:
        """The file as a record of the history names it."""
        dialect = None if self.understood is None else self.understood.dialect
        return InputRef(self.path.name, self.digest, dialect)
