"""No workers: every task runs where it is handed over, for debuggers and profilers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["SerialPool", "run_here", "settle"]

Result = TypeVar("Result")


class SerialPool:
    """Runs each task in the caller's thread, at once: the same bytes as any other pool's."""

    workers = 1

    def submit(self, task: Callable[[], Result], /) -> Future[Result]:
        """Run `task` now; Ctrl-C and the like are raised here, errors kept in the future."""
        future: Future[Result] = Future()
        run_here(future, task)
        return future


def run_here(future: Future[Result], task: Callable[[], Result]) -> None:
    """`settle` in the caller's thread, where Ctrl-C and the like are raised as well."""
    settle(future, task)
    error = future.exception()
    if error is not None and not isinstance(error, Exception):
        raise error


def settle(future: Future[Result], task: Callable[[], Result]) -> None:
    """Run `task`; its result, or whatever it raised, is in the future."""
    try:
        future.set_result(task())
    except BaseException as error:
        future.set_exception(error)
    finally:
        # The error's traceback holds this frame, which must not hold the error's future.
        del future, task
