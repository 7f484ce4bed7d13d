"""tensorstore, the fastest other writer and reader of the same Zarr layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorstore

from benchmarks.batches import timed_batches
from benchmarks.timing import Run, Timed

_SLAB = 2048


def load(array: Path) -> Any:
    """The values of one array of a store, in memory."""
    return _open(array).read().result()


def write(run: Run, source: str, field: str) -> Timed:
    """Write an array that is in memory with the layout and codecs that `source` has.

    tensorstore makes each file durable (`file_io_sync`, its default), as ptystore does.
    """
    values = load(run.data / source / field)
    metadata = json.loads((run.data / source / field / "zarr.json").read_text("utf-8"))
    metadata.pop("storage_transformers", None)
    spec = {"driver": "zarr3", "kvstore": _place(run.out / "result"), "metadata": metadata}

    def timed() -> None:
        array = tensorstore.open(spec, create=True).result()
        array.write(values).result()

    return timed


def read_whole(run: Run, source: str, field: str) -> Timed:
    """One field into one array."""

    def timed() -> dict[str, Any]:
        return {"result_bytes": load(run.data / source / field).nbytes}

    return timed


def read_slabs(run: Run, source: str, field: str) -> Timed:
    """One field from beginning to end, a slab of frames at a time."""

    def timed() -> None:
        frames = _open(run.data / source / field)
        for start in range(0, frames.shape[0], _SLAB):
            frames[start : min(start + _SLAB, frames.shape[0])].read().result()

    return timed


def random_batches(run: Run, source: str, field: str, *, batches: int) -> Timed:
    """Random frames by index; no cache (the default)."""
    frames = _open(run.data / source / field)
    return timed_batches(
        lambda indices: frames[indices].read().result(), frames.shape[0], run.seed, batches
    )


def _open(array: Path) -> Any:
    return tensorstore.open({"driver": "zarr3", "kvstore": _place(array)}, read=True).result()


def _place(array: Path) -> dict[str, str]:
    return {"driver": "file", "path": f"{array}/"}
