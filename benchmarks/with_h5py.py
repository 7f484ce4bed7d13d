"""h5py with a chunk for each frame, the usual layout of frames in HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from benchmarks import eiger
from benchmarks.batches import timed_batches
from benchmarks.timing import Run, Timed

_SLAB = 2048
_CODECS: dict[str, dict[str, Any]] = {
    "bitshuffle-lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "gzip": {"compression": "gzip"},
}


def save(path: Path, values: Any, codec: str) -> None:
    """Write frames in slabs, a chunk for each."""
    with h5py.File(path, "w") as file:
        chunks = (1, *values.shape[1:])
        frames = file.create_dataset(
            "frames", values.shape, values.dtype, chunks=chunks, **_CODECS[codec]
        )
        for start in range(0, len(values), _SLAB):
            frames[start : start + _SLAB] = values[start : start + _SLAB]


def write(run: Run, source: str, field: str, *, codec: str) -> Timed:
    """Write an array that is in memory."""
    with np.load(run.data / source) as archive:
        values = archive[field]
    path = run.out / "result.h5"

    def timed() -> dict[str, Any]:
        save(path, values, codec)
        return {"stored_bytes": path.stat().st_size}

    return timed


def random_batches(run: Run, source: str, *, batches: int) -> Timed:
    """Random frames one by one, in a loop, without HDF5's chunk cache."""
    frames = h5py.File(run.data / source, "r", rdcc_nbytes=0)["frames"]

    def read(indices: Any) -> Any:
        result = np.empty((len(indices), *frames.shape[1:]), frames.dtype)
        for at, index in enumerate(indices):
            frames.read_direct(result, np.s_[int(index)], np.s_[at])
        return result

    return timed_batches(read, len(frames), run.seed, batches)


def read_master(run: Run) -> Timed:
    """Every frame of a detector through HDF5's links and filters, into memory that is reused."""
    out = np.empty(eiger.SHAPE, np.uint32)

    def timed() -> None:
        with h5py.File(run.data / eiger.MASTER, "r") as file:
            for name in sorted(file["entry/data"]):
                frames = file["entry/data"][name]
                for at in range(len(frames)):
                    frames.read_direct(out, np.s_[at])

    return timed
