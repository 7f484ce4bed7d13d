"""The console script: what there is of it before anything large is imported."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Load the command line and run it.

    Until then there is nothing to clean up or to tell: Ctrl-C just ends the process, without
    the traceback of an import.
    """
    kept = signal.getsignal(signal.SIGINT)
    if kept is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ptystore_cli.app import main as run

    signal.signal(signal.SIGINT, kept)
    run()
