"""From what a reader found in a file to a Dataset: roles, attributes, checks.

Shared by every format, so that one scan is the same dataset whatever it lies in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ptystore.errors import InputError, ParameterError
from ptystore.formats.virtual import Virtual
from ptystore.model.choices import AxisOrder, MetadataMode, Role, Signal
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, standard_attrs
from ptystore.model.dataset import Dataset, Field, Source, Storage
from ptystore.model.lazy_array import LazyArray, read_all
from ptystore.model.metadata import Metadata
from ptystore.model.roles import RoleOverrides, decide_frame_axes, override_frame_axes

__all__ = [
    "Contents",
    "FieldNotes",
    "RawArray",
    "ReadOptions",
    "assemble",
    "metadata_from_text",
    "signal_of",
]


@dataclass(frozen=True)
class ReadOptions:
    """What a caller may say about a source.

    `axis_order`, `per_frame`, `global_` override the roles; `signal` says what
    floating-point frames are; `metadata="keep-text"` stores a document that is no valid
    JSON as it is; `allow_nonfinite` lets NaN coordinates pass; `max_bytes` limits what a
    source may declare.
    """

    axis_order: AxisOrder | None = None
    per_frame: tuple[str, ...] = ()
    global_: tuple[str, ...] = ()
    signal: Signal | None = None
    metadata: MetadataMode = "strict"
    allow_nonfinite: bool = False
    max_bytes: int | None = None


@dataclass(frozen=True)
class FieldNotes:
    """What a file written by ptystore records of a field."""

    frame_axis: int | None
    attrs: Mapping[str, Any]
    digest: str | None = None


@dataclass(frozen=True)
class RawArray:
    """An array found in a file; `build` makes its lazy form once the cut axis is known."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    build: Callable[[int], LazyArray]
    storage: Storage | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What a reader found. `notes` is None for a file that ptystore did not write."""

    arrays: Mapping[str, RawArray]
    metadata: Metadata | None = None
    notes: Mapping[str, FieldNotes] | None = None
    digest: str | None = None
    virtual: Virtual | None = None


def metadata_from_text(text: str, options: ReadOptions) -> Metadata:
    """The document, parsed strictly; under `keep-text` one that can't be is kept verbatim."""
    return Metadata.from_json(text, strict=options.metadata == "strict")


def assemble(contents: Contents, options: ReadOptions, path: Path) -> Dataset:
    """The dataset of the fields whose values lie in the file or store at the absolute `path`.

    Hidden ones are among them, virtual ones are not: see `virtual.restored`. Raises
    `InputError` where the arrays contradict each other or the contract.
    """
    axes = _frame_axes(contents, options)
    fields = {name: _field(name, axes[name], contents, options) for name in contents.arrays}
    own_roles = contents.notes is not None and all(
        contents.notes[name].frame_axis == axes[name] for name in contents.notes
    )
    checks = [] if options.allow_nonfinite else [partial(_check_finite, fields)]
    source = Source(path, contents.digest if own_roles else None)
    return Dataset(fields, contents.metadata, source, tuple(checks))


def _field(name: str, axis: int | None, contents: Contents, options: ReadOptions) -> Field:
    raw = contents.arrays[name]
    notes = contents.notes.get(name) if contents.notes else None
    attrs = dict(notes.attrs if notes else raw.attrs)
    known = attrs.get("signal") in get_args(Signal) and options.signal is None
    if name in DIFFRACTION_NAMES and not known:
        attrs |= standard_attrs(name, _signal(name, raw, contents.metadata, options))
    elif notes is None:
        attrs = standard_attrs(name) | attrs
    digest = notes.digest if notes and notes.frame_axis == axis else None
    array = raw.build(axis or 0)
    if array.axis != (axis or 0):
        raise InputError(
            f"is stored along axis {array.axis}, and can't be read along axis {axis or 0}",
            member=name,
            advice="ingest the original file again, with the other role or --axis-order",
        )
    role: Role = "global" if axis is None else "per_frame"
    return Field(name, array, role, attrs, digest, raw.storage)


def _frame_axes(contents: Contents, options: ReadOptions) -> dict[str, int | None]:
    shapes = {name: raw.shape for name, raw in contents.arrays.items()}
    overrides = RoleOverrides(options.axis_order, options.per_frame, options.global_)
    if contents.notes is None:
        return decide_frame_axes(shapes, overrides)
    stored = {name: contents.notes[name].frame_axis for name in shapes}
    return override_frame_axes(stored, shapes, overrides)


def _signal(name: str, raw: RawArray, metadata: Metadata | None, options: ReadOptions) -> Signal:
    """What frames are: integers are counts; the caller or the metadata says of floats."""
    if raw.dtype.kind in "iub":
        if options.signal == "amplitude":
            raise ParameterError(f"is {raw.dtype}: integers are always counts", member=name)
        return "counts"
    return options.signal or signal_of(raw.dtype, metadata)


def signal_of(dtype: np.dtype[Any], metadata: Metadata | None) -> Signal:
    """What frames of this dtype are, if nobody says: integers counts, floats as the metadata."""
    if dtype.kind in "iub":
        return "counts"
    domain = metadata.measurement_domain if metadata else None
    return "counts" if domain == "count_intensity" else "amplitude"


def _check_finite(fields: Mapping[str, Field]) -> Iterable[str]:
    for name in COORDINATE_NAMES:
        if name not in fields or fields[name].dtype.kind != "f":
            continue
        bad = np.flatnonzero(~np.isfinite(read_all(fields[name].array)))
        if bad.size:
            raise InputError(
                f"{bad.size} of {fields[name].shape[0]} scan positions are not finite, "
                f"the first at index {bad[0]}",
                member=name,
                advice="correct them, or give --allow-nonfinite to let them pass",
            )
    return ()
