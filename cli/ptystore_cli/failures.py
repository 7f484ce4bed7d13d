"""From an exception to one line on stderr and an exit code."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import NoReturn

import typer

from ptystore_cli.terminal import printable

__all__ = ["Stopped", "one_line", "prepare_process", "told_outside_verbs"]

_SYSTEM = 6
_INTERNAL = 70  # EX_SOFTWARE of sysexits.h
_BROKEN_PIPE = 128 + 13

# What the dynamic linker says of a library that it finds no room for.
_NO_MEMORY = re.compile("[Cc]annot allocate memory|failed to map segment")


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
def one_line(debug: bool, fitting: Callable[[str], str]) -> Iterator[None]:
    """Turn whatever the block raises into ``ptystore: FILE: MEMBER: reason`` and an exit code.

    typer's own exceptions (usage errors, exits) pass. `debug` shows the traceback first,
    `fitting` makes the advice fit the verb.
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
        raise typer.Exit(_tell(error, debug, fitting)) from None


@contextmanager
def told_outside_verbs() -> Iterator[None]:
    """The same for what comes before a verb has begun or after it has ended: a signal, a help
    text that can't be printed."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        sys.exit(_BROKEN_PIPE)
    except (Exception, KeyboardInterrupt, Stopped) as error:
        sys.exit(_tell(error))


def _tell(error: BaseException, debug: bool = False, fitting: Callable[[str], str] = str) -> int:
    """Print the line and the advice for an exception; its exit code."""
    code, text, advice = _told(error)
    with suppress(OSError):  # the exit code is left, where stderr takes nothing
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        print(f"ptystore: {printable(text)}", file=sys.stderr)
        if advice:
            print(f"  advice: {printable(fitting(advice))}", file=sys.stderr)
    if isinstance(error, OSError):
        _discard_stdout()
    return code


def _told(error: BaseException) -> tuple[int, str, str | None]:
    """The exit code, the line and the advice for an exception."""
    from ptystore import PtystoreError

    if isinstance(error, RuntimeError):
        # What comes while a class is made, as when a library is imported, Python 3.11 wraps.
        error = next(filter(_ends_the_process, _chain(error)), error)
    match error:
        case PtystoreError():
            return error.exit_code, str(error), error.advice
        case Stopped():
            name = signal.Signals(error.signum).name
            return 128 + error.signum, f"stopped by {name}", None
        case KeyboardInterrupt():
            return 130, "interrupted", None
        case _ if _for_want_of_memory(error):
            advice = "--jobs 1 needs the least; ptystore info shows what the fields take"
            return _SYSTEM, "there is not enough memory", advice
        case OSError(strerror=str(reason)):
            file = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            return _SYSTEM, file + reason, None
        case _:
            text = f"internal error: {type(error).__name__}: {error}"
            return _INTERNAL, text, "run it again with --debug and report what that shows"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that led to it."""
    told: BaseException | None = error
    while told is not None:
        yield told
        told = told.__cause__ or told.__context__


def _ends_the_process(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | Stopped)


def _for_want_of_memory(error: BaseException) -> bool:
    """Whether this or what led to it is that no memory was given; libraries say so variously."""
    return any(
        isinstance(told, MemoryError)
        or (
            isinstance(told, OSError | ImportError)
            and (getattr(told, "errno", None) == errno.ENOMEM or _NO_MEMORY.search(str(told)))
        )
        for told in _chain(error)
    )


def _discard_stdout() -> None:
    """Leave nothing for the interpreter to flush into a closed pipe or a full disk at its end."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
