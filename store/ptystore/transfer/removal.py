"""Removes files and trees that others, threads of our own included, may still be at."""

from __future__ import annotations

import errno
import os
import re
import secrets
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
    pending = [path]
    while pending:
        try:
            remove(pending[-1])
            pending.pop()
            continue
        except OSError as error:
            if error.errno not in _NOT_EMPTY or time.monotonic() > until:
                raise
        if len(pending) == 1:
            # Under another name nobody finds it who still writes into it.
            elsewhere = _other_name(path)
            with suppress(OSError):
                os.rename(path, elsewhere)
                pending.append(elsewhere)
                continue
        time.sleep(0.01)


def _other_name(path: Path) -> Path:
    """A name of the same kind: that of a staging folder still tells whose litter it would be."""
    token = secrets.token_hex(8)
    stem = re.sub(r"-[0-9a-f]{16}$", "", path.name)
    return path.with_name(f"{stem}-{token}")
