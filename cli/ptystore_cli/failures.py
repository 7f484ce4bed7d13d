"""From an exception to one line on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import NoReturn

import typer

from ptystore_cli.terminal import printable

__all__ = ["Stopped", "one_line", "prepare_process", "told_if_stopped"]

_SYSTEM = 6
_INTERNAL = 70  # EX_SOFTWARE of sysexits.h
_BROKEN_PIPE = 128 + 13


class Stopped(BaseException):
    """A signal that asks the process to end: everything is cleaned up as on Ctrl-C.

    No KeyboardInterrupt, which typer would take for Ctrl-C where it parses the options.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def _stop(signum: int, frame: object) -> NoReturn:
    raise Stopped(signum)


def prepare_process() -> None:
    """Make signals end it cleanly, and its output printable whatever the locale.

    SIGTERM and SIGHUP raise `Stopped` in the main thread; a signal that is ignored stays so.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name in ("SIGTERM", "SIGHUP"):
        signum = getattr(signal, name, None)  # Windows has no SIGHUP
        if signum is not None and signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _stop)


@contextmanager
def one_line(debug: bool) -> Iterator[None]:
    """Turn whatever the block raises into ``ptystore: FILE: MEMBER: reason`` and an exit code.

    typer's own exceptions (usage errors, exits) pass. `debug` shows the traceback first.
    """
    try:
        yield
        sys.stdout.flush()  # here, so that a full disk or a closed pipe is told like the rest
    except (typer.Exit, typer.BadParameter):
        raise
    except BrokenPipeError:
        _discard_stdout()
        raise typer.Exit(_BROKEN_PIPE) from None
    except (Exception, KeyboardInterrupt, Stopped) as error:
        _fail(error, debug)


@contextmanager
def told_if_stopped() -> Iterator[None]:
    """Tell of a signal that comes before a verb has begun, or after it has ended."""
    try:
        yield
    except (KeyboardInterrupt, Stopped) as error:
        code, text, _ = _told(error)
        print(f"ptystore: {text}", file=sys.stderr)
        sys.exit(code)


def _fail(error: BaseException, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    code, text, advice = _told(error)
    print(f"ptystore: {printable(text)}", file=sys.stderr)
    if advice:
        print(f"  advice: {printable(advice)}", file=sys.stderr)
    if isinstance(error, OSError):
        _discard_stdout()
    raise typer.Exit(code) from None


def _told(error: BaseException) -> tuple[int, str, str | None]:
    """The exit code, the line and the advice for an exception."""
    from ptystore import PtystoreError

    match error:
        case PtystoreError():
            return error.exit_code, str(error), error.advice
        case Stopped():
            name = signal.Signals(error.signum).name
            return 128 + error.signum, f"stopped by {name}", None
        case KeyboardInterrupt():
            return 130, "interrupted", None
        case MemoryError():
            advice = "--jobs 1 needs the least; ptystore info shows what the fields take"
            return _SYSTEM, "there is not enough memory", advice
        case OSError(strerror=str(reason)):
            file = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            return _SYSTEM, file + reason, None
        case _:
            text = f"internal error: {type(error).__name__}: {error}"
            return _INTERNAL, text, "run it again with --debug and report what that shows"


def _discard_stdout() -> None:
    """Leave nothing for the interpreter to flush into a closed pipe or a full disk at its end."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
