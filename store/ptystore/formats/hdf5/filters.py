"""HDF5's filters: those that are decoded here, and which of the others may run elsewhere.

Whatever a chunk says of its own size is compared with what the file declares: a decoder gets
room for that and no more, and must fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from isal import isal_zlib

from ptystore.formats.chunk_codec import (
    DamagedChunk,
    blosc_of,
    decode,
    fletcher32,
    lz4_block,
    unzstd,
    zstd_block,
)
from ptystore.formats.hdf5.lzf import has_lzf, unlzf
from ptystore.model.lazy_array import Array

__all__ = ["LISTED", "Filter", "Pipeline"]

DEFLATE, SHUFFLE, FLETCHER32, BZIP2 = 1, 2, 3, 307
LZF, BLOSC, LZ4, BITSHUFFLE, ZSTD = 32000, 32001, 32004, 32008, 32015

#: Run in the helper without being asked for: the library's own, lzf where it has to, Blosc2.
LISTED = frozenset({4, 5, 6, 32000, 32026})

# bitshuffle's own: bytes of a block where nothing else is said, elements that go together.
_BITSHUFFLE_BLOCK = 8192
_TOGETHER = 8
_LZ4_BLOCKS = 2
_BITSHUFFLE_PACKERS = {0: "lz4", _LZ4_BLOCKS: "lz4", 3: "zstd"}  # unpacked blocks are stored

Data = bytes | memoryview


@dataclass(frozen=True)
class Filter:
    """One filter of a dataset: its number, what it was made with, what it calls itself."""

    code: int
    values: tuple[int, ...]
    label: str
    is_installed: bool

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Filter:
        return cls(found["code"], tuple(found["values"]), found["label"], bool(found["installed"]))

    @property
    def is_decoded_here(self) -> bool:
        """Whether it needs no library that HDF5 would load."""
        if self.code == LZF:
            return has_lzf()
        return self.code in _DECODERS or self.code == FLETCHER32

    def __str__(self) -> str:
        return f"{self.code} ({self.label})" if self.label else str(self.code)


@dataclass(frozen=True)
class Pipeline:
    """The filters of a dataset in the order in which they encode, all of them decoded here."""

    filters: tuple[Filter, ...]
    chunk_bytes: int
    itemsize: int

    @classmethod
    def of(cls, filters: tuple[Filter, ...], chunk_bytes: int, itemsize: int) -> Pipeline | None:
        """The pipeline, or None where a filter is not decoded here, or sizes can't be told."""
        codes = [one.code for one in filters]
        packers = [at for at, code in enumerate(codes) if code in _PACKERS]
        # What follows the one that packs must leave every length as it is.
        behind = codes[packers[0] + 1 :] if packers else []
        known = all(one.is_decoded_here for one in filters)
        whole = chunk_bytes < 1 << 31 and 1 <= itemsize <= 255
        if not known or not whole or any(code != FLETCHER32 for code in behind):
            return None
        return cls(filters, chunk_bytes, itemsize)

    def decode_into(self, data: memoryview, mask: int, out: Array) -> None:
        """Decode a chunk into `out`, bytes of exactly its size; bit i of `mask` skips filter i.

        Raises `DamagedChunk`.
        """
        used: Sequence[Filter] = self.filters
        if mask:
            used = [one for at, one in enumerate(used) if not mask >> at & 1]
        # What each filter was given when it encoded; behind the one that packs nobody asks.
        sizes = [self.chunk_bytes]
        for one in used:
            sizes.append(sizes[-1] + (4 if one.code == FLETCHER32 else 0))
        for at in reversed(range(len(used))):
            one = used[at]
            if one.code == FLETCHER32:
                data = _checked(data)
                continue
            room = np.empty(sizes[at], np.uint8) if at else out
            _DECODERS[one.code](data, room, one.values, self.itemsize)
            data = room.data
        if not used or used[0].code == FLETCHER32:
            _copy(data, out)


def _copy(data: memoryview, out: Array) -> None:
    if len(data) != out.nbytes:
        raise _wrong_size(len(data), out.nbytes)
    out[:] = np.frombuffer(data, np.uint8)


def _wrong_size(found: int, wanted: int) -> DamagedChunk:
    return DamagedChunk(f"it holds {found} bytes, announced are {wanted}")


def _checked(data: memoryview) -> memoryview:
    if len(data) < 4:
        raise DamagedChunk("the checksum is missing")
    body, stored = data[:-4], bytes(data[-4:])
    found = fletcher32(body)
    # HDF5 before 1.6.3 wrote each half's bytes the other way round.
    if stored not in (found, found[1::-1] + found[:1:-1]):
        raise DamagedChunk("the checksum does not match")
    return body


def _inflate(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    stream = isal_zlib.decompressobj()
    try:
        # One byte more than there may be, so that the end and its checksum are met.
        whole = stream.decompress(data, out.nbytes + 1)
        while not stream.eof and stream.unconsumed_tail and len(whole) <= out.nbytes:
            whole += stream.decompress(stream.unconsumed_tail, out.nbytes + 1 - len(whole))
    except isal_zlib.error as error:  # type: ignore[misc]  # its stubs say otherwise
        raise DamagedChunk(f"it can't be inflated ({error})") from None
    _fill(whole, stream.eof, out)


def _unbzip2(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    import bz2  # not every Python has it

    stream, whole = bz2.BZ2Decompressor(), b""
    try:
        while not stream.eof and len(whole) <= out.nbytes and (data or not stream.needs_input):
            whole += stream.decompress(data, out.nbytes + 1 - len(whole))
            data = memoryview(b"")
    except OSError as error:
        raise DamagedChunk(f"it can't be decompressed ({error})") from None
    _fill(whole, stream.eof, out)


def _fill(whole: bytes, at_end: bool, out: Array) -> None:
    """Take all that a stream held, which must be just as much as there is room for."""
    if len(whole) > out.nbytes:
        raise DamagedChunk(f"it holds more than the {out.nbytes} bytes announced")
    if not at_end or len(whole) != out.nbytes:
        raise _wrong_size(len(whole), out.nbytes)
    out[:] = np.frombuffer(whole, np.uint8)


def _unshuffle(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    if len(data) != out.nbytes:
        raise _wrong_size(len(data), out.nbytes)
    size = values[0] if values else itemsize
    if not 1 < size <= out.nbytes:
        _copy(data, out)
        return
    decode(blosc_of([data], len(data), len(data), shuffle="bytes", itemsize=size), out)


def _from_blosc(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    decode(data, out)


def _from_lzf(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    unlzf(data, out)


def _unzstd(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    unzstd(data, out)


def _unlz4(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    size, block_bytes = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:12], "big")
    if size != out.nbytes:
        raise _wrong_size(size, out.nbytes)
    if not block_bytes:
        raise DamagedChunk("its blocks are empty")
    block_bytes = min(block_bytes, size)
    blocks, end = _blocks(data, 12, -(-size // block_bytes))
    if end != len(data):
        raise DamagedChunk("bytes are left over")
    decode(blosc_of(blocks, size, block_bytes), out)


def _blocks(data: memoryview, at: int, count: int) -> tuple[list[Data], int]:
    """`count` blocks, each behind its length, and where they end."""
    blocks: list[Data] = []
    if count * 4 > len(data):
        raise DamagedChunk("it ends before its blocks do")
    for _ in range(count):
        length = int.from_bytes(data[at : at + 4], "big")
        blocks.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if at > len(data):
        raise DamagedChunk("it ends before its blocks do")
    return blocks, at


def _unbitshuffle(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    """Blocks of whole groups of 8 elements, packed or not; what is left over follows as it is."""
    _, _, size, together, packer, *_ = (*values, *(0, 0, itemsize, 0, 0)[len(values) :])
    if not 1 <= size <= 255 or out.nbytes % size or packer not in _BITSHUFFLE_PACKERS:
        raise DamagedChunk("its filter is used in a way that is not known")
    at = 0
    if packer:
        if int.from_bytes(data[:8], "big") != out.nbytes:
            raise _wrong_size(int.from_bytes(data[:8], "big"), out.nbytes)
        together = int.from_bytes(data[8:12], "big") // size
        at = 12
    together = together or max(128, _BITSHUFFLE_BLOCK // size // _TOGETHER * _TOGETHER)
    if together % _TOGETHER:
        raise DamagedChunk("its blocks are no groups of 8")
    nbytes = out.nbytes // size // _TOGETHER * _TOGETHER * size
    block_bytes = max(1, min(together * size, nbytes))
    lengths = [block_bytes] * (nbytes // block_bytes)
    if nbytes % block_bytes:
        lengths.append(nbytes % block_bytes)
    if packer:
        blocks, at = _blocks(data, at, len(lengths))
        blocks = [
            _not_of_length(packer, block, length) if len(block) == length else block
            for block, length in zip(blocks, lengths, strict=True)
        ]
    else:
        blocks = [data[k * block_bytes :][:length] for k, length in enumerate(lengths)]
        at = nbytes
    if len(data) - at != out.nbytes - nbytes:
        raise _wrong_size(max(0, len(data) - at), out.nbytes - nbytes)
    if nbytes:
        packed = _BITSHUFFLE_PACKERS[packer]
        whole = blosc_of(blocks, nbytes, block_bytes, packed, shuffle="bits", itemsize=size)
        decode(whole, out[:nbytes])
    if at < len(data):
        out[nbytes:] = np.frombuffer(data[at:], np.uint8)


def _not_of_length(packer: int, block: Data, length: int) -> Data:
    """The same for Blosc, which would take a block as long as its values for stored."""
    return lz4_block(block, length) if packer == _LZ4_BLOCKS else zstd_block(block)


_DECODERS: Mapping[int, Callable[[memoryview, Array, tuple[int, ...], int], None]] = {
    DEFLATE: _inflate,
    BZIP2: _unbzip2,
    SHUFFLE: _unshuffle,
    LZF: _from_lzf,
    BLOSC: _from_blosc,
    LZ4: _unlz4,
    BITSHUFFLE: _unbitshuffle,
    ZSTD: _unzstd,
}

# After these a chunk has any length.
_PACKERS = frozenset({DEFLATE, BZIP2, LZF, BLOSC, LZ4, BITSHUFFLE, ZSTD})
