"""An HDF5 file of another tool's as a tree, for the dialects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.hdf5.described import Group
from ptystore.formats.hdf5.linked import Files, Found
from ptystore.formats.hdf5.others import followed_array, other_attributes, read_others
from ptystore.model.choices import NodeKind
from ptystore.storage.local import SourceFile

__all__ = ["Hdf5Tree"]


class Hdf5Tree:
    """The groups and datasets of a file, as its headers tell; see `formats.dialects.tree.Tree`.

    What links and virtual datasets lead to is there too, if it lies below the file's own folder.
    """

    container = "hdf5"

    def __init__(self, source: SourceFile, root: Group, options: ReadOptions) -> None:
        self._files = Files(source, root)
        self._options = options
        self.snapshot = self._files.snapshot
        self.path: Path = source.path.absolute()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know of the arrays that were taken, a line each."""
        return tuple(self._files.remarks)

    def _found(self, path: str) -> Found | None:
        """What is at a path; None also where it can't be reached."""
        try:
            return self._files.find(path)
        except InputError:
            return None

    def _node(self, path: str) -> Mapping[str, Any]:
        found = self._found(path)
        return {} if found is None else found.place.node

    def children(self, path: str = "/") -> Sequence[str]:
        return tuple(self._node(path).get("members", ()))

    def kind(self, path: str) -> NodeKind | None:
        try:
            found = self._files.find(path)
        except InputError:
            return "outside"
        node = {} if found is None else found.place.node
        kind = node.get("kind")
        if kind == "group":
            return "group"
        if kind != "dataset":
            return None
        if node["external"] or "refused" in node.get("virtual", {}):
            return "outside"
        return "text" if "text" in node else "array"

    def shape(self, path: str) -> tuple[int, ...]:
        return tuple(self._node(path).get("shape") or ())

    def attrs(self, path: str = "/") -> Mapping[str, Any]:
        return other_attributes(self._node(path).get("attrs", {}), [])

    def text(self, path: str) -> str | None:
        found = self._node(path).get("text")
        return None if found is None else str(found)

    def array(self, path: str, name: str) -> RawArray:
        try:
            found = self._files.find(path)
            if found is None:
                raise InputError("is no array: nothing is there")
            return followed_array(self._files, found, name, self._options)
        except InputError as error:
            raise error.located(file=self.path, member=path) from None

    def outside(self, path: str) -> tuple[str, str] | None:
        place = self._files.master.root.find(path)
        return None if place is None else place.outside

    def is_same(self, path: str, other: str) -> bool:
        one, two = self._found(path), self._found(other)
        return one is not None and two is not None and one.place.node is two.place.node

    def plain(self, options: ReadOptions) -> Contents:
        return read_others(self._files, options)
