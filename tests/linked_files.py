"""Files of other tools' with links and virtual datasets, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from ptystore.formats.assemble import ReadOptions
from ptystore.formats.hdf5.reader import read_hdf5
from ptystore.formats.hdf5.tree import Hdf5Tree

__all__ = ["FRAMES", "PACKED", "Place", "halves", "part", "tree_of", "virtual"]

#: Where, in which file, the shape of the array there, and which part of it.
Place = tuple[Any, str, tuple[int, ...], Any]

FRAMES = np.random.default_rng(5).poisson(4, (12, 7, 6)).astype("u2")
PACKED: dict[str, Any] = {"chunks": (1, 7, 6), **hdf5plugin.Bitshuffle(cname="lz4")}


def tree_of(path: Path) -> Hdf5Tree:
    """A file as a tree."""
    found = read_hdf5(path, ReadOptions())
    assert isinstance(found, Hdf5Tree)
    return found


def part(path: Path, frames: Any, name: str = "entry/data/data", **kind: Any) -> Path:
    """An array in a file, which may be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        made = file.create_dataset(name, data=frames, **(kind or PACKED))
        made.attrs["low"] = 1
    return path


def virtual(
    path: Path, shape: tuple[int, ...], *places: Place, name: str = "diff3d", **kind: Any
) -> Path:
    """A dataset of which each place ``[key]`` is ``[part]`` of the array in a file (of shape)."""
    layout = h5py.VirtualLayout(shape, kind.get("dtype", "u2"))
    for key, file, size, taken in places:
        source = h5py.VirtualSource(file, "entry/data/data", size)
        layout[key] = source if taken is None else source[taken]
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(name, layout, fillvalue=kind.get("fill", 0))
        for axis in "xy":
            if f"{axis}coords" not in file and shape[0] < 100:
                file[f"{axis}coords"] = np.arange(float(shape[0]))
    return path


def halves(folder: Path, **kind: Any) -> Path:
    """12 frames in two files, of 5 and 7."""
    part(folder / "a.h5", FRAMES[:5], **kind)
    part(folder / "deep" / "b.h5", FRAMES[5:], **kind)
    return virtual(
        folder / "master.h5",
        FRAMES.shape,
        (np.s_[:5], "a.h5", (5, 7, 6), None),
        (np.s_[5:], "./deep/b.h5", (7, 7, 6), None),
    )
