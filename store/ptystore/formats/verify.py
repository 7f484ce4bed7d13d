"""Verify: everything that a store or file records of itself, compared with what is there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptystore.errors import InputError, IntegrityError
from ptystore.formats import Kind, WriteOptions, kind_of_source, read_contents, size_on_disk
from ptystore.formats.assemble import Contents, ReadOptions, assemble
from ptystore.formats.chunk_codec import BLOSC_RATIO
from ptystore.formats.findings import Finding
from ptystore.formats.value_check import DAMAGE, check_values
from ptystore.formats.zarr.manifest import MANIFEST_NAME, Damage, Manifest, compare, read_manifest
from ptystore.formats.zarr.reader import ROOT_KEY, is_our_zarr, parse_root, read_root
from ptystore.formats.zarr.shards import ShardedArray, shard_key
from ptystore.model.content_digest import combined_digest
from ptystore.model.dataset import Dataset
from ptystore.transfer.execute import run_in_order
from ptystore.transfer.one_pass import HashSink, Progress, default_jobs, plan_workers
from ptystore.transfer.publish import storage_error

__all__ = ["VerifyReport", "stored_fields", "verify_path"]


@dataclass(frozen=True)
class VerifyReport:
    """What was checked and what was found.

    `digests` are those computed, by field; `recorded` says how many fields had one to compare
    with; `findings` are the damage, by field and range of frames where it has any.
    """

    path: Path
    kind: Kind
    digests: dict[str, str]
    recorded: int
    files: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.findings

    @property
    def damage(self) -> tuple[str, ...]:
        """A line for each finding, such as ``diff3d: frames 128 to 255: the chunk is missing``."""
        return tuple(str(one) for one in self.findings)


def verify_path(
    path: Path, options: WriteOptions, *, fast: bool = False, progress: Progress | None = None
) -> VerifyReport:
    """Check every file against the manifest, every chunk, and every recorded digest.

    `fast` compares the lengths of files and reads headers only. Damage is in the report;
    raises `InputError` for what is no scan, `StorageError` where the system can't read.
    """
    values = None if fast else _ValueCheck(options, progress or (lambda _: None))
    if path.is_dir() and _is_ours(path):
        return _verify_store(path, options, values)
    kind = kind_of_source(path)
    try:
        contents = read_contents(path, ReadOptions())
        fields = stored_fields(path, contents)
        if fast and kind == "hdf5":
            for one in fields.values():
                one.array.prepare(None)
    except DAMAGE as error:
        return VerifyReport(path, kind, {}, 0, 1, (Finding.of(error),))
    digests, findings = values.run(fields) if values else ({}, [])
    findings += _compared(fields, digests, findings) + _whole(contents)
    return VerifyReport(path, kind, digests, _recorded(fields), 1, tuple(findings))


def _is_ours(path: Path) -> bool:
    """Whether a folder is, or was before it was damaged, a store that ptystore wrote."""
    if is_our_zarr(path) or (path / MANIFEST_NAME).exists():
        return True
    try:
        read_root(path)
    except IntegrityError:
        # No root that could be anybody's: a store of Zarr 3 by the arrays that lie in it.
        return (path / ROOT_KEY).exists() or any(path.glob(f"*/{ROOT_KEY}"))
    return False


def stored_fields(path: Path, contents: Contents) -> Dataset:
    """The fields whose values lie in the file, hidden ones included, virtual ones not."""
    return assemble(path, dataclasses.replace(contents, virtual=None), ReadOptions())


@dataclass(frozen=True)
class _ValueCheck:
    """How all values are read."""

    options: WriteOptions
    progress: Progress

    def run(self, fields: Dataset) -> tuple[dict[str, str], list[Finding]]:
        """The digests of the fields that can be read whole, and the damage of the others."""
        options = self.options
        workers = plan_workers(fields, HashSink(), options.jobs, options.max_memory)
        digests, findings = {}, []
        with ThreadPoolExecutor(workers.jobs, thread_name_prefix="ptystore") as executor:
            for one in fields.values():
                digest, found = check_values(one, executor, workers.in_flight, self.progress)
                findings += found
                if digest is not None:
                    digests[one.name] = digest
        return digests, findings


def _recorded(fields: Dataset) -> int:
    return sum(one.digest is not None for one in fields.values())


def _compared(
    fields: Dataset, digests: dict[str, str], findings: Iterable[Finding]
) -> list[Finding]:
    """The fields whose values can be read but are others, where nothing else says so already."""
    known = {one.member for one in findings}
    return [
        Finding(
            one.name,
            "the values are not those that were written: "
            f"their digest is {digests[one.name][:16]}…, recorded is {one.digest[:16]}…",
        )
        for one in fields.values()
        if one.name in digests
        and one.name not in known
        and one.digest is not None
        and digests[one.name] != one.digest
    ]


def _whole(contents: Contents) -> list[Finding]:
    """Whether the digest of the whole is that of the fields' own, as they are recorded."""
    stored = {name: one.digest for name, one in (contents.notes or {}).items() if one.digest}
    if contents.digest is None or len(stored) < len(contents.arrays):
        return []
    shown = stored
    if contents.virtual is not None:
        every = stored | contents.virtual.digests(stored)
        shown = {name: every[name] for name in contents.virtual.order if name in every}
    if combined_digest(shown) == contents.digest:
        return []
    return [Finding(None, "the recorded digest of the whole is not that of the recorded fields")]


def _verify_store(path: Path, options: WriteOptions, values: _ValueCheck | None) -> VerifyReport:
    """A folder of ours: its manifest, its documents, its files, its values."""
    manifest, findings = _manifest(path)
    contents, documents, found = _root(path, manifest)
    findings += found
    damages = [] if manifest is None else _files(path, manifest, options, fast=values is None)
    files = len(manifest or {}) + 1
    if contents is None:
        findings += [Finding(one.key, one.problem) for one in damages if one.key != ROOT_KEY]
        return VerifyReport(path, "zarr", {}, 0, files, tuple(findings))
    fields = stored_fields(path, contents)
    found = _documents(path, documents, {one.key for one in damages})
    digests: dict[str, str] = {}
    if values is not None:
        if fields.nbytes > BLOSC_RATIO * size_on_disk(path):
            found.append(Finding(ROOT_KEY, "announces more values than the files can hold"))
        else:
            digests, damaged = values.run(fields)
            found += damaged
    found += _file_findings(fields, damages, found)
    findings += found + _compared(fields, digests, found) + _whole(contents)
    return VerifyReport(path, "zarr", digests, _recorded(fields), files, tuple(findings))


def _manifest(path: Path) -> tuple[Manifest | None, list[Finding]]:
    try:
        return read_manifest(path), []
    except IntegrityError as error:
        return None, [Finding(MANIFEST_NAME, error.reason)]


def _root(
    path: Path, manifest: Manifest | None
) -> tuple[Contents | None, dict[str, Any], list[Finding]]:
    """What the root document says, the arrays' documents in it, and what is wrong with it.

    Raises `InputError` for a sound store of a format version that is not known.
    """
    findings: list[Finding] = []
    try:
        root, entry = read_root(path)
    except IntegrityError as error:
        return None, {}, [Finding(ROOT_KEY, error.reason)]
    sound = manifest is not None and manifest.get(ROOT_KEY) == entry
    for known in (manifest, None) if manifest is not None else (None,):
        try:
            contents = parse_root(path, root, known)
            assemble(path, contents, ReadOptions())
            return contents, root["consolidated_metadata"]["metadata"], findings
        except (IntegrityError, InputError) as error:
            if sound and not isinstance(error, IntegrityError):
                raise
            if not findings:
                findings.append(Finding(error.member or ROOT_KEY, error.reason))
    return None, {}, findings


def _files(path: Path, manifest: Manifest, options: WriteOptions, *, fast: bool) -> list[Damage]:
    jobs = options.jobs or default_jobs()

    def run(tasks: Iterable[Callable[[], Damage | None]]) -> Iterator[Damage | None]:
        return run_in_order(tasks, executor, 2 * jobs)

    executor: Executor
    with ThreadPoolExecutor(jobs, thread_name_prefix="ptystore") as executor:
        try:
            return compare(path, manifest, fast=fast, run=run)
        except OSError as error:
            raise storage_error(error, path) from error


def _documents(path: Path, documents: dict[str, Any], damaged: set[str]) -> list[Finding]:
    """The arrays' own documents that are not the copy in the root; Zarr libraries read either."""
    findings = []
    for name, document in documents.items():
        key = f"{name}/{ROOT_KEY}"
        if key in damaged:
            continue
        try:
            own, _ = read_root(path / name)
        except IntegrityError as error:
            findings.append(Finding(key, error.reason))
            continue
        if json.dumps(own) != json.dumps(document):
            findings.append(Finding(key, "is not the copy of it in the root document"))
    return findings


def _file_findings(
    fields: Dataset, damages: Iterable[Damage], findings: list[Finding]
) -> list[Finding]:
    """Files that differ from the manifest, as frames where they hold some.

    Left out where reading the values has told the same more precisely.
    """
    ranges: dict[str, dict[str, tuple[int, int]]] = {}
    found = []
    for damage in damages:
        name, _, file = damage.key.partition("/")
        if name not in fields or file == ROOT_KEY:
            found.append(Finding(damage.key, damage.problem))
            continue
        array = fields[name].array
        if name not in ranges:
            ranges[name] = _rows_by_file(array) if isinstance(array, ShardedArray) else {}
        reason = f"the file {file} {damage.problem}"
        if file in ranges[name] and fields[name].shape:
            one = Finding(name, reason, *ranges[name][file], fields[name].role == "per_frame")
        else:
            own = damage.problem != "is not in the manifest"
            one = Finding(name, reason) if own else Finding(damage.key, damage.problem)
        if not any(_covers(other, one) for other in findings):
            found.append(one)
    return found


def _rows_by_file(array: ShardedArray) -> dict[str, tuple[int, int]]:
    layout = array.layout
    return {shard_key(layout, start): (start, stop - 1) for start, stop in layout.shards()}


def _covers(known: Finding, file: Finding) -> bool:
    """Whether damage of a file is explained by what reading its values found."""
    if known.member != file.member:
        return False
    return file.first_frame is None or known.touches(file.first_frame, file.last_frame)
