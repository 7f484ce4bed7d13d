"""A scan as a Dectris EIGER writes it: a master, four files of frames, and a table of positions."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

__all__ = ["FILES", "FOLDER", "FRAMES", "MASTER", "SHAPE", "make"]

#: An EIGER 1M; so many frames are 2 GB.
SHAPE, FRAMES = (1028, 1062), 458
FILES = 4
FOLDER, MASTER = "eiger", "eiger/scan_master.h5"

_GAP = np.iinfo(np.uint32).max
_PHOTONS = 4e6  # a frame
_KINDS = 16  # frames that differ: to draw more would take minutes


def make(folder: Path, frames: int) -> None:
    """Poisson counts of a bright middle on a faint halo, gaps between modules, dead pixels."""
    part = folder / "eiger.part"
    part.mkdir(exist_ok=True)
    drawn = _drawn()
    sizes = [len(one) for one in np.array_split(np.arange(frames), FILES)]
    begin = 0
    for at, size in enumerate(sizes, 1):
        with h5py.File(part / f"scan_data_{at:06d}.h5", "w") as file:
            made = file.create_dataset(
                "entry/data/data",
                (size, *SHAPE),
                "u4",
                chunks=(1, *SHAPE),
                **hdf5plugin.Bitshuffle(cname="lz4"),
            )
            made.attrs["image_nr_low"], made.attrs["image_nr_high"] = begin + 1, begin + size
            for k in range(size):
                made[k] = drawn[(begin + k) % _KINDS]
        begin += size
    _write_master(part / "scan_master.h5", frames)
    rows = [f"{k},{k % 22 * 0.5:.3f},{k // 22 * 0.5:.3f}" for k in range(frames)]
    (part / "positions.csv").write_text("frame,x_um,y_um\n" + "\n".join(rows) + "\n", "ascii")
    part.rename(folder / FOLDER)


def _gaps() -> np.ndarray:
    gaps = np.zeros(SHAPE, bool)
    gaps[512:516] = gaps[:, 514:518] = True
    return gaps


def _drawn() -> np.ndarray:
    generator = np.random.default_rng(7)
    y, x = (np.arange(n) - n // 2 - 3 for n in SHAPE)
    square = y[:, None] ** 2.0 + x**2.0
    expected = np.exp(-square / 800) + 0.02 / (1 + square / 900)
    expected *= _PHOTONS / expected.sum()
    frames = generator.poisson(expected, (_KINDS, *SHAPE)).astype(np.uint32)
    frames[:, _gaps()] = _GAP
    return frames


def _write_master(path: Path, frames: int) -> None:
    detector = "entry/instrument/detector"
    numbers = {
        "beam_center_x": (SHAPE[1] // 2 + 3, "pixel"),
        "beam_center_y": (SHAPE[0] // 2 + 3, "pixel"),
        "detector_distance": (2.0, "m"),
        "x_pixel_size": (75e-6, "m"),
        "y_pixel_size": (75e-6, "m"),
        "count_time": (0.01, "s"),
        "detectorSpecific/photon_energy": (8800.0, "eV"),
    }
    with h5py.File(path, "w") as file:
        file.create_group("entry/data")
        for name, (value, units) in numbers.items():
            file[f"{detector}/{name}"] = value
            file[f"{detector}/{name}"].attrs["units"] = units
        file[f"{detector}/detectorSpecific/nimages"] = frames
        file[f"{detector}/detectorSpecific/ntrigger"] = 1
        file[f"{detector}/detectorSpecific/pixel_mask"] = _gaps().astype("u4")
        for at in range(1, FILES + 1):
            name = f"scan_data_{at:06d}.h5"
            file[f"entry/data/data_{at:06d}"] = h5py.ExternalLink(name, "entry/data/data")
