"""What people do with numpy alone, and the limits that it and isal set."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from isal import isal_zlib

from benchmarks.batches import timed_batches
from benchmarks.timing import Run, Timed

_PIECE = 1 << 18
_LOCAL_HEADER = 30


def inflate(run: Run, source: str, member: str) -> Timed:
    """Read one deflated member and inflate it, keeping nothing."""
    path = run.data / source
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{member}.npy")

    def timed() -> None:
        with open(path, "rb", buffering=0) as file:
            head = os.pread(file.fileno(), _LOCAL_HEADER, entry.header_offset)
            lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
            at = entry.header_offset + _LOCAL_HEADER + lengths
            end = at + entry.compress_size
            inflater = isal_zlib.decompressobj(-15)
            size = 0
            while at < end:
                piece = os.pread(file.fileno(), min(_PIECE, end - at), at)
                at += len(piece)
                size += len(inflater.decompress(piece))
        if size != entry.file_size:
            raise AssertionError(f"{size} bytes inflated, not {entry.file_size}")

    return timed


def savez(run: Run, source: str, *, compressed: bool, fields: Sequence[str] = ()) -> Timed:
    """`np.savez` or `np.savez_compressed` of arrays that are in memory."""
    arrays = _in_memory(run, source, fields)
    path = run.out / "result.npz"

    def timed() -> dict[str, Any]:
        (np.savez_compressed if compressed else np.savez)(path, **arrays)
        return {"stored_bytes": path.stat().st_size}

    return timed


def copy(run: Run, source: str, field: str) -> Timed:
    """`np.copyto` of one array in memory: nothing that reads can be faster."""
    values = _in_memory(run, source, [field])[field]

    def timed() -> dict[str, Any]:
        result = np.empty_like(values)
        np.copyto(result, values)
        return {"result_bytes": 2 * result.nbytes}

    return timed


def mapped_batches(run: Run, source: str, *, batches: int) -> Timed:
    """Random frames of an uncompressed `.npy` through `np.load(mmap_mode="r")`."""
    frames = np.load(run.data / source, mmap_mode="r")
    return timed_batches(lambda indices: frames[indices], len(frames), run.seed, batches)


def _in_memory(run: Run, source: str, fields: Sequence[str]) -> dict[str, Any]:
    if source.endswith(".zarr"):
        from benchmarks.with_tensorstore import load

        return {name: load(run.data / source / name) for name in fields}
    with np.load(run.data / source) as archive:
        return {name: archive[name] for name in fields or archive.files}
