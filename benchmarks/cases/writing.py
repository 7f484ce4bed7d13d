"""Into a Zarr store: ingest, canonicalize, patch, and all of them in one pass."""

from __future__ import annotations

from benchmarks.case import Case, Operation, Other, Target

_ALL_STEPS = ["ingest", "canonicalize", "patch"]

CASES = (
    Case(
        "ingest, deflated NPZ",
        Operation("with_ptystore.write", {"source": "deflated.npz", "steps": ["ingest"]}),
        (
            Other(
                "isal inflating that member alone",
                Operation("with_numpy.inflate", {"source": "deflated.npz", "member": "diff3d"}),
                Target(times=1.25),
            ),
            Other(
                "np.load + zarr.save_array",
                Operation("with_zarr.load_and_save", {"source": "deflated.npz"}),
                Target(faster=3, memory=1 / 3),
            ),
        ),
        ("deflated.npz",),
    ),
    Case(
        "ingest, stored NPZ",
        Operation("with_ptystore.write", {"source": "stored.npz", "steps": ["ingest"]}),
        (
            Other(
                "tensorstore from memory, same layout",
                Operation("with_tensorstore.write", {"source": "raw.zarr", "field": "diff3d"}),
                Target(times=1.4),
            ),
            Other(
                "h5py from memory, one-frame chunks, bitshuffle-lz4",
                Operation(
                    "with_h5py.write",
                    {"source": "stored.npz", "field": "diff3d", "codec": "bitshuffle-lz4"},
                ),
            ),
        ),
        ("stored.npz", "raw.zarr"),
    ),
    Case(
        "ingest, stored NPZ, beside slow writers",
        Operation("with_ptystore.write", {"source": "stored.npz", "steps": ["ingest"]}),
        (
            Other(
                "zarr-python from memory in slabs, same layout",
                Operation(
                    "with_zarr.write_slabs",
                    {"source": "raw.zarr", "npz": "stored.npz", "field": "diff3d"},
                ),
            ),
            Other(
                "h5py from memory, one-frame chunks, gzip",
                Operation(
                    "with_h5py.write", {"source": "stored.npz", "field": "diff3d", "codec": "gzip"}
                ),
            ),
        ),
        ("stored.npz", "raw.zarr"),
        part=0.25,
    ),
    Case(
        "canonicalize Zarr → Zarr, counts → amplitude",
        Operation("with_ptystore.write", {"source": "raw.zarr", "steps": ["canonicalize"]}),
        (
            Other(
                "tensorstore writing that float32 array from memory",
                Operation(
                    "with_tensorstore.write", {"source": "canonical.zarr", "field": "diffraction"}
                ),
                Target(times=1.5),
            ),
        ),
        ("raw.zarr", "canonical.zarr"),
    ),
    Case(
        "patch",
        Operation("with_ptystore.write", {"source": "canonical.zarr", "steps": ["patch"]}),
        (
            Other(
                "tensorstore writing that array from memory",
                Operation("with_tensorstore.write", {"source": "patched.zarr", "field": "Y"}),
                Target(times=1.4),
            ),
        ),
        ("canonical.zarr", "patched.zarr"),
    ),
    Case(
        "fused NPZ → canonical + patched Zarr",
        Operation(
            "with_ptystore.commands",
            {"lines": ["ingest {data}/deflated.npz {out}/all.zarr --canonicalize --patch"]},
        ),
        (
            Other(
                "the three commands one after another",
                Operation(
                    "with_ptystore.commands",
                    {
                        "lines": [
                            "ingest {data}/deflated.npz {out}/raw.zarr",
                            "canonicalize {out}/raw.zarr {out}/canonical.zarr",
                            "patch {out}/canonical.zarr {out}/patched.zarr",
                        ]
                    },
                ),
                Target(times=0.7),
            ),
        ),
        ("deflated.npz",),
    ),
    Case(
        "the same within one process",
        Operation("with_ptystore.write", {"source": "deflated.npz", "steps": _ALL_STEPS}),
        (
            Other(
                "ptystore, the three one after another",
                Operation(
                    "with_ptystore.one_after_another",
                    {"source": "deflated.npz", "steps": _ALL_STEPS},
                ),
            ),
        ),
        ("deflated.npz",),
    ),
)
