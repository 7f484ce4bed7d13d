"""Back to NPZ. A quarter of the frames or less, because zlib takes half a minute for all."""

from __future__ import annotations

from benchmarks.case import Case, Operation, Other, Target


def _deflated(
    what: str, source: str, field: str, part: float, target: Target, level: int | None = None
) -> Case:
    arguments = {"source": source, "fields": [field]}
    how = "deflate" if level is None else f"--level {level}"
    return Case(
        f"export, {how}, {what}",
        Operation("with_ptystore.write", {**arguments, "to": "npz", "level": level}),
        (
            Other(
                "np.savez_compressed from memory",
                Operation("with_numpy.savez", {**arguments, "compressed": True}),
                target,
            ),
        ),
        (source,),
        part=part,
    )


CASES = (
    _deflated("raw uint16 counts", "raw.zarr", "diff3d", 0.25, Target(faster=8, size=1.05)),
    _deflated("float32 amplitude", "canonical.zarr", "diffraction", 1 / 16, Target()),
    _deflated("float32 amplitude", "canonical.zarr", "diffraction", 1 / 16, Target(), level=6),
    _deflated("complex64 Y", "patched.zarr", "Y", 1 / 16, Target()),
    _deflated("complex64 Y", "patched.zarr", "Y", 1 / 16, Target(), level=6),
    Case(
        "export, stored",
        Operation(
            "with_ptystore.write",
            {"source": "raw.zarr", "fields": ["diff3d"], "to": "npz", "compression": "store"},
        ),
        (
            Other(
                "np.savez from memory",
                Operation(
                    "with_numpy.savez",
                    {"source": "raw.zarr", "fields": ["diff3d"], "compressed": False},
                ),
                Target(times=1.5),
            ),
        ),
        ("raw.zarr",),
    ),
)
