"""Power cuts: the calls of a real write are recorded and replayed with what was not synced lost.

The model is harsher than any filesystem: at the cut, each write, creation, rename or removal
that no fsync of its file or folder followed may or may not be on the disk, independently of
all others, and a write also in part. Only a whole rename is one step.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ptystore
from faults.calls import watched
from faults.outcomes import FULL, SUFFIXES, remove, small_scan, state

SEEDS = 400 if FULL else 40


@dataclass(frozen=True)
class Operation:
    """One change of a file or folder, `inodes` are all that must be synced to keep it."""

    inodes: tuple[int, ...]
    name: str
    details: tuple[Any, ...]


@dataclass
class Recorder:
    """Follows names to inodes, and keeps the changes and the fsyncs in their order."""

    root: Path
    trace: list[Operation | int] = field(default_factory=list)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    descriptors: dict[int, int] = field(default_factory=dict)

    def scan(self, folder: Path, inode: int = 0) -> None:
        """Take over what is there already, durably."""
        for path in sorted(folder.iterdir()):
            number = next(self.numbers)
            self.change((inode,), "link", inode, path.name, number)
            if path.is_dir():
                self.folders[number] = {}
                self.scan(path, number)
            else:
                self.change((number,), "write", number, 0, path.read_bytes())
                self.trace.append(number)
            self.trace.append(inode)

    def change(self, inodes: tuple[int, ...], name: str, *details: Any) -> None:
        self.trace.append(Operation(inodes, name, details))
        if name == "link":
            folder, entry, number = details
            self.folders[folder][entry] = number
        elif name == "unlink":
            folder, entry = details
            self.folders[folder].pop(entry, None)

    def place(self, path: Any) -> tuple[int, str]:
        """The inode of the folder, and the name in it."""
        parts = Path(os.fsdecode(path)).relative_to(self.root).parts
        inode = 0
        for part in parts[:-1]:
            inode = self.folders[inode][part]
        return inode, parts[-1]

    def __call__(self, name: str, args: tuple[Any, ...]) -> None:
        match name:
            case "create" if not os.path.isdir(os.path.dirname(args[0])):
                return  # a worker was ahead of who makes the folders; it comes again
            case "mkdir" | "create":
                folder, entry = self.place(args[0])
                if name == "create" or not os.path.lexists(args[0]):
                    number = next(self.numbers)
                    if name == "mkdir":
                        self.folders[number] = {}
                    self.change((folder,), "link", folder, entry, number)
            case "write":
                folder, entry = self.place(args[0])
                number = self.folders[folder][entry]
                self.change((number,), "write", number, args[1], args[2])
            case "truncate":
                folder, entry = self.place(args[0])
                number = self.folders[folder][entry]
                self.change((number,), "truncate", number, args[1])
            case "fsync":
                path = os.readlink(f"/proc/self/fd/{args[0]}")
                if Path(path) == self.root:
                    self.trace.append(0)
                else:
                    folder, entry = self.place(path)
                    self.trace.append(self.folders[folder][entry])
            case "rename" | "replace" | "renameat2":
                self.rename(*args)
            case "unlink" | "rmdir" if os.path.isabs(args[0]):
                folder, entry = self.place(args[0])
                self.change((folder,), "unlink", folder, entry)

    def rename(self, old: Any, new: Any, flags: int = 0) -> None:
        (source, name), (target, entry) = self.place(old), self.place(new)
        moved, replaced = self.folders[source][name], self.folders[target].get(entry)
        self.trace.append(
            Operation((source, target), "rename", (source, name, target, entry, flags == 2))
        )
        self.folders[target][entry] = moved
        if flags == 2 and replaced is not None:
            self.folders[source][name] = replaced
        else:
            del self.folders[source][name]


def survivors(
    trace: list[Operation | int], cut: int, rng: random.Random, synced: bool = True
) -> list[Operation]:
    """The changes before the cut that are on the disk after it."""
    kept = []
    later: set[int] = set()
    loss = rng.random()
    for step in reversed(trace[:cut]):
        if isinstance(step, int):
            if synced:
                later.add(step)
        elif later.issuperset(step.inodes):
            kept.append(step)
        elif rng.random() >= loss:
            kept.append(torn(step, rng))
    return kept[::-1]


def torn(step: Operation, rng: random.Random) -> Operation:
    if step.name != "write" or rng.random() < 0.5:
        return step
    number, offset, data = step.details
    return Operation(step.inodes, "write", (number, offset, data[: rng.randrange(len(data) + 1)]))


def replay(root: Path, steps: list[Operation]) -> None:
    """Build below `root` what the changes leave."""
    folders: dict[int, dict[str, int]] = {}
    files: dict[int, bytearray] = {}
    for step in steps:
        match step.name, step.details:
            case "link", (folder, entry, number):
                folders.setdefault(folder, {})[entry] = number
            case "unlink", (folder, entry):
                folders.get(folder, {}).pop(entry, None)
            case "write", (number, offset, data):
                file = files.setdefault(number, bytearray())
                file.extend(bytes(max(0, offset - len(file))))
                file[offset : offset + len(data)] = data
            case "truncate", (number, size):
                file = files.setdefault(number, bytearray())
                del file[size:]
                file.extend(bytes(size - len(file)))
            case "rename", (source, name, target, entry, exchange):
                moved = folders.get(source, {}).pop(name, None)
                if moved is None:
                    continue
                replaced = folders.setdefault(target, {}).get(entry)
                folders[target][entry] = moved
                if exchange and replaced is not None:
                    folders[source][name] = replaced
    is_folder = {step.details[2] for step in steps if step.name == "link"} & folders.keys()
    build(root, 0, folders, files, is_folder | {0})


def build(
    path: Path,
    inode: int,
    folders: dict[int, dict[str, int]],
    files: dict[int, bytearray],
    is_folder: set[int],
) -> None:
    path.mkdir(exist_ok=True)
    for name, number in folders.get(inode, {}).items():
        if number in is_folder:
            build(path / name, number, folders, files, is_folder)
        else:
            (path / name).write_bytes(files.get(number, b""))


@pytest.fixture(params=SUFFIXES)
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
def test_a_power_cut_at_any_moment(
    tmp_path: Path, suffix: str, overwrite: bool, count: Callable[..., None]
) -> None:
    root, after = tmp_path / "disk", tmp_path / "after"
    root.mkdir()
    path, found_path = root / f"scan{suffix}", after / f"scan{suffix}"
    digests = {}
    if overwrite:
        digests["old"] = ptystore.write(small_scan(1), path).digest
    recorder = Recorder(root)
    recorder.scan(root)
    begun = len(recorder.trace)
    with watched(root, recorder):
        digests["new"] = ptystore.write(small_scan(0), path, overwrite=overwrite).digest
    replay(after, [one for one in recorder.trace if isinstance(one, Operation)])
    assert state(found_path, **digests) == "new", "the recording is not what happened"
    before = "old" if overwrite else "absent"
    outcomes: Counter[str] = Counter()
    for seed in range(SEEDS):
        rng = random.Random(seed)
        cut = rng.randint(begun, len(recorder.trace))
        if seed % 2:  # half of the cuts near the end, where it is decided
            cut = len(recorder.trace) - rng.randrange(12)
        remove(after)
        replay(after, survivors(recorder.trace, cut, rng))
        found = state(found_path, **digests)
        assert found in (before, "new"), f"seed {seed}, cut at {cut} of {len(recorder.trace)}"
        outcomes[found] += 1
    assert set(outcomes) == {before, "new"}
    # The same without any fsync must go wrong, or nothing was tested.
    wrong = 0
    for seed in range(SEEDS):
        remove(after)
        rng = random.Random(seed)
        replay(after, survivors(recorder.trace, len(recorder.trace), rng, synced=False))
        wrong += state(found_path, **digests) not in (before, "new")
        if wrong > 2:
            break
    assert wrong
    count(
        f"power cuts, {suffix}{' overwrite' if overwrite else ''}",
        seeds=SEEDS,
        **outcomes,
        wrong=0,
        operations=len(recorder.trace) - begun,
    )
