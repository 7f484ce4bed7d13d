"""What reaches a terminal: text without control characters, sizes, tables, the progress bar."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ptystore_cli.options import Output

__all__ = ["format_bytes", "format_ratio", "printable", "progress_bar", "say", "table", "warn"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def printable(text: object) -> str:
    """Text of which nothing can steer a terminal: one line, what is not printable escaped.

    Names, metadata and error texts come from files: C0 and C1 controls (escape sequences,
    line breaks), bidirectional overrides and lone surrogates become ``\\x1b`` and the like.
    """
    return "".join(
        # Cc controls, Cf formats (bidi, zero width), Cs surrogates, Zl and Zp line separators.
        c.encode("unicode_escape").decode("ascii")
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else c
        for c in str(text)
    )


def format_bytes(size: int) -> str:
    """``1234567`` → ``1.23 MB``; powers of 1000, as `--max-memory` reads them."""
    value, unit = float(size), _UNITS[0]
    for larger in _UNITS[1:]:
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    digits = 0 if unit == "bytes" or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def format_ratio(nbytes: int, stored: int | None) -> str:
    """How many times smaller the stored form is: ``1.8×``; empty where that says nothing."""
    return f"{nbytes / stored:.2f}×" if stored and nbytes else ""


def say(line: str, output: Output) -> None:
    """One line of a result, for people: neither under --quiet nor beside JSON."""
    if not (output.quiet or output.json):
        print(line)


def warn(line: str, output: Output) -> None:
    """One line on stderr that does not stop anything."""
    if not output.quiet:
        print(f"ptystore: warning: {printable(line)}", file=sys.stderr)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns; cells are folded to fit a terminal, and never for a pipe or file."""
    import io

    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    box = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")
    made = Table(box=box, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        name = column.removeprefix(">")
        made.add_column(name, overflow="fold", justify="right" if name != column else "left")
    for row in rows:
        # Text, not str: rich would take [brackets] in it for markup.
        made.add_row(*(Text(printable(cell)) for cell in row))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(made)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


@contextmanager
def progress_bar(total: int | None, output: Output) -> Iterator[Callable[[int], None] | None]:
    """A callback that moves a bar on stderr: bytes, rate, time left; None where there is no bar."""
    if output.quiet or output.json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
    task = bar.add_task("", total=total)
    with bar:
        yield lambda nbytes: bar.advance(task, nbytes)
