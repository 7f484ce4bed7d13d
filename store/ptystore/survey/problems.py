"""Every problem of a scan against the contract, not only the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ptystore.compute.frame_tally import FrameTally, PixelTally, pixels_named
from ptystore.compute.positions import frames_outside
from ptystore.compute.shapes import frame_shape, position_lists, table_shape
from ptystore.compute.whole_numbers import WholeNumbers
from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import Consumer
from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS, POSITION_NAMES, RECORD_NAMES
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import plan
from ptystore.model.lazy_array import rows_first
from ptystore.model.results import Problem
from ptystore.model.signal import is_said, measurement_domain

__all__ = ["find_notes", "find_problems"]

# Amplitude of a few thousand counts at most is far below these; counts are far above.
_COUNTS_MAX = 1000.0
_COUNTS_MAX_OVER_MEAN = 5000.0


def find_problems(
    dataset: Dataset, *, k_neighbors: int | None = None, consumer: Consumer | None = None
) -> list[Problem]:
    """All problems of a scan against its canonical form, values included.

    The frames are read once, block by block. `k_neighbors`, where given, is compared with
    the metadata's gridsize. A scan is canonical without probe and object, which a `consumer`
    that needs a reconstruction ("legacy") does not do without.
    """
    if consumer not in (None, *get_args(Consumer)):
        raise ParameterError(f"the consumer of a scan is legacy, not {consumer!r}")
    return [
        *_presence(dataset),
        *([] if consumer is None else find_notes(dataset)),
        *_forms(dataset),
        *_lengths(dataset),
        *_finite_positions(dataset),
        *_positions_inside(dataset),
        *_frame_values(dataset),
        *_metadata(dataset, k_neighbors),
    ]


def find_notes(dataset: Dataset) -> list[Problem]:
    """What a sound scan has not, and some need: probe and object before its reconstruction."""
    return [
        Problem(name, "missing", "is missing: patch, simulate, study and legacy consumers need it")
        for name, spec in FIELDS.items()
        if spec.presence == "reconstruction" and name not in dataset
    ]


def _presence(dataset: Dataset) -> Iterator[Problem]:
    for name, spec in FIELDS.items():
        if spec.presence != "required" or name != spec.name or name in dataset:
            continue
        alias = "diff3d" if name == "diffraction" and "diff3d" in dataset else None
        message = f"is called {alias}: canonicalize renames it" if alias else "is missing"
        yield Problem(name, "missing", message)


def _forms(dataset: Dataset) -> Iterator[Problem]:
    for field in dataset.values():
        spec = FIELDS.get(field.name)
        if spec is None:
            continue
        most = len(spec.dims) + len(spec.leading_dims)
        if not len(spec.dims) <= field.ndim <= most:
            expected = ", ".join((*spec.leading_dims, *spec.dims))
            yield Problem(field.name, "dims", f"has shape {field.shape}, expected ({expected})")
        elif field.array.axis != 0:
            yield Problem(field.name, "dims", f"has shape {field.shape}: frames must come first")
        else:
            yield from _surplus_axes(dataset, field)
        if str(field.dtype) != spec.dtype:
            yield Problem(field.name, "dtype", f"is {field.dtype}, canonical is {spec.dtype}")


def _surplus_axes(dataset: Dataset, field: Field) -> Iterator[Problem]:
    """Axes of length 1 that canonicalize would drop, or does not know how to."""
    try:
        shape = table_shape(dataset, field.name)
    except InputError as error:
        yield Problem(field.name, "dims", error.reason)
        return
    if shape != field.shape:
        yield Problem(field.name, "dims", f"has shape {field.shape}: canonicalize makes it {shape}")


def _lengths(dataset: Dataset) -> Iterator[Problem]:
    lengths = {f.name: f.shape[f.frame_axis] for f in dataset.values() if f.frame_axis is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        yield Problem(None, "length", f"the fields disagree on the number of frames: {listed}")
    frames, patches = dataset.fields.get("diffraction"), dataset.fields.get("Y")
    if frames and patches and frames.ndim == patches.ndim == 3 and frames.shape != patches.shape:
        yield Problem("Y", "dims", f"has shape {patches.shape}, the frames have {frames.shape}")


def _finite_positions(dataset: Dataset) -> Iterator[Problem]:
    for name, spec in FIELDS.items():
        if name not in dataset or spec.units != "pixel" or dataset[name].dtype.kind != "f":
            continue
        bad = np.flatnonzero(~np.isfinite(dataset[name].values()))
        if bad.size:
            yield Problem(name, "values", f"{bad.size} are not finite, the first at {bad[0]}")


def _positions_inside(dataset: Dataset) -> Iterator[Problem]:
    names = ("objectGuess", *POSITION_NAMES)
    if not all(name in dataset for name in names) or dataset["objectGuess"].ndim != 2:
        return
    window = _window(dataset)
    if window is None:
        return
    try:
        x, y = (field.values() for field in position_lists(dataset, "validating"))
    except InputError:  # what is wrong with their form is said already
        return
    rows, columns = dataset["objectGuess"].shape
    outside = frames_outside(x, y, (rows, columns), window)
    if len(outside):
        yield Problem(
            None,
            "position",
            f"{len(outside)} of {len(x)} frames have windows outside the object, "
            f"the first is frame {outside[0]}",
        )


def _window(dataset: Dataset) -> tuple[int, int] | None:
    window = frame_shape(dataset)
    if window is None and "probeGuess" in dataset and dataset["probeGuess"].ndim >= 2:
        window = dataset["probeGuess"].shape[-2], dataset["probeGuess"].shape[-1]
    return window


@dataclass
class _Found:
    """What one pass over the frames finds."""

    smallest: float = np.inf
    largest: float = -np.inf
    total: float = 0.0
    count: int = 0
    not_finite: int = 0
    whole: WholeNumbers = dataclasses.field(default_factory=WholeNumbers)
    tally: FrameTally = dataclasses.field(default_factory=FrameTally)
    negative: PixelTally = dataclasses.field(default_factory=PixelTally)


def _frame_values(dataset: Dataset) -> Iterator[Problem]:
    try:
        frames = dataset.frames
    except InputError:
        return
    if frames.dtype.kind not in "iuf" or not frames.nbytes:
        return
    found = _look(frames)
    messages = [*_bad_values(frames, found)]
    if frames.attrs.get("signal") == "counts":
        messages.append("holds counts: the canonical form is amplitude")
    elif frames.attrs.get("signal_said") != "amplitude":
        said = is_said(frames.dtype, frames.attrs, dataset.metadata)
        # The root of counts is as large as they make it; a scale below 1 makes it larger.
        enlarged = frames.attrs.get("amplitude_scale", 1.0) < 1
        messages += _looks_like_counts(found, said, enlarged)
    yield from (Problem(frames.name, "values", message) for message in messages)


def _bad_values(frames: Field, found: _Found) -> Iterator[str]:
    """What can't be measured values; of counts, gaps are told from what is in some frames."""
    signal = frames.attrs.get("signal")
    counts = signal == "counts"
    top = f"frames are saturated: they reach the largest value of {frames.dtype}"
    for tally, message in (
        (found.tally.not_finite, f"{found.not_finite} values are not finite"),
        (found.tally.saturated, top),
        (found.negative, f"{signal} is negative, down to {found.smallest:g}"),
    ):
        bad = tally.frames() if counts else tally.frames_marked()
        if len(bad):
            yield f"{len(bad)} {message}" if message == top else message
    gaps = [*found.tally.gaps()] if counts else []
    negative = found.negative.always()
    if counts and negative is not None:
        gaps.append((f"negative, down to {found.smallest:g},", negative))
    for what, pixels in gaps:
        yield (
            f"{what} in every frame: {pixels_named(pixels)}: gaps of the detector or masked "
            "pixels; canonicalize --negative mask puts them into a mask"
        )


def _looks_like_counts(found: _Found, said: bool, enlarged: bool) -> Iterator[str]:
    """Of amplitude; where it is said to be amplitude, only what hardly can be."""
    mean = found.total / found.count if found.count else 0.0
    large = found.largest > _COUNTS_MAX
    extreme = large or found.largest > _COUNTS_MAX_OVER_MEAN * mean > 0
    if found.whole.are_counts and (large or not said):
        yield (
            f"looks like counts, not amplitude: whole numbers up to {found.whole.largest:g}; "
            "canonicalize with --input-signal counts, or with --input-signal amplitude"
        )
    elif (large and enlarged) or (extreme and not said):
        ratio = found.largest / mean if mean else np.inf
        yield (
            f"looks like counts, not amplitude: largest {found.largest:g}, "
            f"{ratio:.0f} times the mean"
        )


def _look(frames: Field) -> _Found:
    found = _Found()
    layout = plan(frames.shape, frames.dtype.itemsize, frames.array.axis)
    frames.array.prepare(None)
    for start, stop in layout.blocks(0, layout.rows):
        block = rows_first(frames.array.read(start, stop), frames.array.axis)
        numbers = np.arange(start, stop)
        found.tally.add(numbers, block)
        negative = block < 0
        found.negative.add(numbers, negative if negative.any() else None)
        if frames.dtype.kind == "f":
            found.whole.add(block)
            finite = np.isfinite(block)
            found.not_finite += int(block.size - np.count_nonzero(finite))
            block = np.where(finite, block, 0)
        found.smallest = min(found.smallest, float(block.min()))
        found.largest = max(found.largest, float(block.max()))
        found.total += float(block.sum(dtype=np.float64))
        found.count += block.size
    return found


def _metadata(dataset: Dataset, k_neighbors: int | None) -> Iterator[Problem]:
    metadata = dataset.metadata
    if metadata is None:
        yield Problem(None, "metadata", "there is no metadata document")
        return
    if metadata.text is not None:
        yield Problem(None, "metadata", "the metadata document is not valid JSON")
        return
    try:
        history = metadata.history
        gridsize = metadata.gridsize
        domain = metadata.measurement_domain
    except InputError as error:
        yield Problem(None, "metadata", error.reason)
        return
    frames = next((dataset[name] for name in DIFFRACTION_NAMES if name in dataset), None)
    signal = None if frames is None else frames.attrs.get("signal")
    if domain is not None and signal is not None and domain != measurement_domain(signal):
        yield Problem(None, "metadata", f"measurement_domain is {domain}, the frames are {signal}")
    for verb in ("canonicalize", "patch"):
        wanted = verb == "canonicalize" or "Y" in dataset
        if wanted and not any(_is_of(record, verb) for record in history):
            yield Problem(None, "history", f"has no {verb} record ({RECORD_NAMES[verb][0]})")
    if k_neighbors is not None and k_neighbors < gridsize**2:
        yield Problem(
            None,
            "metadata",
            f"k_neighbors {k_neighbors} is less than gridsize² = {gridsize**2}",
        )


def _is_of(record: Mapping[str, Any], verb: str) -> bool:
    """Whether a record is one of the verb's: older tools told tool or operation otherwise."""
    tool, operation = RECORD_NAMES[verb]
    return record.get("tool") == tool or record.get("operation") == operation
