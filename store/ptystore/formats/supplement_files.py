"""Files that the caller names beside a scan: where an array in one is, and how it is opened.

Here the user's word counts, so a file is opened as it is named, wherever it lies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ptystore.errors import InputError, InputMissingError, located
from ptystore.formats.assemble import Contents, RawArray
from ptystore.formats.dialects.flat import FlatTree
from ptystore.formats.dialects.scan import memory_array
from ptystore.formats.dialects.tree import Tree
from ptystore.formats.npy_file import NPY_MAGIC, npy_array
from ptystore.formats.supplement_table import TextTable, looks_like_text, read_table
from ptystore.storage.base import Several, Snapshot
from ptystore.storage.local import SourceFile

__all__ = ["FilesBeside", "Place"]

_HEAD_BYTES = 4096

#: How groups and arrays in other containers begin.
_CONTAINERS = (b"PK", b"\x89HDF", b"BZh", b"MATLAB ")


@dataclass(frozen=True)
class Place:
    """A file and where in it; `key` is None for all of it, `file` for the scan's own file."""

    file: Path | None
    key: str | None

    @classmethod
    def of(cls, text: str) -> Place:
        """From ``FILE[:KEY]`` or ``KEY``: what is before the last colon, if it is a file.

        A file whose own name has a colon is found too. Raises `InputMissingError` where what
        stands before a colon is no file.
        """
        if Path(text).exists():
            return cls(Path(text), None)
        file, colon, key = text.rpartition(":")
        if not colon:
            return cls(None, text)
        if not Path(file).exists():
            raise InputMissingError("there is no such file or folder", file=file)
        return cls(Path(file), key or None)


@dataclass
class FilesBeside:
    """Opens each file once, and holds all of them as they were then."""

    open_tree: Callable[[Path], Tree]
    trees: dict[Path, Tree] = field(default_factory=dict)
    tables: dict[Path, TextTable] = field(default_factory=dict)
    held: list[Snapshot] = field(default_factory=list)

    def tree(self, path: Path) -> Tree:
        """A file as groups and arrays; a `.npy` has one, a table one of each column.

        Raises as opening a scan does.
        """
        if path not in self.trees:
            with located(file=path):
                self.trees[path] = self._opened(path)
        return self.trees[path]

    def _opened(self, path: Path) -> Tree:
        head = b""
        if path.is_file():
            source = SourceFile(path)
            head = source.read(0, min(source.size, _HEAD_BYTES))
            if head.startswith(NPY_MAGIC):
                self.held.append(source)
                raw = npy_array(source)
                return FlatTree(path, "npy", Contents({path.stem: raw}, snapshot=source))
            if not head.startswith(_CONTAINERS) and looks_like_text(head):
                self.held.append(source)
                table = self.tables[path] = read_table(source)
                names = table.names or tuple(str(at + 1) for at in range(table.width))
                found = {name: _column(table, at) for at, name in enumerate(names)}
                return FlatTree(path, "text", Contents(found, snapshot=source))
        tree = self.open_tree(path)
        if tree.snapshot is not None:
            self.held.append(tree.snapshot)
        return tree

    def hold(self, own: Snapshot | None) -> Snapshot | None:
        """The snapshot of a scan's own file and of all that were opened."""
        held = [one for one in (own, *self.held) if one is not None]
        return Several(tuple(held)) if len(held) > 1 else next(iter(held), None)


def _column(table: TextTable, at: int) -> RawArray:
    """A column of a table; one that is no numbers is text."""
    try:
        return memory_array(table.column(at))
    except InputError:
        return memory_array(np.array([row[at] for row in table.rows], np.str_))
