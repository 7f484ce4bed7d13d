"""Out of a Zarr store: random batches, whole reads, epochs, patches computed on read."""

from __future__ import annotations

from benchmarks.case import Case, Operation, Other, Target

_FRAMES = {"source": "raw.zarr", "field": "diff3d"}
_BATCHES = 40

CASES = (
    Case(
        "random batch of 64 frames",
        Operation("with_ptystore.random_batches", {**_FRAMES, "batches": _BATCHES}),
        (
            Other(
                "zarr-python oindex, same store",
                Operation("with_zarr.random_batches", {**_FRAMES, "batches": _BATCHES // 4}),
                Target(faster=20),
            ),
            Other(
                "tensorstore, same store",
                Operation("with_tensorstore.random_batches", {**_FRAMES, "batches": _BATCHES}),
                Target(faster=1),
            ),
            Other(
                "h5py, one-frame chunks, loop",
                Operation("with_h5py.random_batches", {"source": "frames.h5", "batches": _BATCHES}),
                Target(faster=0.7),
            ),
            Other(
                'np.load(mmap_mode="r"), uncompressed',
                Operation(
                    "with_numpy.mapped_batches", {"source": "counts.npy", "batches": _BATCHES}
                ),
            ),
        ),
        ("raw.zarr", "frames.h5", "counts.npy"),
    ),
    Case(
        "whole read into one array",
        Operation("with_ptystore.read_whole", _FRAMES),
        (
            Other(
                "zarr-python, same store",
                Operation("with_zarr.read_whole", _FRAMES),
                Target(faster=5),
            ),
            Other(
                "tensorstore, same store",
                Operation("with_tensorstore.read_whole", _FRAMES),
                Target(faster=0.9),
            ),
            Other("np.copyto, memory to memory", Operation("with_numpy.copy", _FRAMES)),
        ),
        ("raw.zarr",),
    ),
    Case(
        "sequential read, 2,048 frames at a time",
        Operation("with_ptystore.read_slabs", _FRAMES),
        (
            Other(
                "tensorstore, same store",
                Operation("with_tensorstore.read_slabs", _FRAMES),
            ),
        ),
        ("raw.zarr",),
    ),
    Case(
        "one shuffled epoch, batches of 256, shuffle='blocks'",
        Operation("with_ptystore.epoch", {**_FRAMES, "batch": 256, "shuffle": "blocks"}),
        (
            Other(
                "ptystore, whole read into one array",
                Operation("with_ptystore.read_whole", _FRAMES),
                Target(faster=0.8),
            ),
        ),
        ("raw.zarr",),
    ),
    Case(
        "one permuted epoch, batches of 256, by index",
        Operation("with_ptystore.permuted_epoch", {**_FRAMES, "batch": 256}),
        (
            Other(
                "ptystore, whole read into one array",
                Operation("with_ptystore.read_whole", _FRAMES),
            ),
        ),
        ("raw.zarr",),
    ),
    Case(
        "Y computed on read, batch of 64",
        Operation(
            "with_ptystore.computed_batches", {"source": "canonical.zarr", "batches": _BATCHES}
        ),
        (
            Other(
                "ptystore, stored Y",
                Operation(
                    "with_ptystore.random_batches",
                    {"source": "patched.zarr", "field": "Y", "batches": _BATCHES},
                ),
                Target(faster=2),
            ),
        ),
        ("canonical.zarr", "patched.zarr"),
    ),
)
