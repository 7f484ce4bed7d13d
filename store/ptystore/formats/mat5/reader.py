"""Reads a MATLAB 5 file: what is in it at once, values of arrays when they are asked for."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from ptystore.errors import InputError, located
from ptystore.formats.assemble import Contents, RawArray
from ptystore.formats.mat5.elements import (
    COMPRESSED,
    MATRIX,
    Header,
    Tag,
    fields_of,
    header_of,
    leaf_of,
    tag_at,
    values_of,
)
from ptystore.formats.mat5.tree import MatTree
from ptystore.model.lazy_array import Array, CachedArray, LazyArray, LazyBase
from ptystore.model.source import Storage
from ptystore.storage.local import SourceFile

__all__ = ["read_mat5"]

_HEAD_BYTES: Final = 128
_VERSION: Final = 0x0100
_BEGINNING: Final = 4096  # of a variable: its name, its shape and more
_MOST_IN_STRUCT: Final = 256 << 20
_MOST_DEPTH: Final = 32
_MOST_ARRAYS: Final = 100_000
_RATIO: Final = 1032  # what deflate can do at the most


@dataclass(frozen=True)
class _Variable:
    """One variable of a file, as `length` bytes at `begin`, its tag first once inflated."""

    source: SourceFile
    order: str
    begin: int
    length: int
    is_compressed: bool

    def beginning(self) -> memoryview:
        """The first bytes, at the least as many as are needed to say what it is."""
        data = self.source.read(self.begin, min(self.length, _BEGINNING))
        if not self.is_compressed:
            return memoryview(data)
        return memoryview(_inflated(data, _BEGINNING))

    def whole(self) -> memoryview:
        """All of it. Raises `InputError` where it is not as long as it says."""
        if not self.is_compressed:
            return memoryview(self.source.read(self.begin, self.length))
        size = 8 + self.tag(self.beginning()).length
        data = _inflated(self.source.read(self.begin, self.length), size)
        if len(data) != size:
            raise InputError("ends before the data that it announces")
        return memoryview(data)

    def tag(self, beginning: memoryview) -> Tag:
        """The tag of the array. Raises `InputError` for anything else and for an absurd length."""
        tag = tag_at(beginning, 0, self.order)
        most = self.length * (_RATIO if self.is_compressed else 1)
        if tag.type != MATRIX or tag.begin != 8 or tag.length > most:
            raise InputError("holds something that is no array")
        return tag


def _inflated(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        raise InputError("holds a variable that can't be inflated") from None


@dataclass
class _Found:
    """Arrays by path, and what can't be taken."""

    arrays: dict[str, RawArray] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    count: int = 0


def read_mat5(path: Path) -> MatTree:
    """What a MATLAB 5 file holds: structs as groups, and nothing that is no array of numbers.

    Raises `InputError` for a damaged one.
    """
    source = SourceFile(path)
    with located(file=path):
        head = source.read(0, min(_HEAD_BYTES, source.size))
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if order is None or struct.unpack(f"{order}H", head[124:126])[0] != _VERSION:
            raise InputError("begins as a MATLAB 5 file, but is none")
        found = _Found()
        at = _HEAD_BYTES
        while at < source.size:
            tag = tag_at(memoryview(source.read(at, 8)), 0, order)
            if at + 8 + tag.length > source.size:
                raise InputError("ends before the data that it announces")
            compressed = tag.type == COMPRESSED
            begin, length = (tag.begin, 0) if compressed else (0, 8)
            variable = _Variable(source, order, at + begin, length + tag.length, compressed)
            _take(variable, found)
            at += tag.next
    return MatTree(path, Contents(found.arrays, snapshot=source), found.refused)


def _take(variable: _Variable, found: _Found) -> None:
    beginning = variable.beginning()
    tag = variable.tag(beginning)
    header = header_of(beginning, tag.begin, variable.order)
    if not header.name:  # where MATLAB keeps what its objects refer to
        return
    with located(member=header.name):
        if header.kind in ("struct", "text"):
            if tag.length > _MOST_IN_STRUCT:
                found.refused[header.name] = f"a {header.kind} of {tag.length} bytes"
                return
            beginning = variable.whole()
        _note(variable, beginning, tag, header.name, 0, found)


def _note(
    variable: _Variable, data: memoryview, tag: Tag, path: str, depth: int, found: _Found
) -> None:
    """Note the array whose tag is given, and all that is in it, under a path."""
    found.count += 1
    if depth > _MOST_DEPTH or found.count > _MOST_ARRAYS:
        raise InputError(f"has more than {_MOST_ARRAYS} arrays, or {_MOST_DEPTH} in each other")
    if not tag.length:  # [] in a struct
        found.arrays[path] = _raw(variable, tag.begin, (0, 0), np.dtype("f8"), 0)
        return
    data = data[: tag.begin + tag.length]
    header = header_of(data, tag.begin, variable.order)
    if header.kind == "numbers":
        assert header.dtype is not None
        leaf = leaf_of(data, header, variable.order)
        if leaf.real.begin + leaf.real.length > tag.begin + tag.length:
            raise InputError("ends before the data that it announces")
        stored = leaf.real.length * (1 + (header.dtype.kind == "c"))
        found.arrays[path] = _raw(variable, tag.begin, header.shape, header.dtype, stored)
    elif header.kind == "text" and _is_line(header):
        text = values_of(data, leaf_of(data, header, variable.order), variable.order)
        found.arrays[path] = _raw(variable, tag.begin, (), text.dtype, tag.length)
    elif header.kind == "struct" and math.prod(header.shape) == 1:
        for name, inner in fields_of(data, header, variable.order):
            _note(variable, data, inner, f"{path}/{name}", depth + 1, found)
    elif header.kind in ("struct", "text"):
        found.refused[path] = f"{header.kind} of several entries"
    else:
        found.refused[path] = header.kind


def _is_line(header: Header) -> bool:
    return len(header.shape) == 2 and header.shape[0] <= 1


def _raw(
    variable: _Variable, at: int, shape: tuple[int, ...], dtype: np.dtype[Any], stored: int
) -> RawArray:
    build = partial(_built, variable, at, shape, dtype)
    return RawArray(shape, dtype, build, Storage("mat", stored))


def _built(
    variable: _Variable, at: int, shape: tuple[int, ...], dtype: np.dtype[Any], axis: int
) -> LazyArray:
    return CachedArray(_MatArray(variable, at, shape, dtype, axis))


class _MatArray(LazyBase):
    """The array whose data begin at an offset of a variable, read whole."""

    def __init__(
        self,
        variable: _Variable,
        at: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        axis: int,
    ) -> None:
        self._variable = variable
        self._at = at
        self.shape = shape
        self.dtype = dtype
        self.axis = axis

    def read(self, start: int, stop: int) -> Array:
        if not math.prod(self.shape):
            values = np.zeros(self.shape, self.dtype)
        else:
            order, data = self._variable.order, self._variable.whole()
            with located(file=self._variable.source.path):
                header = header_of(data, self._at, order)
                values = values_of(data, leaf_of(data, header, order), order)
        return values[(slice(None),) * self.axis + (slice(start, stop),)] if self.shape else values
