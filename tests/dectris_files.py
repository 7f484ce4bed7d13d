"""Masters of Dectris detectors as their file writer lays them out, for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

__all__ = ["BITS", "DETECTOR", "SHAPE", "blocks", "counts", "mask", "master", "put"]

SHAPE = (9, 12)
BITS = {1: 0x200, 2: 0x8, 4: 0x80, 8: 0x4, 16: 0x400, 32: 0x1, 5: 0x280}
DETECTOR = "entry/instrument/detector"


def counts(n: int = 11, dtype: str = "u4") -> Any:
    """Frames with a gap, which holds the largest value."""
    frames = np.random.default_rng(n).poisson(6, (n, *SHAPE)).astype(dtype)
    frames[:, 4] = np.iinfo(dtype).max
    return frames


def mask() -> Any:
    """The gap, and a pixel of every other kind."""
    bits = np.zeros(SHAPE, "u4")
    bits[4] = 1
    bits[0, : len(BITS)] = list(BITS)
    return bits


def blocks(folder: Path, frames: Any, sizes: Sequence[int], *, numbered: bool = True) -> None:
    """The files of frames."""
    begin = 0
    for at, size in enumerate(sizes, 1):
        with h5py.File(folder / f"s_data_{at:06d}.h5", "w") as file:
            made = file.create_dataset(
                "entry/data/data",
                data=frames[begin : begin + size],
                chunks=(1, *frames.shape[1:]),
                **hdf5plugin.Bitshuffle(cname="lz4"),
            )
            if numbered:
                made.attrs["image_nr_low"], made.attrs["image_nr_high"] = begin + 1, begin + size
        begin += size


def put(file: h5py.File, path: str, value: Any, units: str | None = None) -> None:
    """A value in place of one that may be there."""
    if path in file:
        del file[path]
    file[path] = value
    if units is not None:
        file[path].attrs["units"] = np.bytes_(units)


def master(
    folder: Path,
    sizes: Sequence[int] = (4, 4, 3),
    change: Callable[[h5py.File], None] | None = None,
    dtype: str = "u4",
) -> Path:
    """11 frames in three files, all facts told; then changed."""
    frames = counts(sum(sizes), dtype)
    blocks(folder, frames, sizes)
    path = folder / "s_master.h5"
    with h5py.File(path, "w") as file:
        file.create_group("entry/data")
        for group, kind in (("entry", "NXentry"), ("entry/data", "NXdata")):
            file[group].attrs["NX_class"] = np.bytes_(kind)
        for at in range(1, len(sizes) + 1):
            name = f"s_data_{at:06d}.h5"
            file[f"entry/data/data_{at:06d}"] = h5py.ExternalLink(name, "entry/data/data")
        put(file, f"{DETECTOR}/beam_center_x", np.float32(6.5), "pixel")
        put(file, f"{DETECTOR}/beam_center_y", np.float32(3.0), "pixel")
        put(file, f"{DETECTOR}/detector_distance", 1.5, "m")
        put(file, f"{DETECTOR}/x_pixel_size", 75e-6, "m")
        put(file, f"{DETECTOR}/y_pixel_size", 7.5e-2, "mm")
        put(file, f"{DETECTOR}/count_time", 0.05, "s")
        put(file, f"{DETECTOR}/description", np.bytes_("Dectris EIGER2 1M"))
        more = f"{DETECTOR}/detectorSpecific"
        put(file, f"{more}/nimages", 1)
        put(file, f"{more}/ntrigger", sum(sizes))
        put(file, f"{more}/photon_energy", 8800.0, "eV")
        put(file, f"{more}/threshold_energy", 4400.0)
        put(file, f"{more}/countrate_correction_count_cutoff", 30000)
        put(file, f"{more}/pixel_mask", mask())
        put(file, f"{more}/flatfield", np.full(SHAPE, 1.25, "f4"))
        put(file, "entry/instrument/beam/incident_wavelength", 1.4089113458318212)
        if change is not None:
            change(file)
    return path
