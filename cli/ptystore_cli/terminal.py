"""What reaches a terminal: text without control characters, sizes, tables, the progress bar."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from operator import gt

from ptystore_cli.options import Output

__all__ = [
    "format_bytes",
    "format_ratio",
    "printable",
    "progress_bar",
    "say",
    "shortened",
    "table",
    "warn",
]

_REFRESH_SECONDS = 0.1

_LONGEST = 300  # letters of a text in a line
_GAP = "  "  # between the columns of a table
_NARROWEST = 4  # letters of a column, however narrow the terminal

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def printable(text: object) -> str:
    """Text of which nothing can steer a terminal: one line, what is not printable escaped.

    Names, metadata and error texts come from files: C0 and C1 controls (escape sequences,
    line breaks), bidirectional overrides and lone surrogates become ``\\x1b`` and the like.
    """
    text = str(text)
    if text.isascii() and text.isprintable():  # nearly everything, and there may be a lot
        return text
    return "".join(
        # Cc controls, Cf formats (bidi, zero width), Cs surrogates, Zl and Zp line separators.
        c.encode("unicode_escape").decode("ascii")
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else c
        for c in text
    )


def shortened(text: str) -> str:
    """Text that may come from a file, and be of any length, for a line: cut after 300 letters."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


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
    """Aligned columns; cells are folded to fit a terminal, and never for a pipe or file.

    A column whose name begins with ``>`` is aligned to the right. Takes time in proportion to
    the text, which tables of rich's do not.
    """
    names = [column.removeprefix(">") for column in columns]
    cells = [names, *([printable(shortened(str(cell))) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    if sys.stdout.isatty():
        widths = _fitted(widths, shutil.get_terminal_size().columns)
    right = [name != column for name, column in zip(names, columns, strict=True)]
    head, *body = (_lines(row, widths, right) for row in cells)
    rule = "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    return "\n".join([*head, rule, *chain.from_iterable(body)])


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fitted(widths: list[int], room: int) -> list[int]:
    """The widths, the widest made narrower until all columns fit beside each other."""
    widths = list(widths)
    spare = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    while spare > 0 and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
        spare -= 1
    return widths


def _lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """A row of a table: one line, or several where a cell is folded."""
    lengths = list(map(_width, row))
    if any(map(gt, lengths, widths)):
        return _folded(row, widths, right)
    filled = []
    for cell, length, width, to_right in zip(row, lengths, widths, right, strict=True):
        gap = " " * (width - length)
        filled.append(gap + cell if to_right else cell + gap)
    return [_GAP.join(filled).rstrip()]


def _folded(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    from rich.cells import chop_cells

    pieces = [
        [cell] if _width(cell) <= width else chop_cells(cell, width)
        for cell, width in zip(row, widths, strict=True)
    ]
    rows = zip_longest(*pieces, fillvalue="")
    return [line for part in rows for line in _lines(part, widths, right)]


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
        auto_refresh=False,  # which is a thread's work, and there may be none to have
    )
    task = bar.add_task("", total=total)
    shown = 0.0

    def advance(nbytes: int) -> None:
        nonlocal shown
        bar.advance(task, nbytes)
        if (now := time.monotonic()) - shown > _REFRESH_SECONDS:
            shown = now
            bar.refresh()

    with bar:
        yield advance
