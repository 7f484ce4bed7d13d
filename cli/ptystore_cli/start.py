"""The console script: what there is of it before anything large is imported."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]

_SYSTEM = 6  # the exit code for what the system did not give

# What the libraries of every verb take of address space, measured.
_LEAST_BYTES = 256 << 20


def main() -> None:
    """Load the command line and run it.

    Until then there is nothing to clean up or to tell: Ctrl-C just ends the process, without
    the traceback of an import.
    """
    _open_standard_streams()
    _require_memory()
    # No verb needs more than one thread of linear algebra, and numpy's library starts one a
    # core when it is loaded, each with memory of its own; where there is none, it ends the process.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    kept = signal.getsignal(signal.SIGINT)
    if kept is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ptystore_cli.app import main as run

    signal.signal(signal.SIGINT, kept)
    run()


def _open_standard_streams() -> None:
    """Open the null device for each of the three standard descriptors that is closed.

    Otherwise the next file to be opened would have its number, and whatever prints would
    print into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    # Python has no stream of a descriptor that was closed when it started. These have numbers of
    # their own: should something have taken the standard one meanwhile, nothing is printed to it.
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115


def _require_memory() -> None:
    """End with one line where there is not even the memory to load the libraries.

    Later each says so in its own way, and numpy's of linear algebra ends the process.
    """
    try:
        import mmap

        mmap.mmap(-1, _LEAST_BYTES).close()  # address space only: nothing is put there
    except (ImportError, MemoryError, OSError):
        print("ptystore: there is not enough memory to begin (see ulimit -v)", file=sys.stderr)
        sys.exit(_SYSTEM)
