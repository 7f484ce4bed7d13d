"""Concat: the frames of several scans after one another, as one scan."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np

from ptystore.errors import InputError, ParameterError, located
from ptystore.model.choices import MergeStrategy, Signal
from ptystore.model.concatenated_array import ConcatenatedArray
from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS, RECORD_NAMES, standard_attrs
from ptystore.model.dataset import Check, Dataset, Field
from ptystore.model.deferred import DeferredAttrs, known_attrs
from ptystore.model.geometry import with_geometry
from ptystore.model.lazy_array import (
    Array,
    ComputedArray,
    FramesFirst,
    Indices,
    LazyArray,
    LazyBase,
)
from ptystore.model.metadata import Metadata, Transformation
from ptystore.model.signal import with_signal
from ptystore.model.source import Source
from ptystore.transforms.geometry_kept import merged as merged_geometry
from ptystore.transforms.geometry_kept import said_of_differences

__all__ = ["concat", "concatenated"]

_INDEX = "scan_index"
_NUMBERS = "iu"
_CANONICALIZE = "canonicalize each first"


def concat(
    scans: Iterable[Dataset],
    *,
    take: Mapping[str, int] | None = None,
    each: Collection[str] = (),
    leave_out: Collection[str] = (),
    merge: MergeStrategy = "preserve_first",
) -> Dataset:
    """The frames of several scans after one another, in the order given, read when asked for.

    All per-frame fields are joined along their frame axis; of two dtypes of one kind the wider
    is taken. `scan_index` (int64) says which scan a frame came from: 0, 1, … in the order of
    the scans; where a scan has several indices itself, they go on being told apart. Global
    fields (probe, object, …) must be the same in all scans, for which they are read here.

    Parameters
    ----------
    take : global fields of which one scan's is to be had, whatever the others have: the number
        of that scan, from 0, by the field's name.
    each : global fields that are kept of each scan, as ``NAME_0``, ``NAME_1``, ….
    leave_out : fields that are left out.
    merge : of the metadata. The first document stays, with `merge_info`: the strategy, the files,
        the physics parameters in which others differ, and their histories. So does the geometry,
        a raster excepted; a warning names what others have otherwise.

    Raises `ParameterError` for no scans and for names and numbers that are not there,
    `InputError` where scans have other fields, roles, shapes, kinds of dtype or signals, or
    global fields differ and nothing says which counts.
    """
    return concatenated(
        "concat", scans, take=take or {}, each=each, leave_out=leave_out, merge=merge
    )


def concatenated(
    verb: str,
    scans: Iterable[Dataset],
    *,
    take: Mapping[str, int],
    each: Collection[str],
    leave_out: Collection[str],
    merge: MergeStrategy,
) -> Dataset:
    """`concat`, recorded under the verb that was called. Raises as it does."""
    scans = [_only(scan, leave_out) for scan in scans]
    if not scans:
        raise ParameterError("there are no scans to put after one another")
    _check_names(scans, take, each, leave_out)
    dropped: list[str] = []
    fields: dict[str, Field] = {}
    for name in dict.fromkeys(name for scan in scans for name in scan):
        if name in take or name in each or _is_global(name, scans):
            made = _global(name, scans, take, each)
        elif name == _INDEX:
            continue
        else:
            made = [_joined(name, scans, dropped)]
        for field in made:
            if field.name in fields:
                raise InputError("is there twice", member=field.name)
            fields[field.name] = field
    fields[_INDEX], ranges = _scan_index(scans)
    parameters = {
        "scans": [_label(scan, number) for number, scan in enumerate(scans)],
        "frames": [scan.frame_count for scan in scans],
        "scan_index": ranges,
        "taken": dict(take),
        "each": sorted(each),
        "left_out": sorted(leave_out),
    }
    refs = [scan.source for scan in scans if scan.source is not None]
    record = Transformation(
        *RECORD_NAMES[verb],
        parameters=parameters,
        inputs=tuple(source.as_input() for source in refs),
    )
    source = None
    if refs:
        more = [path for ref in refs for path in (ref.path, *ref.others)]
        source = Source(more[0], None, others=tuple(more[1:]))
    checks = [partial(_asked, check, scan) for scan in scans for check in scan.checks]
    said: list[Check] = [partial(_say_dropped, dropped)] if dropped else []
    said.append(partial(said_of_differences, scans))
    return Dataset(
        fields,
        _merged(scans, merge, fields).with_record(record),
        source,
        (*checks, *said),
        tuple(partial(_asked, remark, scan) for scan in scans for remark in scan.remarks),
        tuple(proof for scan in scans for proof in scan.proofs),
    )


def _only(scan: Dataset, leave_out: Collection[str]) -> Dataset:
    kept = {name: field for name, field in scan.fields.items() if name not in leave_out}
    return dataclasses.replace(scan, fields=kept)


def _check_names(
    scans: Sequence[Dataset],
    take: Mapping[str, int],
    each: Collection[str],
    leave_out: Collection[str],
) -> None:
    for name in (*take, *each):
        if name in leave_out or (name in take and name in each):
            raise ParameterError("is spoken of in two ways", member=name)
        if not any(name in scan for scan in scans):
            raise ParameterError("there is no such field in any scan", member=name)
        if any(name in scan and scan[name].role == "per_frame" for scan in scans):
            raise ParameterError("has one entry for each frame: all are kept", member=name)
    for name, number in take.items():
        if not 0 <= number < len(scans):
            reason = f"can't be taken from scan {number}: there are 0 to {len(scans) - 1}"
            raise ParameterError(reason, member=name)
        if name not in scans[number]:
            reason = f"is not in scan {number}"
            raise ParameterError(reason, file=scans[number].file, member=name)


def _label(scan: Dataset, number: int) -> str:
    return scan.source.path.name if scan.source else f"scan {number}"


def _is_global(name: str, scans: Sequence[Dataset]) -> bool:
    """Whether a field is global, in all scans that have it."""
    roles = {scan[name].role for scan in scans if name in scan}
    if len(roles) > 1:
        told = ", ".join(
            f"{scan[name].role.replace('_', ' ')} in {_label(scan, number)}"
            for number, scan in enumerate(scans)
            if name in scan
        )
        raise InputError(f"has no one role: {told}", member=name, advice=_leaving_out(name))
    return roles == {"global"}


def _leaving_out(name: str, first: str = "") -> str | None:
    """The advice to do without a field, where a scan is one without it; `first` comes before."""
    if name in FIELDS and FIELDS[name].presence == "required":
        return first or None
    without = f"leave it out: ptystore join … --leave-out {name}"
    return f"{first}, or {without}" if first else without


def _global(
    name: str, scans: Sequence[Dataset], take: Mapping[str, int], each: Collection[str]
) -> list[Field]:
    if name in take:
        return [scans[take[name]][name]]
    if name in each:
        return [
            # A digest covers the name.
            dataclasses.replace(scan[name], name=f"{name}_{number}", digest=None)
            for number, scan in enumerate(scans)
            if name in scan
        ]
    ways = (
        f"say which: ptystore join … --take {name}=0 takes that of the first, --each {name} "
        f"keeps them all, --leave-out {name} none"
    )
    for number, scan in enumerate(scans):
        if name not in scan:
            reason = f"is not in {_label(scan, number)}, but in others"
            raise InputError(reason, file=scan.file, member=name, advice=ways)
        if not _same(scans[0][name], scan[name]):
            reason = f"is another one than in {_label(scans[0], 0)}"
            raise InputError(reason, file=scan.file, member=name, advice=ways)
    return [scans[0][name]]


def _same(left: Field, right: Field) -> bool:
    if (left.shape, left.dtype) != (right.shape, right.dtype):
        return False
    if left.digest is not None and left.digest == right.digest:
        return True
    a, b = left.values(), right.values()
    return a is b or bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


def _joined(name: str, scans: Sequence[Dataset], dropped: list[str]) -> Field:
    for number, scan in enumerate(scans):
        if name not in scan:
            advice = _leaving_out(name)
            if name in DIFFRACTION_NAMES and any(other in scan for other in DIFFRACTION_NAMES):
                advice = f"{_CANONICALIZE}: the frames have two names"
            reason = f"is not in {_label(scan, number)}, but in others"
            raise InputError(reason, file=scan.file, member=name, advice=advice)
    own = [scan[name] for scan in scans]
    arrays = [field.array for field in own]
    if len({array.axis for array in arrays}) > 1:
        arrays = [array if array.axis == 0 else FramesFirst(array) for array in arrays]
    _check_alike(name, scans, arrays)
    attrs = _attrs(name, own, scans, dropped)
    return own[0].with_array(ConcatenatedArray(arrays), attrs=attrs)


def _check_alike(name: str, scans: Sequence[Dataset], arrays: Sequence[LazyArray]) -> None:
    def listed(what: Iterable[object]) -> str:
        labels = (_label(scan, number) for number, scan in enumerate(scans))
        return ", ".join(f"{one} in {label}" for one, label in zip(what, labels, strict=True))

    rest = [a.shape[: a.axis] + a.shape[a.axis + 1 :] for a in arrays]
    if len(set(rest)) > 1:
        shapes = listed(array.shape for array in arrays)
        first = _CANONICALIZE if name in FIELDS and len(set(map(len, rest))) > 1 else ""
        advice = _leaving_out(name, first)
        raise InputError(f"has other shapes: {shapes}", member=name, advice=advice)
    dtypes = [array.possible_dtypes[-1] for array in arrays]
    kinds = {"i" if dtype.kind in _NUMBERS else dtype.kind for dtype in dtypes}
    # Of int64 and uint64 numpy would make floats.
    if len(kinds) > 1 or (kinds == {"i"} and np.result_type(*dtypes).kind not in _NUMBERS):
        raise InputError(
            f"has dtypes that don't go together: {listed(dtypes)}",
            member=name,
            advice=_leaving_out(name, _CANONICALIZE if name in FIELDS else ""),
        )


def _attrs(
    name: str, own: Sequence[Field], scans: Sequence[Dataset], dropped: list[str]
) -> Mapping[str, Any]:
    """The attributes that all have; a frame's signal must be one."""
    if len(own) == 1:
        return own[0].attrs
    every = [_comparable(field.attrs) for field in own]
    signals = [attrs.get("signal") for attrs in every]
    if len({str(signal) for signal in signals}) > 1:
        raise InputError(
            f"is {' and '.join(dict.fromkeys(map(str, signals)))}, and can be but one of them",
            member=name,
            advice=_CANONICALIZE,
        )
    kept = {
        key: value
        for key, value in every[0].items()
        if all(key in attrs and attrs[key] == value for attrs in every)
    }
    lost = sorted({key for attrs in every for key in attrs} - kept.keys())
    if "amplitude_scale" in lost and signals[0] == "counts":
        raise InputError(
            "has another amplitude_scale in each scan, by which counts become amplitude",
            member=name,
            advice=_CANONICALIZE,
        )
    if "affine" in lost:
        raise InputError(
            "counts in another way in each scan, as its affine says",
            member=name,
            advice=_leaving_out(name),
        )
    dropped.extend(f"{name}: {key}" for key in lost)
    return kept


def _comparable(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes, computing none: one that a first pass finds is like no other."""
    if not isinstance(attrs, DeferredAttrs):
        return dict(attrs)
    known = known_attrs(attrs)
    return {key: object() if value is None else value for key, value in known.items()}


def _say_dropped(dropped: list[str]) -> Iterator[str]:
    yield f"attributes that differ between the scans are left out: {', '.join(dropped)}"


def _asked(check: Check, scan: Dataset) -> Iterator[str]:
    """What a check of one of the scans says, with that scan's name."""
    with located(file=scan.file):
        for line in check():
            yield f"{scan.source.path.name}: {line}" if scan.source else line


def _merged(
    scans: Sequence[Dataset], strategy: MergeStrategy, fields: Mapping[str, Field]
) -> Metadata:
    documents = [scan.metadata or Metadata.create() for scan in scans]
    labels = [_label(scan, number) for number, scan in enumerate(scans)]
    merged = Metadata.merge(documents, strategy, labels)
    document = merged.document
    document["merge_info"]["histories"] = [
        {"source": number, "data_transformations": one.history}
        for number, one in enumerate(documents)
        if number and one.history
    ]
    merged = Metadata(document)
    if any(scan.geometry for scan in scans):
        merged = with_geometry(merged, merged_geometry(scans, strategy))
    frames = next((fields[name] for name in DIFFRACTION_NAMES if name in fields), None)
    attrs = known_attrs(frames.attrs) if frames is not None else {}
    for signal in get_args(Signal):
        if attrs.get("signal") == signal:
            # The first document's may be true of the first scan's frames only.
            merged = with_signal(merged, signal, attrs.get("amplitude_scale"))
    return merged


def _scan_index(scans: Sequence[Dataset]) -> tuple[Field, list[list[int]]]:
    """For each frame the number of its scan, and the first and last number of each scan."""
    parts: list[LazyArray] = []
    ranges = []
    first = 0
    for scan in scans:
        count = scan.frame_count
        if count is None:
            reason = "has no per-frame field: there is nothing to put after another"
            raise InputError(reason, file=scan.file)
        field = scan.fields.get(_INDEX)
        known = np.unique(field.values()) if field is not None else np.zeros(min(1, count))
        if field is None or len(known) < 2:
            parts.append(_Constant(first, count))
        else:
            source = field.array if field.array.axis == 0 else FramesFirst(field.array)
            parts.append(ComputedArray(_Numbered(known, first), [source], (count,), np.int64))
        ranges.append([first, first + len(known) - 1])
        first += len(known)
    array = ConcatenatedArray(parts)
    return Field(_INDEX, array, "per_frame", standard_attrs(_INDEX)), ranges


class _Constant(LazyBase):
    """One number for every frame."""

    def __init__(self, number: int, count: int) -> None:
        self._number = number
        self.shape = (count,)
        self.dtype = np.dtype(np.int64)

    def read(self, start: int, stop: int) -> Array:
        return np.full(max(0, stop - start), self._number, np.int64)

    def take(self, indices: Indices) -> Array:
        return np.full(len(indices), self._number, np.int64)


class _Numbered:
    """The place of each value among those that there are, counted from a first number."""

    def __init__(self, known: Array, first: int) -> None:
        self._known = known
        self._first = first

    def __call__(self, frames: Indices, block: Array, /) -> Array:
        return np.searchsorted(self._known, block.reshape(len(frames))) + self._first
