"""Canonicalize: names, axis order, signal and dtypes as the contract has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from ptystore.compute.conversions import Cast, Negated, Reshaped, SaturatedFrames
from ptystore.compute.positions import warn_of_frames_outside
from ptystore.compute.recipes import canonical_frames
from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import Signal
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, standard_attrs
from ptystore.model.dataset import Check, Dataset, Field, Recipe
from ptystore.model.deferred import with_attrs
from ptystore.model.lazy_array import Array, ComputedArray, FramesFirst

__all__ = ["canonicalize"]

_FLIPPED = {"x": ("xcoords", "xcoords_start"), "y": ("ycoords", "ycoords_start")}


def canonicalize(
    dataset: Dataset,
    *,
    signal: Signal = "amplitude",
    flipx: bool = False,
    flipy: bool = False,
    keep_dtypes: bool = False,
    virtual: bool = False,
) -> Dataset:
    """The scan in canonical form, computed as it is read.

    `diff3d` becomes `diffraction`, float32, shape (n, H, W): amplitude in sqrt(counts), the
    square root of counts (divided by the field's `amplitude_scale` where it has one), or
    counts with ``signal="counts"``. `Y` becomes (n, H, W). Any other uint16 array is cast to
    float32; complex128 is cast to complex64 and coordinates to float64 unless
    `keep_dtypes`. `flipx` and `flipy` change the sign of those coordinates. With `virtual`
    a store keeps the frames as they are and how to convert them, not the result.

    Raises `InputError` where both names of the frames are there, where `Y` has more than
    one image a frame, or amplitude is to become counts and no `amplitude_scale` is known;
    while reading, for negative counts.
    """
    if signal not in ("amplitude", "counts"):
        raise ParameterError(f"signal must be amplitude or counts, not {signal!r}")
    if all(name in dataset for name in DIFFRACTION_NAMES):
        raise InputError(
            f"both {' and '.join(DIFFRACTION_NAMES)} are there, and only one can be the frames",
            file=dataset.file,
            advice="keep one: ptystore export SRC DST.npz --diffraction-key diffraction",
        )
    flipped = [name for axis, on in (("x", flipx), ("y", flipy)) if on for name in _FLIPPED[axis]]
    tally = SaturatedFrames()
    fields = [
        _canonical_frames(field, signal, tally, virtual, dataset.file)
        if field.name in DIFFRACTION_NAMES
        else _canonical(field, field.name in flipped, keep_dtypes, dataset.file)
        for field in dataset.values()
    ]
    return dataset.transformed(
        fields,
        "canonicalize",
        {
            "signal": signal,
            "flipx": flipx,
            "flipy": flipy,
            "keep_dtypes": keep_dtypes,
        },
        checks=_position_checks({field.name: field for field in fields}),
        remarks=(tally.lines,),
    )


def _canonical(field: Field, flip: bool, keep_dtypes: bool, file: str | None) -> Field:
    if field.name == "Y":
        field = _single_patches(_frames_first(field), file)
    if field.name in COORDINATE_NAMES:
        # Unsigned coordinates have no other sign to take.
        kept = keep_dtypes and not (flip and field.dtype.kind in "ub")
        dtype = field.dtype if kept else np.dtype(np.float64)
        if flip:
            return _computed(field, Negated(dtype), dtype)
    elif field.dtype == np.uint16:
        dtype = np.dtype(np.float32)
    elif field.dtype == np.complex128 and not keep_dtypes:
        dtype = np.dtype(np.complex64)
    else:
        return field
    return field if field.dtype == dtype else _computed(field, Cast(dtype), dtype)


def _computed(
    field: Field,
    function: Callable[..., Array],
    dtype: np.dtype[Any],
    shape: tuple[int, ...] | None = None,
) -> Field:
    array = ComputedArray(function, [field.array], shape or field.shape, dtype)
    return field.with_array(array)


def _frames_first(field: Field) -> Field:
    return field if field.array.axis == 0 else field.with_array(FramesFirst(field.array))


def _single_patches(field: Field, file: str | None) -> Field:
    """`Y` as (n, H, W): a last axis of one channel is dropped."""
    if field.ndim == 4 and field.shape[3] == 1:
        shape = field.shape[:3]
        return _computed(field, Reshaped(shape[1:]), field.dtype, shape)
    if field.ndim != 3:
        raise InputError(
            f"has shape {field.shape}; there must be one image for each frame",
            file=file,
            member=field.name,
        )
    return field


def _canonical_frames(
    field: Field, signal: Signal, tally: SaturatedFrames, virtual: bool, file: str | None
) -> Field:
    known = field.attrs.get("signal", "amplitude")
    has_scale = "amplitude_scale" in field.attrs
    if known == "amplitude" and signal == "counts" and not has_scale:
        raise InputError(
            "amplitude can't be turned into counts: no amplitude_scale is recorded",
            file=file,
            member=field.name,
            advice="leave out --signal counts, or begin from the raw counts",
        )
    attrs = with_attrs(field.attrs, standard_attrs("diffraction", signal))
    if known == signal == "amplitude" and field.dtype == np.float32:
        field = _frames_first(field)
        # The digest covers the name.
        digest = field.digest if field.name == "diffraction" else None
        return dataclasses.replace(field, name="diffraction", attrs=attrs, digest=digest)
    scale = field.attrs["amplitude_scale"] if has_scale else None
    parameters = {"from": known, "to": signal, "scale": scale or 1.0}
    array = canonical_frames(field.array, parameters, tally)
    recipe = Recipe("canonical_frames", (field,), parameters) if virtual else None
    return field.with_array(array, name="diffraction", attrs=attrs, recipe=recipe)


def _position_checks(fields: dict[str, Field]) -> Iterable[Check]:
    """A check of the windows, where the scan has all that it takes."""
    needed = ("diffraction", "objectGuess", "xcoords", "ycoords")
    if not all(name in fields for name in needed) or fields["objectGuess"].ndim != 2:
        return ()
    frames, obj, x, y = (fields[name] for name in needed)
    if frames.ndim != 3:
        return ()
    object_shape = (obj.shape[0], obj.shape[1])
    window = (frames.shape[1], frames.shape[2])
    return (partial(warn_of_frames_outside, x, y, object_shape, window),)
