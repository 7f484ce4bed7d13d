"""A lock between the threads of one process, which a forked child always finds free."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any

__all__ = ["ProcessLock"]


class ProcessLock:
    """A mutex for `with`.

    A thread of the parent may hold it at the moment of a fork; that thread is not in the
    child, which would wait for it for ever. Pickles as a free lock.
    """

    def __init__(self) -> None:
        self._owner = (os.getpid(), threading.Lock())

    def _lock(self) -> threading.Lock:
        process, lock = self._owner
        if process != os.getpid():
            # Right after a fork the child has one thread, so nobody else makes one.
            lock = threading.Lock()
            self._owner = (os.getpid(), lock)
        return lock

    def __enter__(self) -> None:
        self._lock().acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owner[1].release()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
