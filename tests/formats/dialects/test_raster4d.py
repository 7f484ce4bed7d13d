"""Frames on a raster read one after another, whatever they lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptystore import InputError
from ptystore.formats.dialects import raster4d
from ptystore.formats.dialects.raster4d import RasterLines, flattened
from ptystore.formats.dialects.scan import memory_array
from ptystore.formats.hdf5.pieces import ChunkedPieces
from ptystore.formats.npz import member
from ptystore.formats.opening import open_tree
from ptystore.model.lazy_array import LazyArray, read_all
from scans import assert_same, bytes_read, pickled

SHAPE = (5, 6, 7, 4)
FRAMES = np.random.default_rng(2).integers(0, 999, SHAPE).astype("u2")
FLAT = FRAMES.reshape(30, 7, 4)


def lazy(path: Path, member: str = "/x") -> LazyArray:
    return flattened(open_tree(path).array(member, "diffraction")).build(0)


def check(array: LazyArray, wanted: Any = FLAT) -> None:
    assert array.shape == wanted.shape
    assert array.axis == 0
    assert_same(read_all(array), wanted)
    for start, stop in ((0, 1), (3, 9), (5, 6), (11, 30), (29, 30), (7, 7)):
        assert_same(array.read(start, stop), wanted[start:stop])
    indices = np.array([29, 0, 7, 6, 7, 13])
    assert_same(array.take(indices), wanted[indices])
    assert array.take(indices[:0]).shape == (0, *wanted.shape[1:])
    assert_same(pickled(array).begin(4, 14)(), wanted[4:14])


@pytest.mark.parametrize(
    "chunks", [(1, 1, 7, 4), (1, 3, 7, 2), (1, 6, 3, 4), (1, 2, 2, 3), (1, 4, 7, 4), (2, 3, 4, 4)]
)
@pytest.mark.parametrize("compression", [None, "gzip", "scaleoffset"])
def test_chunks(tmp_path: Path, chunks: tuple[int, ...], compression: str | None) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        how = {"scaleoffset": 0} if compression == "scaleoffset" else {"compression": compression}
        file.create_dataset("x", data=FRAMES, chunks=chunks, **how)
    array = lazy(tmp_path / "a.h5")
    assert isinstance(array, RasterLines) == (chunks[0] > 1 or chunks[1] == 4)
    check(array)


def test_one_piece(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=FRAMES.astype(">u2"))
        file["swapped"] = FRAMES.astype(">f8")
    check(lazy(tmp_path / "a.h5"))
    check(lazy(tmp_path / "a.h5", "/swapped"), FLAT.astype("f8"))


def test_never_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stack = file.create_dataset("x", SHAPE, "u2", chunks=(1, 2, 7, 4))
        stack[:3] = FRAMES[:3]
        stack[3, :2] = FRAMES[3, :2]
        file.create_dataset("nothing", SHAPE, "u2")
    array = lazy(tmp_path / "a.h5")
    assert_same(array.read(0, 20), FLAT[:20])
    with pytest.raises(InputError, match="20 to 29"):
        array.read(18, 21)
    with pytest.raises(InputError, match="20 to 29"):
        array.prepare(None)
    with pytest.raises(InputError, match="0 to 29"):
        lazy(tmp_path / "a.h5", "/nothing").prepare(None)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("deflated", [True, False])
def test_npz(tmp_path: Path, order: Any, deflated: bool) -> None:
    save = np.savez_compressed if deflated else np.savez
    save(tmp_path / "a.npz", x=np.asarray(FRAMES, order=order))
    check(lazy(tmp_path / "a.npz"))


def test_in_memory() -> None:
    check(flattened(memory_array(FRAMES)).build(0))


def test_a_frame_is_read_alone(tmp_path: Path) -> None:
    """Frames of 128 KiB, whose lines are of 2 MiB."""
    big = np.zeros((4, 16, 256, 256), "u2")
    big[2, 5] = 7
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=big, chunks=(1, 1, 256, 256))
        file.create_dataset("y", data=big)
    for name in "xy":
        array = lazy(tmp_path / "a.h5", f"/{name}")
        array.read(0, 1)
        before = bytes_read()
        assert (array.read(37, 38) == 7).all()
        assert bytes_read() - before < 200 << 10


class Counted:
    """Notes what is read of another array."""

    def __init__(self, source: LazyArray) -> None:
        self.shape, self.dtype, self.axis = source.shape, source.dtype, source.axis
        self.sequential = source.sequential
        self.source = source
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> Any:
        self.reads.append((start, stop))
        return self.source.read(start, stop)


@pytest.mark.parametrize(("lines", "reads"), [(1, 5), (2, 3), (5, 1)])
def test_no_line_is_read_twice_in_order(lines: int, reads: int) -> None:
    counted = Counted(memory_array(FRAMES).build(0))
    array = RasterLines(counted, lines)  # type: ignore[arg-type]
    for at in range(30):
        assert_same(array.read(at, min(30, at + 2)), FLAT[at : at + 2])
    assert len(counted.reads) == reads


def test_slabs_that_are_too_large_are_read_by_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster4d, "_SLAB_BYTES", 2 * FRAMES[0].nbytes - 1)
    counted = Counted(memory_array(FRAMES).build(0))
    check(RasterLines(counted, 2))  # type: ignore[arg-type]
    assert {stop - start for start, stop in counted.reads} == {1}


def test_deflated_members_are_inflated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=FRAMES)
    rewound = []
    rewind = member.DeflatedBytes._rewind
    monkeypatch.setattr(
        member.DeflatedBytes, "_rewind", lambda self: (rewound.append(self), rewind(self))
    )
    array = lazy(tmp_path / "a.npz")
    assert array.sequential
    made = len(rewound)
    for at in range(0, 30, 4):
        array.begin(at, min(30, at + 4))()
    assert len(rewound) == made


def test_other_shapes_and_axes() -> None:
    with pytest.raises(InputError, match="slow, fast"):
        flattened(memory_array(np.zeros(3)))
    with pytest.raises(InputError, match="axis 1"):
        flattened(memory_array(FRAMES)).build(1)
    empty = flattened(memory_array(FRAMES[:, :0])).build(0)
    assert empty.read(0, 0).shape == (0, 7, 4)


def test_only_whole_lines_of_chunks_merge(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=FRAMES, chunks=(1, 2, 7, 4))
    array = open_tree(tmp_path / "a.h5").array("/x", "x").build(0)
    assert isinstance(array, ChunkedPieces)
    merged = array.merged()
    assert merged is not None
    assert merged.merged() is None
