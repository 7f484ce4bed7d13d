"""Opens a Zarr store that ptystore wrote, from its root document alone."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptystore.errors import InputError, IntegrityError
from ptystore.formats.assemble import Contents, FieldNotes, ReadOptions
from ptystore.formats.attributes import RootNote, stored_metadata
from ptystore.formats.choosing import chosen
from ptystore.formats.zarr.arrays import stored_arrays
from ptystore.formats.zarr.manifest import (
    MANIFEST_NAME,
    ROOT_KEY,
    Entry,
    Manifest,
    difference,
    read_manifest,
)
from ptystore.storage.local import SourceFolder

if TYPE_CHECKING:
    from ptystore.formats.zarr.tree import ZarrTree

__all__ = ["is_our_zarr", "is_ours", "parse_root", "read_document", "read_root", "read_zarr"]

# The documents by which Zarr libraries know a store, of Zarr 3 and of Zarr 2.
_ROOTS = ("zarr.json", ".zgroup", ".zarray")

_ROOT_LIMIT = 64 << 20


def is_ours(root: Mapping[str, Any]) -> bool:
    """Whether a root document carries ptystore's attribute."""
    attributes = root.get("attributes")
    return isinstance(attributes, dict) and "ptystore" in attributes


def is_our_zarr(path: Path) -> bool:
    """Whether a folder's root document carries ptystore's attribute."""
    try:
        return is_ours(read_root(SourceFolder(path))[0])
    except (IntegrityError, InputError):
        return False


def read_zarr(path: Path, options: ReadOptions) -> Contents | ZarrTree:
    """What a store holds; another tool's is a tree.

    Raises `IntegrityError` where documents or manifest of ours are damaged or not what ptystore
    writes, `InputError` for a format version that this release does not know, and for what is
    no group of plain arrays.
    """
    store = SourceFolder(path)
    has_manifest = (path / MANIFEST_NAME).is_file()
    try:
        root, entry = read_root(store)
        ours = has_manifest or is_ours(root)
    except IntegrityError:
        # A manifest without a root document that can be read: a store of ours that is damaged.
        if has_manifest:
            raise
        ours = False
    if not ours:
        if not any((path / name).exists() for name in _ROOTS):
            raise InputError("is a folder, but no Zarr store")
        from ptystore.formats.zarr.tree import ZarrTree

        return ZarrTree(path, options)
    manifest = read_manifest(store)
    if manifest.get(ROOT_KEY) != entry:
        raise IntegrityError(
            "does not match the manifest: it was edited or damaged",
            member=ROOT_KEY,
            advice="get the store again, or ingest it under another name with a Zarr library",
        )
    contents = parse_root(store, root, manifest)
    for name in contents.arrays:
        key = f"{name}/{ROOT_KEY}"
        problem = difference(store, key, manifest[key]) if key in manifest else "is not in it"
        if problem:
            raise IntegrityError(
                f"{key} does not match the manifest: it {problem}",
                member=name,
                advice="ptystore repair restores it",
            )
    return chosen(contents, options)


def parse_root(store: SourceFolder, root: Mapping[str, Any], manifest: Manifest | None) -> Contents:
    """What a root document says that the store holds; no other file is looked at.

    Without a manifest it is not checked that the store can hold what is announced. Raises as
    `read_zarr` does.
    """
    try:
        attributes = root["attributes"]
        note = RootNote.from_json(attributes["ptystore"])
        documents = root["consolidated_metadata"]["metadata"]
        notes = {
            name: FieldNotes(entry.frame_axis, documents[name].get("attributes", {}), entry.digest)
            for name, entry in note.fields.items()
        }
        arrays = stored_arrays(store, note.fields, documents, manifest)
        metadata = stored_metadata(attributes)
        return Contents(arrays, metadata, notes, note.digest, note.virtual, store)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise IntegrityError(
            f"is not what ptystore writes: {error}", file=store.path, member=ROOT_KEY
        ) from error


def read_root(store: SourceFolder) -> tuple[dict[str, Any], Entry]:
    """The root document, parsed, and what the manifest should say of its file.

    The store remembers it. Raises `IntegrityError` where it is missing, can't be read or is no
    JSON object.
    """
    document, data = read_document(store, ROOT_KEY)
    store.remember(ROOT_KEY, data)
    return document, Entry.of([data])


def read_document(store: SourceFolder, key: str) -> tuple[dict[str, Any], bytes]:
    """A JSON document of the store, parsed, and its bytes. Raises as `read_root` does."""
    try:
        data = store.read(key, _ROOT_LIMIT)
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")
        return document, data
    except OSError as error:
        reason = "is missing" if error.errno == errno.ENOENT else f"can't be read: {error.strerror}"
        raise IntegrityError(reason, file=store.path, member=key) from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"is not valid JSON: {error}", file=store.path, member=key) from error
