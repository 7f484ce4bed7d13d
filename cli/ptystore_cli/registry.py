"""How a verb becomes a command: its options spread out, its failures told in one line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import typer

from ptystore_cli.advice import fitting_advice
from ptystore_cli.failures import one_line
from ptystore_cli.options import Output, Writing, expand_groups
from ptystore_cli.printing.written import print_plan, print_written
from ptystore_cli.terminal import progress_bar, warn

if TYPE_CHECKING:
    import ptystore

__all__ = ["app", "deliver", "options_of_verbs", "verb"]

Verb = Callable[..., None]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def verb(*examples: str) -> Callable[[Verb], Verb]:
    """Register a verb: its option groups spread out, its failures told in one line."""
    epilog = "\n\n".join(f"Example: ptystore {example}" for example in examples)

    def register(function: Verb) -> Verb:
        expanded = expand_groups(function)

        @functools.wraps(expanded)
        def guarded(*, debug: bool, **given: object) -> None:
            with one_line(debug, fitting):
                expanded(debug=debug, **given)

        def fitting(advice: str) -> str:
            return fitting_advice(advice, function.__name__, options_of_verbs())

        return app.command(epilog=epilog)(guarded)

    return register


def options_of_verbs() -> dict[str, set[str]]:
    """Every verb's options, ``--no-…`` forms included."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {
        name: {
            option for given in command.params for option in (*given.opts, *given.secondary_opts)
        }
        for name, command in commands.items()
    }


class FormatOptions(TypedDict, total=False):
    """The keyword arguments of `ptystore.write` that one format takes."""

    compression: ptystore.Compression
    level: int | None


def deliver(
    scan: ptystore.Dataset,
    dst: Path,
    writing: Writing,
    output: Output,
    **more: Unpack[FormatOptions],
) -> None:
    """Write what a verb made, or print the plan of it."""
    import ptystore

    if writing.dry_run:
        print_plan(ptystore.plan(scan, dst, **writing.limits()), output)
        return
    with progress_bar(scan.nbytes, output) as advance:
        done = ptystore.write(
            scan,
            dst,
            progress=advance,
            warn=lambda line: warn(line, output),
            anonymous=writing.anonymous or None,
            **writing.limits(),
            **more,
        )
    print_written(done, scan, output)
