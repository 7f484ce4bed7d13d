"""Asks the HDF5 library about a file that is read: in a helper process, which may die of it.

One helper serves a process for all its life, one question at a time, and is started again where
it died. `PTYSTORE_HDF5_HELPER=off` asks in this process. A forked child starts its own.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ptystore.errors import located
from ptystore.formats.hdf5.trouble import crashed, library_error, no_helper, took_too_long
from ptystore.formats.hdf5.wire import Closed, receive, send
from ptystore.model.process_lock import ProcessLock
from ptystore.storage.local import SourceFile

__all__ = ["ask", "begin"]

#: Address space of the helper, bytes.
MEMORY = 2 << 30

#: Processor time for one answer, and time altogether, seconds.
SECONDS = 10
PATIENCE = 120

# What it starts with: the very modules of this process, whatever the environment says.
_START = """
import sys
sys.path[:] = sys.argv[4:]
from ptystore.formats.hdf5.helper import main
main(*map(int, sys.argv[1:4]))
"""

_LIBRARY = str(Path(__file__).resolve().parents[3])

_lock = ProcessLock()
_helper: _Helper | None = None


class _Helper:
    """One helper process, started and not yet known to be ready. Raises `StorageError`."""

    def __init__(self) -> None:
        if not sys.executable:
            raise no_helper("this Python does not know its own program")
        try:
            with ExitStack() as undo:
                here, there = map(undo.enter_context, socket.socketpair())
                self._process = self._started(there.fileno())
                undo.pop_all()
                there.close()
        except OSError as error:
            raise no_helper(error.strerror or str(error)) from error
        self._socket = here
        self._owner = os.getpid()
        self._is_ready = False

    @staticmethod
    def _started(descriptor: int) -> subprocess.Popen[bytes]:
        paths = [path for path in sys.path if os.path.isabs(path)]
        # One thread of numpy's libraries: each takes address space.
        single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # Where standard streams are closed the socket has one of their numbers, which the
        # helper needs for its own.
        taken = [os.dup(descriptor)]
        while taken[-1] < 3:
            taken.append(os.dup(descriptor))
        passed = taken[-1]
        words = map(str, (passed, MEMORY, SECONDS))
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, *words, *paths, _LIBRARY],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(passed,),
                cwd="/",
                env=os.environ | single,
                process_group=0,  # so that Ctrl-C reaches only who asks
            )
        finally:
            for one in taken:
                os.close(one)

    def answer(
        self, descriptor: int, request: dict[str, Any], most: int
    ) -> tuple[dict[str, Any], bytes]:
        """Ask it. Raises `Closed` where it died, TimeoutError where it does not come back."""
        self._socket.settimeout(PATIENCE)
        try:
            if not self._is_ready:
                receive(self._socket, 0)
                self._is_ready = True
            send(self._socket, request, descriptor=descriptor)
            return receive(self._socket, most)[:2]
        except TimeoutError:
            raise
        except OSError:
            raise Closed from None

    @property
    def is_ready(self) -> bool:
        """Whether it has begun to answer."""
        return self._is_ready

    def end(self) -> int:
        """Its exit code, after an end by force where it has none."""
        self._socket.close()
        if self._owner != os.getpid():
            # The parent's: of this process it is no child.
            self._process.returncode = 0
            return 0
        try:
            return self._process.wait(0.5 if self._is_ready else 0.01)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _off() -> bool:
    if os.environ.get("PTYSTORE_HDF5_HELPER", "").lower() == "off" or os.name != "posix":
        return True
    return not hasattr(socket, "send_fds")  # no descriptor can be handed over


def begin() -> None:
    """Start the helper now, without waiting until it is ready: meanwhile others can be busy."""
    if not _off():
        with _lock:
            _running()


def _running() -> _Helper:
    global _helper
    if _helper is None:
        _helper = _Helper()
    return _helper


def _end() -> int:
    """End the helper of this process, if there is one; its exit code."""
    global _helper
    helper, _helper = _helper, None
    return helper.end() if helper is not None else 0


def ask(
    source: SourceFile, question: str, member: str | None = None, most: int = 0, **about: Any
) -> tuple[dict[str, Any], bytes]:
    """What a function of `walk` says of the open file: a head, and bytes, `most` at most.

    Raises `InputError` for what the library can't read or dies of, `IntegrityError` where the
    file has changed since it was opened, `StorageError` where no helper can be started.
    """
    if member is not None:
        about["member"] = member
    request = {"ask": question, "about": about, "growing": source.growing}
    with source.opened() as descriptor, located(file=source.path, member=member):
        if _off():
            from ptystore.formats.hdf5.walk import answer

            head, body = answer(descriptor, request)
        else:
            with _lock:
                head, body = _asked(descriptor, request, most, source.path, member)
        source.check()
    if "error" in head:
        raise library_error(head["error"], head["text"], source.path, member)
    return head, body


def _asked(
    descriptor: int, request: dict[str, Any], most: int, path: Path, member: str | None
) -> tuple[dict[str, Any], bytes]:
    for is_last in (False, True):
        helper = _running()
        try:
            return helper.answer(descriptor, request, most)
        except TimeoutError:
            _end()
            raise took_too_long(PATIENCE, path, member) from None
        except Closed:
            code = _end()
            if not helper.is_ready:
                raise no_helper(f"it ended with exit code {code}") from None
            if code == -signal.SIGXCPU:
                raise took_too_long(SECONDS, path, member) from None
            # The first may have died of something else, or of an earlier file.
            if is_last:
                raise crashed(code, path, member) from None
        except BaseException:
            # Its answer would be taken for that of the next question.
            _end()
            raise
    raise AssertionError


def _in_forked_child() -> None:
    _end()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
