"""The field table of a ptychography scan: names, dims, dtypes, units, aliases.

Axis order is (y, x) everywhere: rows are y, columns are x. `n` is the number of frames.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ptystore.model.choices import Presence, Role

__all__ = [
    "COORDINATE_NAMES",
    "DIFFRACTION_NAMES",
    "FIELDS",
    "POSITION_NAMES",
    "RECORD_NAMES",
    "FieldSpec",
    "dimension_names",
    "standard_attrs",
]


@dataclass(frozen=True)
class FieldSpec:
    """What the contract says of one field; `dims` are those of the canonical form.

    Where a field may have more axes (probe modes), `leading_dims` name them, the last of them first
    where it has not all.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    role: Role
    long_name: str
    units: str | None = None
    presence: Presence = "optional"
    leading_dims: tuple[str, ...] = ()


_TABLE = (
    FieldSpec(
        "diffraction",
        ("scan", "ky", "kx"),
        "float32",
        "per_frame",
        "diffraction frames, zero frequency at the centre",
        "sqrt(counts)",
        "required",
    ),
    FieldSpec("Y", ("scan", "y", "x"), "complex64", "per_frame", "object patch at each position"),
    FieldSpec(
        "objectGuess",
        ("object_y", "object_x"),
        "complex64",
        "global",
        "object",
        presence="reconstruction",
        leading_dims=("slice",),
    ),
    FieldSpec(
        "probeGuess",
        ("probe_y", "probe_x"),
        "complex64",
        "global",
        "probe",
        presence="reconstruction",
        leading_dims=("opr", "mode"),
    ),
    FieldSpec(
        "xcoords", ("scan",), "float64", "per_frame", "scan position, x", "pixel", "required"
    ),
    FieldSpec(
        "ycoords", ("scan",), "float64", "per_frame", "scan position, y", "pixel", "required"
    ),
    FieldSpec(
        "xcoords_start", ("scan",), "float64", "per_frame", "nominal scan position, x", "pixel"
    ),
    FieldSpec(
        "ycoords_start", ("scan",), "float64", "per_frame", "nominal scan position, y", "pixel"
    ),
    FieldSpec("scan_index", ("scan",), "int64", "per_frame", "index of the scan"),
    FieldSpec("mask", ("ky", "kx"), "uint32", "global", "bad pixels, CXI bits, 0 is good"),
    FieldSpec("background", ("ky", "kx"), "float32", "global", "counts without a beam", "counts"),
    FieldSpec("flatfield", ("ky", "kx"), "float32", "global", "sensitivity of the pixels"),
    FieldSpec("frame_index", ("scan",), "int64", "per_frame", "the source's number of the frame"),
    FieldSpec("monitor", ("scan",), "float64", "per_frame", "beam monitor"),
    FieldSpec(
        "probe_photon_counts", ("scan",), "float64", "per_frame", "photons of the probe", "counts"
    ),
    FieldSpec("exposure", ("scan",), "float64", "per_frame", "exposure of the frame", "s"),
    FieldSpec("position_x_m", ("scan",), "float64", "per_frame", "position as measured, x", "m"),
    FieldSpec("position_y_m", ("scan",), "float64", "per_frame", "position as measured, y", "m"),
    FieldSpec("opr_weights", ("scan", "opr"), "float32", "per_frame", "weights of the probes"),
    FieldSpec("slice_spacing_m", ("slice_gap",), "float64", "global", "between slices", "m"),
    FieldSpec("loss", ("epoch",), "float64", "global", "of the reconstruction"),
)

#: The contract's fields by name; the alias `diff3d` has the same entry as `diffraction`.
FIELDS: Mapping[str, FieldSpec] = {spec.name: spec for spec in _TABLE} | {"diff3d": _TABLE[0]}

#: The names of the diffraction field, the canonical one first.
DIFFRACTION_NAMES = ("diffraction", "diff3d")

#: The positions that every reader uses, x first.
POSITION_NAMES = ("xcoords", "ycoords")

#: All scan positions, the nominal ones too.
COORDINATE_NAMES = ("xcoords", "ycoords", "xcoords_start", "ycoords_start")


#: The (tool, operation) of the record that a verb leaves. Downstream guards look for some of them.
RECORD_NAMES: Mapping[str, tuple[str, str]] = {
    "ingest": ("ptystore", "ingest"),
    "fill": ("ptystore", "fill_missing"),
    "simulate": ("ptystore", "simulate"),
    "canonicalize": ("transpose_rename_convert", "canonicalize_dataset"),
    "patch": ("generate_patches_tool.py", "generate_patches"),
    "split": ("split_dataset_tool.py", "train_test_split"),
    "view": ("ptystore", "select_view"),
    "prepare": ("ptystore", "prepare"),
    "set": ("ptystore", "set"),
    "concat": ("ptystore", "concat"),
    "join": ("ptystore", "join"),
}


def standard_attrs(name: str, signal: str | None = None) -> dict[str, str]:
    """The attributes that the contract gives a field: `long_name`, `units`, `signal`.

    The units of diffraction follow its signal: sqrt(counts) for amplitude, else counts.
    """
    spec = FIELDS.get(name)
    if spec is None:
        return {}
    attrs = {"long_name": spec.long_name}
    if spec.units is not None:
        attrs["units"] = "counts" if signal == "counts" else spec.units
    if signal is not None:
        attrs["signal"] = signal
    return attrs


def dimension_names(
    shapes: Mapping[str, tuple[int, ...]], frame_axes: Mapping[str, int | None]
) -> dict[str, tuple[str, ...]]:
    """One name an axis for each field, so that no name stands for two sizes.

    The contract's names where the sizes agree with what that name already means (fields
    are asked in the order of the contract's table), else ``NAME_0, NAME_1, …``; the frame
    axis of any per-frame field is `scan`.
    """
    sizes: dict[str, int] = {}
    named: dict[str, tuple[str, ...]] = {}
    in_table_order = sorted(shapes, key=lambda n: list(FIELDS).index(n) if n in FIELDS else 99)
    for name in in_table_order:
        wanted = _wanted_names(name, shapes[name], frame_axes[name])
        chosen: list[str] = []
        for axis, (dim, size) in enumerate(zip(wanted, shapes[name], strict=True)):
            free = sizes.get(dim, size) == size and dim not in chosen
            # xarray takes a variable that is named like a dimension for its coordinate.
            clash = dim in shapes
            chosen.append(dim if free and not clash else _unused(f"{name}_{axis}", shapes, sizes))
            sizes[chosen[-1]] = size
        named[name] = tuple(chosen)
    return {name: named[name] for name in shapes}


def _wanted_names(name: str, shape: tuple[int, ...], frame_axis: int | None) -> Sequence[str]:
    fallback = [f"{name}_{axis}" for axis in range(len(shape))]
    if frame_axis is not None:
        fallback[frame_axis] = "scan"
    spec = FIELDS.get(name)
    if spec is None:
        return fallback
    dims = list(spec.dims)
    more = len(shape) - len(dims)
    if 0 < more <= len(spec.leading_dims):
        dims = [*spec.leading_dims[-more:], *dims]
    if len(shape) != len(dims) or (frame_axis is not None and "scan" not in dims):
        return fallback
    if frame_axis is not None:
        dims.remove("scan")
        dims.insert(frame_axis, "scan")
    return dims


def _unused(dim: str, *taken: Collection[str]) -> str:
    while any(dim in names for names in taken):
        dim += "_"
    return dim
