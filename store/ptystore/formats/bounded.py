"""Decodes what other programs compressed, into no more than it may fill.

Nothing in such bytes is to be trusted: a few may stand for gigabytes, and Blosc reads as far as
they say that they go, beyond their end too.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ptystore.formats.chunk_codec import DamagedChunk, decode, lz4_block, unzstd

__all__ = ["BOUNDED", "bounded"]

Data = bytes | memoryview

_BLOSC_SIZES = struct.Struct("<4xI4xI")  # of the values, of the chunk
_LZMA_MEMORY = 256 << 20


class _Stream(Protocol):
    """What zlib, bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def bounded(codec: str, data: Data, size: int, most: int) -> Data:
    """The bytes that `data` stands for, at most `most` of them.

    codec : as numcodecs calls it, one of `BOUNDED`. size : how many bytes there should be, for
    data that does not tell. Raises `DamagedChunk`.
    """
    try:
        return _DECODERS[codec](data, size, most)
    except (RuntimeError, ValueError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DamagedChunk(f"it can't be decompressed ({error})") from None


def _blosc(data: Data, size: int, most: int) -> Data:
    if len(data) < _BLOSC_SIZES.size:
        raise DamagedChunk("it ends within its header")
    announced, _ = _BLOSC_SIZES.unpack_from(data)
    return _filled(lambda out: decode(memoryview(data), out), announced, most)


def _zstd(data: Data, size: int, most: int) -> Data:
    announced = _zstd_content(data)
    wanted = size if announced is None else announced
    return _filled(lambda out: unzstd(memoryview(data), out), wanted, most)


def _zstd_content(data: Data) -> int | None:
    """How many bytes a frame says that it holds (RFC 8878, 3.1.1.1); None if it does not."""
    if len(data) < 5:
        raise DamagedChunk("it ends within its header")
    descriptor = data[4]
    is_single, kind = descriptor >> 5 & 1, descriptor >> 6
    at = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    length = (is_single, 2, 4, 8)[kind]
    if not length:
        return None
    return int.from_bytes(data[at : at + length], "little") + (256 if kind == 1 else 0)


def _lz4(data: Data, size: int, most: int) -> Data:
    announced = int.from_bytes(data[:4], "little")
    if announced > most:
        raise _too_large(announced, most)
    return lz4_block(data[4:], announced)


def _filled(fill: Callable[[Any], None], size: int, most: int) -> Data:
    if size > most:
        raise _too_large(size, most)
    out = np.empty(size, np.uint8)
    fill(out)
    return out.data


def _streamed(begin: Callable[[], _Stream]) -> Callable[[Data, int, int], Data]:
    """For streams, of which several may follow each other."""

    def decoded(data: Data, size: int, most: int) -> Data:
        rest, made = bytes(data), bytearray()
        while rest or not made:
            stream = begin()
            made += stream.decompress(rest, most + 1 - len(made))
            if len(made) > most:
                raise _too_large(None, most)
            if not stream.eof:
                raise DamagedChunk("it ends before its values do")
            if len(stream.unused_data) == len(rest):
                break
            rest = stream.unused_data
        return bytes(made)

    return decoded


def _too_large(size: int | None, most: int) -> DamagedChunk:
    told = "more" if size is None else f"{size} bytes"
    return DamagedChunk(f"it makes {told}, where {most} are the most that can be")


_DECODERS: Mapping[str, Callable[[Data, int, int], Data]] = {
    "blosc": _blosc,
    "zstd": _zstd,
    "lz4": _lz4,
    "zlib": _streamed(lambda: zlib.decompressobj()),
    "gzip": _streamed(lambda: zlib.decompressobj(31)),
    "bz2": _streamed(bz2.BZ2Decompressor),
    "lzma": _streamed(lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
}

#: The codecs that are decoded here, as numcodecs calls them.
BOUNDED = frozenset(_DECODERS)
