"""Runs what a library offers as a coroutine, without the thread that it would keep for that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from ptystore.errors import StorageError
from ptystore.pools.serial import run_here
from ptystore.pools.threads import ThreadPool

__all__ = ["require_a_thread", "run_coroutine"]

Result = TypeVar("Result")


def run_coroutine(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What `coroutine` returns or raises; what it would have threads do, the caller's does.

    Where the caller's thread runs a loop already (a notebook's), one thread is started, which
    ends with the call. Raises StorageError where none can be had then.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(coroutine)
    try:
        require_a_thread()
        with ThreadPool(1, "ptystore-loop") as pool:
            return pool.submit(partial(_run, coroutine)).result()
    finally:
        coroutine.close()


def require_a_thread() -> None:
    """Raises StorageError where the system gives no further thread.

    To be asked before a library starts one that it would then wait for, for ever.
    """
    thread = threading.Thread(target=bool, name="ptystore-asked")
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise StorageError(
            "the system gives no more threads", advice="see its limits: ulimit -u and ulimit -v"
        ) from error
    thread.join()


def _run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    loop = asyncio.new_event_loop()
    try:
        loop.set_default_executor(_Here())
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


class _Here(ThreadPoolExecutor):
    """What a loop takes for its threads, and is the thread of the loop."""

    def submit(self, task: Callable[..., Result], /, *args: Any, **named: Any) -> Future[Result]:
        future: Future[Result] = Future()
        run_here(future, partial(task, *args, **named))
        return future
