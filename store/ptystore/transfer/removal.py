"""Removes files and trees that others, threads of our own included, may still be at."""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["exists", "remove", "remove_in_spite_of_signals"]

_PATIENCE = 5.0  # seconds
_MOST_SIGNALS = 5
_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}  # POSIX lets rmdir say either


def exists(path: Path) -> bool:
    """As os.path.lexists, which however takes an I/O error for absence."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def remove(path: Path) -> None:
    """Delete a file or a tree, content when it is absent or somebody else deletes it too."""
    while exists(path):
        with suppress(FileNotFoundError):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)


def remove_in_spite_of_signals(path: Path) -> None:
    """`remove`, begun again when Ctrl-C or another signal's exception comes, which is then raised.

    A thread that Ctrl-C caught starting is nobody's to wait for, and may still put a file
    into a folder that was just emptied: it is given some seconds to end.
    """
    signalled: BaseException | None = None
    for _ in range(_MOST_SIGNALS):
        try:
            _remove_patiently(path)
            break
        except Exception:
            raise
        except BaseException as error:
            signalled = error
    if signalled is not None:
        raise signalled


def _remove_patiently(path: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            remove(path)
            return
        except OSError as error:
            if error.errno not in _NOT_EMPTY or time.monotonic() > until:
                raise
        time.sleep(0.01)
