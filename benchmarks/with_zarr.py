"""zarr-python: as one begins with it, and on the same layout."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import zarr

from benchmarks.batches import timed_batches
from benchmarks.timing import Run, Timed


def load_and_save(run: Run, source: str) -> Timed:
    """`np.load`, then `zarr.save_array` of every array: its default chunks and codecs."""

    def timed() -> None:
        with np.load(run.data / source) as archive:
            for name in archive.files:
                zarr.save_array(str(run.out / "result.zarr" / name), archive[name])

    return timed


def write_slabs(run: Run, source: str, npz: str, field: str) -> Timed:
    """Write an array that is in memory, one shard at a time, with the layout of `source`."""
    with np.load(run.data / npz) as archive:
        values = archive[field]
    folder = run.out / "result"
    folder.mkdir()
    shutil.copy(run.data / source / field / "zarr.json", folder)

    def timed() -> None:
        array: Any = zarr.open_array(str(folder), mode="r+")
        rows = (array.shards or array.chunks)[0]
        for start in range(0, len(values), rows):
            array[start : start + rows] = values[start : start + rows]

    return timed


def read_whole(run: Run, source: str, field: str) -> Timed:
    """One field into one array."""

    def timed() -> dict[str, Any]:
        values: Any = zarr.open_array(str(run.data / source / field), mode="r")[:]
        return {"result_bytes": values.nbytes}

    return timed


def random_batches(run: Run, source: str, field: str, *, batches: int) -> Timed:
    """Random frames through `oindex`."""
    frames: Any = zarr.open_array(str(run.data / source / field), mode="r")
    return timed_batches(lambda indices: frames.oindex[indices], frames.shape[0], run.seed, batches)
