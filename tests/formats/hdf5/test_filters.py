"""Chunks of other tools' HDF5 files, decoded here: the same values as HDF5's own filters give."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from numcodecs.lz4 import compress as lz4_compress
from numcodecs.zstd import compress as zstd_compress

import ptystore
from ptystore.errors import InputError
from ptystore.formats.hdf5.filters import Filter, Pipeline
from scans import assert_same, forked, pickled

FILTERS: dict[str, Mapping[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip"},
    "gzip of shuffled, checked": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "shuffle": {"shuffle": True},
    "fletcher32": {"fletcher32": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "scale and offset": {"scaleoffset": 0},
    "blosc": dict(hdf5plugin.Blosc()),
    "blosc of bits, zstd": dict(hdf5plugin.Blosc(cname="zstd", shuffle=2)),
    "lz4": dict(hdf5plugin.LZ4()),
    "lz4 in small blocks": dict(hdf5plugin.LZ4(nbytes=1000)),
    "bitshuffle": dict(hdf5plugin.Bitshuffle(cname="none")),
    "bitshuffle, lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle, small blocks": dict(hdf5plugin.Bitshuffle(nelems=64, cname="lz4")),
    "bitshuffle, zstd": dict(hdf5plugin.Bitshuffle(cname="zstd")),
    "zstd": dict(hdf5plugin.Zstd()),
    "bzip2": dict(hdf5plugin.BZip2()),
    "blosc2": dict(hdf5plugin.Blosc2()),
}
DTYPES = ("u1", "<u2", ">i4", "f4", "c8", "c16", "?")
CUTS = (
    ((21, 6, 10), (5, 3, 10)),
    ((40, 33, 31), (1, 33, 31)),
    ((9, 33, 31), (7, 33, 31)),
    ((13,), (4,)),
    ((16, 16, 9), (16, 16, 2)),
)


def counts(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Values that shrink, and behind them some that don't."""
    made = np.random.default_rng(0)
    values = made.poisson(3, shape)
    noise = made.integers(0, 1 << 30, shape)
    return np.where(
        np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) % 3, values, noise
    ).astype(dtype)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_gives_what_hdf5_gives(tmp_path: Path, name: str) -> None:
    tried = 0
    for dtype, (shape, chunks) in itertools.product(DTYPES, CUTS):
        if name == "scale and offset" and np.dtype(dtype).kind not in "iu":
            continue
        path = tmp_path / f"{tried}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("a", data=counts(dtype, shape), chunks=chunks, **FILTERS[name])
        with h5py.File(path) as file:
            wanted = file["a"][()]
        wanted = wanted.astype(wanted.dtype.newbyteorder("="))
        field = ptystore.open(path)["a"]
        assert_same(field.values(), wanted)
        assert_same(field[2:8], wanted[2:8])
        some = [shape[0] - 1, 0, 3, 3, 1]
        assert_same(field[some], wanted[some])
        assert_same(
            ptystore.open(path, global_=("a",))["a"].array.take(np.array(some)), wanted[some]
        )
        tried += 1
    assert tried >= len(CUTS)


@pytest.mark.parametrize("name", ["gzip of shuffled, checked", "scale and offset"])
def test_frames_behind_other_axes_and_other_processes(tmp_path: Path, name: str) -> None:
    frames = counts("u2", (12, 10, 30))
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("diff3d", data=frames, chunks=(12, 5, 7), **FILTERS[name])
        file["xcoords"] = file["ycoords"] = np.arange(30.0)
    scan = ptystore.open(path, axis_order="hwn")
    field = scan["diff3d"]
    assert field.frame_axis == 2
    assert_same(field.array.read(4, 16), frames[:, :, 4:16])
    assert_same(field.array.take(np.array([29, 4, 4, 5])), frames[:, :, [29, 4, 4, 5]])
    assert_same(pickled(scan)["diff3d"].values(), frames)
    forked(lambda: assert_same(field.values(), frames))


def test_contiguous_frames_behind_other_axes(tmp_path: Path) -> None:
    for shape in ((6, 5, 900), (6, 5, 9000), (2, 3, 4)):
        values = counts(">f4", shape)
        path = tmp_path / f"{shape[2]}.h5"
        with h5py.File(path, "w") as file:
            file["diff3d"] = values
            file["xcoords"] = file["ycoords"] = np.arange(float(shape[2]))
        array = ptystore.open(path, axis_order="hwn")["diff3d"].array
        wanted = values.astype("f4")
        assert_same(array.read(0, shape[2]), wanted)
        assert_same(array.read(1, 3), wanted[:, :, 1:3])
        assert_same(array.take(np.array([3, 0])), wanted[:, :, [3, 0]])


def one_chunk(path: Path, data: bytes, **kind: Any) -> np.ndarray[Any, Any]:
    """A file of one chunk of 1024 values of 2 bytes, encoded before; what HDF5 reads of it."""
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", (1024,), "<u2", chunks=(1024,), **kind)
        made.id.write_direct_chunk((0,), data)
    with h5py.File(path) as file:
        values: np.ndarray[Any, Any] = file["a"][()]
    return values


def lz4_of_2048() -> bytes:
    """A block of lz4 whose 2048 bytes are packed into 2048 others."""
    made = np.random.default_rng(0)
    for repeated in range(4, 60):
        data = np.frombuffer(made.bytes(2048), np.uint8).copy()
        data[1600 : 1600 + repeated] = data[:repeated]
        packed = bytes(lz4_compress(data.tobytes())[4:])
        if len(packed) == 2048:
            return packed
    raise AssertionError("there are no such bytes")


def zstd_of_2048() -> bytes:
    """The same for zstd, which fills up with a frame to be skipped."""
    packed = bytes(zstd_compress(bytes(range(256)) * 8, 3))
    rest = 2048 - len(packed) - 8
    return packed + b"P*M\x18" + rest.to_bytes(4, "little") + bytes(rest)


PACKED_TO_2048 = {"lz4": lz4_of_2048, "zstd": zstd_of_2048}


@pytest.mark.parametrize("packer", PACKED_TO_2048)
def test_blocks_that_are_as_long_packed_as_not(tmp_path: Path, packer: str) -> None:
    """Their length says "not compressed" to Blosc, which decodes them."""
    packed = PACKED_TO_2048[packer]()
    assert len(packed) == 2048
    head = (2048).to_bytes(8, "big")
    cases = [
        (
            dict(hdf5plugin.Bitshuffle(nelems=1024, cname=packer)),
            head + head[4:] + head[4:] + packed,
        )
    ]
    if packer == "zstd":
        cases.append((dict(hdf5plugin.Zstd()), packed))
    for kind, data in cases:
        wanted = one_chunk(tmp_path / "a.h5", data, **kind)
        assert_same(ptystore.open(tmp_path / "a.h5")["a"].values(), wanted)


@pytest.mark.parametrize("size", [0, 1, 500, 2047, 2049, 4096])
@pytest.mark.parametrize(
    "name", ["gzip", "shuffle", "lz4", "bitshuffle", "bitshuffle, lz4", "zstd", "blosc"]
)
def test_a_chunk_of_another_length_than_announced(tmp_path: Path, name: str, size: int) -> None:
    """It inflates short or long: neither other memory nor a part of it is taken for values."""
    kind = FILTERS[name]
    if size % 2 == 0 and size:
        with h5py.File(tmp_path / "other.h5", "w") as file:
            other = file.create_dataset(
                "a", data=np.arange(size // 2, dtype="<u2"), chunks=(size // 2,), **kind
            )
            data = other.id.read_direct_chunk((0,))[1]
    else:
        import zlib

        data = zlib.compress(bytes(size)) if name == "gzip" else bytes(size)
    if not data:
        return
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", (2048,), "<u2", chunks=(1024,), **kind)
        made[1024:] = 7
        made.id.write_direct_chunk((0,), data)
    field = ptystore.open(path)["a"]
    with pytest.raises(InputError, match="a: frames 0 to 1023: ") as caught:
        field[5]
    assert caught.value.file == str(path)
    assert (field[1024:] == 7).all()
    (damage,) = ptystore.verify(path).damage
    assert damage.startswith("a: rows 0 to 1023: ") or damage.startswith("a: frames 0 to 1023: ")


def test_the_damaged_chunk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", data=np.ones((8, 8)), chunks=(4, 4), compression="gzip")
        made.id.write_direct_chunk((4, 0), b"no gzip")
    with pytest.raises(InputError, match=r"frames 4 to 7: the chunk \(1, 0\) of \(2, 2\): "):
        ptystore.open(path)["a"].values()


def test_filters_that_are_not_listed_run_only_when_asked_for(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((8, 16, 16)).astype("f4")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=values, chunks=(4, 16, 16), **hdf5plugin.Zfp(reversible=True))
    with pytest.raises(
        InputError, match=r"a: needs the HDF5 filter 32013 \(.*\), which is not"
    ) as caught:
        ptystore.open(path)
    assert "--filters all" in str(caught.value.advice)
    assert_same(ptystore.open(path, filters="all")["a"].values(), values)


@pytest.mark.parametrize("here", [True, False])
def test_lzf_here_or_in_the_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    if not here:
        monkeypatch.setattr("ptystore.formats.hdf5.filters.has_lzf", lambda: False)
    values, path = counts("u2", (9, 16, 16)), tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", data=values, chunks=(3, 16, 16), **FILTERS["lzf"])
        assert made.id.get_chunk_info(1).filter_mask == 0
    field = ptystore.open(path)["a"]
    assert_same(field.values(), values)
    with h5py.File(path, "r+") as file:
        made = file["a"].id
        data = bytearray(made.read_direct_chunk((3, 0, 0))[1])
        made.write_direct_chunk((3, 0, 0), bytes(data[: len(data) // 2]))
    with pytest.raises(InputError, match="a: frames 3 to 5: "):
        ptystore.open(path)["a"].values()


def test_which_pipelines_are_decoded_here() -> None:
    def pipeline(*codes: int) -> Pipeline | None:
        return Pipeline.of(tuple(Filter(code, (), "", True) for code in codes), 1024, 2)

    assert pipeline(2, 1, 3)
    assert pipeline(3, 2, 1)
    assert pipeline(1, 1) is None
    assert pipeline(1, 2) is None
    assert pipeline(2, 5) is None
