"""Canonicalize: names, axis order, signal and dtypes as the contract has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, get_args

import numpy as np

from ptystore.compute.conversions import Cast, Negated, WholeIndices
from ptystore.compute.frame_tally import FrameTally
from ptystore.compute.negative_counts import (
    DetectorGaps,
    MaskBits,
    Screen,
    ZeroGaps,
    ZeroNegative,
)
from ptystore.compute.positions import warn_of_frames_outside
from ptystore.compute.recipes import canonical_frames
from ptystore.compute.shapes import with_table_axes
from ptystore.compute.whole_numbers import counts_by_content
from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import Negative, Signal
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, FIELDS, standard_attrs
from ptystore.model.dataset import Check, Dataset, Field, Recipe
from ptystore.model.deferred import known_attrs, with_attrs
from ptystore.model.lazy_array import Array, ComputedArray, FramesFirst
from ptystore.model.signal import is_said, with_signal
from ptystore.transforms.geometry_kept import flipped

__all__ = ["canonicalize"]

# What needs complex128 to stay as exact as it is.
_DOUBLE = {np.dtype(name) for name in ("c16", "f8", "i4", "u4", "i8", "u8")}
_FLIPPED = {"x": ("xcoords", "xcoords_start"), "y": ("ycoords", "ycoords_start")}


def canonicalize(
    dataset: Dataset,
    *,
    signal: Signal = "amplitude",
    flipx: bool = False,
    flipy: bool = False,
    keep_dtypes: bool = False,
    negative: Negative = "refuse",
    virtual: bool = False,
) -> Dataset:
    """The scan in canonical form, computed as it is read.

    `diff3d` becomes `diffraction`, float32, shape (n, H, W): amplitude in sqrt(counts), the
    square root of counts (divided by the field's `amplitude_scale` where it has one), or
    counts with ``signal="counts"``. `Y` becomes (n, H, W). Axes of length 1 that the contract
    does not have are dropped, and that is said. `scan_index` becomes int64; probe, object and
    `Y` become complex64, coordinates and what was measured float64 or as the contract has it,
    where with `keep_dtypes` double precision stays double and those stay as they are. Other
    fields are kept, complex128 as complex64. `flipx` and `flipy` change the sign of those
    coordinates, and of what the geometry says of them. With `virtual` a store keeps the frames as
    they are and how to convert them, not the result.

    `negative` says what is done with counts below zero: ``"refuse"`` them; ``"zero"``; or
    ``"mask"``, which finds, by a pass of its own, the pixels that hold in every frame the same
    negative value, one of the two largest of an integer dtype, or none that is finite, makes
    them zero and adds `mask`, uint32 (H, W), CXI bits, 0 where a pixel measures.

    Raises `InputError` where there are no frames or both names of them, where fields hold what
    the contract's can't, where `Y` has more than one image a frame, or amplitude is to become
    counts and no `amplitude_scale` is known; before anything is written, where nothing says
    that frames of whole numbers are amplitude; while reading, for negative counts.
    """
    if signal not in get_args(Signal):
        raise ParameterError(f"signal must be amplitude or counts, not {signal!r}")
    if negative not in get_args(Negative):
        raise ParameterError(f"negative counts are refused, masked or zero, not {negative!r}")
    if negative == "mask" and virtual:
        raise ParameterError("frames that are kept as they are can't be masked")
    frames = _frames(dataset)
    if negative != "refuse" and frames.attrs.get("signal") == "amplitude":
        raise ParameterError(
            "is amplitude, and has no negative counts", file=dataset.file, member=frames.name
        )
    dataset = flipped(with_table_axes(dataset), x=flipx, y=flipy)
    negated = [name for axis, on in (("x", flipx), ("y", flipy)) if on for name in _FLIPPED[axis]]
    tally = FrameTally()
    remarks = [tally.lines]
    screen: Screen | None = None
    if negative == "zero":
        screen = ZeroNegative()
        remarks.append(screen.lines)
    elif negative == "mask":
        gaps = DetectorGaps(_frames_first(dataset.frames).array)
        screen = ZeroGaps(gaps)
        remarks.append(gaps.lines)
        dataset = _with_mask(dataset, gaps)
    fields = [
        _canonical_frames(field, signal, tally, screen, virtual, dataset.file)
        if field.name in DIFFRACTION_NAMES
        else _canonical(field, field.name in negated, keep_dtypes, dataset.file)
        for field in dataset.values()
    ]
    result = dataset.transformed(
        fields,
        "canonicalize",
        {
            "signal": signal,
            "flipx": flipx,
            "flipy": flipy,
            "keep_dtypes": keep_dtypes,
            **({} if negative == "refuse" else {"negative": negative}),
        },
        checks=_position_checks({one.name: one for one in fields}),
        remarks=remarks,
    )
    # First of all: what is refused needs no warnings.
    result = dataclasses.replace(result, checks=(*_content_check(dataset), *result.checks))
    return _with_true_document(result, signal)


_RENAMED = (
    "frames of another name are taken with --map diffraction=NAME, positions with "
    "--map xcoords=NAME and --map ycoords=NAME, a list (n, 2) of them with --positions FILE:NAME"
)


def _frames(dataset: Dataset) -> Field:
    """The frames, real numbers under one of their names."""
    names = [name for name in DIFFRACTION_NAMES if name in dataset]
    if not names:
        there = ", ".join(f"{one.name} {one.dtype} {one.shape}" for one in dataset.values())
        raise InputError(
            f"there is no {' or '.join(DIFFRACTION_NAMES)}, and so nothing to canonicalize; "
            f"there are {there or 'no fields'}",
            file=dataset.file,
            advice="; ".join((*_told(dataset), _RENAMED)),
        )
    if len(names) > 1:
        raise InputError(
            f"both {' and '.join(DIFFRACTION_NAMES)} are there, and only one can be the frames",
            file=dataset.file,
            advice="keep one: ptystore export SRC DST.npz --diffraction-key diffraction",
        )
    frames = dataset[names[0]]
    _require_kind(frames, "biuf", "frames are real numbers", dataset.file)
    return frames


def _told(dataset: Dataset) -> Iterable[str]:
    """What opening the file found of it, and the dialect that it is near to."""
    if dataset.source is None:
        return ()
    understood = dataset.source.understood
    near = (understood.nearest,) if understood is not None and understood.nearest else ()
    return (*near, *dataset.source.remarks)


def _require_kind(field: Field, kinds: str, what: str, file: str | None) -> None:
    dtype = field.possible_dtypes[0]
    if dtype.kind not in kinds:
        raise InputError(f"has dtype {dtype}: {what}", file=file, member=field.name)


def _content_check(dataset: Dataset) -> Iterable[Check]:
    """A look at frames that nobody says are amplitude, where they may be counts."""
    frames = dataset.frames
    if not is_said(frames.possible_dtypes[0], frames.attrs, dataset.metadata):
        return (partial(_refuse_counts, frames),)
    return ()


def _refuse_counts(frames: Field) -> Iterable[str]:
    largest = counts_by_content(frames.array)
    if largest is not None:
        raise InputError(
            f"holds whole numbers up to {largest:g}, as counts do, "
            "and nothing says that they are amplitude",
            member=frames.name,
            advice="say what they are: --input-signal counts, or --input-signal amplitude",
        )
    return ()


def _with_mask(dataset: Dataset, gaps: DetectorGaps) -> Dataset:
    """The scan with the gaps in its mask, or in a new one."""
    known = dataset.fields.get("mask")
    inputs = []
    attrs: Mapping[str, Any] = {"long_name": "mask of pixels, CXI bits, 0 is good"}
    if known is not None:
        fits = known.role == "global" and known.shape == gaps.frame_shape
        if known.dtype.kind not in "iu" or not fits:
            raise InputError(
                f"is {known.dtype} {known.shape}, and can't take the gaps: "
                f"a mask is uint32 {gaps.frame_shape}, CXI bits",
                file=dataset.file,
                member="mask",
                advice="leave it out, or give it another name",
            )
        inputs, attrs = [known.array], known.attrs or attrs
    array = ComputedArray(MaskBits(gaps), inputs, gaps.frame_shape, np.uint32)
    mask = Field("mask", array, "global", attrs)
    return dataclasses.replace(dataset, fields={**dataset.fields, "mask": mask})


def _with_true_document(dataset: Dataset, signal: Signal) -> Dataset:
    """The metadata speak of the new frames, by themselves."""
    if dataset.metadata is None:  # `transformed` always makes one
        return dataset
    # A scale that a first pass is to find is told when the frames are written.
    scale = known_attrs(dataset.frames.attrs).get("amplitude_scale")
    return dataclasses.replace(dataset, metadata=with_signal(dataset.metadata, signal, scale))


def _canonical(field: Field, flip: bool, keep_dtypes: bool, file: str | None) -> Field:
    if field.name == "Y":
        field = _single_patches(_frames_first(field), file)
    spec = FIELDS.get(field.name)
    wanted = None if spec is None else spec.dtype
    if field.name in COORDINATE_NAMES:
        _require_kind(field, "biuf", "scan positions are real numbers", file)
        # Unsigned coordinates have no other sign to take.
        kept = keep_dtypes and not (flip and field.dtype.kind in "ub")
        dtype = field.dtype if kept else np.dtype(np.float64)
        if flip:
            return _computed(field, Negated(dtype), dtype)
    elif wanted == "int64":
        _require_kind(field, "biuf", "indices are whole numbers", file)
        dtype = np.dtype(np.int64)
        return field if field.dtype == dtype else _computed(field, WholeIndices(), dtype)
    else:
        dtype = field.dtype
        if wanted == "complex64":
            _require_kind(field, "biufc", "its values are complex numbers", file)
            dtype = np.dtype(np.complex128 if dtype in _DOUBLE else np.complex64)
        if dtype == np.complex128 and not keep_dtypes:
            dtype = np.dtype(np.complex64)
        if wanted in ("float64", "float32") and dtype.kind in "biuf" and not keep_dtypes:
            dtype = np.dtype(wanted)
    return field if field.dtype == dtype else _computed(field, Cast(dtype), dtype)


def _computed(
    field: Field,
    function: Callable[..., Array],
    dtype: np.dtype[Any],
) -> Field:
    return field.with_array(ComputedArray(function, [field.array], field.shape, dtype))


def _frames_first(field: Field) -> Field:
    return field if field.array.axis == 0 else field.with_array(FramesFirst(field.array))


def _single_patches(field: Field, file: str | None) -> Field:
    """`Y`, which must be (n, H, W)."""
    if field.ndim != 3:
        raise InputError(
            f"has shape {field.shape}; there must be one image for each frame",
            file=file,
            member=field.name,
        )
    return field


def _canonical_frames(
    field: Field,
    signal: Signal,
    tally: FrameTally,
    screen: Screen | None,
    virtual: bool,
    file: str | None,
) -> Field:
    known = field.attrs.get("signal", "amplitude")
    has_scale = "amplitude_scale" in field.attrs
    if known == "amplitude" and signal == "counts" and not has_scale:
        raise InputError(
            "amplitude can't be turned into counts: no amplitude_scale is recorded",
            file=file,
            member=field.name,
            advice="leave out --signal counts, or begin from the raw counts; "
            "what are counts already is said by --input-signal counts",
        )
    attrs = with_attrs(field.attrs, standard_attrs("diffraction", signal))
    # What a store of our own records of its frames holds; of others they are looked at.
    if known == signal == "amplitude" and field.dtype == np.float32 and field.digest is not None:
        field = _frames_first(field)
        # The digest covers the name.
        digest = field.digest if field.name == "diffraction" else None
        return dataclasses.replace(field, name="diffraction", attrs=attrs, digest=digest)
    scale = field.attrs["amplitude_scale"] if has_scale and known != signal else None
    parameters: dict[str, Any] = {"from": known, "to": signal, "scale": scale or 1.0}
    if isinstance(screen, ZeroNegative):
        parameters["negative"] = "zero"
    array = canonical_frames(field.array, parameters, tally, screen)
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
