"""The command line: what comes before any verb, and the modules that hold the verbs."""

from __future__ import annotations

from typing import Annotated

import typer

# Each registers its verbs when it is imported. The help lists them in this order, which is that
# of a user's work: bring a scan in, look at it, make studies of it.
from ptystore_cli import transform_verbs, prepare_verb, set_verb, inspect_verbs  # isort: skip
from ptystore_cli import formats_verb, study_verbs  # isort: skip
from ptystore_cli.failures import prepare_process, told_outside_verbs
from ptystore_cli.memory import keep_freed_memory
from ptystore_cli.registry import app

__all__ = [
    "app",
    "formats_verb",
    "inspect_verbs",
    "main",
    "prepare_verb",
    "set_verb",
    "study_verbs",
    "transform_verbs",
]


def main() -> None:
    """Run the verb that the command line asks for."""
    prepare_process()
    with told_outside_verbs():
        keep_freed_memory()
        app(prog_name="ptystore")


def _show_version(wanted: bool) -> None:
    if wanted:
        import ptystore

        print(f"ptystore {ptystore.__version__}")
        raise typer.Exit


@app.callback(epilog="Example: ptystore ingest scan.npz scan.zarr")
def _ptystore(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Ptychography scans in chunked stores (Zarr, HDF5), with a bridge to pickle-free NPZ.

    Every verb reads one path and writes another; sources are never changed.
    """
