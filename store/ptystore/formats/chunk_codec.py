"""Encodes and decodes one chunk: Blosc (lz4, bitshuffle) with a CRC32C, for Zarr and HDF5."""

from __future__ import annotations

import struct
from typing import Any

import google_crc32c
from numcodecs import blosc

from ptystore.model.lazy_array import Array

__all__ = [
    "BLOSC",
    "BLOSC_RATIO",
    "DamagedChunk",
    "checked",
    "crc32c",
    "decode",
    "encode",
    "with_checksum",
]

#: The compressor's settings in the words of the Zarr v3 `blosc` codec.
BLOSC: dict[str, Any] = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}

#: More than what it makes of zeros, 248:1; an array announced to be larger is not there.
BLOSC_RATIO = 512

# Blosc's header: the sizes of the values and of the whole chunk, from byte 4 and 12 on.
_SIZES = struct.Struct("<4xI4xI")
_CHECKSUM = 4

# The CRC32C of anything that is followed by its own CRC32C: one call checks both, uncopied.
_RESIDUE = 0x48674BC7

# The workers are the threads. Blosc's own pool would also be missing in a forked child, which
# then waits for it for ever. zarr-python makes the same setting, for the same reasons.
blosc.use_threads = False


class DamagedChunk(Exception):
    """A chunk can't be decoded; the reader adds which field and frames it holds."""


def encode(chunk: Array) -> bytes:
    """The chunk's values, compressed; `chunk` is C-contiguous and not empty."""
    return bytes(blosc.compress(chunk, b"lz4", BLOSC["clevel"], blosc.BITSHUFFLE, 0))


def with_checksum(data: bytes) -> bytes:
    """The bytes followed by their CRC32C, as the Zarr `crc32c` codec has it."""
    return data + crc32c(data).to_bytes(_CHECKSUM, "little")


def crc32c(data: bytes | memoryview) -> int:
    """The CRC32C of some bytes."""
    # google_crc32c takes bytes only; the copy of a chunk costs less than finding a way round.
    return int(google_crc32c.value(bytes(data)))


def checked(data: bytes) -> memoryview:
    """The bytes without the CRC32C that follows them; `DamagedChunk` where it doesn't match."""
    if len(data) < _CHECKSUM or google_crc32c.value(data) != _RESIDUE:
        raise DamagedChunk("the checksum does not match")
    return memoryview(data)[:-_CHECKSUM]


def decode(data: memoryview, out: Array) -> None:
    """Decompress into `out`, C-contiguous and of exactly the chunk's size.

    The checksum must have been compared before: Blosc trusts its input.
    """
    if len(data) < _SIZES.size or _SIZES.unpack_from(data) != (out.nbytes, len(data)):
        raise DamagedChunk("it is not a chunk of the announced size")
    try:
        blosc.decompress(data, out)
    except (RuntimeError, ValueError) as error:
        raise DamagedChunk(f"it can't be decompressed ({error})") from None
