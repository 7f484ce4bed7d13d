"""The verbs that read one scan and write another: options, one call of the library, a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ptystore import Compression, DiffractionKey, Interpolation, Negative, Signal
from ptystore_cli.options import (
    Destination,
    Output,
    Reading,
    Slice,
    Source,
    Writing,
)
from ptystore_cli.preparing import Preparing
from ptystore_cli.registry import deliver, verb
from ptystore_cli.suffixes import EXPORTED

Virtual = Annotated[
    bool,
    typer.Option("--virtual", help="Keep how to compute it in the store, not the values."),
]

NegativeCounts = Annotated[
    Negative | None,
    typer.Option(
        "--negative",
        help="Negative counts: refused if not given; pixels that are negative, or at the largest "
        "value of their dtype, in every frame put into a mask; or zero.",
    ),
]


@verb(
    "ingest scan.npz scan.zarr",
    "ingest stack.npz scan.h5 --axis-order hwn --max-bytes 20GB",
    "ingest scan.npz patched.zarr --canonicalize --patch",
    "ingest scan_master.h5 scan.zarr --positions pos.csv --position-units um --crop 128",
)
def ingest(
    src: Source,
    dst: Destination,
    reading: Reading,
    preparing: Preparing,
    writing: Writing,
    output: Output,
    canonicalize: Annotated[
        bool, typer.Option("--canonicalize", help="Canonicalize in the same pass.")
    ] = False,
    patch: Annotated[bool, typer.Option("--patch", help="Add Y in the same pass.")] = False,
    negative: NegativeCounts = None,
) -> None:
    """Bring any readable scan into a store: as it is, but for what options say of it."""
    import ptystore

    if negative is not None and not canonicalize:
        raise typer.BadParameter("is for --canonicalize", param_hint="--negative")
    scan = ptystore.ingest(reading.scan(src))
    if preparing.is_asked:
        scan = preparing.prepared(scan)
    if canonicalize:
        scan = ptystore.canonicalize(scan, negative=negative or "refuse")
    if patch:
        scan = ptystore.extract_patches(scan)
    deliver(scan, dst, writing, output)


@verb(
    "canonicalize scan.zarr canonical.zarr",
    "canonicalize scan.npz canonical.npz --flipx",
    "canonicalize raw.npz canonical.zarr --negative mask",
)
def canonicalize(
    src: Source,
    dst: Destination,
    reading: Reading,
    writing: Writing,
    output: Output,
    signal: Annotated[Signal, typer.Option(help="What the frames shall be.")] = "amplitude",
    keep_dtypes: Annotated[
        bool,
        typer.Option(
            "--keep-dtypes", help="Leave complex128 and the coordinates' dtypes as they are."
        ),
    ] = False,
    negative: NegativeCounts = None,
    virtual: Virtual = False,
) -> None:
    """Bring a scan to its canonical form: names, axis order, amplitude, single precision."""
    import ptystore

    scan = ptystore.canonicalize(
        reading.scan_to_be_flipped(src),
        signal=signal,
        **reading.flips_left(),
        keep_dtypes=keep_dtypes,
        negative=negative or "refuse",
        virtual=virtual,
    )
    deliver(scan, dst, writing, output)


@verb("patch canonical.zarr patched.zarr", "patch scan.npz patched.npz --size 64")
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
        Interpolation, typer.Option(help="Between the object's pixels.")
    ] = "bilinear",
    slice: Slice = None,
    virtual: Virtual = False,
) -> None:
    """Add Y: the object as seen from every scan position, one patch a frame."""
    import ptystore

    scan = ptystore.extract_patches(
        reading.scan(src),
        size=size,
        k_neighbors=k_neighbors,
        interpolation=interpolation,
        slice=slice,
        virtual=virtual,
    )
    deliver(scan, dst, writing, output)


@verb("export patched.zarr patched.npz", "export scan.h5 scan.npz --diffraction-key both")
def export(
    src: Source,
    dst: Annotated[
        Path, typer.Argument(metavar=f"DST{EXPORTED}", help=f"The {EXPORTED} to write.")
    ],
    reading: Reading,
    writing: Writing,
    output: Output,
    compression: Annotated[
        Compression, typer.Option(help=f"Of the members of the {EXPORTED}.")
    ] = "deflate",
    level: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=9,
            metavar="0..9",
            help="Of deflate: up to 3 quick (isal), from 4 on smaller and far slower "
            "(zlib). By default 3 for integers, 2 for floating point.",
        ),
    ] = None,
    diffraction_key: Annotated[
        DiffractionKey,
        typer.Option(help="The name that the frames shall have."),
    ] = "as-is",
) -> None:
    """Write an .npz without pickles, for whoever still needs one."""
    import ptystore

    if dst.suffix.lower() != EXPORTED:
        raise typer.BadParameter(
            f"{str(dst)!r} does not end in {EXPORTED}; ptystore ingest writes the other formats",
            param_hint=f"DST{EXPORTED}",
        )
    scan = ptystore.with_diffraction_key(reading.scan(src), diffraction_key)
    deliver(scan, dst, writing, output, compression=compression, level=level)


@verb("materialize virtual.zarr scan.zarr")
def materialize(
    src: Source, dst: Destination, reading: Reading, writing: Writing, output: Output
) -> None:
    """Write a scan with its virtual fields as values."""
    import ptystore

    deliver(ptystore.materialize(reading.scan(src)), dst, writing, output)
