"""Canonicalize: names, axis order, signal and dtypes as the contract has them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import numpy as np

from ptystore.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, standard_attrs
from ptystore.dataset import Check, Dataset, Field
from ptystore.errors import InputError, ParameterError
from ptystore.lazy_array import Array, ComputedArray, FramesFirst, Indices
from ptystore.positions import warn_of_frames_outside

__all__ = ["canonicalize"]

Signal = Literal["amplitude", "counts"]

_FLIPPED = {"x": ("xcoords", "xcoords_start"), "y": ("ycoords", "ycoords_start")}


def canonicalize(
    dataset: Dataset,
    *,
    signal: Signal = "amplitude",
    flipx: bool = False,
    flipy: bool = False,
    keep_dtypes: bool = False,
) -> Dataset:
    """The scan in canonical form, computed as it is read.

    `diff3d` becomes `diffraction`, float32, shape (n, H, W): amplitude in sqrt(counts), the
    square root of counts (divided by the field's `amplitude_scale` where it has one), or
    counts with ``signal="counts"``. `Y` becomes (n, H, W). Any other uint16 array is cast to
    float32; complex128 is cast to complex64 and coordinates to float64 unless
    `keep_dtypes`. `flipx` and `flipy` change the sign of those coordinates.

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
        _canonical(one, signal, one.name in flipped, keep_dtypes, tally, dataset.file)
        for one in dataset.values()
    ]
    return dataset.transformed(
        fields,
        tool="transpose_rename_convert",
        operation="canonicalize_dataset",
        parameters={
            "signal": signal,
            "flipx": flipx,
            "flipy": flipy,
            "keep_dtypes": keep_dtypes,
        },
        checks=_position_checks({one.name: one for one in fields}),
        remarks=(tally.lines,),
    )


def _canonical(
    field: Field,
    signal: Signal,
    flip: bool,
    keep_dtypes: bool,
    tally: SaturatedFrames,
    file: str | None,
) -> Field:
    if field.name in DIFFRACTION_NAMES:
        return _canonical_frames(_frames_first(field), signal, tally, file)
    if field.name == "Y":
        field = _single_patches(_frames_first(field), file)
    if field.name in COORDINATE_NAMES:
        dtype = field.dtype if keep_dtypes else np.dtype(np.float64)
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
    field: Field, signal: Signal, tally: SaturatedFrames, file: str | None
) -> Field:
    scale = field.attrs.get("amplitude_scale")
    known = field.attrs.get("signal", "amplitude")
    float32 = np.dtype(np.float32)
    if known == "amplitude" and signal == "counts":
        if scale is None:
            raise InputError(
                "amplitude can't be turned into counts: no amplitude_scale is recorded",
                file=file,
                member=field.name,
                advice="leave out --signal counts, or begin from the raw counts",
            )
        field = _computed(field, AmplitudeToCounts(scale), float32)
    elif known == "counts" and signal == "amplitude":
        field = _computed(field, CountsToAmplitude(scale or 1.0, tally), float32)
    elif known == "counts":
        field = _computed(field, KeepCounts(tally), float32)
    elif field.dtype != float32:
        field = _computed(field, Cast(float32), float32)
    attrs = {**field.attrs, **standard_attrs("diffraction", signal)}
    # The digest covers the name.
    digest = field.digest if field.name == "diffraction" else None
    return dataclasses.replace(field, name="diffraction", attrs=attrs, digest=digest)


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


class Cast:
    """Cast to a dtype, nothing else."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return block.astype(self._dtype)


class Negated:
    """The other sign, in a given dtype."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return np.asarray(-block.astype(self._dtype))


class Reshaped:
    """The same values, each frame in another shape."""

    def __init__(self, frame_shape: tuple[int, ...]) -> None:
        self._frame_shape = frame_shape

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return block.reshape(block.shape[0], *self._frame_shape)


class CountsToAmplitude:
    """``sqrt(counts) / scale`` as float32; refuses negative counts, notes saturated frames."""

    def __init__(self, scale: float, tally: SaturatedFrames) -> None:
        self._scale = float(scale)
        self._tally = tally

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        _check_counts(frames, block, self._tally)
        # The root of an integer below 2**24 is the same in single as in double precision
        # once rounded; larger ones need the double, and so does a root that is divided.
        narrow = self._scale == 1.0 and block.dtype.itemsize <= 2 and block.dtype.kind in "iu"
        values = np.sqrt(block, dtype=np.float32 if narrow else np.float64)
        if self._scale != 1.0:
            values = values / self._scale
        return values.astype(np.float32, copy=False)


class KeepCounts:
    """Counts as float32, without a root; refuses negative counts, notes saturated frames."""

    def __init__(self, tally: SaturatedFrames) -> None:
        self._tally = tally

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        _check_counts(frames, block, self._tally)
        return block.astype(np.float32)


class AmplitudeToCounts:
    """``(scale · amplitude)²`` as float32."""

    def __init__(self, scale: float) -> None:
        self._scale = float(scale)

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return np.square(block.astype(np.float64) * self._scale).astype(np.float32)


def _check_counts(frames: Indices, block: Array, tally: SaturatedFrames) -> None:
    if block.size == 0:
        return
    if block.dtype.kind in "if" and block.min() < 0:
        bad = (block < 0).reshape(block.shape[0], -1).any(axis=1)
        raise InputError(
            f"holds negative counts, first in frame {frames[bad][0]}",
            advice="subtract the dark field before, or clip at zero",
        )
    if block.dtype.kind in "iu":
        top = np.iinfo(block.dtype).max
        if block.max() == top:
            full = (block == top).reshape(block.shape[0], -1).any(axis=1)
            tally.note(frames[full], int(top))


class SaturatedFrames:
    """Collects, from any worker, the frames that reach the largest value of their dtype."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: set[int] = set()
        self._top = 0

    def note(self, frames: Indices, top: int) -> None:
        """Remember frames; the same ones may be noted again."""
        with self._lock:
            self._frames.update(frames.tolist())
            self._top = top

    def lines(self) -> Iterable[str]:
        """What to tell the user, nothing where no frame is saturated."""
        with self._lock:
            count, first = len(self._frames), min(self._frames, default=None)
        if count:
            yield (
                f"{count} frames are saturated: they reach {self._top}, "
                f"the largest value of their dtype; the first is frame {first}"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
