"""Watches what ptystore asks of the operating system, and fails or kills it at any of it.

Calls of `os` are watched in place, those that read values where asked for. Files that are
written are opened as `WatchedFile`.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptystore.transfer import publish

CALLS = (
    *("mkdir", "open", "fsync", "listdir", "scandir", "lstat", "statvfs"),
    *("rename", "replace", "link", "unlink", "rmdir", "chmod", "chown"),
)

#: Calls that read what lies in a file.
READS = ("pread", "preadv")

#: Calls that take room on a disk.
TAKE_ROOM = ("mkdir", "create", "write", "truncate", "fsync")

#: Calls that remove what a failed write left: where one of these fails, litter stays.
CLEANUP = ("open", "scandir", "lstat", "unlink", "rmdir", "rename")

#: Told of each call before it is made: its name and its arguments.
Before = Callable[[str, tuple[Any, ...]], object]


class WatchedFile(io.FileIO):
    """A file whose writes are told before they are made."""

    before: Before = staticmethod(lambda name, args: None)

    def write(self, data: Any) -> int:
        self.before("write", (self.name, self.tell(), bytes(data)))
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self.before("truncate", (self.name, self.tell() if size is None else size))
        return super().truncate(size)


@contextlib.contextmanager
def watched(root: Path, before: Before, calls: tuple[str, ...] = CALLS) -> Iterator[None]:
    """Tell `before` of every call that concerns `root`, by a path in it or a descriptor."""
    opened: list[WatchedFile] = []

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if concerns(root, args):
                before(name, args)
            return function(*args, **options)

        return call

    def file(path: Any, mode: str) -> WatchedFile:
        if not isinstance(path, int):  # else `os.open` was told
            before("create", (path,))
        made = WatchedFile(path if isinstance(path, int) else os.fspath(path), mode)
        made.before = before  # type: ignore[method-assign]
        opened.append(made)
        return made

    real_open = io.open

    def open_(path: Any, mode: str = "r", buffering: int = -1, *args: Any, **how: Any) -> Any:
        written = "b" in mode and any(one in mode for one in "xwa+")
        if not written or not concerns(root, (path,)):
            return real_open(path, mode, buffering, *args, **how)
        raw = file(path, mode.replace("b", ""))
        return raw if buffering == 0 else io.BufferedWriter(raw)

    with pytest.MonkeyPatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        patch.setattr(publish, "_renameat2", wrap("renameat2", publish._renameat2))
        patch.setattr(builtins, "open", open_)
        patch.setattr(io, "open", open_)
        try:
            yield
        finally:
            for one in opened:
                with contextlib.suppress(OSError):
                    io.FileIO.close(one)


def concerns(root: Path, args: tuple[Any, ...]) -> bool:
    """Whether a call is about something in `root`: a path in it, a relative one, a descriptor."""
    if not args:
        return False
    first = args[0]
    if isinstance(first, int):
        return True
    path = os.fsdecode(first)
    return not os.path.isabs(path) or Path(path).is_relative_to(root)


class FaultAt:
    """Does `action` before the call number `at`; counts them all.

    A `lasting` fault stays: from then on every call that takes room meets it.
    """

    def __init__(
        self, at: int | None, action: Callable[[], object], *, lasting: bool = False
    ) -> None:
        self.at, self.action, self.lasting, self.calls = at, action, lasting, list[str]()
        self.met = self.failed = False

    def __call__(self, name: str, args: tuple[Any, ...]) -> None:
        self.calls.append(name)
        if self.at is None or len(self.calls) - 1 < self.at:
            return
        if len(self.calls) - 1 == self.at or self.lasting:
            if self.lasting and name not in TAKE_ROOM:
                return
            self.met = True
            self.action()
