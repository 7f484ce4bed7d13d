"""What a benchmark is: one operation of ptystore's, and what it is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Operation", "Other", "Target"]

#: What a path may use at most, beside the result that its caller asked for.
MEMORY_LIMIT_BYTES = 400_000_000


@dataclass(frozen=True)
class Operation:
    """A function of a module of this package that sets up and returns what is timed."""

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What ptystore must reach against something else; None where nothing is asked.

    `times` is the largest time, as a multiple of the other's; `faster` the least speed, as a
    multiple of the other's; `memory` and `size` likewise the largest peak and file size.
    """

    times: float | None = None
    faster: float | None = None
    memory: float | None = None
    size: float | None = None


@dataclass(frozen=True)
class Other:
    """A peer that people use now, or a limit that can't be passed."""

    name: str
    operation: Operation
    target: Target = Target()


@dataclass(frozen=True)
class Case:
    """One path of ptystore and what it is compared with, run alternately.

    `sources` are the data that must be there and in the page cache (see data.py); `part` is
    the part of the frames that is used, where a peer would take minutes for all of them.
    """

    name: str
    ours: Operation
    others: tuple[Other, ...]
    sources: tuple[str, ...]
    part: float = 1.0
    memory_limit: int = MEMORY_LIMIT_BYTES
