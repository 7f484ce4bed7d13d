"""Chunks of other tools' Zarr stores fill no more than they announce, whatever is in them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import ptystore
from ptystore.errors import InputError
from ptystore.formats.bounded import BOUNDED, bounded
from ptystore.formats.chunk_codec import DamagedChunk

FRAMES = np.random.default_rng(2).poisson(3, (12, 8, 8)).astype("u2")
ZEROS = bytes(8 << 20)

PACK: dict[str, Callable[[bytes], bytes]] = {
    "blosc": lambda data: bytes(numcodecs.Blosc("zstd", 1).encode(data)),
    "zstd": lambda data: bytes(numcodecs.Zstd(1).encode(data)),
    "lz4": lambda data: bytes(numcodecs.LZ4().encode(data)),
    "zlib": lambda data: zlib.compress(data, 1),
    "gzip": lambda data: gzip.compress(data, 1),
    "bz2": bz2.compress,
    "lzma": lzma.compress,
}

CODECS_2 = {
    "blosc": numcodecs.Blosc(),
    "zstd": numcodecs.Zstd(),
    "lz4": numcodecs.LZ4(),
    "zlib": numcodecs.Zlib(),
    "gzip": numcodecs.GZip(),
    "bz2": numcodecs.BZ2(),
    "lzma": numcodecs.LZMA(),
}
CODECS_3 = {
    "blosc": zarr.codecs.BloscCodec(),
    "zstd": zarr.codecs.ZstdCodec(),
    "gzip": zarr.codecs.GzipCodec(),
}


def written(path: Path, zarr_format: Any, **options: Any) -> Path:
    group = zarr.create_group(path, zarr_format=zarr_format)
    array = group.create_array("diffraction", shape=FRAMES.shape, dtype="u2", **options)
    array[...] = FRAMES
    for name in ("xcoords", "ycoords"):
        group.create_array(name, shape=12, dtype="f8")[...] = np.arange(12.0)
    return path


def chunks_of(path: Path) -> list[Path]:
    found = (path / "diffraction").rglob("*")
    return [one for one in found if one.is_file() and one.name[0] not in "z."]


def read(path: Path) -> np.ndarray:
    return ptystore.open(path)["diffraction"].values()


@pytest.mark.parametrize(
    ("zarr_format", "codec", "options"),
    [
        *((2, name, {"compressors": one}) for name, one in CODECS_2.items()),
        (2, "zlib", {"compressors": numcodecs.Zlib(), "filters": [numcodecs.Delta("u2")]}),
        *((3, name, {"compressors": one}) for name, one in CODECS_3.items()),
        (3, "zstd", {"shards": (6, 8, 8)}),
        (3, "gzip", {"compressors": [CODECS_3["gzip"], zarr.codecs.Crc32cCodec()]}),
    ],
)
def test_sound_chunks_and_others(
    tmp_path: Path, zarr_format: int, codec: str, options: dict[str, Any]
) -> None:
    path = written(tmp_path / "a.zarr", zarr_format, chunks=(3, 8, 8), **options)
    np.testing.assert_array_equal(read(path), FRAMES)
    chunk = min(chunks_of(path))
    packed = chunk.read_bytes()
    chunk.write_bytes(packed[:-2])
    with pytest.raises(InputError, match="diffraction: can't be read"):
        read(path)
    chunk.write_bytes(packed)
    np.testing.assert_array_equal(read(path), FRAMES)


@pytest.mark.parametrize(
    ("zarr_format", "codec", "compressor"),
    [
        *((2, name, one) for name, one in CODECS_2.items()),
        *((3, name, one) for name, one in CODECS_3.items()),
    ],
)
def test_a_chunk_that_makes_too_much(
    tmp_path: Path, zarr_format: int, codec: str, compressor: Any
) -> None:
    path = written(tmp_path / "a.zarr", zarr_format, chunks=(3, 8, 8), compressors=compressor)
    min(chunks_of(path)).write_bytes(PACK[codec](ZEROS))
    with pytest.raises(InputError, match=r"it makes (8388608 bytes|more), where \d+ are the most"):
        read(path)


def test_texts_too(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        path = written(tmp_path / f"{zarr_format}.zarr", zarr_format)
        group = zarr.open_group(path, mode="a")
        group.create_array("words", shape=2, dtype=str)[...] = np.array(["a", "bcd"], object)
        assert ptystore.open(path)["words"].values().tolist() == ["a", "bcd"]


def test_every_codec_is_tried() -> None:
    assert BOUNDED == PACK.keys() == CODECS_2.keys()


@pytest.mark.parametrize("codec", sorted(BOUNDED))
def test_alone(codec: str) -> None:
    for size in (1, 40, 1000):
        data = np.random.default_rng(size).integers(0, 5, size, np.uint8).tobytes()
        packed = PACK[codec](data)
        assert bytes(bounded(codec, packed, size, size)) == data
        with pytest.raises(DamagedChunk):
            bounded(codec, packed, size, size - 1)
        for end in (*range(min(len(packed), 20)), len(packed) - 1):
            with pytest.raises(DamagedChunk):
                bounded(codec, packed[:end], size, size)


@pytest.mark.parametrize("codec", ["gzip", "bz2", "lzma"])
def test_streams_that_follow_each_other(codec: str) -> None:
    packed = PACK[codec](b"abc") + PACK[codec](b"defg")
    assert bytes(bounded(codec, packed, 7, 7)) == b"abcdefg"
    with pytest.raises(DamagedChunk, match="it makes more, where 6 are the most"):
        bounded(codec, packed, 7, 6)


def test_zstd_that_does_not_say_its_size() -> None:
    data = bytes(range(200)) * 3
    packed = PACK["zstd"](data)
    # The same without the two bytes of the size, and with the byte of a window in their place.
    assert packed[4] == 0x60
    unsaid = packed[:4] + b"\0" + b"\x58" + packed[7:]
    assert bytes(bounded("zstd", unsaid, len(data), len(data))) == data
    with pytest.raises(DamagedChunk):
        bounded("zstd", unsaid, len(data) - 1, len(data))
