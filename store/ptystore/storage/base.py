"""What a source is to its reader: what was there when it was opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ptystore.errors import IntegrityError, StorageError

__all__ = ["Several", "Snapshot", "changed", "reading_frames"]


class Snapshot(Protocol):
    """A file or folder held as it was when it was opened."""

    def check(self) -> None:
        """Raise `IntegrityError` where what can still be read is no longer what was opened."""
        ...


@dataclass(frozen=True)
class Several:
    """Several files, each held as it was when it was opened."""

    snapshots: tuple[Snapshot, ...]

    def check(self) -> None:
        """Raise `IntegrityError` where one is no longer what was opened."""
        for one in self.snapshots:
            one.check()


def changed(file: object) -> IntegrityError:
    """The error for a source that is no longer what was opened."""
    return IntegrityError(
        "changed while it was read",
        file=str(file),
        advice="run it again once nothing writes to it",
    )


@contextmanager
def reading_frames(member: str, first: int, last: int) -> Iterator[None]:
    """Say of a read that the system fails whose frames it was to read, `first` to `last`."""
    try:
        yield
    except StorageError as error:
        if error.member is None:
            error.member, error.reason = member, f"frames {first} to {last}: {error.reason}"
        raise
