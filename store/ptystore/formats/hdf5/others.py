"""HDF5 files that ptystore did not write: which arrays, attributes and metadata they hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.foreign import foreign_metadata, json_attrs, supported_dtype
from ptystore.formats.hdf5.described import Group, Stored, attribute_value
from ptystore.formats.hdf5.filters import LISTED, Pipeline
from ptystore.formats.hdf5.pieces import ChunkedPieces
from ptystore.formats.hdf5.places import TEXT_ENTRIES
from ptystore.formats.hdf5.stored_arrays import (
    AskedArray,
    ContiguousArray,
    FilledArray,
    TextArray,
)
from ptystore.formats.names import METADATA_MEMBER, another_name, check_name, leave_out
from ptystore.formats.never_written import MEASURED, fill_told
from ptystore.model.dataset import Storage
from ptystore.model.lazy_array import CachedArray, LazyArray, MemoryArray
from ptystore.storage.local import SourceFile

__all__ = ["read_others"]


def read_others(source: SourceFile, root: Group, options: ReadOptions) -> Contents:
    """What an HDF5 file of another tool holds, from its description.

    Raises `InputError` for what is no file of plain arrays.
    """
    names = options.names()
    names.require_all_in(root.members)
    arrays: dict[str, RawArray] = {}
    left_out: list[str] = []
    attrs = _attributes(root.attrs, left_out)
    for member in root.members:
        name = names.of(member)
        if name is None:
            continue
        try:
            stored = root.dataset(member)
            if name == METADATA_MEMBER and stored.text is not None:
                attrs["metadata"] = stored.text
                continue
            if name in arrays:
                raise InputError(f"is renamed to {name}, which is there already")
            arrays[name] = _array(source, member, name, stored, options)
        except (InputError, TypeError) as error:
            # TypeError is `dataset`'s for what is no dataset.
            told = error if isinstance(error, InputError) else _no_array(str(error))
            told.advice = "; ".join(filter(None, (told.advice, leave_out(member))))
            raise told.located(file=source.path, member=member) from None
        kept = json_attrs(_attributes(stored.attrs, left_out, member), left_out, member)
        arrays[name] = dataclasses.replace(arrays[name], attrs=kept)
    metadata = foreign_metadata(attrs, options, left_out)
    remarks: tuple[str, ...] = ()
    if options.missing == "fill":
        metadata, remarks = fill_told(arrays, metadata)
    if left_out:
        remarks += (f"attributes that can't be kept are left out: {', '.join(left_out)}",)
    return Contents(arrays, metadata, snapshot=source, remarks=remarks)


def _no_array(told: str) -> InputError:
    return InputError(
        f"is {told.partition(': ')[2]}",
        advice="copy the arrays to the root of an HDF5 file of their own",
    )


def _attributes(
    told: Mapping[str, Any], left_out: list[str], of: str | None = None
) -> dict[str, Any]:
    """The values of attributes; the names of those that have no such form go to `left_out`."""
    kept = {}
    for name, found in told.items():
        try:
            kept[name] = attribute_value(found)
        except InputError:
            left_out.append(f"{of}: {name}" if of else name)
    return kept


def _array(
    source: SourceFile, member: str, name: str, stored: Stored, options: ReadOptions
) -> RawArray:
    """One array, checked as far as its header tells. Raises `InputError`."""
    problem = check_name(name)
    if problem:
        raise InputError(problem, advice=another_name(member))
    if stored.shape is None:
        raise InputError("is empty: it has no shape")
    if name == METADATA_MEMBER:
        raise InputError("is not a single text, as a metadata document must be")
    shape, storage = stored.shape, Storage("hdf5", stored.stored_bytes, stored.chunks)
    _require_filters(stored, options)
    if stored.kind == "references":
        raise InputError("holds references or lists of various lengths, not plain values")
    if stored.kind == "text":
        count = math.prod(shape)
        if stored.longest is None:
            reason = f"is text of {count} entries, more than the {TEXT_ENTRIES} that can be held"
            raise InputError(reason)
        longest = stored.longest

        def text(axis: int) -> LazyArray:
            return CachedArray(TextArray(source, member, shape, longest, axis))

        return RawArray(shape, np.dtype(f"U{max(1, longest)}"), text, storage)
    if stored.dtype is None:
        raise InputError(f"has dtype {stored.shown}, which is not supported")
    dtype = supported_dtype(stored.dtype)
    build = partial(_built, source, member, stored, dtype, name in MEASURED, options)
    return RawArray(shape, dtype, build, storage)


def _require_filters(stored: Stored, options: ReadOptions) -> None:
    """Raise `InputError` where a filter is needed that is not there, or may not run."""
    if _pipeline(stored) is not None:
        return
    for one in stored.filters:
        if not one.is_installed:
            raise InputError(
                f"needs the HDF5 filter {one}, which is not installed",
                advice="install its plugin and name the plugin's folder in HDF5_PLUGIN_PATH",
            )
        if one.code not in LISTED and not one.is_decoded_here and options.filters != "all":
            raise InputError(
                f"needs the HDF5 filter {one}, which is not one of those that are run unasked",
                advice="ptystore ingest SRC DST --filters all runs every one, in a process apart",
            )


def _pipeline(stored: Stored) -> Pipeline | None:
    if stored.chunks is None or stored.dtype is None or stored.kind != "plain":
        return None
    size = stored.dtype.itemsize
    return Pipeline.of(stored.filters, math.prod(stored.chunks) * size, size)


def _built(
    source: SourceFile,
    member: str,
    stored: Stored,
    dtype: np.dtype[Any],
    measured: bool,
    options: ReadOptions,
    axis: int,
) -> LazyArray:
    """The lazy array of a dataset, cut along `axis`."""
    shape, own = stored.shape, stored.dtype
    assert shape is not None
    assert own is not None
    count = math.prod(shape)
    fill = None if measured and options.missing == "refuse" else stored.fill
    common: dict[str, Any] = {
        "source": source,
        "name": member,
        "shape": shape,
        "stored_dtype": own,
        "dtype": dtype,
        "axis": axis,
        "fill": fill,
    }
    if stored.data is not None:
        values = np.frombuffer(stored.data, own).reshape(shape)
        return MemoryArray(values.astype(dtype), axis)
    if stored.chunks is not None and count:
        return ChunkedPieces(_pipeline(stored), stored.chunks, **common)
    if not stored.stored_bytes or not count:
        return FilledArray(**common)
    if stored.kind != "plain" or stored.offset is None:
        return AskedArray(**common)
    if stored.stored_bytes != count * own.itemsize:
        raise InputError(
            f"has {stored.stored_bytes} bytes, which can't be an array of {shape} {own}",
            file=source.path,
            member=member,
        )
    return ContiguousArray(stored.offset, **common)
