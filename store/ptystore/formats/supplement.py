"""What the caller adds to what a file gave: arrays of other files, facts, positions, a choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ptystore.compute.placing import derived_facts, object_pixel, pixel_contradiction
from ptystore.errors import InputError, ParameterError, located
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.dialects.facts import caller_facts
from ptystore.formats.dialects.tree import Tree, values
from ptystore.formats.foreign import json_attrs
from ptystore.formats.position_units import is_pixels, to_metres
from ptystore.formats.raster import in_one_row
from ptystore.formats.supplement_files import FilesBeside, Place
from ptystore.formats.supplement_positions import (
    frame_size,
    with_arrays,
    with_positions,
    within_windows,
)
from ptystore.formats.supplement_views import as_bits, scaled
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, POSITION_NAMES
from ptystore.model.geometry import Fact, Geometry

__all__ = ["supplemented"]

_MEASURED = ("position_y_m", "position_x_m")

_SIZES = "--pixel-size, or --energy, --distance and --detector-pixel, say how large it is"


def supplemented(
    contents: Contents, tree: Tree | None, options: ReadOptions, open_tree: Callable[[Path], Tree]
) -> Contents:
    """The contents with all that the options add; `tree` is the file that they are of, if one is.

    Every file that is opened is held with the scan's own. Raises as opening a scan does, and
    `InputError` naming the option that says what is missing.
    """
    files = FilesBeside(open_tree)
    contents = _mapped(contents, tree, options, files)
    if contents.dialect is None:
        contents = in_one_row(contents, options)
    contents = _with_facts(contents, options)
    contents = _in_pixels(contents, options)
    if options.positions.place is not None or not options.frames.is_all:
        contents = with_positions(contents, tree, options, files)
    contents = _with_contradiction(contents, options)
    return dataclasses.replace(contents, snapshot=files.hold(contents.snapshot))


# Arrays of other files, or of other places in this one


def _mapped(
    contents: Contents, tree: Tree | None, options: ReadOptions, files: FilesBeside
) -> Contents:
    if not options.mapped:
        return contents
    found = {}
    gone: set[str] = set()
    for field, text in options.mapped.items():
        if field in contents.already_mapped:
            continue
        with located(member=f"--map {field}={text}"):
            found[field] = _array(field, text, tree, files)
        if contents.notes is None and contents.dialect is None:
            gone.add(text.strip("/"))  # or an array would be there under both its names
    if found.keys() & set(DIFFRACTION_NAMES):
        gone |= set(DIFFRACTION_NAMES)
        contents = _of_other_frames(contents, found)
    return with_arrays(contents, found, without=gone)


def _of_other_frames(contents: Contents, found: Mapping[str, RawArray]) -> Contents:
    """What was known of how frames lie on the detector is of frames of that shape alone."""
    shapes = [found[name].shape[-2:] for name in DIFFRACTION_NAMES if name in found]
    known = contents.raw_frame and contents.raw_frame.detector_shape
    if known is None or known in shapes:
        return contents
    return dataclasses.replace(contents, raw_frame=None)


def _array(field: str, text: str, own: Tree | None, files: FilesBeside) -> RawArray:
    """One array as the field; a path in the scan's own file counts first."""
    place = Place(None, text)
    if own is None or own.kind(f"/{text.strip('/')}") is None:
        place = Place.of(text)
    tree = own if place.file is None else files.tree(place.file)
    if tree is None:
        raise InputError("names no file: FILE:PATH")
    path = f"/{place.key.strip('/')}" if place.key is not None else _only_array(tree)
    if tree.kind(path) is None:
        near = ", ".join(tree.children(path.rpartition("/")[0] or "/")[:20])
        reason = f"there is no {path} in {tree.path.name}"
        raise InputError(reason, advice=f"there are {near}" if near else None)
    raw = tree.array(path, field)
    raw = dataclasses.replace(raw, attrs=json_attrs(tree.attrs(path)))
    if field == "mask" and raw.dtype.kind == "b":
        return as_bits(values(tree, path))
    return raw


def _only_array(tree: Tree) -> str:
    names = [name for name in tree.children() if tree.kind(f"/{name}") == "array"]
    if len(names) != 1:
        raise InputError(
            f"does not say which array of {tree.path.name}",
            advice=f"FIELD=FILE:PATH; there are {', '.join(tree.children()[:20])}",
        )
    return f"/{names[0]}"


# Facts


def _with_facts(contents: Contents, options: ReadOptions) -> Contents:
    """What the caller said counts more than what the file or its document says."""
    said = caller_facts(options)
    if contents.dialect is not None:
        if (options.mapped.keys() - contents.already_mapped).isdisjoint(DIFFRACTION_NAMES):
            return contents  # its dialect did all this
        known = contents.geometry
    elif not said and options.positions.place is None:
        return contents
    else:
        known = Geometry.of(contents.metadata).with_facts(contents.geometry)
    if said.keys() - {"scan_shape"} or contents.dialect is not None:
        # What was derived from other facts, or for frames of another size.
        pixel = known.get("object_pixel_size_m")
        if pixel is not None and pixel.source == "derived":
            known = known.without("object_pixel_size_m")
    facts = derived_facts(known, said)
    own = object_pixel(facts, frame_size(contents, options))
    if own is not None:
        facts["object_pixel_size_m"] = own
    if contents.notes is not None:
        _refuse_other_pixel(contents, own)
    return dataclasses.replace(contents, geometry=Geometry(facts))


def _refuse_other_pixel(contents: Contents, new: Fact | None) -> None:
    """Raise `ParameterError` where positions of a store of ours count in another pixel."""
    old = Geometry.of(contents.metadata).get("object_pixel_size_m")
    are_measured = {*_MEASURED, *POSITION_NAMES} <= contents.arrays.keys()
    is_free = contents.arrays.keys().isdisjoint(("objectGuess", "Y"))
    if old is None or new is None or not (are_measured and is_free):
        return
    if not np.allclose(old.value, new.value, rtol=1e-9, atol=0):
        raise ParameterError(
            "would make its object pixel another one, in which its positions don't count",
            member=next(fact.source for fact in (new, old)),
            advice="ptystore set SCAN, with the same options, renews them",
        )


def _with_contradiction(contents: Contents, options: ReadOptions) -> Contents:
    """The contents with a word on an object's pixel that the other facts contradict."""
    if not contents.geometry or (contents.notes is not None and not caller_facts(options)):
        return contents
    told = pixel_contradiction(contents.geometry, frame_size(contents, options))
    if told is None:
        return contents
    return dataclasses.replace(contents, remarks=(*contents.remarks, told))


# Positions that the file has


def _in_pixels(contents: Contents, options: ReadOptions) -> Contents:
    """Positions whose attributes, or the caller, give them a length as units: in object pixels."""
    said = options.positions
    told = said.units if said.place is None else None
    if said.place is not None:
        return contents
    changed = {}
    lengths = {}
    for name in (*COORDINATE_NAMES, *_MEASURED):
        if name not in contents.arrays:
            continue
        is_measured = name in _MEASURED
        found = _units(contents, name)
        units = found if told is None or is_measured else told
        if units is None or (not is_measured and is_pixels(units) and found in (None, units)):
            continue
        if is_measured and found == "m" and contents.arrays[name].dtype == np.float64:
            continue  # as it is to be
        with located(member=name):
            times = to_metres(told if not is_measured else None, units)
            if is_measured and times is None:
                raise InputError(f"is in {units}, and should be in metres")
            if times is None:
                changed[name] = _as_pixels(contents, name, 1.0)
            elif is_measured:
                changed[name] = _as_pixels(contents, name, times, "m")
            else:
                own = _pixel(contents, options)
                if own is None:
                    raise InputError(
                        f"is in {units}, not in object pixels, and nothing says how large such a "
                        "pixel is",
                        advice=f"{_SIZES}; --position-units px if they are pixels after all",
                    )
                lengths[name] = times
                changed[name] = _as_pixels(contents, name, times / own[0 if name[0] == "y" else 1])
    if told is not None and not any(name in contents.arrays for name in COORDINATE_NAMES):
        raise ParameterError("there are no positions in it", member="--position-units")
    if not changed:
        return contents
    made = with_arrays(contents, changed)
    if not set(POSITION_NAMES) <= lengths.keys():
        return made
    return within_windows(_with_measured(made, contents, lengths), frame_size(made, options))


def _with_measured(made: Contents, contents: Contents, lengths: Mapping[str, float]) -> Contents:
    """With the positions as measured too, which `contents` has in units of so many metres."""
    found = {}
    for measured, name in zip(_MEASURED, ("ycoords", "xcoords"), strict=True):
        if measured not in contents.arrays:
            raw = dataclasses.replace(contents.arrays[name], attrs={"units": "m", "moves": "probe"})
            found[measured] = scaled(raw, lengths[name])
    return with_arrays(made, found)


def _units(contents: Contents, name: str) -> str | None:
    attrs = contents.notes[name].attrs if contents.notes else contents.arrays[name].attrs
    units = attrs.get("units")
    return units if isinstance(units, str) and units.strip() else None


def _as_pixels(contents: Contents, name: str, times: float, units: str = "pixel") -> RawArray:
    raw = contents.arrays[name]
    attrs = contents.notes[name].attrs if contents.notes else raw.attrs
    return scaled(dataclasses.replace(raw, attrs={**attrs, "units": units}), times)


def _pixel(contents: Contents, options: ReadOptions) -> tuple[float, float] | None:
    facts = Geometry.of(contents.metadata).with_facts(contents.geometry)
    known = object_pixel(derived_facts(facts, {}), frame_size(contents, options))
    return None if known is None else (known.value[0], known.value[1])
