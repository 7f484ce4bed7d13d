"""Fields as the contract's table has them: axes of length 1 dropped, positions in lists, a slice.

Other tools write a probe as (N, N, 1), an object as (1, H, W), positions in a column. What needs
such a field takes it in the table's form from here; canonicalize stores it so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial

from ptystore.compute.conversions import Reshaped
from ptystore.errors import InputError, ParameterError
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, FIELDS, POSITION_NAMES
from ptystore.model.dataset import Check, Dataset, Field
from ptystore.model.lazy_array import Array, CachedArray, ComputedArray, FramesFirst, LazyBase

__all__ = [
    "frame_shape",
    "object_image",
    "position_lists",
    "probe_images",
    "table_shape",
    "with_table_axes",
]

Shape = tuple[int, ...]


def with_table_axes(dataset: Dataset) -> Dataset:
    """The scan without axes of length 1 that the contract's table does not have.

    Its fields are those that the table names; the others stay as they are. A check says what
    was dropped. Raises `InputError` where a shape can't be brought to the table's, or has two
    readings, and for positions that are no real numbers.
    """
    frame = frame_shape(dataset)
    fields, dropped = {}, []
    for name, field in dataset.fields.items():
        fields[name] = _in_table_form(field, frame, dataset.file)
        if fields[name] is not field:
            dropped.append(f"{name} {field.shape} is now {fields[name].shape}")
    if not dropped:
        return dataset
    said = f"axes of length 1 dropped: {', '.join(dropped)}"
    checks: tuple[Check, ...] = (*dataset.checks, partial(_said, said))
    return dataclasses.replace(dataset, fields=fields, checks=checks)


def _said(line: str) -> Iterable[str]:
    return (line,)


def table_shape(dataset: Dataset, name: str) -> Shape:
    """The shape that `with_table_axes` gives a field. Raises as that does."""
    return _in_table_form(dataset[name], frame_shape(dataset), dataset.file).shape


def frame_shape(dataset: Dataset) -> tuple[int, int] | None:
    """Height and width of a frame, None where there are no frames or they are no images."""
    for name in DIFFRACTION_NAMES:
        if name in dataset:
            shape = dataset[name].shape
            axis = dataset[name].array.axis
            image = _without_ones(shape[:axis] + shape[axis + 1 :], 2, None)
            return (image[0], image[1]) if image is not None and len(image) == 2 else None
    return None


def position_lists(
    dataset: Dataset, what_for: str, names: Iterable[str] = POSITION_NAMES
) -> tuple[Field, ...]:
    """The named positions, each (n,), from (n,), a column (n, 1) or a row (1, n).

    Raises `InputError` where one is missing, has another shape or no real numbers, or where
    they are not of one length.
    """
    lists = tuple(
        _in_table_form(dataset.require(name, what_for), None, dataset.file) for name in names
    )
    if len({field.shape for field in lists}) > 1:
        told = ", ".join(f"{field.name} {field.shape[0]}" for field in lists)
        raise InputError(f"the positions are not of one length: {told}", file=dataset.file)
    return lists


def object_image(dataset: Dataset, what_for: str, slice: int | None) -> Field:
    """The object, (H, W), or its slice number `slice` (from 0).

    Raises `InputError` where there is none, it is no image, or several slices are there and
    none is chosen; `ParameterError` for a slice that is not there.
    """
    field = _numeric(dataset.require("objectGuess", what_for), dataset.file)
    field = _in_table_form(field, frame_shape(dataset), dataset.file)
    count = field.shape[0] if field.ndim == 3 else 1
    if slice is not None and not 0 <= slice < count:
        there = "there is slice 0 alone" if count == 1 else f"there are slices 0 to {count - 1}"
        reason = f"has no slice {slice}: {there}"
        raise ParameterError(reason, file=dataset.file, member=field.name)
    if field.ndim == 3:
        if slice is None:
            raise InputError(
                f"has {count} slices, and {what_for} needs one",
                file=dataset.file,
                member=field.name,
                advice=f"ptystore patch and ptystore simulate take --slice K, 0 to {count - 1}",
            )
        return field.with_array(CachedArray(_Slice(field, slice)))
    if field.ndim != 2:
        raise InputError(
            f"has shape {field.shape}; {what_for} needs one object of two dimensions",
            file=dataset.file,
            member=field.name,
        )
    return field


def probe_images(dataset: Dataset, what_for: str) -> Field:
    """The probe, ([opr,] [mode,] Ny, Nx). Raises `InputError` where there is none or no image."""
    field = _numeric(dataset.require("probeGuess", what_for), dataset.file)
    return _in_table_form(field, frame_shape(dataset), dataset.file)


def _numeric(field: Field, file: str | None) -> Field:
    if field.dtype.kind not in "biufc":
        raise InputError(f"has dtype {field.dtype}, not numbers", file=file, member=field.name)
    return field


def _in_table_form(field: Field, frame: tuple[int, int] | None, file: str | None) -> Field:
    """The same field where its shape is one of the table's, or where the table has it not."""
    spec = FIELDS.get(field.name)
    if spec is None:
        return field
    if field.name in COORDINATE_NAMES and field.dtype.kind not in "biuf":
        reason = f"has dtype {field.dtype}: scan positions are real numbers"
        raise InputError(reason, file=file, member=field.name)
    try:
        if spec.role == "global":
            return _reformed(field, _image_target(field, frame))
        if len(spec.dims) == 1:
            return _reformed(field, _list_target(field))
        return _reformed(field, _stack_target(field, frame))
    except InputError as error:
        raise error.located(file=file, member=field.name) from None


def _list_target(field: Field) -> Shape:
    long = [size for size in field.shape if size != 1]
    if len(long) > 1 or not field.shape:
        raise InputError(
            f"has shape {field.shape}: there must be one value for each frame",
            advice="save it as a list of n values, in the order of the frames",
        )
    return tuple(long) or (1,)


def _stack_target(field: Field, frame: tuple[int, int] | None) -> Shape:
    axis = field.array.axis
    if field.ndim < 4:
        return field.shape
    image = _without_ones(field.shape[:axis] + field.shape[axis + 1 :], 2, frame)
    if image is None:
        raise InputError(f"has shape {field.shape}; there must be one image for each frame")
    return field.shape[axis], *image


def _image_target(field: Field, frame: tuple[int, int] | None) -> Shape:
    """([opr,] [mode,] Ny, Nx) of a probe, ([slice,] H, W) of an object."""
    shape, spec = field.shape, FIELDS[field.name]
    bare = shape
    while len(bare) > 2 and bare[-1] == 1:
        bare = bare[:-1]
    # The table has axes before an image and none after it; frames of one column have a probe
    # and an object of one column.
    of_frames = field.name == "probeGuess" and frame is not None
    if (
        bare != shape
        and frame is not None
        and (shape[-2:] == frame if of_frames else frame[1] == 1)
    ):
        bare = shape
    elif bare != shape and of_frames and bare[-2:] != frame:
        assert frame is not None
        raise InputError(
            f"has shape {shape}: one probe of {bare[-2]}×{bare[-1]}, or modes of {shape[-2]}×1? "
            f"The frames are {frame[0]}×{frame[1]}",
            advice="save the probe in the shape that is meant: (N, N), or (mode, N, N)",
        )
    if len(bare) < 2:
        return shape
    leading, image = bare[:-2], bare[-2:]
    if bare == shape and leading == (1,) and spec.leading_dims[-1:] == ("mode",):
        return shape  # one mode, which the table has
    while leading[:1] == (1,):
        leading = leading[1:]
    kept = _without_ones(leading, len(spec.leading_dims), None)
    if kept is None:
        expected = ", ".join((*spec.leading_dims, *spec.dims))
        raise InputError(f"has shape {shape}, expected is ({expected}) at most")
    return *kept, *image


def _without_ones(shape: Shape, ndim: int, wanted: Shape | None) -> Shape | None:
    """The shape with so many axes of length 1 left out that `ndim` remain; None if it can't be.

    Those that leave `wanted`, where some do; else the last ones.
    """
    if len(shape) <= ndim:
        return shape
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    surplus = len(shape) - ndim
    if len(ones) < surplus:
        return None
    if wanted is not None and _bare(wanted) == _bare(shape):
        return wanted
    return tuple(size for axis, size in enumerate(shape) if axis not in ones[-surplus:])


def _bare(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _reformed(field: Field, shape: Shape) -> Field:
    if shape == field.shape:
        return field
    array = field.array
    if field.role == "global" or array.shape[array.axis] != shape[0]:
        return field.with_array(_Reformed(field, shape))
    source = array if array.axis == 0 else FramesFirst(array)
    return field.with_array(ComputedArray(Reshaped(shape[1:]), [source], shape, field.dtype))


class _Reformed(LazyBase):
    """A small array, held in memory, in another shape."""

    def __init__(self, field: Field, shape: Shape) -> None:
        self._source = CachedArray(field.array)
        self.shape = shape
        self.dtype = field.dtype

    def read(self, start: int, stop: int) -> Array:
        return self._source.values().reshape(self.shape)[start:stop].copy()


class _Slice(LazyBase):
    """One slice of an object, the only one that is read."""

    def __init__(self, field: Field, number: int) -> None:
        self._source = field.array
        self._number = number
        self.shape = field.shape[1:]
        self.dtype = field.dtype

    def read(self, start: int, stop: int) -> Array:
        rows: Array = self._source.read(self._number, self._number + 1)[0, start:stop]
        return rows
