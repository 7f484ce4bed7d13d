"""Every failure of ptystore: one clear line, a matching builtin, an exit code.

The text of an error is ``FILE: MEMBER: reason``; `advice` says what to do about it.
Each class is also the builtin that a caller would expect (`ValueError`, `OSError`, …),
so code that knows nothing of ptystore still catches the right thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = [
    "DamagedInputError",
    "DestinationError",
    "DestinationExistsError",
    "InputError",
    "InputMissingError",
    "IntegrityError",
    "ParameterError",
    "PtystoreError",
    "StorageError",
    "located",
    "shown_name",
    "some_names",
]

_LONGEST_NAME, _MOST_NAMES = 140, 5


class PtystoreError(Exception):
    """Base of all errors raised on purpose by ptystore.

    Parameters
    ----------
    reason : what is wrong, in plain words, no trailing full stop.
    file : the file or store concerned.
    member : the field, member or chunk inside it.
    advice : what the user can do about it, one line.
    """

    exit_code = 1

    def __init__(
        self,
        reason: str,
        *,
        file: str | os.PathLike[str] | None = None,
        member: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = None if file is None else os.fspath(file)
        self.member = member
        self.advice = advice

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.member, self.reason) if part)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments are lost by the default, which a process pool relies on.
        return _rebuild, (type(self), self.reason, self.file, self.member, self.advice)

    def located(
        self, *, file: str | os.PathLike[str] | None = None, member: str | None = None
    ) -> PtystoreError:
        """Fill in the file or member where the raising code did not know it; returns self."""
        if self.file is None and file is not None:
            self.file = os.fspath(file)
        if self.member is None:
            self.member = member
        return self


@contextmanager
def located(
    *, file: str | os.PathLike[str] | None = None, member: str | None = None
) -> Iterator[None]:
    """Fill in, in errors of ours that pass, the file or member that their makers did not know."""
    try:
        yield
    except PtystoreError as error:
        raise error.located(file=file, member=member) from error.__cause__


def shown_name(name: str) -> str:
    """A name of somebody else's for a message of one line: it may hold anything, at any length."""
    shown = name if name.isprintable() else name.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}…"


def some_names(names: Sequence[str]) -> str:
    """The first few of some names for a message, and how many more there are."""
    more = len(names) - _MOST_NAMES
    named = ", ".join(map(shown_name, names[:_MOST_NAMES]))
    return f"{named} and {more} more" if more > 0 else named


def _rebuild(
    kind: type[PtystoreError],
    reason: str,
    file: str | None,
    member: str | None,
    advice: str | None,
) -> PtystoreError:
    return kind(reason, file=file, member=member, advice=advice)


class ParameterError(PtystoreError, ValueError):
    """A call asks for something that makes no sense, whatever the data."""

    exit_code = 2


class InputError(PtystoreError, ValueError):
    """The source is not what it must be; nothing of it was executed or trusted."""

    exit_code = 3


class InputMissingError(InputError, FileNotFoundError):
    """The source does not exist or cannot be read."""


class DamagedInputError(InputError):
    """The values in a source are not those that were packed: damage, where one looks for it."""


class DestinationError(PtystoreError, OSError):
    """The destination can not be written: not ours, is the source, no parent, read-only."""

    exit_code = 4


class DestinationExistsError(DestinationError, FileExistsError):
    """The destination exists and `overwrite` was not asked for."""


class IntegrityError(PtystoreError, ValueError):
    """Stored data are damaged or missing: checksums, manifest or digests disagree."""

    exit_code = 5


class StorageError(PtystoreError, OSError):
    """The operating system failed to read or write: disk full, I/O error, file too large."""

    exit_code = 6
