"""A flat container of another tool's, such as a `.npz`, as a tree: every array at the root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.model.choices import NodeKind
from ptystore.model.lazy_array import read_all

__all__ = ["FlatTree"]


class FlatTree:
    """What a reader found in a file, seen as a tree; see `tree.Tree`.

    Names with slashes are groups. A single text of an array counts as text.
    """

    def __init__(self, path: Path, container: str, contents: Contents) -> None:
        self.path = path.absolute()
        self.container = container
        self.snapshot = contents.snapshot
        self._contents = contents
        self._arrays = {f"/{name.strip('/')}": raw for name, raw in contents.arrays.items()}
        # Groups in groups: detection asks for many names, and there may be very many members.
        self._root: dict[str, Any] = {}
        for at in self._arrays:
            group = self._root
            for part in filter(None, at.split("/")):
                group = group.setdefault(part, {})

    def children(self, path: str = "/") -> Sequence[str]:
        group: dict[str, Any] = self._root
        for part in filter(None, path.split("/")):
            group = group.get(part, {})
        return tuple(group)

    def kind(self, path: str) -> NodeKind | None:
        raw = self._arrays.get(path)
        if raw is None:
            return "group" if self.children(path) or path == "/" else None
        return "text" if raw.dtype.kind == "U" and np.prod(raw.shape) == 1 else "array"

    def shape(self, path: str) -> tuple[int, ...]:
        return self._arrays[path].shape if path in self._arrays else ()

    def attrs(self, path: str = "/") -> Mapping[str, Any]:
        raw = self._arrays.get(path)
        return {} if raw is None else dict(raw.attrs)

    def text(self, path: str) -> str | None:
        if self.kind(path) != "text":
            return None
        return str(np.asarray(read_all(self._arrays[path].build(0))).reshape(-1)[0])

    def array(self, path: str, name: str) -> RawArray:
        if path not in self._arrays:
            raise InputError("is no array", file=self.path, member=path)
        return self._arrays[path]

    def outside(self, path: str) -> tuple[str, str] | None:
        return None

    def is_same(self, path: str, other: str) -> bool:
        return path == other

    def plain(self, options: ReadOptions) -> Contents:
        return self._contents
