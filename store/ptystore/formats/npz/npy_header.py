"""The header of a `.npy` member, read by a fixed pattern: nothing in it is evaluated."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptystore.errors import InputError

__all__ = ["HEADER_LIMIT", "NpyHeader", "npy_header_bytes", "parse_npy_header"]

MAGIC = b"\x93NUMPY"

#: A header longer than this is refused; numpy's own are 118 bytes for all but the oddest.
HEADER_LIMIT = 4096

# No array in memory or on any disk is larger; keeps every later product inside 64 bits.
SIZE_LIMIT = 1 << 60

# A list (a structured dtype) only has to be recognised; without colons it can't span entries,
# which keeps the time to match linear.
_KEY = r"(?:'(descr|fortran_order|shape)'|\"(descr|fortran_order|shape)\")"
_VALUE = r"('[^'\\]*'|\"[^\"\\]*\"|\[[^:]*\]|True|False|\([0-9L,\s]*\))"
_ENTRY = rf"{_KEY}\s*:\s*{_VALUE}\s*"
_HEADER = re.compile(rf"\{{\s*{_ENTRY},\s*{_ENTRY},\s*{_ENTRY},?\s*\}}\s*", re.DOTALL)
_DTYPE = re.compile(r"[<>|=]?([?]|b1|[iu][1248]|f[248]|c8|c16|[US][1-9][0-9]{0,8}|O)")
_DIMENSION = re.compile(r"\s*([0-9]{1,19})L?\s*")


@dataclass(frozen=True)
class NpyHeader:
    """What a `.npy` header says; `dtype` is in the file's byte order, None for objects."""

    dtype: np.dtype[Any] | None
    fortran_order: bool
    shape: tuple[int, ...]
    data_offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of data that must follow, as a Python int: it can't wrap around."""
        itemsize = self.dtype.itemsize if self.dtype is not None else 0
        return math.prod(self.shape) * itemsize


def parse_npy_header(head: bytes) -> NpyHeader:
    """Parse the first bytes of a member; `head` holds `HEADER_LIMIT + 12` bytes or all.

    Raises `InputError` for anything that `np.save` does not write for a plain array.
    """
    if len(head) < 10 and head[:6] == MAGIC[: len(head)]:
        raise InputError("is cut short: it ends inside its header")
    if head[:6] != MAGIC:
        raise InputError("is not a .npy array")
    major = head[6]
    if major not in (1, 2, 3):
        raise InputError(f"has .npy format version {major}, known are 1, 2 and 3")
    width = 2 if major == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    start = 8 + width
    if length > HEADER_LIMIT:
        raise InputError(f"has a header of {length} bytes, allowed are {HEADER_LIMIT}")
    if len(head) < start + length:
        raise InputError("is cut short: it ends inside its header")
    try:
        text = head[start : start + length].decode("utf-8" if major == 3 else "latin-1")
    except UnicodeDecodeError:
        raise InputError("has a header that is not text") from None
    return _header_from_text(text, start + length)


def _header_from_text(text: str, data_offset: int) -> NpyHeader:
    match = _HEADER.fullmatch(text)
    # Of the three groups of an entry one is its key, in either quotes, and the last its value.
    groups = match.groups() if match else ()
    entries = {groups[at] or groups[at + 1]: groups[at + 2] for at in range(0, len(groups), 3)}
    if len(entries) != 3:
        raise InputError("has a header that np.save does not write")
    order = entries["fortran_order"]
    if order not in ("True", "False"):
        raise InputError("has a header whose fortran_order is neither True nor False")
    dtype, shape = _dtype(entries["descr"]), _shape(entries["shape"])
    itemsize = dtype.itemsize if dtype is not None else 1
    if math.prod(max(1, size) for size in shape) * itemsize > SIZE_LIMIT:
        raise InputError(f"claims the impossible shape {shape}")
    return NpyHeader(dtype, order == "True", shape, data_offset)


def _dtype(text: str) -> np.dtype[Any] | None:
    if text.startswith("["):
        raise InputError(f"has the structured dtype {text[:80]!r}, which is not supported")
    name = text.strip("'\"")
    known = _DTYPE.fullmatch(name)
    # The largest text dtype that NumPy can make holds just under 2 GiB an element; bytes are
    # read as text.
    if not known or (known[1][0] in "US" and int(known[1][1:]) >= 1 << 29):
        raise InputError(
            f"has dtype {name[:80]!r}, which is not supported: there are bool, int, uint, "
            "float16 to 64, complex64, complex128 and text"
        )
    return None if name.endswith("O") else np.dtype(name)


def _shape(text: str) -> tuple[int, ...]:
    if not text.startswith("("):
        raise InputError("has a header whose shape is not a tuple")
    parts = text[1:-1].split(",")
    if parts[-1].strip() == "":
        parts.pop()
    elif len(parts) == 1:
        raise InputError("has a header whose shape is not a tuple")
    if len(parts) > 32:
        raise InputError(f"has {len(parts)} dimensions, allowed are 32")
    shape = []
    for part in parts:
        dimension = _DIMENSION.fullmatch(part)
        if not dimension:
            raise InputError("has a header whose shape is not a tuple of sizes")
        shape.append(int(dimension[1]))
    return tuple(shape)


def npy_header_bytes(dtype: np.dtype[Any], shape: tuple[int, ...], fortran_order: bool) -> bytes:
    """The header that `np.save` writes for such an array, data aligned to 64 bytes."""
    sizes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    text = f"{{'descr': '{dtype.str}', 'fortran_order': {fortran_order}, 'shape': ({sizes}), }}"
    # As numpy does, leave room for the first axis to grow in place, then align.
    text += " " * max(0, 21 - len(str(shape[-1 if fortran_order else 0]))) if shape else ""
    pad = -(len(MAGIC) + 4 + len(text) + 1) % 64
    header = (text + " " * pad + "\n").encode("latin-1")
    return MAGIC + b"\x01\x00" + len(header).to_bytes(2, "little") + header
