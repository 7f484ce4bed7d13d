"""Positions of a file of their own brought to the frames of a scan, and frames that are chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from ptystore.compute.placing import Placed, object_pixel, placed
from ptystore.compute.positions import moved_by_probe
from ptystore.errors import InputError, ParameterError
from ptystore.formats.assemble import Contents, FieldNotes, RawArray, ReadOptions, frame_axes
from ptystore.formats.dialects.coordinates import from_center
from ptystore.formats.dialects.scan import memory_array
from ptystore.formats.dialects.tree import SMALL, Tree
from ptystore.formats.positions_file import MeasuredPositions, read_positions
from ptystore.formats.supplement_files import FilesBeside
from ptystore.formats.supplement_pairing import Pairing, paired
from ptystore.formats.supplement_views import some_frames
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, FIELDS, standard_attrs
from ptystore.model.geometry import Fact, Geometry, with_geometry
from ptystore.model.lazy_array import Array, read_all

__all__ = ["frame_size", "with_arrays", "with_positions", "within_windows"]

_POSITIONS = (*COORDINATE_NAMES, "position_y_m", "position_x_m")


def with_arrays(
    contents: Contents, found: Mapping[str, RawArray], *, without: Collection[str] = ()
) -> Contents:
    """The contents with other arrays, those of the same name replaced, and without some.

    Raises `InputError` where the scan has virtual fields.
    """
    if contents.virtual is not None and contents.virtual.fields:
        raise InputError(
            "has virtual fields, which other values would change",
            advice="ptystore materialize writes them as values first",
        )
    kept = {name: raw for name, raw in contents.arrays.items() if name not in without}
    notes = None
    if contents.notes is not None:
        notes = {name: note for name, note in contents.notes.items() if name in kept}
        for name, raw in found.items():
            role = FIELDS[name].role if name in FIELDS else "global"
            attrs = standard_attrs(name) | dict(raw.attrs)
            notes[name] = FieldNotes(0 if role == "per_frame" else None, attrs)
    return dataclasses.replace(contents, arrays={**kept, **found}, notes=notes, digest=None)


def with_positions(
    contents: Contents, own: Tree | None, options: ReadOptions, files: FilesBeside
) -> Contents:
    """The frames that the options choose, with the positions that they name in place of others.

    Raises `InputError` where frames and positions don't fit, or units are not known.
    """
    positions = None
    if options.positions.place is not None:
        positions = read_positions(options.positions, own, files, _grid(contents, options))
        contents = with_arrays(contents, {}, without=_POSITIONS)
    contents = _with_axis_told(contents, options, None if positions is None else len(positions))
    axes = frame_axes(contents, options)
    counts = [contents.arrays[n].shape[axis] for n, axis in axes.items() if axis is not None]
    if not counts and positions is None:
        raise ParameterError("there are no frames to choose from", member="--frames")
    count = counts[0] if counts else len(positions or ())
    pairing = _pairing(contents, options, positions, count)
    contents = _chosen(contents, axes, count, pairing)
    if pairing.remark is not None:
        contents = dataclasses.replace(contents, remarks=(*contents.remarks, pairing.remark))
    if positions is None:
        return contents
    return _placed(contents, options, positions, pairing)


def frame_size(contents: Contents, options: ReadOptions) -> tuple[int, int] | None:
    """(H, W) of the frames, or of the probe where there are none; None if neither is known."""
    for name in DIFFRACTION_NAMES:
        if name in contents.arrays and len(contents.arrays[name].shape) >= 3:
            axis = frame_axes(contents, options)[name] or 0
            shape = contents.arrays[name].shape
            height, width = (shape[:axis] + shape[axis + 1 :])[-2:]
            return height, width
    if "probeGuess" in contents.arrays and len(contents.arrays["probeGuess"].shape) >= 2:
        height, width = contents.arrays["probeGuess"].shape[-2:]
        return height, width
    return None


def _grid(contents: Contents, options: ReadOptions) -> tuple[int, int] | None:
    if options.scan_shape is not None:
        return options.scan_shape
    known = contents.geometry.pair("scan_shape")
    return None if known is None else (int(known[0]), int(known[1]))


def _with_axis_told(contents: Contents, options: ReadOptions, many: int | None) -> Contents:
    """The contents with the order of the stack that as many positions as one end is long tell.

    An object's pixel that was derived for frames of another shape is derived anew.
    """
    stack = next((contents.arrays[n] for n in DIFFRACTION_NAMES if n in contents.arrays), None)
    if stack is None or many is None or contents.notes is not None:
        return contents
    is_mapped = not options.mapped.keys().isdisjoint(DIFFRACTION_NAMES)
    is_told = options.axis_order or contents.axis_order or (contents.dialect and not is_mapped)
    if is_told or "frame_index" in contents.arrays or many not in stack.shape[::2]:
        return contents
    hint = {"ycoords": memory_array(np.zeros(many))}
    axes = frame_axes(with_arrays(contents, hint), options)
    axis = next(axes[name] for name in DIFFRACTION_NAMES if name in axes)
    if axis not in (0, 2) or len(stack.shape) != 3:
        return contents
    before = frame_size(contents, options)
    contents = dataclasses.replace(contents, axis_order="nhw" if axis == 0 else "hwn")
    frame = frame_size(contents, options)
    known = contents.geometry.get("object_pixel_size_m")
    if frame == before or known is None or known.source != "derived":
        return contents
    geometry = contents.geometry.without("object_pixel_size_m")
    own = object_pixel(geometry, frame)
    if own is not None:
        geometry = geometry.with_facts({"object_pixel_size_m": own})
    return dataclasses.replace(contents, geometry=geometry)


def _pairing(
    contents: Contents, options: ReadOptions, positions: MeasuredPositions | None, count: int
) -> Pairing:
    if positions is None:
        chosen = options.frames.of(count)
        return Pairing(chosen, chosen)
    numbers = None
    if "frame_index" in contents.arrays:
        numbers = np.ravel(read_all(contents.arrays["frame_index"].build(0)))
    try:
        return paired(positions, count, numbers, options.frames)
    except InputError as error:
        raise error.located(member=f"--positions {options.positions.place}") from None


def _chosen(
    contents: Contents, axes: Mapping[str, int | None], count: int, pairing: Pairing
) -> Contents:
    """Every array of one entry a frame at the chosen frames, which are noted."""
    if np.array_equal(pairing.frames, np.arange(count)):
        return contents
    found = {
        name: some_frames(contents.arrays[name], axis, pairing.frames)
        for name, axis in axes.items()
        if axis is not None
    }
    if "frame_index" not in contents.arrays:
        found["frame_index"] = memory_array(pairing.frames.astype(np.int64))
    notes = contents.notes
    contents = _without_raster(with_arrays(contents, found))
    if notes is None or contents.notes is None:
        return contents
    # What a store of ours says of its fields still holds.
    kept = {
        name: dataclasses.replace(notes[name], digest=None) if name in found else notes[name]
        for name in notes
    }
    return dataclasses.replace(contents, notes={**contents.notes, **kept})


def _without_raster(contents: Contents) -> Contents:
    """Some frames of a raster lie on none."""
    known = Geometry.of(contents.metadata)
    metadata = contents.metadata
    if "scan_shape" in known:
        metadata = with_geometry(metadata, known.without("scan_shape"))
    geometry = contents.geometry.without("scan_shape")
    return dataclasses.replace(contents, geometry=geometry, metadata=metadata)


def _placed(
    contents: Contents, options: ReadOptions, positions: MeasuredPositions, pairing: Pairing
) -> Contents:
    """The positions as measured, and in object pixels where the object's pixel is known."""
    said = options.positions
    measured = [_at(values, pairing.rows) for values in (positions.y, positions.x)]
    matrix = said.matrix()
    y, x = moved_by_probe(measured[0], measured[1], matrix)
    frame = frame_size(contents, options)
    if positions.in_pixels:
        return _in_pixels(contents, y, x, frame)
    attrs = {"moves": said.moves, "affine": matrix.tolist()}
    names = ("position_y_m", "position_x_m")
    found = {
        name: memory_array(values, attrs) for name, values in zip(names, measured, strict=True)
    }
    pixel = object_pixel(contents.geometry, frame)
    if frame is None or pixel is None:
        return _told(
            with_arrays(contents, found),
            "the positions are in metres, and nothing says how large an object's pixel is: "
            "--energy, --distance and --detector-pixel, or --pixel-size, tell",
        )
    own = (pixel.value[0], pixel.value[1])
    if "objectGuess" not in contents.arrays:
        return _with_places(with_arrays(contents, found), placed(y, x, frame, own))
    center = contents.geometry.pair("object_center_m")
    if center is None:
        return _told(
            with_arrays(contents, found),
            "the positions are in metres, and nothing says where the object's middle is: they are "
            "kept as they are; --position-units px takes object pixels",
        )
    extents = contents.arrays["objectGuess"].shape[-2:]
    in_object = [
        from_center(values, middle, size, extent, n)
        for values, middle, size, extent, n in zip((y, x), center, own, extents, frame, strict=True)
    ]
    return with_arrays(contents, {**found, **_coordinates(in_object[0], in_object[1])})


def _in_pixels(contents: Contents, y: Array, x: Array, frame: tuple[int, int] | None) -> Contents:
    """Positions in object pixels as they are; without an object, inside of one that holds them."""
    outside = frame is not None and any(
        bool(np.any(values < size // 2)) for values, size in zip((y, x), frame, strict=True)
    )
    if "objectGuess" in contents.arrays or not outside or frame is None:
        return with_arrays(contents, _coordinates(y, x))
    told = "positions whose windows begin before the object are moved, all by as much, inside of it"
    return _told(_with_places(contents, placed(y, x, frame, (1.0, 1.0))), told)


def within_windows(contents: Contents, frame: tuple[int, int] | None) -> Contents:
    """The same with positions in object pixels, of which only differences are known, moved.

    Without an object all windows of frames (H, W) lie inside of one then; nominal positions move
    with the others.
    """
    lists = [contents.arrays[name] for name in ("ycoords", "xcoords")]
    if any(len(raw.shape) != 1 or raw.shape[0] > SMALL for raw in lists):
        return contents
    y, x = (read_all(raw.build(0)) for raw in lists)
    moved = _in_pixels(contents, y, x, frame)
    nominal = {}
    for name, values in (("ycoords", y), ("xcoords", x)):
        start = contents.arrays.get(f"{name}_start")
        by = read_all(moved.arrays[name].build(0)) - values
        if start is not None and start.shape == by.shape and by.any():
            nominal[f"{name}_start"] = memory_array(read_all(start.build(0)) + by)
    return with_arrays(moved, nominal)


def _with_places(contents: Contents, inside: Placed) -> Contents:
    fact = Fact(list(inside.shape), "derived")
    geometry = contents.geometry.with_facts({"object_shape": fact})
    contents = with_arrays(contents, _coordinates(inside.y, inside.x))
    return dataclasses.replace(contents, geometry=geometry)


def _coordinates(y: Array, x: Array) -> dict[str, RawArray]:
    return {"ycoords": memory_array(y), "xcoords": memory_array(x)}


def _told(contents: Contents, remark: str) -> Contents:
    return dataclasses.replace(contents, remarks=(*contents.remarks, remark))


def _at(values: Array, rows: Array) -> Array:
    """The values at `rows`, NaN where there is none (-1)."""
    found = np.asarray(values, np.float64)[rows]
    return np.where(rows < 0, np.nan, found)
