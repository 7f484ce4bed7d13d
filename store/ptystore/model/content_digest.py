"""The content digest: BLAKE3 over what a field is, whatever file it lies in.

The digest of a field covers its name, role, dtype, shape and values, and is the same for
any format, chunking, codec and byte order. It is a tree of two levels, so that blocks can
be hashed by different workers: leaves of at most 64 KiB (`layout.leaf_rows`) along the
frame axis, then one hash over a header and all leaf hashes. `docs/format.md` defines it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from ptystore.model.dataset import Field
from ptystore.model.layout import leaf_rows

__all__ = [
    "FieldDigest",
    "bytes_digest",
    "combined_digest",
    "dtype_name",
    "leaf_hashes",
    "recipe_digest",
]


def dtype_name(dtype: np.dtype[np.generic]) -> str:
    """The dtype in numpy's spelling with little-endian order: ``<u2``, ``|b1``, ``<U7``."""
    return dtype.newbyteorder("<").str


def leaf_hashes(rows_first: npt.NDArray[np.generic]) -> bytes:
    """The concatenated leaf hashes of a block, shape (rows, …), C order enforced here.

    The block must start at a multiple of its leaf length; blocks of a `Layout` do.
    """
    little_endian = rows_first.dtype.newbyteorder("<")
    block = np.ascontiguousarray(rows_first, dtype=little_endian)
    if block.nbytes == 0:
        return b""
    row_bytes = block.nbytes // block.shape[0]
    data = block.reshape(-1).view(np.uint8).data
    step = leaf_rows(row_bytes) * row_bytes
    return b"".join(blake3(data[at : at + step]).digest() for at in range(0, len(data), step))


def bytes_digest(data: bytes) -> str:
    """The BLAKE3 of a document's bytes, 64 hexadecimal digits."""
    return blake3(data).hexdigest()


class FieldDigest:
    """Collects the leaf hashes of one field, block after block in order."""

    def __init__(
        self,
        name: str,
        role: str,
        dtype: np.dtype[np.generic],
        shape: tuple[int, ...],
        frame_axis: int | None,
    ) -> None:
        header = ["ptystore-field-1", name, role, dtype_name(dtype), list(shape), frame_axis]
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=True)
        self._hash = blake3(text.encode("ascii") + b"\n")

    @classmethod
    def of(cls, field: Field) -> FieldDigest:
        """The digest of a field, of which no block was added yet."""
        return cls(field.name, field.role, field.dtype, field.shape, field.frame_axis)

    def add(self, leaves: bytes) -> None:
        """Take the leaf hashes of the next block."""
        self._hash.update(leaves)

    def hexdigest(self) -> str:
        """The digest of what was added, 64 hexadecimal digits."""
        return self._hash.hexdigest()


def recipe_digest(
    name: str, compute: str, parameters: Mapping[str, Any], inputs: Sequence[str]
) -> str:
    """What stands for the digest of a virtual field: its recipe and its inputs' digests.

    It says which values the field has, but is not the digest that they have once written.
    """
    parts = ["ptystore-recipe-1", name, compute, dict(parameters), list(inputs)]
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=True, sort_keys=True)
    return blake3(text.encode("ascii")).hexdigest()


def combined_digest(fields: Mapping[str, str]) -> str:
    """The digest of a whole scan from those of its fields, in any order of theirs."""
    text = json.dumps(sorted(fields.items()), separators=(",", ":"), ensure_ascii=True)
    return blake3(b"ptystore-scan-1\n" + text.encode("ascii")).hexdigest()
