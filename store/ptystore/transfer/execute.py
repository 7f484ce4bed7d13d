"""Runs tasks on a pool with a bounded number in flight, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from threading import Condition
from typing import TypeVar

from ptystore.pools.base import Pool

__all__ = ["Budget", "run_in_order"]

Result = TypeVar("Result")


def run_in_order(
    tasks: Iterable[Callable[[], Result]], pool: Pool, in_flight: int
) -> Iterator[Result]:
    """Yield the results of `tasks` in their order, at most `in_flight` of them at a time.

    `tasks` is advanced in the calling thread, so what a task's making does (reading a
    source that only goes forward) happens in order there, while earlier tasks run.
    When a task fails or the caller stops, nothing new is started and what runs is awaited.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(task))
            while pending and (pending[0].done() or len(pending) >= in_flight):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        for future in pending:
            if not future.cancelled():
                future.exception()


class Budget:
    """How many bytes a thread that reads forwards may be ahead of the workers that use them.

    Without it the number of tasks alone is bounded, and how much of them is in memory at once
    is a matter of timing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = Condition()

    def wait_for(self, nbytes: int) -> None:
        """Wait until `nbytes` fit beside what workers hold, or they hold nothing."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + nbytes <= self._limit)

    def hold(self, nbytes: int) -> None:
        """A task with so many bytes is given to the workers."""
        with self._changed:
            self._held += nbytes

    def release(self, nbytes: int) -> None:
        """A worker needs so many of its bytes no longer."""
        with self._changed:
            self._held -= nbytes
            self._changed.notify()
