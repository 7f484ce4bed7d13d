"""Encodes and decodes one chunk: Blosc (lz4, bitshuffle) with a CRC32C, for Zarr and HDF5.

What other tools store in other forms that Blosc has too (lz4, zstd, shuffled bytes or bits) is
decoded here as well: `blosc_of` puts Blosc's headers around it, and Blosc does the work.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numcodecs.fletcher32 import Fletcher32
from numcodecs.lz4 import decompress as lz4_decompress

from ptystore.model.lazy_array import Array, Indices

__all__ = [
    "BLOSC",
    "BLOSC_RATIO",
    "DamagedChunk",
    "blosc_of",
    "blosc_of_run",
    "checked",
    "crc32c",
    "decode",
    "encode",
    "fletcher32",
    "lz4_block",
    "unzstd",
    "with_checksum",
    "zstd_block",
]

#: The compressor's settings in the words of the Zarr v3 `blosc` codec.
BLOSC: dict[str, Any] = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}

#: More than what it makes of zeros, 248:1; an array announced to be larger is not there.
BLOSC_RATIO = 512

# Blosc's header: the sizes of the values and of the whole chunk, from byte 4 and 12 on.
_SIZES = struct.Struct("<4xI4xI")
_CHECKSUM = 4
_MOST = (1 << 31) - 1

# The CRC32C of anything that is followed by its own CRC32C: one call checks both, uncopied.
_RESIDUE = 0x48674BC7

# Blosc's header whole: its format, the compressor's, flags, the size of a value, then sizes of
# values, blocks and all. Each block follows with its length, after a table of where they begin.
_HEADER = struct.Struct("<4B3I")
_COMPRESSORS = {"lz4": 1, "zstd": 4}
_SHUFFLES = {"none": 0, "bytes": 1, "bits": 4}
_UNSPLIT = 16

# zstd skips it.
_EMPTY_FRAME = b"P*M\x18\0\0\0\0"

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


def blosc_of(
    blocks: Sequence[bytes | memoryview],
    nbytes: int,
    block_bytes: int,
    compressor: str = "lz4",
    *,
    shuffle: str = "none",
    itemsize: int = 1,
) -> memoryview:
    """A Blosc chunk of blocks that another program encoded, for `decode`.

    Each decodes to `block_bytes`, the last to what remains of `nbytes`; one that is as long as
    what it decodes to is stored, not compressed.
    """
    table = _HEADER.size + 4 * len(blocks)
    *begins, size = itertools.accumulate((len(block) + 4 for block in blocks), initial=table)
    if size > _MOST or not 1 <= itemsize <= 255:
        raise DamagedChunk("it is larger than can be")
    flags = _COMPRESSORS[compressor] << 5 | _UNSPLIT | _SHUFFLES[shuffle]
    parts: list[bytes | memoryview] = [
        _HEADER.pack(2, 1, flags, itemsize, nbytes, block_bytes, size),
        struct.pack(f"<{len(begins)}I", *begins),
    ]
    for block in blocks:
        parts += (len(block).to_bytes(4, "little"), block)
    return memoryview(b"".join(parts))


def blosc_of_run(
    run: memoryview,
    begins: Indices,
    nbytes: int,
    block_bytes: int,
    compressor: str = "lz4",
    *,
    shuffle: str = "none",
    itemsize: int = 1,
) -> memoryview:
    """The same of blocks that lie one after another in `run`, each behind four bytes.

    `begins` (n,) is where these are, ascending; Blosc has the block's length in them.
    """
    table = _HEADER.size + 4 * len(begins)
    size = table + len(run)
    if size > _MOST or not 1 <= itemsize <= 255:
        raise DamagedChunk("it is larger than can be")
    flags = _COMPRESSORS[compressor] << 5 | _UNSPLIT | _SHUFFLES[shuffle]
    whole = np.empty(size, np.uint8)
    _HEADER.pack_into(whole.data, 0, 2, 1, flags, itemsize, nbytes, block_bytes, size)
    whole[_HEADER.size : table] = (begins + table).astype("<u4").view(np.uint8)
    whole[table:] = np.frombuffer(run, np.uint8)
    lengths = np.diff(begins, append=len(run)) - 4
    places = begins[:, None] + (table + np.arange(4))
    whole[places] = lengths.astype("<u4").view(np.uint8).reshape(-1, 4)
    return whole.data


def unzstd(data: bytes | memoryview, out: Array) -> None:
    """Frames of zstd that fill `out`, bytes, exactly; `DamagedChunk` where they don't."""
    block = zstd_block(data) if len(data) == out.nbytes else data
    decode(blosc_of([block], out.nbytes, out.nbytes, "zstd"), out)


def zstd_block(data: bytes | memoryview) -> bytes:
    """A block as long as its values, which Blosc would take for stored: with an empty frame."""
    return bytes(data) + _EMPTY_FRAME


def lz4_block(data: bytes | memoryview, size: int) -> bytes:
    """One lz4 block of a known size, decoded; `DamagedChunk` where it is none."""
    try:
        return bytes(lz4_decompress(size.to_bytes(4, "little") + bytes(data)))
    except (RuntimeError, ValueError) as error:
        raise DamagedChunk(f"it can't be decompressed ({error})") from None


def fletcher32(data: bytes | memoryview) -> bytes:
    """The checksum of some bytes as HDF5 has it, in its byte order."""
    return bytes(Fletcher32().encode(bytes(data))[-4:])
