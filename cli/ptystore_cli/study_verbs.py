"""The verbs of dose and overlap studies, and the demo."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args

import typer

from ptystore import MergeStrategy, Signal, SplitAxis, SplitPart, ViewName
from ptystore_cli.options import (
    ANONYMOUS_HELP,
    Destination,
    Jobs,
    Output,
    Reading,
    Slice,
    Source,
    Writing,
)
from ptystore_cli.printing.written import print_study
from ptystore_cli.registry import app, deliver, verb
from ptystore_cli.terminal import printable, say

KNeighbors = Annotated[
    int,
    typer.Option(metavar="K", help="Checked against the metadata's gridsize, and recorded."),
]


class View(StrEnum):
    """A study's views. Of what can be repeated, typer takes choices as an Enum only."""

    _ignore_ = "view"
    for view in get_args(ViewName):
        vars()[view] = view


class Part(StrEnum):
    """A study's parts."""

    _ignore_ = "part"
    for part in get_args(SplitPart):
        vars()[part] = part


Anonymous = Annotated[bool, typer.Option("--anonymous", help=ANONYMOUS_HELP)]
Seed = Annotated[int, typer.Option(metavar="S", help="Of all that is drawn at random.")]
Axis = Annotated[SplitAxis, typer.Option(help="The coordinate to divide by.")]
Fraction = Annotated[
    float, typer.Option(metavar="F", help="Where to divide, of the coordinate's range.")
]


@verb(
    "simulate run1084.npz simulated.zarr --dose 1000",
    "simulate s.npz s.zarr --dose 1e4 --frames 500",
)
def simulate(
    src: Source,
    dst: Destination,
    reading: Reading,
    writing: Writing,
    output: Output,
    dose: Annotated[
        float | None, typer.Option(metavar="PHOTONS", help="Photons a frame, on average.")
    ] = None,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Poisson noise, or the expectation itself.")
    ] = True,
    seed: Seed = 42,
    signal: Annotated[Signal, typer.Option(help="What the frames shall be.")] = "amplitude",
    frames: Annotated[
        int | None,
        typer.Option(metavar="N", help="New positions, drawn inside the object; else the file's."),
    ] = None,
    buffer: Annotated[
        float, typer.Option(metavar="PX", help="New positions stay this far from the border.")
    ] = 0.0,
    raster: Annotated[
        bool, typer.Option("--raster", help="New positions on a jittered raster.")
    ] = False,
    step: Annotated[
        float | None,
        typer.Option(metavar="PX", help="Of the raster; the object is filled if not given."),
    ] = None,
    slice: Slice = None,
) -> None:
    """Simulate the frames from probe, object and positions, reproducibly."""
    import ptystore

    scan = ptystore.simulate(
        reading.scan(src),
        dose=dose,
        noise=noise,
        seed=seed,
        signal=signal,
        frames=frames,
        buffer=buffer,
        raster=raster,
        step=step,
        slice=slice,
    )
    deliver(scan, dst, writing, output)


@verb(
    "split patched.zarr train.zarr test.zarr", "split p.zarr a.zarr b.zarr --axis x --fraction 0.8"
)
def split(
    src: Source,
    train: Annotated[Path, typer.Argument(metavar="TRAIN", help="The part below the line.")],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="The rest.")],
    reading: Reading,
    writing: Writing,
    output: Output,
    axis: Axis = "y",
    fraction: Fraction = 0.5,
) -> None:
    """Divide the frames by position into a training and a test scan."""
    import ptystore

    parts = ptystore.split(reading.scan(src), axis=axis, fraction=fraction)
    for part, path in zip(parts, (train, test), strict=True):
        # What can be said before anything is written is said of both.
        ptystore.plan(part, path, **writing.limits())
    for part, path in zip(parts, (train, test), strict=True):
        deliver(part, path, writing, output)


@verb("view train.zarr dense.zarr --view dense", "view train.zarr tenth.zarr --fraction 0.1")
def view(
    src: Source,
    dst: Destination,
    reading: Reading,
    writing: Writing,
    output: Output,
    view: Annotated[
        ViewName | None,
        typer.Option(help="Neighbours overlap by 0.7 (dense) or 0.2 (sparse) at the most."),
    ] = None,
    overlap: Annotated[
        float | None, typer.Option(metavar="F", help="Or by this: spacing is (1 - F) frame widths.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(metavar="F", help="Or a random part of the frames.")
    ] = None,
    seed: Seed = 42,
) -> None:
    """Keep frames that are far enough apart, or a random part of them."""
    import ptystore

    scan = ptystore.select_view(
        reading.scan(src), name=view, overlap=overlap, fraction=fraction, seed=seed
    )
    deliver(scan, dst, writing, output)


@verb(
    "join first.zarr second.zarr both.zarr",
    "join a.npz b.npz c.npz all.h5 --take probeGuess=0 --each objectGuess",
)
def join(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC… DST",
            help="The scans, in the order that their frames shall have, and where to write.",
        ),
    ],
    reading: Reading,
    writing: Writing,
    output: Output,
    take: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=K",
            help="Take this probe, object, … from scan K, from 0. May be repeated.",
        ),
    ] = None,
    each: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Keep each scan's own as NAME_0, NAME_1, …. May be repeated."
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave it out. May be repeated.")
    ] = None,
    merge: Annotated[
        MergeStrategy, typer.Option(help="Of the metadata: the first counts, or all must agree.")
    ] = "preserve_first",
) -> None:
    """Put the frames of several scans after one another; scan_index says whose each is."""
    import ptystore

    *sources, destination = paths
    if not sources:
        raise typer.BadParameter("there must be sources and a destination", param_hint="SRC… DST")
    scan = ptystore.join(
        sources,
        reading=reading.options(),
        take=_numbers(take or ()),
        each=each or (),
        leave_out=leave_out or (),
        merge=merge,
    )
    deliver(scan, destination, writing, output)


def _numbers(given: Iterable[str]) -> dict[str, int]:
    """Numbers by names, from ``NAME=K``; raises `typer.BadParameter`, a usage error."""
    numbers = {}
    for text in given:
        name, _, number = text.rpartition("=")
        if not (name and number.isascii() and number.isdigit()):
            raise typer.BadParameter(f"{text!r} is not NAME=K", param_hint="--take")
        numbers[name] = int(number)
    return numbers


@verb("study hub --base run1084.npz --dose 1000 --view dense --view sparse")
def study(
    hub: Annotated[Path, typer.Argument(metavar="HUB", help="The folder of the study.")],
    base: Annotated[
        Path, typer.Option(metavar="FILE", help="A scan with probe, object and positions.")
    ],
    dose: Annotated[
        list[float], typer.Option(metavar="PHOTONS", help="Photons a frame. May be repeated.")
    ],
    output: Output,
    view: Annotated[list[View] | None, typer.Option(help="Both if not given.")] = None,
    split: Annotated[list[Part] | None, typer.Option(help="Both if not given.")] = None,
    patch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Stated to be checked: it is the probe's.")
    ] = None,
    k_neighbors: KNeighbors = 7,
    seed: Seed = 42,
    axis: Axis = "y",
    fraction: Fraction = 0.5,
    overwrite_hub: Annotated[
        bool,
        typer.Option("--overwrite-hub", help="Move what another study left to HUB/archive."),
    ] = False,
    jobs: Jobs = None,
    anonymous: Anonymous = False,
) -> None:
    """Simulate, canonicalize, patch, split, validate and view: a dose and overlap study.

    Run again with the same options, it goes on from where it stopped.
    """
    import ptystore

    done = ptystore.run_study(
        hub,
        base,
        doses=dose,
        views=[name.value for name in view or View],
        splits=[part.value for part in split or Part],
        patch_size=patch_size,
        k_neighbors=k_neighbors,
        seed=seed,
        axis=axis,
        fraction=fraction,
        overwrite_hub=overwrite_hub,
        jobs=jobs,
        anonymous=anonymous or None,
        log=lambda line: say(printable(line), output),
    )
    print_study(done, output)


@verb("demo /tmp/demo")
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new or empty folder for what the demo makes.")
    ],
    output: Output,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files that the demo makes.")
    ] = False,
    frames: Annotated[int, typer.Option(min=1, metavar="N", help="Frames of the scan.")] = 2000,
    anonymous: Anonymous = False,
) -> None:
    """Make a realistic raw scan and take it through every step, printing each command."""
    from ptystore_cli.demo import run_demo

    def run(words: list[str]) -> int | None:
        code: int | None = app(words, standalone_mode=False)
        return code

    run_demo(folder, frames, overwrite, anonymous, output, run)
