"""Arrays of other tools' Zarr stores whose codecs fill no more than a chunk has."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numcodecs.abc
import numpy as np
import zarr
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer

from ptystore.formats.bounded import BOUNDED, bounded
from ptystore.formats.text import TEXT_LIMIT

__all__ = ["limited"]

# Filters may make a number of one that is stored in up to so many times its bytes.
_WIDEST = 16
# Checksums and the like that are packed with the values.
_MORE = 4096


@dataclasses.dataclass(frozen=True)
class _Limited3(BytesBytesCodec):
    """A codec of Zarr 3."""

    codec: str
    size: int
    most: int
    is_fixed_size: ClassVar[bool] = False  # type: ignore[misc]

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        data = _bytes_of(chunk_data.as_numpy_array())
        values = await asyncio.to_thread(bounded, self.codec, data, self.size, self.most)
        return chunk_spec.prototype.buffer.from_array_like(np.frombuffer(values, np.uint8))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError  # of nothing that is compressed


class _Limited2(numcodecs.abc.Codec):  # type: ignore[misc]
    """A compressor of Zarr 2."""

    codec_id = "ptystore-limited"

    def __init__(self, codec: str, size: int, most: int) -> None:
        self._said = codec, size, most

    def decode(self, buf: Any, out: Any = None) -> Any:
        codec, size, most = self._said
        return np.frombuffer(bounded(codec, _bytes_of(buf), size, most), np.uint8)

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError  # nothing is written


def _bytes_of(buffer: Any) -> memoryview:
    return np.asarray(buffer).reshape(-1).view(np.uint8).data


def limited(array: Any) -> Any:
    """The same `zarr.Array` with such codecs; others are left as they are."""
    old = array.metadata
    if old.zarr_format == 2:
        size, most = _sizes(array, array.chunks, has_filters=bool(old.filters))
        name = getattr(old.compressor, "codec_id", None)
        if name not in BOUNDED:
            return array
        new = dataclasses.replace(old, compressor=_Limited2(name, size, most))
    else:
        new = dataclasses.replace(old, codecs=_codecs(array, old.codecs, array.chunks))
    return zarr.Array(zarr.AsyncArray(metadata=new, store_path=array.store_path))


def _codecs(array: Any, codecs: Iterable[Any], chunk: tuple[int, ...]) -> tuple[Any, ...]:
    size, most = _sizes(array, chunk, has_filters=any(_name(one) is None for one in codecs))
    found: list[Any] = []
    for one in codecs:
        name = _name(one)
        if isinstance(one, ShardingCodec):
            inner = _codecs(array, one.codecs, tuple(one.chunk_shape))
            one = dataclasses.replace(one, codecs=inner)
        elif name in BOUNDED:
            one = _Limited3(name, size, most)
        found.append(one)
    return tuple(found)


# Codecs that leave as many bytes as there were.
_PLAIN = frozenset({"bytes", "transpose", "crc32c", "sharding_indexed"})


def _name(codec: Any) -> str | None:
    """What numcodecs calls a codec of Zarr 3; None for one that may change how many bytes are."""
    name = str(codec.to_dict().get("name", "")).removeprefix("numcodecs.")
    return name if name in BOUNDED | _PLAIN else None


def _sizes(array: Any, chunk: tuple[int, ...], *, has_filters: bool) -> tuple[int, int]:
    """The bytes of a chunk's values, and the most that may be made of what is stored."""
    dtype = array.dtype
    if dtype.kind in "OT":
        return TEXT_LIMIT, TEXT_LIMIT
    size = math.prod(chunk) * dtype.itemsize
    return size, (size * _WIDEST if has_filters else size) + _MORE
