"""A Zarr store of another tool's as a tree, for the dialects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.zarr.library import (
    arrays_of_group,
    foreign_array,
    is_array,
    members_of,
    node_at,
    open_foreign,
    text_in,
)
from ptystore.model.choices import NodeKind

__all__ = ["ZarrTree"]


class ZarrTree:
    """The groups and arrays of a store of Zarr 2 or 3; see `formats.dialects.tree.Tree`.

    Groups are looked into when they are asked for. A store that is one array has it at the root,
    under the folder's name without its suffix. Raises `InputError` for what is no such store.
    """

    container = "zarr"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.snapshot, self._root = open_foreign(path)
        self.path: Path = path.absolute()
        self._options = options
        self._nodes: dict[str, Any] = {}

    @property
    def _only(self) -> str | None:
        """The name of the one array that the store is."""
        return self.path.stem if is_array(self._root) else None

    def _node(self, path: str) -> Any:
        """The group or array at a path, None where there is neither."""
        key = path.strip("/")
        if self._only is not None:
            return self._root if key == self._only else None
        if not key:
            return self._root
        if key not in self._nodes:
            self._nodes[key] = node_at(self._root, key)
        return self._nodes[key]

    def children(self, path: str = "/") -> Sequence[str]:
        key = path.strip("/")
        if self._only is not None:
            return () if key else (self._only,)
        node = self._node(path)
        if node is None or is_array(node):
            return ()
        members = members_of(node, self.path)
        begin = f"{key}/" if key else ""
        self._nodes.update({begin + name: inner for name, inner in members})
        return tuple(name for name, _ in members)

    def kind(self, path: str) -> NodeKind | None:
        node = self._node(path)
        if node is None:
            return "group" if not path.strip("/") else None
        if not is_array(node):
            return "group"
        is_text = node.dtype.kind in "OTUS" and math.prod(node.shape) == 1
        return "text" if is_text else "array"

    def shape(self, path: str) -> tuple[int, ...]:
        node = self._node(path)
        return tuple(node.shape) if node is not None and is_array(node) else ()

    def attrs(self, path: str = "/") -> Mapping[str, Any]:
        node = self._node(path)
        return {} if node is None else dict(node.attrs)

    def text(self, path: str) -> str | None:
        node = self._node(path)
        return text_in(node) if node is not None and is_array(node) else None

    def array(self, path: str, name: str) -> RawArray:
        node = self._node(path)
        if node is None or not is_array(node):
            raise InputError("is no array", file=self.path, member=path)
        key = "" if self._only is not None else path.strip("/")
        return foreign_array(self.snapshot, key, node, name, self._options)

    def outside(self, path: str) -> tuple[str, str] | None:
        return None

    def is_same(self, path: str, other: str) -> bool:
        return path.strip("/") == other.strip("/")

    def plain(self, options: ReadOptions) -> Contents:
        if self._only is None:
            return arrays_of_group(self.snapshot, self._root, options)
        if options.mapped:
            return Contents({}, snapshot=self.snapshot)
        raise InputError(
            "is a single Zarr array, not a group",
            file=self.path,
            advice=f"--map diffraction={self._only} takes it as the frames",
        )
