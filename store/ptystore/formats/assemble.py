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
from ptystore.formats.names import MemberNames
from ptystore.formats.supplement_said import FramesSaid, PositionsSaid
from ptystore.formats.virtual import Virtual
from ptystore.model.choices import AxisOrder, Filters, MetadataMode, Missing, Role, Signal
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, standard_attrs
from ptystore.model.dataset import Check, Dataset, Field
from ptystore.model.geometry import Geometry, RawFrame, with_geometry
from ptystore.model.layout import plan
from ptystore.model.lazy_array import LazyArray, rows_first
from ptystore.model.metadata import Metadata
from ptystore.model.roles import RoleOverrides, decide_frame_axes, override_frame_axes
from ptystore.model.signal import recorded_signal, signal_of, stated_scale
from ptystore.model.source import OfRawFrames, Source, Storage, Understood
from ptystore.storage.base import Snapshot

__all__ = [
    "Contents",
    "FieldNotes",
    "RawArray",
    "ReadOptions",
    "assemble",
    "frame_axes",
    "metadata_from_text",
]


@dataclass(frozen=True)
class ReadOptions:
    """What a caller may say about a source.

    `axis_order`, `per_frame`, `global_` override the roles; `signal` says what
    floating-point frames are; `metadata="keep-text"` stores a document that is no valid
    JSON as it is; `allow_nonfinite` lets NaN coordinates pass; `max_bytes` limits what a
    source may declare. Members named in `skip` are left out before anything of them is looked
    at, those in `rename` (old name: new name) taken under another name; where a dialect makes
    fields of HDF5 or Zarr, these are meant. `missing="fill"` takes
    the fill value for frames and positions that were never written, `filters="all"` runs any
    HDF5 filter that is installed, `partial` takes the frames that are there of a file that is
    still being written. Positions on a grid of `scan_shape` are put in a row.

    Of other tools' formats: `dialect` decides which it is, `partner` is the file that belongs to
    it, `entry` which of several entries; energies are in eV, lengths in metres, pixels [y, x], and
    count more than what the file says. `mapped` are ``[FILE:]PATH`` by field, `positions` where
    they are read from, `frames` which are taken, and `files` a list of the files that hold them.
    """

    axis_order: AxisOrder | None = None
    per_frame: tuple[str, ...] = ()
    global_: tuple[str, ...] = ()
    signal: Signal | None = None
    metadata: MetadataMode = "strict"
    allow_nonfinite: bool = False
    max_bytes: int | None = None
    skip: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    missing: Missing = "refuse"
    filters: Filters = "listed"
    partial: bool = False
    scan_shape: tuple[int, int] | None = None
    dialect: str | None = None
    partner: Path | None = None
    entry: str | None = None
    energy: float | None = None
    electron_energy: float | None = None
    wavelength: float | None = None
    distance: float | None = None
    detector_pixel: tuple[float, float] | None = None
    pixel_size: tuple[float, float] | None = None
    mapped: Mapping[str, str] = field(default_factory=dict)
    positions: PositionsSaid = field(default_factory=PositionsSaid)
    frames: FramesSaid = field(default_factory=FramesSaid)
    files: Path | None = None

    def names(self) -> MemberNames:
        """Which members are taken, and under which names; raises `ParameterError`."""
        return MemberNames(self.skip, self.rename)


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
    """What a reader found. `notes` is None for a file that ptystore did not write.

    `snapshot` is what holds the source as it was when it was opened, `remarks` are what the
    user should know of it, a line each, `raw_remarks` until frames are cut around their centre.
    `geometry`, `raw_frame` and `dialect` are of a file of
    another tool's, by which it was understood, as `understood` tells. `axis_order` is that of
    stacks, where it is known. `already_mapped` are fields that the dialect itself took from where
    the caller says.
    """

    arrays: Mapping[str, RawArray]
    metadata: Metadata | None = None
    notes: Mapping[str, FieldNotes] | None = None
    digest: str | None = None
    virtual: Virtual | None = None
    snapshot: Snapshot | None = None
    remarks: tuple[str, ...] = ()
    raw_remarks: tuple[str, ...] = ()
    geometry: Geometry = field(default_factory=Geometry)
    raw_frame: RawFrame | None = None
    dialect: str | None = None
    axis_order: AxisOrder | None = None
    understood: Understood | None = None
    already_mapped: frozenset[str] = frozenset()


def metadata_from_text(text: str, options: ReadOptions) -> Metadata:
    """The document, parsed strictly; under `keep-text` one that can't be is kept verbatim."""
    return Metadata.from_json(text, strict=options.metadata == "strict")


def assemble(contents: Contents, options: ReadOptions, path: Path) -> Dataset:
    """The dataset of the fields whose values lie in the file or store at the absolute `path`.

    Hidden ones are among them, virtual ones are not: see `virtual.restored`. Raises
    `InputError` where the arrays contradict each other or the contract.
    """
    axes = frame_axes(contents, options)
    fields = {name: _field(name, axes[name], contents, options) for name in contents.arrays}
    own_roles = contents.notes is not None and all(
        contents.notes[name].frame_axis == axes[name] for name in contents.notes
    )
    checks: list[Check] = [] if options.allow_nonfinite else [partial(_check_finite, fields)]
    if contents.remarks:
        checks.append(partial(tuple, contents.remarks))
    if contents.raw_remarks:
        checks.append(OfRawFrames(contents.raw_remarks))
    digest = contents.digest if own_roles else None
    remarks = (*contents.remarks, *contents.raw_remarks)
    source = Source(path, digest, remarks, understood=contents.understood)
    proofs = () if contents.snapshot is None else (contents.snapshot.check,)
    metadata = contents.metadata
    if contents.geometry or contents.raw_frame is not None:
        metadata = with_geometry(metadata, contents.geometry, contents.raw_frame)
    return Dataset(fields, metadata, source, tuple(checks), proofs=proofs)


def _field(name: str, axis: int | None, contents: Contents, options: ReadOptions) -> Field:
    raw = contents.arrays[name]
    notes = contents.notes.get(name) if contents.notes else None
    attrs = dict(notes.attrs if notes else raw.attrs)
    if name in DIFFRACTION_NAMES:
        attrs = _frames_attrs(name, raw.dtype, attrs, contents.metadata, options)
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


def frame_axes(contents: Contents, options: ReadOptions) -> dict[str, int | None]:
    """The frame axis of every array, None for a global one. Raises as `assemble` does."""
    shapes = {name: raw.shape for name, raw in contents.arrays.items()}
    order = options.axis_order or contents.axis_order
    overrides = RoleOverrides(order, options.per_frame, options.global_)
    if contents.notes is None:
        return decide_frame_axes(shapes, overrides)
    stored = {name: contents.notes[name].frame_axis for name in shapes}
    return override_frame_axes(stored, shapes, overrides)


def _frames_attrs(
    name: str,
    dtype: np.dtype[Any],
    attrs: dict[str, Any],
    metadata: Metadata | None,
    options: ReadOptions,
) -> dict[str, Any]:
    """The attributes of frames, completed by what the caller and the document say."""
    signal = _signal(name, dtype, attrs, metadata, options)
    if signal != attrs.get("signal") or options.signal is not None:
        attrs = attrs | standard_attrs(name, signal)
    if options.signal is not None and dtype.kind == "f":
        attrs["signal_said"] = options.signal
    scale = None if "amplitude_scale" in attrs else stated_scale(metadata)
    return attrs if scale is None else {**attrs, "amplitude_scale": scale}


def _signal(
    name: str,
    dtype: np.dtype[Any],
    attrs: Mapping[str, Any],
    metadata: Metadata | None,
    options: ReadOptions,
) -> Signal:
    """What frames are: integers are counts; of floats the caller, the file or the document says."""
    if dtype.kind in "iub":
        if options.signal == "amplitude":
            raise ParameterError(f"is {dtype}: integers are always counts", member=name)
        return "counts"
    is_root = metadata is not None and recorded_signal(metadata) == "amplitude"
    if options.signal == "counts" and is_root:
        raise ParameterError(
            "is amplitude, as its history records: its root was taken",
            member=name,
            advice="leave out --input-signal counts; canonicalize --signal counts gives the "
            "counts of simulated frames back",
        )
    if options.signal is None and attrs.get("signal") in get_args(Signal):
        known: Signal = attrs["signal"]
        return known
    if options.signal is None and attrs.get("units") in ("counts", "count", "photons"):
        return "counts"
    return options.signal or signal_of(dtype, metadata)


def _check_finite(fields: Mapping[str, Field]) -> Iterable[str]:
    for name in COORDINATE_NAMES:
        if name not in fields or fields[name].dtype.kind != "f":
            continue
        count, first = _not_finite(fields[name])
        if count:
            raise InputError(
                f"{count} of {fields[name].shape[0]} scan positions are not finite, "
                f"the first at index {first}",
                member=name,
                advice="correct them, or give --allow-nonfinite to let them pass",
            )
    return ()


def _not_finite(field: Field) -> tuple[int, int]:
    """How many entries of a field are not finite, and the first one's index in C order.

    Block by block: a file of a few bytes may announce any number of positions.
    """
    count, first = 0, -1
    layout = plan(field.shape, field.dtype.itemsize, field.array.axis)
    field.array.prepare(None)
    for start, stop in layout.blocks(0, layout.rows) if layout.row_bytes else ():
        rows = rows_first(field.array.read(start, stop), layout.axis)
        bad = np.flatnonzero(~np.isfinite(rows))
        if bad.size and first < 0:
            first = int(bad[0]) + start * (rows.size // len(rows))
        count += int(bad.size)
    return count, first
