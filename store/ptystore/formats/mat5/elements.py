"""The elements of a MATLAB 5 file: tags, headers of arrays, their values.

By the published layout (MAT-File Format, MathWorks). Only arrays of numbers, texts and structs are
looked into; whatever else there is, such as function handles and objects, is passed over by its
length. Every length is compared with the bytes that are there before it is used.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ptystore.errors import InputError
from ptystore.model.lazy_array import Array

__all__ = [
    "COMPRESSED",
    "MATRIX",
    "Header",
    "Leaf",
    "Tag",
    "fields_of",
    "header_of",
    "leaf_of",
    "tag_at",
    "values_of",
]

MATRIX: Final = 14
COMPRESSED: Final = 15

_ENDS = "ends before the data that it announces"
_SMALL = 4  # bytes of data that fit into a tag
_MOST_AXES = 32

# How values are stored, by the type in a tag: texts as their code units.
_STORED: Final[Mapping[int, str]] = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"},
    **{16: "u1", 17: "u2", 18: "u4"},
}
_TEXTS: Final[Mapping[int, str]] = {1: "latin-1", 2: "latin-1", 16: "utf-8", 4: "utf-16"} | {
    17: "utf-16",
    18: "utf-32",
}

# What values are, by the class of an array.
_NUMERIC: Final[Mapping[int, str]] = {
    **{6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"},
    **{14: "i8", 15: "u8"},
}
_STRUCT, _CHAR = 2, 4
_OTHERS: Final[Mapping[int, str]] = {
    **{1: "a cell array", 3: "an object", 5: "a sparse array", 16: "a function handle"},
    17: "an object",
}
_COMPLEX, _LOGICAL = 0x800, 0x200


@dataclass(frozen=True)
class Tag:
    """One element: its type, where its `length` bytes of data begin, where the next one is."""

    type: int
    begin: int
    length: int
    next: int


@dataclass(frozen=True)
class Header:
    """What an array says of itself; `body` is where that ends, `dtype` None for no numbers."""

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic] | None
    body: int


@dataclass(frozen=True)
class Leaf:
    """Numbers or text within `data`, whose real and imaginary parts begin at the offsets."""

    header: Header
    real: Tag
    imaginary: Tag | None


def tag_at(data: memoryview, at: int, order: str) -> Tag:
    """The tag at an offset, in byte order ``<`` or ``>``; its data may end behind `data`."""
    if at + 8 > len(data):
        raise InputError(_ENDS)
    first, length = struct.unpack_from(f"{order}2I", data, at)
    if first >> 16:
        small = first >> 16
        if small > _SMALL:
            raise InputError(f"has an element of {small} bytes where {_SMALL} are the most")
        return Tag(first & 0xFFFF, at + 4, small, at + 8)
    pad = 0 if first == COMPRESSED else -length % 8
    return Tag(first, at + 8, length, at + 8 + length + pad)


def _whole(data: memoryview, at: int, order: str) -> tuple[Tag, memoryview]:
    """An element and its data, which must all be there."""
    tag = tag_at(data, at, order)
    if tag.begin + tag.length > len(data):
        raise InputError(_ENDS)
    return tag, data[tag.begin : tag.begin + tag.length]


def header_of(data: memoryview, at: int, order: str) -> Header:
    """The header of the array whose data begin at `at`. Raises `InputError`."""
    tag, flags = _whole(data, at, order)
    if tag.type not in (5, 6) or len(flags) != 8:
        raise InputError("has an array that does not say what it is")
    said = struct.unpack_from(f"{order}I", flags)[0]
    code = said & 0xFF
    if code == 17:  # what follows is laid out in a way of its own
        name = bytes(_whole(data, tag.next, order)[1]).decode("ascii", "replace")
        return Header(name, _OTHERS[code], (), None, tag.next)
    tag, sizes = _whole(data, tag.next, order)
    shape = tuple(np.frombuffer(sizes[: len(sizes) // 4 * 4], f"{order}i4").tolist())
    if tag.type != 5 or not 2 <= len(shape) <= _MOST_AXES or min(shape) < 0:
        raise InputError("has an array that does not say its shape")
    tag, letters = _whole(data, tag.next, order)
    name = bytes(letters).decode("ascii", "replace")
    if code in _NUMERIC:
        dtype = np.dtype(_NUMERIC[code])
        if said & _COMPLEX:
            if dtype.kind != "f":
                return Header(name, "an array of complex integers", shape, None, tag.next)
            dtype = np.result_type(dtype, np.complex64)
        elif said & _LOGICAL:
            dtype = np.dtype(bool)
        return Header(name, "numbers", shape, dtype, tag.next)
    if code in (_STRUCT, _CHAR):
        return Header(name, "struct" if code == _STRUCT else "text", shape, None, tag.next)
    return Header(name, _OTHERS.get(code, f"of the unknown class {code}"), shape, None, tag.next)


def leaf_of(data: memoryview, header: Header, order: str) -> Leaf:
    """Where the numbers or the text of an array lie: of `data` only the first tag is needed.

    Raises `InputError` where they are not as many as the shape says.
    """
    count = math.prod(header.shape)
    if not count:
        return Leaf(header, Tag(1, header.body, 0, header.body), None)
    real = tag_at(data, header.body, order)
    if real.type not in _STORED:
        raise InputError(f"has values of the unknown type {real.type}")
    if header.kind == "text":
        return Leaf(header, real, None)
    _require_count(real, count)
    if header.dtype is None or header.dtype.kind != "c":
        return Leaf(header, real, None)
    if real.next + 8 > len(data):  # only the beginning is at hand
        return Leaf(header, real, None)
    imaginary = tag_at(data, real.next, order)
    if imaginary.type not in _STORED:
        raise InputError(f"has values of the unknown type {imaginary.type}")
    _require_count(imaginary, count)
    return Leaf(header, real, imaginary)


def _require_count(tag: Tag, count: int) -> None:
    if tag.length != count * np.dtype(_STORED[tag.type]).itemsize:
        raise InputError(f"has {tag.length} bytes of values where {count} values should be")


def values_of(data: memoryview, leaf: Leaf, order: str) -> Array:
    """The values of an array in the shape that MATLAB shows, or its text as a 0-d array.

    Raises `InputError` where they are not all there.
    """
    header = leaf.header
    if header.kind == "text":
        return np.array(_text(data, leaf, order))
    assert header.dtype is not None
    parts = [_part(data, tag, order) for tag in (leaf.real, leaf.imaginary) if tag is not None]
    if not math.prod(header.shape):
        return np.zeros(header.shape, header.dtype)
    if header.dtype.kind == "c":
        if len(parts) != 2:
            raise InputError(_ENDS)
        values = np.empty(len(parts[0]), header.dtype)
        values.real, values.imag = parts
    else:
        values = parts[0].astype(header.dtype)
    return values.reshape(header.shape, order="F")


def _part(data: memoryview, tag: Tag, order: str) -> Array:
    if tag.begin + tag.length > len(data):
        raise InputError(_ENDS)
    return np.frombuffer(data[tag.begin : tag.begin + tag.length], order + _STORED[tag.type])


def _text(data: memoryview, leaf: Leaf, order: str) -> str:
    tag = leaf.real
    if tag.begin + tag.length > len(data):
        raise InputError(_ENDS)
    encoding = _TEXTS.get(tag.type, "latin-1")
    if encoding.startswith("utf-") and encoding != "utf-8":
        encoding += "-le" if order == "<" else "-be"
    return bytes(data[tag.begin : tag.begin + tag.length]).decode(encoding, "replace")


def fields_of(data: memoryview, header: Header, order: str) -> Iterator[tuple[str, Tag]]:
    """The fields of a struct of one entry, each with the tag of its array.

    Raises `InputError` where they are not all there.
    """
    tag, length = _whole(data, header.body, order)
    if tag.type != 5 or len(length) != 4:
        raise InputError("has a struct that does not say how long its names are")
    size = struct.unpack_from(f"{order}i", length)[0]
    tag, letters = _whole(data, tag.next, order)
    if size < 1 or len(letters) % size:
        raise InputError("has a struct whose names have no length")
    at = tag.next
    for begin in range(0, len(letters), size):
        name = bytes(letters[begin : begin + size]).split(b"\0")[0].decode("ascii", "replace")
        field, _ = _whole(data, at, order)
        if field.type != MATRIX:
            raise InputError(f"has a struct with a field {name} that is no array")
        yield name, field
        at = field.next
