"""The descriptors of what a process has open: few at a time, however many scans there are."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ptystore.model.process_lock import ProcessLock

__all__ = ["Descriptor"]

# Half of the usual limit of a shell on macOS, a quarter of Linux's.
_MOST = 128

_lock = ProcessLock()
_open: OrderedDict[int, weakref.ref[Descriptor]] = OrderedDict()


class Descriptor:
    """A descriptor that is opened when it is needed and may be closed when it isn't.

    `opening` opens it anew and compares what it finds with what was there at first. The one used
    longest ago is closed where the process has more than 128. Pickles as a closed one, and a
    forked child goes on with what its parent had open.
    """

    def __init__(self, opening: Callable[[], int]) -> None:
        self._opening = opening
        self._reset()

    def _reset(self) -> None:
        self._fd: int | None = None
        self._users = 0

    @contextmanager
    def borrowed(self) -> Iterator[int]:
        """The descriptor, open for the block; raises what `opening` does."""
        fd = self._borrow()
        try:
            yield fd
        finally:
            with _lock:
                self._users -= 1

    def _borrow(self) -> int:
        with _lock:
            if self._fd is None:
                self._fd = self._opening()
                _open[id(self)] = weakref.ref(self)
                _close_unused()
            else:
                _open.move_to_end(id(self))
            self._users += 1
            return self._fd

    def close(self) -> None:
        """Close it now, where nobody uses it."""
        with _lock:
            _open.pop(id(self), None)
            if self._fd is not None and not self._users:
                os.close(self._fd)
                self._fd = None

    def __del__(self) -> None:
        fd, self._fd = getattr(self, "_fd", None), None
        if fd is not None:
            # Without the lock, which the thread that collects garbage may hold.
            _open.pop(id(self), None)
            os.close(fd)

    def __getstate__(self) -> dict[str, Any]:
        return {"_opening": self._opening}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._opening = state["_opening"]
        self._reset()


def _close_unused() -> None:
    for key in list(_open):
        if len(_open) <= _MOST:
            return
        held = _open.get(key)
        other = held() if held is not None else None
        if other is not None and other._fd is not None and not other._users:
            del _open[key]
            os.close(other._fd)
            other._fd = None
