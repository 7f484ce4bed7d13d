"""Every problem of a scan against the contract, not only the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ptystore.compute.positions import frames_outside
from ptystore.errors import InputError
from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS, POSITION_NAMES, RECORD_NAMES
from ptystore.model.dataset import Dataset, Field
from ptystore.model.layout import plan
from ptystore.model.lazy_array import rows_first
from ptystore.model.results import Problem

__all__ = ["find_problems"]

# Amplitude of a few thousand counts at most is far below these; counts are far above.
_COUNTS_MAX = 1000.0
_COUNTS_MAX_OVER_MEAN = 5000.0


def find_problems(dataset: Dataset, *, k_neighbors: int | None = None) -> list[Problem]:
    """All problems of a scan against its canonical form, values included.

    The frames are read once, block by block. `k_neighbors`, where given, is compared with
    the metadata's gridsize.
    """
    return [
        *_presence(dataset),
        *_forms(dataset),
        *_lengths(dataset),
        *_finite_positions(dataset),
        *_positions_inside(dataset),
        *_frame_values(dataset),
        *_metadata(dataset, k_neighbors),
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
        allowed = {len(spec.dims), len(spec.dims) + len(spec.leading_dims)}
        if field.ndim not in allowed:
            expected = ", ".join((*spec.leading_dims, *spec.dims))
            yield Problem(field.name, "dims", f"has shape {field.shape}, expected ({expected})")
        elif field.array.axis != 0:
            yield Problem(field.name, "dims", f"has shape {field.shape}: frames must come first")
        if str(field.dtype) != spec.dtype:
            yield Problem(field.name, "dtype", f"is {field.dtype}, canonical is {spec.dtype}")


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
    x, y = (dataset[name].values() for name in POSITION_NAMES)
    rows, columns = dataset["objectGuess"].shape
    if len(x) == len(y):
        outside = frames_outside(x, y, (rows, columns), window)
        if len(outside):
            yield Problem(
                None,
                "position",
                f"{len(outside)} of {len(x)} frames have windows outside the object, "
                f"the first is frame {outside[0]}",
            )


def _window(dataset: Dataset) -> tuple[int, int] | None:
    for name in (*DIFFRACTION_NAMES, "probeGuess"):
        field = dataset.fields.get(name)
        if field is not None and field.ndim >= 2:
            sizes = [n for d, n in enumerate(field.shape) if d != field.frame_axis]
            return sizes[-2], sizes[-1]
    return None


@dataclass
class _Extremes:
    """What one pass over the frames finds."""

    smallest: float = np.inf
    largest: float = -np.inf
    total: float = 0.0
    count: int = 0
    not_finite: int = 0
    saturated: int = 0


def _frame_values(dataset: Dataset) -> Iterator[Problem]:
    try:
        frames = dataset.frames
    except InputError:
        return
    if frames.dtype.kind not in "iuf" or not frames.nbytes:
        return
    found = _extremes(frames)
    if found.not_finite:
        yield Problem(frames.name, "values", f"{found.not_finite} values are not finite")
    if found.saturated:
        yield Problem(
            frames.name, "values", f"{found.saturated} frames are saturated: they reach the "
            f"largest value of {frames.dtype}"
        )  # fmt: skip
    signal = frames.attrs.get("signal")
    if found.smallest < 0:
        yield Problem(frames.name, "values", f"{signal} is negative, down to {found.smallest:g}")
    mean = found.total / found.count if found.count else 0.0
    if signal == "counts":
        yield Problem(frames.name, "values", "holds counts: the canonical form is amplitude")
    elif found.largest > _COUNTS_MAX or found.largest > _COUNTS_MAX_OVER_MEAN * mean > 0:
        ratio = found.largest / mean if mean else np.inf
        yield Problem(
            frames.name,
            "values",
            f"looks like counts, not amplitude: largest {found.largest:g}, "
            f"{ratio:.0f} times the mean",
        )


def _extremes(frames: Field) -> _Extremes:
    found = _Extremes()
    top = np.iinfo(frames.dtype).max if frames.dtype.kind in "iu" else None
    layout = plan(frames.shape, frames.dtype.itemsize, frames.array.axis)
    frames.array.prepare(None)
    for start, stop in layout.blocks(0, layout.rows):
        block = rows_first(frames.array.read(start, stop), frames.array.axis)
        if frames.dtype.kind == "f":
            finite = np.isfinite(block)
            found.not_finite += int(block.size - np.count_nonzero(finite))
            block = np.where(finite, block, 0)
        elif top is not None and block.max() == top:
            found.saturated += int((block == top).reshape(len(block), -1).any(axis=1).sum())
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
    except InputError as error:
        yield Problem(None, "metadata", error.reason)
        return
    done = {(record.get("tool"), record.get("operation")) for record in history}
    tools = {record.get("tool") for record in history}
    for verb in ("canonicalize", "patch"):
        tool, operation = RECORD_NAMES[verb]
        wanted = verb == "canonicalize" or "Y" in dataset
        # Older tools wrote other operations under the same tool name.
        if wanted and (tool, operation) not in done and tool not in tools:
            yield Problem(None, "history", f"has no {verb} record ({tool})")
    if k_neighbors is not None and k_neighbors < gridsize**2:
        yield Problem(
            None,
            "metadata",
            f"k_neighbors {k_neighbors} is less than gridsize² = {gridsize**2}",
        )
