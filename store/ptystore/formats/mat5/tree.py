"""A MATLAB 5 file as a tree, for the dialects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.dialects.flat import FlatTree
from ptystore.formats.names import another_name, check_name, leave_out
from ptystore.model.lazy_array import Array, CachedArray, LazyArray, LazyBase, read_all

__all__ = ["MatTree"]


class MatTree(FlatTree):
    """Structs are groups, arrays have the shapes that MATLAB shows; see `tree.Tree`.

    `refused` says of what is no array of numbers, no text and no struct of one entry what it is.
    """

    def __init__(self, path: Path, contents: Contents, refused: Mapping[str, str]) -> None:
        super().__init__(path, "mat", contents)
        self._found = contents
        self._refused = refused

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a dialect does not see."""
        names = (name for name in self._refused if "/" not in name)
        return tuple(f"/{name} is {self._refused[name]}: it is left out" for name in names)

    def array(self, path: str, name: str) -> RawArray:
        if path.strip("/") in self._refused:
            reason = f"is {self._refused[path.strip('/')]}, which is never taken"
            raise InputError(reason, file=self.path, member=path)
        return super().array(path, name)

    def plain(self, options: ReadOptions) -> Contents:
        """As `tree.Tree.plain`; vectors, which MATLAB has as (n, 1) or (1, n), have one axis."""
        names = options.names()
        members = list(self.children()) + [name for name in self._refused if "/" not in name]
        names.require_all_in(members)
        arrays = {}
        for member in members:
            name = names.of(member)
            if name is None:
                continue
            what = self._refused.get(member)
            if what is None and self.kind(f"/{member}") == "group":
                what = "a struct, not an array"
            problem = f"is {what}" if what else check_name(name)
            if problem is None and name in arrays:
                problem = f"is renamed to {name}, which is there already"
            if problem:
                advice = leave_out(member) if what else another_name(member)
                raise InputError(problem, file=self.path, member=member, advice=advice)
            arrays[name] = _without_ones(self._found.arrays[member])
        return dataclasses.replace(self._found, arrays=arrays)


def _without_ones(raw: RawArray) -> RawArray:
    """A vector or a single value, without its axes of length 1."""
    count = math.prod(raw.shape)
    if len(raw.shape) != 2 or count not in raw.shape:
        return raw
    shape = () if raw.shape == (1, 1) else (count,)
    return dataclasses.replace(raw, shape=shape, build=partial(_row, raw, shape))


def _row(raw: RawArray, shape: tuple[int, ...], axis: int) -> LazyArray:
    return CachedArray(_Row(raw, shape))


class _Row(LazyBase):
    """All of an array, in one row."""

    def __init__(self, raw: RawArray, shape: tuple[int, ...]) -> None:
        self._source = raw.build(0)
        self.shape = shape
        self.dtype = raw.dtype

    def read(self, start: int, stop: int) -> Array:
        values = read_all(self._source).reshape(self.shape)
        return values[start:stop] if self.shape else values
