"""The verbs that look at a scan: what is in it, how it came to be, whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ptystore import Consumer
from ptystore_cli.given import given_options
from ptystore_cli.options import (
    Jobs,
    Output,
    ReadingHeaders,
    Source,
)
from ptystore_cli.printing.checked import print_problems, print_repaired, print_verified
from ptystore_cli.printing.looked import (
    print_description,
    print_digests,
    print_history,
    print_overlap,
)
from ptystore_cli.registry import verb
from ptystore_cli.terminal import progress_bar, warn

KNeighbors = Annotated[
    int | None,
    typer.Option(min=1, metavar="K", help="Neighbours that a group of frames is chosen from."),
]


@verb("info scan.zarr", "info scan.npz --json", "info view.zarr --overlap")
def info(
    src: Source,
    reading: ReadingHeaders,
    output: Output,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Measure the overlap of the scan positions instead.")
    ] = False,
    probe_diameter: Annotated[
        float | None,
        typer.Option(metavar="PX", help="Of the overlapping discs; the probe's FWHM if not given."),
    ] = None,
) -> None:
    """Show what a file is read as, its fields, what is known of the experiment and what is missing.

    Reads headers only. The last lines are the commands that would complete the scan.
    """
    import ptystore

    scan = reading.scan(src)
    if overlap or probe_diameter is not None:
        print_overlap(src, ptystore.measure_overlap(scan, probe_diameter), output)
    else:
        about = ptystore.describe(scan)
        again = " ".join(given_options(reading))
        about["completed_by"] = [f"{line} {again}".strip() for line in about["completed_by"]]
        for line in about["remarks"]:
            warn(line, output)
        print_description(scan, about, output)


@verb("history scan.zarr")
def history(src: Source, reading: ReadingHeaders, output: Output) -> None:
    """Show the transformations that made the scan, oldest first."""
    print_history(reading.scan(src), output)


@verb("validate patched.zarr", "validate patched.npz --k-neighbors 7 --for legacy")
def validate(
    src: Source,
    reading: ReadingHeaders,
    output: Output,
    k_neighbors: KNeighbors = None,
    consumer: Annotated[
        Consumer | None,
        typer.Option("--for", help="Whoever needs probe and object too, which are noted if not."),
    ] = None,
) -> None:
    """List every problem of a scan against its canonical form; exit code 1 if there is any."""
    import ptystore

    scan = reading.scan(src)
    problems = ptystore.find_problems(scan, k_neighbors=k_neighbors, consumer=consumer)
    notes = [] if consumer else ptystore.find_notes(scan)
    print_problems(problems, notes, src, output)
    if problems:
        raise typer.Exit(1)


@verb("verify scan.zarr", "verify scan.zarr --fast")
def verify(
    src: Source,
    output: Output,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compare lengths and headers; read no values.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Compare a store with all that it records of itself; exit code 5 if anything is damaged."""
    import ptystore

    with progress_bar(_size(src), output) as advance:
        found = ptystore.verify(src, fast=fast, jobs=jobs, progress=advance)
    print_verified(found, output)
    if not found.ok:
        raise typer.Exit(ptystore.IntegrityError.exit_code)


@verb("repair scan.zarr --from scan.npz")
def repair(
    dst: Annotated[Path, typer.Argument(metavar="DST", help="The damaged Zarr store.")],
    source: Annotated[
        Path,
        typer.Option(
            "--from", metavar="SRC", help="A scan of the same values: the original, or a copy."
        ),
    ],
    output: Output,
    jobs: Jobs = None,
) -> None:
    """Write the damaged frames of a store again; exit code 5 if anything is damaged after it."""
    import ptystore

    done = ptystore.repair(dst, source, jobs=jobs, warn=lambda line: warn(line, output))
    print_repaired(done, output)
    if not done.ok:
        raise typer.Exit(ptystore.IntegrityError.exit_code)


def _size(src: Path) -> int | None:
    """Uncompressed bytes, None where it can't be opened: what is wrong is `verify`'s to say."""
    import ptystore

    try:
        return ptystore.open(src).nbytes
    except ptystore.PtystoreError:
        return None


@verb("digest scan.zarr", "digest scan.zarr --recorded", "digest scan.zarr --json > scan.digest")
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

    The same scan has the same digests in any format. With --json come those of the metadata and
    of a Zarr store's manifest, in the same bytes wherever the scan lies: a file to be signed.
    """
    import ptystore

    scan = reading.scan(src)
    if recorded:
        fields: dict[str, str | None] = {field.name: field.digest for field in scan.fields.values()}
        whole = scan.source.digest if scan.source else None
        print_digests(scan, fields, whole, recorded, output)
        return
    with progress_bar(scan.nbytes, output) as advance:
        computed, combined = ptystore.digest(scan, jobs=jobs, progress=advance)
    print_digests(scan, computed, combined, recorded, output)
