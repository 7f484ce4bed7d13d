"""The verb that lists what can be read and written, and how it is laid out."""

from __future__ import annotations

from typing import Annotated

import typer

from ptystore_cli.options import Output
from ptystore_cli.printing.known_formats import print_format, print_formats
from ptystore_cli.registry import verb


@verb("formats", "formats --show cxi", "formats --json")
def formats(
    output: Output,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The keys of one: needed or not, units, what they become."
        ),
    ] = None,
) -> None:
    """List the formats that are read and written, ptystore's own and other tools'."""
    import ptystore

    found = ptystore.list_formats(show)
    if show is None:
        print_formats(found, output)
    else:
        print_format(found[0], output)
