"""What verifying a store found: damage by field and range of frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from ptystore.errors import PtystoreError

__all__ = ["Finding", "merged"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was written.

    `member` is a field, a file of the store by its key, or None for the whole. `first_frame`
    and `last_frame`, both included, are None where the damage is not one of certain frames; for
    a global field (`per_frame` False) they count rows of its first axis.
    """

    member: str | None
    reason: str
    first_frame: int | None = None
    last_frame: int | None = None
    per_frame: bool = True

    @classmethod
    def of(cls, error: PtystoreError) -> Finding:
        """What an error says."""
        return cls(error.member, error.reason)

    def touches(self, first: int | None, last: int | None) -> bool:
        """Whether it may be about one of the rows `first` to `last`; None is no limit."""
        return (self.first_frame is None or last is None or self.first_frame <= last) and (
            self.last_frame is None or first is None or first <= self.last_frame
        )

    def __str__(self) -> str:
        parts = [self.member, self.reason]
        if self.first_frame is not None:
            unit = "frames" if self.per_frame else "rows"
            parts.insert(1, f"{unit} {self.first_frame} to {self.last_frame}")
        return ": ".join(part for part in parts if part)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """The same findings in their order, neighbouring ranges of one reason made one."""
    kept: list[Finding] = []
    for one in findings:
        last = kept[-1] if kept else None
        if one in kept[-1:]:
            continue
        if (
            last is not None
            and last.last_frame is not None
            and one.first_frame is not None
            and one.last_frame is not None
            and (last.member, last.reason) == (one.member, one.reason)
            and one.first_frame <= last.last_frame + 1
        ):
            end = max(last.last_frame, one.last_frame)
            kept[-1] = dataclasses.replace(last, last_frame=end)
            continue
        kept.append(one)
    return kept
