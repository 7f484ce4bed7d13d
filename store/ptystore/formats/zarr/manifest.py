"""The manifest of a folder store: every file's length and checksums, so that no change is silent.

``ptystore-manifest.json`` lies beside ``zarr.json``: ``{"format": 1, "files":
{"diffraction/c.0.0.0": [16777216, "e3069283", "cbf43926"], …}}`` with the CRC32C and the CRC-32
of each file, keys sorted, relative to the store with ``/`` between the parts, the manifest
itself left out.

CRC32C alone would not do: every chunk in a shard is followed by its own, which brings the
running CRC32C to the same value whatever the chunk holds, so that chunks of equal length
could change places unseen. The CRC-32 of zip, another polynomial, tells them apart.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import google_crc32c
from isal import isal_zlib

from ptystore.errors import IntegrityError
from ptystore.formats.litter import is_litter
from ptystore.model.results import Damage
from ptystore.pools.base import Pool
from ptystore.storage.local import SourceFolder, open_regular
from ptystore.storage.system import read_at
from ptystore.transfer.destination import storage_error
from ptystore.transfer.execute import run_in_order

__all__ = [
    "MANIFEST_NAME",
    "ROOT_KEY",
    "Entry",
    "EntrySum",
    "Manifest",
    "compare",
    "difference",
    "entry_of",
    "entry_of_open",
    "files_in",
    "manifest_bytes",
    "read_manifest",
    "unlike",
    "write_manifest",
]

MANIFEST_NAME = "ptystore-manifest.json"

#: The root document's name in a store, and that of an array's in its folder.
ROOT_KEY = "zarr.json"

_FORMAT = 1
_MAX_BYTES = 256 * 2**20
_BLOCK = 2**20


class Entry(NamedTuple):
    """What a file of the store must be: `length` in bytes, CRC32C and CRC-32 of all of them."""

    length: int
    crc32c: int
    crc32: int

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Entry:
        """The entry of a file of these pieces, one after another."""
        total = EntrySum()
        for piece in pieces:
            total.add(piece)
        return total.entry


class EntrySum:
    """The entry of a file that is made piece by piece."""

    def __init__(self) -> None:
        self._length = self._crc32c = self._crc32 = 0

    def add(self, piece: bytes) -> None:
        """The file goes on with `piece`."""
        self._length += len(piece)
        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        self._crc32 = isal_zlib.crc32(piece, self._crc32)

    @property
    def entry(self) -> Entry:
        """The entry of all pieces so far."""
        return Entry(self._length, self._crc32c, self._crc32)


Manifest: TypeAlias = Mapping[str, Entry]


def entry_of(path: Path) -> Entry:
    """Length and checksums of a regular file, read once in blocks of 1 MiB.

    Raises StorageError when it can't be read; links are not followed.
    """
    try:
        fd = open_regular(path, links=False)
        try:
            return entry_of_open(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise storage_error(error, path) from error


def entry_of_open(fd: int) -> Entry:
    """Length and checksums of an open file. Raises OSError."""
    total = EntrySum()
    block = bytearray(_BLOCK)
    at = 0
    while got := read_at(fd, memoryview(block), at):
        total.add(bytes(memoryview(block)[:got]))
        at += got
    return total.entry


def write_manifest(folder: Path, entries: Manifest) -> None:
    """Write the manifest of `folder`; the caller makes it durable (`sync_tree`).

    Raises ValueError for a key that `read_manifest` would refuse, StorageError when the
    operating system can't write it.
    """
    data = manifest_bytes(entries)
    path = folder / MANIFEST_NAME
    try:
        path.write_bytes(data)
    except OSError as error:
        raise storage_error(error, path) from error


def manifest_bytes(entries: Manifest) -> bytes:
    """What `write_manifest` writes; raises ValueError for a key that it refuses."""
    for key in entries:
        if not _is_safe(key):
            raise ValueError(f"not a manifest key: {key!r}")
    files = {
        key: [entry.length, f"{entry.crc32c:08x}", f"{entry.crc32:08x}"]
        for key, entry in entries.items()
    }
    return json.dumps({"format": _FORMAT, "files": dict(sorted(files.items()))}).encode("ascii")


def read_manifest(store: SourceFolder) -> dict[str, Entry]:
    """Read the manifest of a store, believing nothing that `write_manifest` would not write.

    The store remembers it. Raises IntegrityError, naming the manifest: it is missing,
    unreadable, a link, over 256 MiB, not JSON of the expected shape, of another format, or names
    a file outside the store.
    """
    path = store.path / MANIFEST_NAME
    try:
        data = store.read(MANIFEST_NAME, _MAX_BYTES, links=False)
        entries = _entries(json.loads(data.decode("utf-8"), object_pairs_hook=_distinct))
        store.remember(MANIFEST_NAME, data)
        return entries
    except FileNotFoundError as error:
        raise IntegrityError("the manifest is missing", file=path) from error
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EISDIR):
            raise IntegrityError("not a manifest: not a regular file", file=path) from error
        raise IntegrityError(f"cannot be read: {error.strerror}", file=path) from error
    except RecursionError as error:
        raise IntegrityError("not a manifest: nested too deep", file=path) from error
    except ValueError as error:  # bad JSON, bad UTF-8, and all that is refused below
        raise IntegrityError(f"not a manifest: {error}", file=path) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _entries(document: object) -> dict[str, Entry]:
    if not isinstance(document, dict) or "format" not in document:
        raise ValueError("no format number")
    if type(document["format"]) is not int or document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r:.40}, this version reads {_FORMAT}")
    if set(document) != {"format", "files"} or not isinstance(document["files"], dict):
        raise ValueError("expected exactly format and files")
    entries = {}
    for key, value in document["files"].items():
        if not _is_safe(key):
            raise ValueError(f"unsafe name {key!r:.200}")
        match value:
            # bool is an int to isinstance and to a class pattern.
            case [int(length), str(crc32c), str(crc32)] if (
                type(length) is int and 0 <= length < 2**63
            ):
                if not all(re.fullmatch("[0-9a-f]{8}", crc) for crc in (crc32c, crc32)):
                    raise ValueError(f"{key:.200}: a checksum is not eight hex digits")
                entries[key] = Entry(length, int(crc32c, 16), int(crc32, 16))
            case _:
                raise ValueError(f"{key:.200}: expected [length, CRC32C, CRC-32]")
    return entries


def _is_safe(key: str) -> bool:
    """Whether a key names a file inside the store, other than the manifest, in one way only."""
    parts = key.split("/")
    return (
        key.isprintable()  # refuses control characters and lone surrogates
        and "\\" not in key
        and not any(part in ("", ".", "..") for part in parts)
        and key != MANIFEST_NAME
    )


def compare(
    store: SourceFolder, entries: Manifest, pool: Pool, *, fast: bool = False
) -> list[Damage]:
    """Everything in the store that is not as `entries` say, sorted by key; [] when all is well.

    Reported: files missing, extra (but for known litter), of another length, of other checksums
    (not with `fast`, which reads no file), unreadable; links and special files. The pool's
    workers read the files. Raises OSError where the pool can't work.
    """
    damages: list[Damage] = []
    missing = set(entries)

    def tasks() -> Iterator[Callable[[], Damage | None]]:
        for key, problem in files_in(store.path):
            missing.discard(key)
            if problem is None and key not in entries:
                if is_litter(key):
                    continue
                problem = "is not in the manifest"
            if problem is None:
                yield partial(_damage, store, key, entries[key], fast)
            else:
                damages.append(Damage(key, problem))

    found = run_in_order(tasks(), pool, 2 * pool.workers)
    damages += [damage for damage in found if damage is not None]
    damages += [Damage(key, "is missing") for key in missing]
    return sorted(damages, key=lambda damage: damage.member or "")


def _damage(store: SourceFolder, key: str, expected: Entry, fast: bool) -> Damage | None:
    problem = difference(store, key, expected, fast=fast)
    return None if problem is None else Damage(key, problem)


def difference(store: SourceFolder, key: str, expected: Entry, *, fast: bool = False) -> str | None:
    """What is wrong with a file of the store, None when nothing is; links are not followed."""
    try:
        with store.opened(key, links=False) as fd:
            size = os.fstat(fd).st_size
            if size != expected.length:
                return f"is {size} bytes long, not {expected.length}"
            found = expected if fast else entry_of_open(fd)
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link"
        if error.errno in (errno.EINVAL, errno.EISDIR, errno.ENXIO):
            return "is not a regular file"
        return f"cannot be read: {error.strerror}"
    return unlike(found, expected)


def unlike(found: Entry, expected: Entry) -> str | None:
    """How a file's entry differs from the expected one, None where it doesn't."""
    if found.length != expected.length:
        return f"is {found.length} bytes long, not {expected.length}"
    if found.crc32c != expected.crc32c:
        return f"has CRC32C {found.crc32c:08x}, not {expected.crc32c:08x}"
    if found.crc32 != expected.crc32:
        return f"has CRC-32 {found.crc32:08x}, not {expected.crc32:08x}"
    return None


def files_in(folder: Path) -> Iterator[tuple[str, str | None]]:
    """(key, problem) of everything below `folder` that is no folder, manifest aside."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(folder / prefix) as found:
                listing = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield prefix.rstrip("/") or ".", f"cannot be read: {error.strerror}"
            continue
        for entry in listing:
            key = prefix + entry.name
            if entry.is_symlink():
                yield key, "is a link"
            elif entry.is_dir():
                pending.append(key + "/")
            elif not entry.is_file():
                yield key, "is not a regular file"
            elif key != MANIFEST_NAME:
                yield key, None
