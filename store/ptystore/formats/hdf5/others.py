"""HDF5 files that ptystore did not write: which arrays, attributes and metadata they hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ptystore.errors import DamagedInputError, InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.foreign import foreign_metadata, json_attrs, supported_dtype
from ptystore.formats.hdf5.described import Stored, attribute_value
from ptystore.formats.hdf5.filters import LISTED, Pipeline
from ptystore.formats.hdf5.growing import first_rows, written_rows
from ptystore.formats.hdf5.linked import Files, Found
from ptystore.formats.hdf5.pieces import ChunkedPieces
from ptystore.formats.hdf5.places import TEXT_ENTRIES
from ptystore.formats.hdf5.stored_arrays import (
    AskedArray,
    ContiguousArray,
    FilledArray,
    TextArray,
)
from ptystore.formats.hdf5.virtual_sources import Followed, virtual_array
from ptystore.formats.names import METADATA_MEMBER, another_name, check_name, leave_out
from ptystore.formats.never_written import MEASURED, fill_told
from ptystore.model.lazy_array import CachedArray, LazyArray, MemoryArray
from ptystore.model.source import Storage
from ptystore.storage.local import SourceFile

__all__ = ["followed_array", "other_array", "other_attributes", "read_others"]


def read_others(files: Files, options: ReadOptions) -> Contents:
    """What an HDF5 file of another tool holds, links followed.

    Raises `InputError` for what is no file of plain arrays.
    """
    names, root = options.names(), files.master.root
    names.require_all_in(root.members)
    arrays: dict[str, RawArray] = {}
    left_out: list[str] = []
    attrs = other_attributes(root.attrs, left_out)
    for member in root.members:
        name = names.of(member)
        if name is None:
            continue
        try:
            found = files.find(f"/{member}")
            if found is None:
                raise InputError("is a link to where nothing is")
            node = found.place.node
            if name == METADATA_MEMBER and node.get("text") is not None and node["shape"] == []:
                attrs["metadata"] = node["text"]
                continue
            if name in arrays:
                raise InputError(f"is renamed to {name}, which is there already")
            raw = followed_array(files, found, name, options)
        except InputError as error:
            error.advice = "; ".join(filter(None, (error.advice, leave_out(member))))
            raise error.located(file=files.master.source.path, member=member) from None
        told = other_attributes(node["attrs"], left_out, member)
        arrays[name] = dataclasses.replace(raw, attrs=json_attrs(told, left_out, member))
    if options.partial:
        _cut_alike(files, arrays)
    metadata = foreign_metadata(attrs, options, left_out)
    remarks = tuple(files.remarks)
    if options.missing == "fill":
        metadata, told_of = fill_told(arrays, metadata)
        remarks += told_of
    if left_out:
        remarks += (f"attributes that can't be kept are left out: {', '.join(left_out)}",)
    return Contents(arrays, metadata, snapshot=files.snapshot, remarks=remarks)


def _cut_alike(files: Files, arrays: dict[str, RawArray]) -> None:
    """As many frames as positions, where some were written later than the others."""
    measured = [name for name in MEASURED if name in arrays and arrays[name].shape]
    rows = min((arrays[name].shape[0] for name in measured), default=0)
    for name in measured:
        if arrays[name].shape[0] > rows:
            files.remarks.append(f"{name}: the first {rows} of {arrays[name].shape[0]} are taken")
            arrays[name] = first_rows(arrays[name], rows)


def followed_array(files: Files, found: Found, name: str, options: ReadOptions) -> RawArray:
    """What a path leads to as the field `name`, its values wherever they lie.

    Of a file that may still be written, the frames and positions that are there. Raises
    `InputError` for what is no array that can be taken.
    """
    raw = _followed(files, found, name, options, Followed())
    if not options.partial or name not in MEASURED:
        return raw
    rows = written_rows(raw)
    if raw.shape and rows < raw.shape[0]:
        files.remarks.append(f"{name}: {rows} of {raw.shape[0]} were written yet, and are taken")
    return first_rows(raw, rows)


def _followed(
    files: Files, found: Found, name: str, options: ReadOptions, followed: Followed
) -> RawArray:
    node, path = found.place.node, found.place.path
    if node["kind"] == "damaged":
        raise DamagedInputError(f"can't be read: {node['why']}")
    if node["kind"] != "dataset":
        raise InputError(
            f"is a {node['kind']}, not an array",
            advice="--map FIELD=PATH takes an array in it",
        )
    stored = Stored.of(path, node)
    if stored.is_external:
        raise InputError(
            "has its values in other files, which are never opened",
            advice="copy the values themselves into one file",
        )
    if stored.layout != "virtual":
        # What lies at the root is called by its name alone, as in a flat file of any format.
        member = path[1:] if path.count("/") == 1 else path
        return other_array(found.file.source, member, name, stored, options)
    problem = check_name(name)
    if problem:
        raise InputError(problem, advice=another_name(path))

    def source(of: Found, way: Followed) -> RawArray:
        return _followed(files, of, name, options, way)

    fill = None if name in MEASURED and options.missing == "refuse" else stored.fill
    return virtual_array(files, found, stored, fill, followed, source)


def other_attributes(
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


def other_array(
    source: SourceFile, member: str, name: str, stored: Stored, options: ReadOptions
) -> RawArray:
    """One array, `member` its path, checked as far as its header tells. Raises `InputError`."""
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
