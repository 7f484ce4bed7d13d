"""Checks a Zarr store: its manifest, its documents, its files, its values."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ptystore.errors import InputError, IntegrityError
from ptystore.formats.assemble import Contents, ReadOptions, assemble
from ptystore.formats.checking import (
    read_values,
    recorded,
    unlike_records,
)
from ptystore.formats.chunk_codec import BLOSC_RATIO
from ptystore.formats.litter import is_litter
from ptystore.formats.virtual import restored
from ptystore.formats.zarr.manifest import (
    MANIFEST_NAME,
    ROOT_KEY,
    Entry,
    Manifest,
    compare,
    files_in,
    read_manifest,
)
from ptystore.formats.zarr.reader import is_ours, parse_root, read_document, read_root
from ptystore.formats.zarr.shards import ShardedArray, shard_key
from ptystore.model.dataset import Dataset
from ptystore.model.results import Damage, VerifyReport
from ptystore.pools.cores import usable_cores
from ptystore.pools.threads import borrowed
from ptystore.storage.local import SourceFolder
from ptystore.transfer.destination import storage_error
from ptystore.transfer.options import CheckOptions

__all__ = ["check_store", "check_zarr"]


@dataclass(frozen=True)
class _Root:
    """The root document, None where there is none that can be read."""

    document: dict[str, Any] | None = None
    entry: Entry | None = None
    damages: tuple[Damage, ...] = ()


def check_zarr(path: Path, options: CheckOptions) -> VerifyReport | None:
    """Check a store; damage is in the report. None for another tool's."""
    store = SourceFolder(path, watching=False)
    root = _root(store)
    if root.document is not None:
        ours = is_ours(root.document)
    else:
        # No root that could be anybody's: a store of Zarr 3 by the arrays that lie in it.
        ours = (path / ROOT_KEY).exists() or any(path.glob(f"*/{ROOT_KEY}"))
    if ours or (path / MANIFEST_NAME).exists():
        return _check(store, root, options)
    return None


def check_store(path: Path, options: CheckOptions) -> VerifyReport:
    """Check a store that ptystore wrote, however much of it is left."""
    store = SourceFolder(path, watching=False)
    return _check(store, _root(store), options)


def _root(store: SourceFolder) -> _Root:
    try:
        return _Root(*read_root(store))
    except IntegrityError as error:
        return _Root(damages=(Damage(ROOT_KEY, error.reason),))


def _check(store: SourceFolder, root: _Root, options: CheckOptions) -> VerifyReport:
    damages: list[Damage] = []
    manifest: Manifest | None = None
    try:
        manifest = read_manifest(store)
    except IntegrityError as error:
        damages.append(Damage(MANIFEST_NAME, error.reason))
    stored, of_root = _stored(store, root, manifest)
    damages += of_root
    of_files = [] if manifest is None else _files(store, manifest, options)
    digests: dict[str, str] = {}
    known = 0
    if stored is None:
        damages += [damage for damage in of_files if damage.member != ROOT_KEY]
    else:
        fields = stored.fields
        known = recorded(fields)
        found = _documents(store, root, {damage.member for damage in of_files})
        if not options.fast:
            if fields.nbytes > BLOSC_RATIO * _bytes_of_files(store):
                found.append(Damage(ROOT_KEY, "announces more values than the files can hold"))
            else:
                digests, of_values = read_values(fields, options)
                found += of_values
        found += _as_frames(fields, of_files, found)
        damages += found
        others = {damage.member for damage in found}
        damages += unlike_records(stored.contents, fields, digests, others)
    return VerifyReport(
        path=store.path,
        kind="zarr",
        digests=digests,
        recorded=known,
        files=len(manifest or {}) + 1,
        damages=tuple(damages),
        remarks=() if manifest is None else _litter(store, manifest),
    )


class _Stored(NamedTuple):
    """What the root says that there is, and its fields."""

    contents: Contents
    fields: Dataset


def _stored(
    store: SourceFolder, root: _Root, manifest: Manifest | None
) -> tuple[_Stored | None, list[Damage]]:
    """What is stored, None where the root says nothing that can be; and what is wrong with that.

    Raises `InputError` for a sound store of a format version that is not known.
    """
    damages = list(root.damages)
    if root.document is None:
        return None, damages
    sound = manifest is not None and manifest.get(ROOT_KEY) == root.entry
    for believed in (manifest, None) if manifest is not None else (None,):
        try:
            contents = parse_root(store, root.document, believed)
            fields = assemble(contents, ReadOptions(), store.path)
            restored(fields, contents.virtual)
            return _Stored(contents, fields), damages
        except (IntegrityError, InputError) as error:
            if sound and not isinstance(error, IntegrityError):
                raise
            if not damages:
                damages.append(Damage(error.member or ROOT_KEY, error.reason))
    return None, damages


def _files(store: SourceFolder, manifest: Manifest, options: CheckOptions) -> list[Damage]:
    with borrowed(options.pool, options.jobs or usable_cores()) as pool:
        try:
            return compare(store, manifest, pool, fast=options.fast)
        except OSError as error:
            raise storage_error(error, store.path) from error


def _litter(store: SourceFolder, manifest: Manifest) -> tuple[str, ...]:
    found = [
        key
        for key, problem in files_in(store.path)
        if problem is None and key not in manifest and is_litter(key)
    ]
    return (f"no part of the scan, and no harm: {', '.join(sorted(found))}",) if found else ()


def _bytes_of_files(store: SourceFolder) -> int:
    try:
        return sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    except OSError as error:
        raise storage_error(error, store.path) from error


def _documents(store: SourceFolder, root: _Root, damaged: Collection[str | None]) -> list[Damage]:
    """The arrays' own documents that are not the copy in the root; Zarr libraries read either."""
    documents = (root.document or {})["consolidated_metadata"]["metadata"]
    found = []
    for name, document in documents.items():
        key = f"{name}/{ROOT_KEY}"
        if key in damaged:
            continue
        try:
            own, _ = read_document(store, key)
        except IntegrityError as error:
            found.append(Damage(key, error.reason))
            continue
        if json.dumps(own) != json.dumps(document):
            found.append(Damage(key, "is not the copy of it in the root document"))
    return found


def _as_frames(fields: Dataset, of_files: Iterable[Damage], known: list[Damage]) -> list[Damage]:
    """Damaged files as frames where they hold some.

    Left out where reading the values has told the same more precisely.
    """
    ranges: dict[str, dict[str, tuple[int, int]]] = {}
    found = []
    for of_file in of_files:
        name, _, file = (of_file.member or "").partition("/")
        if name not in fields or file == ROOT_KEY:
            found.append(of_file)
            continue
        field = fields[name]
        if name not in ranges:
            array = field.array
            ranges[name] = _rows_by_file(array) if isinstance(array, ShardedArray) else {}
        reason = f"the file {file} {of_file.reason}"
        if file in ranges[name] and field.shape:
            damage = Damage(name, reason, *ranges[name][file], field.role == "per_frame")
        else:
            own = of_file.reason != "is not in the manifest"
            damage = Damage(name, reason) if own else of_file
        if not any(_covers(other, damage) for other in known):
            found.append(damage)
    return found


def _rows_by_file(array: ShardedArray) -> dict[str, tuple[int, int]]:
    layout = array.layout
    return {shard_key(layout, start): (start, stop - 1) for start, stop in layout.shards()}


def _covers(known: Damage, of_file: Damage) -> bool:
    """Whether damage of a file is explained by what reading its values found."""
    if known.member != of_file.member:
        return False
    return of_file.first_frame is None or known.touches(of_file.first_frame, of_file.last_frame)
