"""What a pool of workers is to whoever hands it tasks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

__all__ = ["Pool"]

Result = TypeVar("Result")


class Pool(Protocol):
    """Workers that take tasks. Whoever makes a pool closes it; `with` does so.

    A task is a callable without arguments. Those of a write pickle, unless their source can
    only be read forwards, so that a pool may run them in other processes.
    """

    @property
    def workers(self) -> int:
        """How many tasks it runs at a time."""
        ...

    def submit(self, task: Callable[[], Result], /) -> Future[Result]:
        """Begin a task; its result, or what it raised, is in the future."""
        ...
