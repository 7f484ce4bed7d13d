"""The verb that makes canonical frames of raw ones."""

from __future__ import annotations

from ptystore_cli.options import Destination, Output, Reading, Source, Writing
from ptystore_cli.preparing import Preparing
from ptystore_cli.registry import deliver, verb


@verb(
    "prepare raw.zarr scan.zarr --crop 256 --bin 2",
    "prepare raw.h5 scan.zarr --center 516,480 --crop 128 --mask bad.npy",
    "prepare next.zarr scan2.zarr --like scan.zarr",
)
def prepare(
    src: Source,
    dst: Destination,
    reading: Reading,
    preparing: Preparing,
    writing: Writing,
    output: Output,
) -> None:
    """Cut the frames that are reconstructed out of raw ones: turn, mask, crop, bin, pad."""
    deliver(preparing.prepared(reading.scan(src)), dst, writing, output)
