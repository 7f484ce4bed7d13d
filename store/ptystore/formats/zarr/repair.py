"""Repair: the damaged parts of a Zarr store, written again from a source of the same values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ptystore.errors import DestinationError, InputError, IntegrityError
from ptystore.formats.assemble import ReadOptions, assemble
from ptystore.formats.chunk_codec import encode, with_checksum
from ptystore.formats.chunked_array import chunks_of
from ptystore.formats.value_check import DAMAGE, check_values
from ptystore.formats.zarr.check import check_store
from ptystore.formats.zarr.manifest import (
    MANIFEST_NAME,
    ROOT_KEY,
    Entry,
    Manifest,
    difference,
    entry_of,
    manifest_bytes,
    read_manifest,
)
from ptystore.formats.zarr.reader import is_our_zarr, parse_root, read_root
from ptystore.formats.zarr.shards import ShardedArray, pack_chunks, shard_key
from ptystore.formats.zarr.writer import document_bytes
from ptystore.model.dataset import Dataset, Field
from ptystore.model.lazy_array import Array, read_all, rows_first
from ptystore.model.results import Damage, RepairReport
from ptystore.pools.cores import usable_cores
from ptystore.pools.threads import borrowed
from ptystore.storage.local import SourceFolder
from ptystore.transfer.destination import check_destination, os_errors_told
from ptystore.transfer.options import CheckOptions
from ptystore.transfer.publish import clear_litter
from ptystore.transfer.replacements import stage_replacements

__all__ = ["repair_store"]

_ANEW = "write it anew from the source, under another name: ptystore ingest SRC NEW"


def repair_store(
    path: Path,
    source: Path,
    read_source: Callable[[Path], Dataset],
    options: CheckOptions,
    warn: Callable[[str], None] | None = None,
) -> RepairReport:
    """Rewrite the damaged frames of the store `path` from `source`, undamaged chunks kept.

    `read_source` gives the stored fields of `source`, which is read only where it is needed.
    Each file is replaced in one step, so that it can be stopped at any point and run again.

    Raises
    ------
    DestinationError : `path` is no Zarr store of ptystore's, or can't be written.
    InputError : the source lacks a damaged field, or holds other values than were recorded.
    IntegrityError : the root document is damaged, or the source is.
    """
    _check_is_store(path)
    check_destination(path, source=source, overwrite=True, is_ours=lambda _: True)
    warn = warn or (lambda _: None)
    with os_errors_told(path):
        # Also where nothing is damaged: a repair that was killed at its very end left some.
        clear_litter(path, warn)
    root, manifest = _root(path)
    before = check_store(path, options)
    if before.ok:
        return RepairReport(path=path, damages=(), rewritten=(), verified=before)
    reference = _Source(source, read_source, options)
    with stage_replacements(path, warn=warn) as put:
        repair = _Repair(path, root, manifest, reference, put, options)
        rewritten = repair.run(before.damages)
    return RepairReport(
        path=path,
        damages=before.damages,
        rewritten=tuple(rewritten),
        verified=check_store(path, options),
    )


def _check_is_store(path: Path) -> None:
    if path.is_file():
        raise DestinationError(
            "is a single file, which can't be repaired in place", file=path, advice=_ANEW
        )
    if not (is_our_zarr(path) or (path / MANIFEST_NAME).exists() or (path / ROOT_KEY).exists()):
        raise DestinationError("is no Zarr store that ptystore wrote", file=path)


def _root(path: Path) -> tuple[dict[str, Any], Manifest | None]:
    """The root document, which everything else is repaired by, and the manifest if it is sound."""
    try:
        manifest = read_manifest(SourceFolder(path, watching=False))
    except IntegrityError:
        manifest = None
    try:
        root, entry = read_root(SourceFolder(path, watching=False))
        sound = manifest is None or manifest.get(ROOT_KEY) == entry
        parse_root(SourceFolder(path, watching=False), root, None)
    except IntegrityError:
        sound = False
    if not sound:
        raise IntegrityError(
            "is damaged, and nothing else says what the store holds: it can't be repaired",
            file=path,
            member=ROOT_KEY,
            advice=_ANEW,
        )
    return root, manifest


class _Source:
    """Where the values come from; believed for a field once all of it has the right digest.

    What the source records of itself could not stand in for that: it may be damaged as well.
    """

    def __init__(self, path: Path, read: Callable[[Path], Dataset], options: CheckOptions) -> None:
        self._path = path
        self._read = read
        self._options = options
        self._fields: Dataset | None = None
        self._proven: dict[str, Field] = {}

    def field(self, wanted: Field) -> Field:
        """The field that holds the values of `wanted`, all of them read and compared."""
        if wanted.name not in self._proven:
            self._proven[wanted.name] = self._prove(wanted, self._find(wanted))
        return self._proven[wanted.name]

    def _find(self, wanted: Field) -> Field:
        if self._fields is None:
            self._fields = self._read(self._path)
        # An input that a store hides under NAME.INPUT is INPUT in the scan it came from.
        for name in (wanted.name, wanted.name.partition(".")[2]):
            if name in self._fields:
                return self._fields[name]
        raise InputError("there is no such field", file=self._path, member=wanted.name)

    def _prove(self, wanted: Field, found: Field) -> Field:
        alike = ("shape", "dtype", "frame_axis")
        if any(getattr(found, attribute) != getattr(wanted, attribute) for attribute in alike):
            raise self._other(wanted)
        if found.name == wanted.name and found.digest not in (None, wanted.digest):
            raise self._other(wanted)
        named = dataclasses.replace(found, name=wanted.name)
        digest, damages = _values(named, self._options)
        if damages:
            raise IntegrityError(f"is damaged too: {damages[0]}", file=self._path)
        if digest != wanted.digest:
            raise self._other(wanted)
        found.array.prepare(None)
        return found

    def _other(self, wanted: Field) -> InputError:
        return InputError(
            "is not what the store had: shape, dtype or digest differ",
            file=self._path,
            member=wanted.name,
            advice="name the file that the store was made from, or a copy of the store",
        )


class _Repair:
    """One run over the damaged files of a store."""

    def __init__(
        self,
        path: Path,
        root: Mapping[str, Any],
        manifest: Manifest | None,
        source: _Source,
        put: Callable[[str, bytes], None],
        options: CheckOptions,
    ) -> None:
        self._path = path
        self._documents = root["consolidated_metadata"]["metadata"]
        contents = parse_root(SourceFolder(path, watching=False), root, None)
        self._fields = assemble(contents, ReadOptions(), path)
        self._manifest = manifest
        self._source = source
        self._put = put
        self._options = options
        self._entries: dict[str, Entry] = {}
        self._rewritten: list[str] = []

    def run(self, damages: tuple[Damage, ...]) -> list[str]:
        """Repair what was found; the keys of the files that were written."""
        for field in self._fields.values():
            self._document(field.name, damages)
            own = [damage for damage in damages if damage.member == field.name]
            if isinstance(field.array, ShardedArray):
                self._shards(field, field.array, own)
            elif field.nbytes:
                self._text(field, damaged=bool(own))
        self._entries[ROOT_KEY] = entry_of(self._path / ROOT_KEY)
        if self._manifest != self._entries:
            self._check_values()
            self._put(MANIFEST_NAME, manifest_bytes(self._entries))
            self._rewritten.append(MANIFEST_NAME)
        return self._rewritten

    def _document(self, name: str, damages: tuple[Damage, ...]) -> None:
        key = f"{name}/{ROOT_KEY}"
        if self._manifest is not None and key not in {damage.member for damage in damages}:
            self._keep(key)
            return
        self._write(key, [document_bytes(self._documents[name])])

    def _shards(self, field: Field, array: ShardedArray, damages: list[Damage]) -> None:
        for start, stop in array.layout.shards():
            key = f"{field.name}/{shard_key(array.layout, start)}"
            if not any(damage.touches(start, stop - 1) for damage in damages):
                self._keep(key)
                continue
            source = self._source.field(field)
            pieces = list(_rebuilt(array, source, start, stop))
            self._write(key, list(pack_chunks(array.layout, pieces)))

    def _text(self, field: Field, damaged: bool) -> None:
        # Only for text is zarr-python needed.
        from ptystore.formats.zarr.library import text_array_files

        document = self._documents[field.name]
        if not damaged:
            self._keep(f"{field.name}/" + ".".join(["c"] + ["0"] * field.ndim))
            return
        source = self._source.field(field)
        dims, attrs = tuple(document["dimension_names"]), document["attributes"]
        for file, data in text_array_files(read_all(source.array), dims, attrs).items():
            if file != ROOT_KEY:
                self._write(f"{field.name}/{file}", [data])

    def _keep(self, key: str) -> None:
        known = None if self._manifest is None else self._manifest.get(key)
        self._entries[key] = known or entry_of(self._path / key)

    def _write(self, key: str, pieces: list[bytes]) -> None:
        """Put a file in its place unless it is there already."""
        data = b"".join(pieces)
        entry = Entry.of([data])
        if difference(SourceFolder(self._path, watching=False), key, entry):
            self._put(key, data)
            self._rewritten.append(key)
        self._entries[key] = entry

    def _check_values(self) -> None:
        """A manifest is written only for values that all are those recorded in the root."""
        for field in self._stored_now().values():
            digest, damages = _values(field, self._options)
            if damages or digest != field.digest:
                raise IntegrityError(
                    "is still damaged, so the manifest is left as it is",
                    file=self._path,
                    member=field.name,
                    advice=_ANEW,
                )

    def _stored_now(self) -> Dataset:
        store = SourceFolder(self._path, watching=False)
        root, _ = read_root(store)
        return assemble(parse_root(store, root, self._entries), ReadOptions(), self._path)


def _values(field: Field, options: CheckOptions) -> tuple[str | None, list[Damage]]:
    """The digest of all values of a field, None where they are damaged, and how."""
    with borrowed(options.pool, options.jobs or usable_cores()) as pool:
        return check_values(field, pool, 2 * pool.workers, lambda _: None)


def _rebuilt(array: ShardedArray, source: Field, start: int, stop: int) -> Iterator[bytes]:
    """The chunks of a shard: as they are where they hold the source's values, else encoded."""
    layout = array.layout
    right = rows_first(source.array.read(start, stop), layout.axis)
    for at in range(start, stop, layout.chunk_rows):
        end = min(at + layout.chunk_rows, stop)
        rows = right[at - start : end - start]
        kept = _kept(array, at, end, rows)
        if kept is not None:
            yield kept
            continue
        for chunk in chunks_of(layout, rows):
            yield with_checksum(encode(chunk))


def _kept(array: ShardedArray, at: int, end: int, rows: Array) -> bytes | None:
    """The stored bytes of the chunk of the rows `at` to `end`, None unless it holds `rows`."""
    try:
        ((_, data),) = array.stored([at // array.layout.chunk_rows])
        stored = rows_first(array.read(at, end), array.axis)
    except DAMAGE:
        return None
    # Bytes, because NaN is not equal to itself.
    return with_checksum(bytes(data)) if stored.tobytes() == rows.tobytes() else None
