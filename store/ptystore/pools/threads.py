"""Worker threads: numpy, Blosc and isal release the interpreter's lock while they work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from ptystore.pools.base import Pool
from ptystore.pools.serial import run_here, settle

__all__ = ["ThreadPool", "borrowed"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class ThreadPool:
    """Up to `workers` threads, started as tasks come. They end when the pool is closed.

    Where the system gives fewer threads, those do the work; where it gives none, the caller's
    own thread does it when a task is handed over. A pool that lives no longer than one call is
    never met by a fork.
    """

    def __init__(self, workers: int, name: str = "ptystore") -> None:
        self.workers = workers
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
        # Here, not in the executor alone: it loses a task whose thread can't be started.
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._closed = False

    def submit(self, task: Callable[[], Result], /) -> Future[Result]:
        """Begin a task in one of the threads, or do it now where none can be had.

        Raises RuntimeError once the pool is closed.
        """
        if self._closed:
            raise RuntimeError("the pool is closed")
        future: Future[Result] = Future()
        self._waiting.append((future, task))
        try:
            self._executor.submit(self._work)
        except (RuntimeError, MemoryError):
            # A limit on processes or memory. What threads there are work on the rest meanwhile.
            while self._work(run_here):
                pass
        return future

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results of `function` for each item, in order; all are begun at once."""
        return _results(deque(self.submit(partial(function, item)) for item in items))

    def _work(self, run: Callable[[Future[Any], Callable[[], Any]], None] = settle) -> bool:
        """Do one of the tasks that wait; False where none does."""
        try:
            future, task = self._waiting.popleft()
        except IndexError:
            return False
        if future.set_running_or_notify_cancel():
            run(future, task)
        return True

    def close(self, *, cancel: bool = False) -> None:
        """Wait for the threads to end; with `cancel`, tasks not yet begun never are."""
        self._closed = True
        with suppress(IndexError):
            while cancel:
                self._waiting.popleft()[0].cancel()
        self._executor.shutdown(wait=True)

    def __enter__(self) -> ThreadPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _results(futures: deque[Future[Result]]) -> Iterator[Result]:
    try:
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()


@contextmanager
def borrowed(pool: Pool | None, workers: int) -> Iterator[Pool]:
    """The caller's pool, which stays open; or a pool of `workers` threads for this block."""
    if pool is not None:
        yield pool
        return
    with ThreadPool(workers) as own:
        yield own
