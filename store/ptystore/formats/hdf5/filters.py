"""HDF5's filters: those that are decoded here, and which of the others may run elsewhere.

Whatever a chunk says of its own size is compared with what the file declares: a decoder gets
room for that and no more, and must fill it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from isal import isal_zlib

from ptystore.formats.chunk_codec import (
    DamagedChunk,
    blosc_of,
    blosc_of_run,
    decode,
    fletcher32,
    lz4_block,
    unzstd,
    zstd_block,
)
from ptystore.formats.hdf5.lzf import has_lzf, unlzf
from ptystore.model.lazy_array import Array, Indices

__all__ = ["LISTED", "Filter", "Pipeline"]

DEFLATE, SHUFFLE, FLETCHER32, BZIP2 = 1, 2, 3, 307
LZF, BLOSC, LZ4, BITSHUFFLE, ZSTD = 32000, 32001, 32004, 32008, 32015

#: Run in the helper without being asked for: the library's own, lzf where it has to, Blosc2.
LISTED = frozenset({4, 5, 6, 32000, 32026})

# bitshuffle's own: bytes of a block where nothing else is said, elements that go together.
_BITSHUFFLE_BLOCK = 8192
_TOGETHER = 8
_BITSHUFFLE_PACKERS = {0: "", 2: "lz4", 3: "zstd"}

_LENGTH = struct.Struct(">I")

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

    @property
    def has_spans(self) -> bool:
        """Whether a part of a chunk can be decoded alone: its blocks depend on nothing else."""
        return len(self.filters) == 1 and self.filters[0].code == BITSHUFFLE

    def decode_span(self, data: memoryview, mask: int, begin: int, end: int) -> Array:
        """The bytes `begin` to `end` of a chunk, of a pipeline that has spans.

        Raises `DamagedChunk`, of what is decoded for it.
        """
        if not mask & 1:
            bits = _Bits.of(data, self.chunk_bytes, self.filters[0].values, self.itemsize)
            if end <= bits.nbytes:
                first, last = begin // bits.block_bytes, -(-end // bits.block_bytes)
                start = first * bits.block_bytes
                room = np.empty(min(last * bits.block_bytes, bits.nbytes) - start, np.uint8)
                bits.decode(data, first, last, room)
                return room[begin - start : end - start]
        whole = np.empty(self.chunk_bytes, np.uint8)
        self.decode_into(data, mask, whole)
        return whole[begin:end]

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
    begins = _begins(data, 12, -(-size // block_bytes))
    if begins[-1] != len(data):
        raise DamagedChunk("bytes are left over")
    decode(blosc_of_run(data[12:], begins[:-1] - 12, size, block_bytes), out)


def _begins(data: memoryview, at: int, count: int) -> Indices:
    """Where each of `count` blocks begins with its length, and where the last of them ends."""
    if count * 4 > len(data):
        raise DamagedChunk("it ends before its blocks do")
    begins, length = [at], _LENGTH.unpack_from
    try:
        for _ in range(count):
            at += 4 + length(data, at)[0]
            begins.append(at)
    except struct.error:
        at = len(data) + 1
    if at > len(data):
        raise DamagedChunk("it ends before its blocks do")
    return np.array(begins)


@dataclass(frozen=True)
class _Bits:
    """How bitshuffle cut a chunk: blocks of whole groups of 8 elements, and what is left over.

    `at` is where the blocks begin in the chunk; `packer` is None for blocks that are not packed.
    """

    packer: str | None
    size: int
    block_bytes: int
    nbytes: int
    at: int

    @classmethod
    def of(cls, data: memoryview, nbytes: int, values: tuple[int, ...], itemsize: int) -> _Bits:
        """Of a chunk of `nbytes`. Raises `DamagedChunk`."""
        _, _, size, together, packer, *_ = (*values, *(0, 0, itemsize, 0, 0)[len(values) :])
        if not 1 <= size <= 255 or nbytes % size or packer not in _BITSHUFFLE_PACKERS:
            raise DamagedChunk("its filter is used in a way that is not known")
        if packer:
            if int.from_bytes(data[:8], "big") != nbytes:
                raise _wrong_size(int.from_bytes(data[:8], "big"), nbytes)
            together = int.from_bytes(data[8:12], "big") // size
        together = together or max(128, _BITSHUFFLE_BLOCK // size // _TOGETHER * _TOGETHER)
        if together % _TOGETHER:
            raise DamagedChunk("its blocks are no groups of 8")
        whole = nbytes // size // _TOGETHER * _TOGETHER * size
        block_bytes = max(1, min(together * size, whole))
        packed = _BITSHUFFLE_PACKERS[packer] if packer else None
        return cls(packed, size, block_bytes, whole, 12 if packer else 0)

    def decode(self, data: memoryview, first: int, last: int, out: Array) -> int:
        """Decode the blocks `first` up to `last` into `out`; where the last of them ends."""
        nbytes = min(last * self.block_bytes, self.nbytes) - first * self.block_bytes
        block_bytes = min(self.block_bytes, nbytes)  # of the last, shorter one alone
        if self.packer is None:
            begin = first * self.block_bytes
            lengths = [self.block_bytes] * (last - first)
            blocks = [data[begin + k * self.block_bytes :][:n] for k, n in enumerate(lengths)]
            blocks[-1] = blocks[-1][: nbytes - (last - first - 1) * self.block_bytes]
            if sum(map(len, blocks)) != nbytes:
                raise _wrong_size(len(data), self.nbytes)
            whole = blosc_of(blocks, nbytes, block_bytes, shuffle="bits", itemsize=self.size)
            decode(whole, out)
            return begin + nbytes
        begins = _begins(data, self.at, last)[first:]
        run, end = data[begins[0] : begins[-1]], int(begins[-1])
        as_long = np.diff(begins) - 4 == self.block_bytes
        as_long[-1] = begins[-1] - begins[-2] - 4 == nbytes - (last - first - 1) * self.block_bytes
        if as_long.any():
            # Blosc would take such a block for stored.
            made = [
                _not_of_length(self.packer, data[a + 4 : b], b - a - 4) if same else data[a + 4 : b]
                for (a, b), same in zip(pairwise(begins.tolist()), as_long, strict=True)
            ]
            whole = blosc_of(
                made, nbytes, block_bytes, self.packer, shuffle="bits", itemsize=self.size
            )
        else:
            whole = blosc_of_run(
                run,
                begins[:-1] - begins[0],
                nbytes,
                block_bytes,
                self.packer,
                shuffle="bits",
                itemsize=self.size,
            )
        decode(whole, out)
        return end


def _unbitshuffle(data: memoryview, out: Array, values: tuple[int, ...], itemsize: int) -> None:
    """Blocks of whole groups of 8 elements, packed or not; what is left over follows as it is."""
    bits = _Bits.of(data, out.nbytes, values, itemsize)
    at = bits.at
    if bits.nbytes:
        at = bits.decode(data, 0, -(-bits.nbytes // bits.block_bytes), out[: bits.nbytes])
    if len(data) - at != out.nbytes - bits.nbytes:
        raise _wrong_size(max(0, len(data) - at), out.nbytes - bits.nbytes)
    if at < len(data):
        out[bits.nbytes :] = np.frombuffer(data[at:], np.uint8)


def _not_of_length(packer: str, block: Data, length: int) -> Data:
    """The same for Blosc, which would take a block as long as its values for stored."""
    return lz4_block(block, length) if packer == "lz4" else zstd_block(block)


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
