"""Worker threads: numpy, Blosc and isal release the interpreter's lock while they work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from ptystore.pools.base import Pool

__all__ = ["ThreadPool", "borrowed"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class ThreadPool:
    """`workers` threads, started as tasks come. They end when the pool is closed.

    A pool that lives no longer than one call is never met by a fork.
    """

    def __init__(self, workers: int, name: str = "ptystore") -> None:
        self.workers = workers
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name)

    def submit(self, task: Callable[[], Result], /) -> Future[Result]:
        """Begin a task in one of the threads."""
        return self._executor.submit(task)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results of `function` for each item, in order; all are begun at once."""
        return self._executor.map(function, items)

    def close(self, *, cancel: bool = False) -> None:
        """Wait for the threads to end; with `cancel`, tasks not yet begun never are."""
        self._executor.shutdown(wait=True, cancel_futures=cancel)

    def __enter__(self) -> ThreadPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def borrowed(pool: Pool | None, workers: int) -> Iterator[Pool]:
    """The caller's pool, which stays open; or a pool of `workers` threads for this block."""
    if pool is not None:
        yield pool
        return
    with ThreadPool(workers) as own:
        yield own
