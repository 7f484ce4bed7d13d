"""The verbs: each takes its options, makes one call of the library and prints what came of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptystore_cli import report
from ptystore_cli.failures import one_line, prepare_process
from ptystore_cli.options import (
    Destination,
    Jobs,
    Output,
    Reading,
    ReadingHeaders,
    Source,
    Writing,
    expand_groups,
)
from ptystore_cli.terminal import progress_bar, warn

if TYPE_CHECKING:
    import ptystore

__all__ = ["app", "main"]

Verb = Callable[..., None]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

KNeighbors = Annotated[
    int | None,
    typer.Option(min=1, metavar="K", help="Neighbours that a group of frames is chosen from."),
]


def main() -> None:
    """The console script."""
    prepare_process()
    app(prog_name="ptystore")


def _verb(*examples: str) -> Callable[[Verb], Verb]:
    """Register a verb: its option groups spread out, its failures told in one line."""
    epilog = "\n\n".join(f"Example: ptystore {one}" for one in examples)

    def register(function: Verb) -> Verb:
        expanded = expand_groups(function)

        @functools.wraps(expanded)
        def guarded(**given: Any) -> None:
            with one_line(given["debug"]):
                expanded(**given)

        return app.command(epilog=epilog)(guarded)

    return register


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


def _deliver(
    scan: ptystore.Dataset, dst: Path, writing: Writing, output: Output, **more: Any
) -> None:
    """Write what a verb made, or print the plan of it."""
    import ptystore

    if writing.dry_run:
        report.print_plan(ptystore.plan(scan, dst, **writing.limits()), output)
        return
    with progress_bar(scan.nbytes, output) as advance:
        done = ptystore.write(
            scan,
            dst,
            progress=advance,
            warn=lambda line: warn(line, output),
            **writing.limits(),
            **more,
        )
    report.print_written(done, scan, output)


@_verb("ingest scan.npz scan.zarr", "ingest stack.npz scan.h5 --axis-order hwn --max-bytes 20GB")
def ingest(
    src: Source, dst: Destination, reading: Reading, writing: Writing, output: Output
) -> None:
    """Bring any readable scan into a store as it is: names, values, dtypes and metadata kept."""
    import ptystore

    _deliver(ptystore.ingest(reading.open(src)), dst, writing, output)


@_verb("canonicalize scan.zarr canonical.zarr", "canonicalize scan.npz canonical.npz --flipx")
def canonicalize(
    src: Source,
    dst: Destination,
    reading: Reading,
    writing: Writing,
    output: Output,
    signal: Annotated[
        Literal["amplitude", "counts"], typer.Option(help="What the frames shall be.")
    ] = "amplitude",
    flipx: Annotated[
        bool, typer.Option("--flipx", help="Change the sign of the x coordinates.")
    ] = False,
    flipy: Annotated[
        bool, typer.Option("--flipy", help="Change the sign of the y coordinates.")
    ] = False,
    keep_dtypes: Annotated[
        bool,
        typer.Option(
            "--keep-dtypes", help="Leave complex128 and the coordinates' dtypes as they are."
        ),
    ] = False,
) -> None:
    """Bring a scan to its canonical form: names, axis order, amplitude, single precision."""
    import ptystore

    scan = ptystore.canonicalize(
        reading.open(src), signal=signal, flipx=flipx, flipy=flipy, keep_dtypes=keep_dtypes
    )
    _deliver(scan, dst, writing, output)


@_verb("patch canonical.zarr patched.zarr", "patch scan.npz patched.npz --size 64")
def patch(
    src: Source,
    dst: Destination,
    reading: Reading,
    writing: Writing,
    output: Output,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Height and width of a patch; the probe's own if not given."
        ),
    ] = None,
    k_neighbors: Annotated[
        int,
        typer.Option(metavar="K", help="Checked against the metadata's gridsize, and recorded."),
    ] = 7,
    interpolation: Annotated[
        Literal["bilinear", "nearest"], typer.Option(help="Between the object's pixels.")
    ] = "bilinear",
) -> None:
    """Add Y: the object as seen from every scan position, one patch a frame."""
    import ptystore

    scan = ptystore.extract_patches(
        reading.open(src), size=size, k_neighbors=k_neighbors, interpolation=interpolation
    )
    _deliver(scan, dst, writing, output)


@_verb("export patched.zarr patched.npz", "export scan.h5 scan.npz --diffraction-key both")
def export(
    src: Source,
    dst: Annotated[Path, typer.Argument(metavar="DST.npz", help="The .npz to write.")],
    reading: Reading,
    writing: Writing,
    output: Output,
    compression: Annotated[
        Literal["deflate", "store"], typer.Option(help="Of the members of the .npz.")
    ] = "deflate",
    diffraction_key: Annotated[
        Literal["as-is", "diffraction", "diff3d", "both"],
        typer.Option(help="The name that the frames shall have."),
    ] = "as-is",
) -> None:
    """Write an .npz without pickles, for whoever still needs one."""
    import ptystore

    if dst.suffix.lower() != ".npz":
        raise typer.BadParameter(
            f"{str(dst)!r} does not end in .npz; ptystore ingest writes the other formats",
            param_hint="DST.npz",
        )
    scan = ptystore.with_diffraction_key(reading.open(src), diffraction_key)
    _deliver(scan, dst, writing, output, compression=compression)


@_verb("info scan.zarr", "info scan.npz --json")
def info(src: Source, reading: ReadingHeaders, output: Output) -> None:
    """Show the fields: dims, shapes, dtypes, units, chunks, sizes, digests. Reads headers only."""
    import ptystore

    scan = reading.open(src)
    report.print_description(scan, ptystore.describe(scan), output)


@_verb("history scan.zarr")
def history(src: Source, reading: ReadingHeaders, output: Output) -> None:
    """Show the transformations that made the scan, oldest first."""
    report.print_history(reading.open(src), output)


@_verb("validate patched.zarr", "validate patched.npz --k-neighbors 7")
def validate(
    src: Source, reading: ReadingHeaders, output: Output, k_neighbors: KNeighbors = None
) -> None:
    """List every problem of a scan against its canonical form; exit code 1 if there is any."""
    import ptystore

    problems = ptystore.find_problems(reading.open(src), k_neighbors=k_neighbors)
    report.print_problems(problems, src, output)
    if problems:
        raise typer.Exit(1)


@_verb("verify scan.zarr")
def verify(src: Source, output: Output, jobs: Jobs = None) -> None:
    """Compare a store with all that it records of itself; exit code 5 if anything is damaged."""
    import ptystore

    with progress_bar(_size(src), output) as advance:
        found = ptystore.verify(src, jobs=jobs, progress=advance)
    report.print_verified(found, output)
    if not found.ok:
        raise typer.Exit(ptystore.IntegrityError.exit_code)


def _size(src: Path) -> int | None:
    """Uncompressed bytes, None where it can't be opened: what is wrong is `verify`'s to say."""
    import ptystore

    try:
        return ptystore.open(src).nbytes
    except ptystore.PtystoreError:
        return None


@_verb("digest scan.zarr", "digest scan.zarr --recorded")
def digest(
    src: Source,
    reading: ReadingHeaders,
    output: Output,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Show what the store records; read no values.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Print the content digest (BLAKE3) of each field, and of the whole.

    The same scan has the same digests in any format.
    """
    import ptystore

    scan = reading.open(src)
    if recorded:
        fields: dict[str, str | None] = {one.name: one.digest for one in scan.fields.values()}
        whole = scan.source.digest if scan.source else None
        report.print_digests(src, fields, whole, recorded, output)
        return
    with progress_bar(scan.nbytes, output) as advance:
        computed, combined = ptystore.digest(scan, jobs=jobs, progress=advance)
    report.print_digests(src, computed, combined, recorded, output)


@_verb("demo /tmp/demo")
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new or empty folder for what the demo makes.")
    ],
    output: Output,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files that the demo makes.")
    ] = False,
    frames: Annotated[int, typer.Option(min=1, metavar="N", help="Frames of the scan.")] = 2000,
) -> None:
    """Make a realistic raw scan and take it through every step, printing each command."""
    from ptystore_cli.demo import run_demo

    run_demo(folder, frames, overwrite, output, lambda words: app(words, standalone_mode=False))
