"""No workers: every task runs where it is handed over, for debuggers and profilers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["SerialPool"]

Result = TypeVar("Result")


class SerialPool:
    """Runs each task in the caller's thread, at once: the same bytes as any other pool's."""

    workers = 1

    def submit(self, task: Callable[[], Result], /) -> Future[Result]:
        """Run `task` now; Ctrl-C and the like are raised here, errors kept in the future."""
        future: Future[Result] = Future()
        try:
            future.set_result(task())
        except Exception as error:
            future.set_exception(error)
        return future
