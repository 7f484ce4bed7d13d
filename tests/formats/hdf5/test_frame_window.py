"""Rows of pixels of frames that are a chunk each: the same as of whole frames, for less."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

import ptystore
from dectris_files import master
from ptystore import InputError
from ptystore.formats.hdf5.filters import Filter, Pipeline
from ptystore.model.windows import window_of
from scans import assert_same, pickled

#: No multiple of 8 pixels, so that something is left over behind the blocks.
SHAPE = (9, 61, 47)
KINDS: dict[str, Any] = {
    "lz4": hdf5plugin.Bitshuffle(cname="lz4"),
    "lz4, small blocks": hdf5plugin.Bitshuffle(nelems=64, cname="lz4"),
    "zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "not packed": hdf5plugin.Bitshuffle(cname="none"),
    "not packed, small blocks": hdf5plugin.Bitshuffle(nelems=128, cname="none"),
}


def counts(dtype: str) -> Any:
    """Some of which shrink, and some don't."""
    made = np.random.default_rng(1)
    few = made.poisson(2, SHAPE)
    few[:, 20:35] = made.integers(0, 1 << 30, (SHAPE[0], 15, SHAPE[2]))
    return few.astype(dtype)


def stored(path: Path, frames: Any, kind: Any, name: str = "diff3d", **more: Any) -> Any:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=frames, chunks=(1, *frames.shape[1:]), **kind, **more)
    return ptystore.open(path)[name].array


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4", "f8"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_rows_of_pixels(tmp_path: Path, kind: str, dtype: str) -> None:
    frames = counts(dtype)
    array = stored(tmp_path / "a.h5", frames, KINDS[kind])
    for first, last in [(0, 1), (60, 61), (0, 61), (18, 37), (19, 20), (31, 58), (5, 60)]:
        window = window_of(array, first, last)
        assert window is not None
        assert_same(window.read(0, 9), frames[:, first:last])
        assert_same(window.read(3, 3), frames[3:3, first:last])
        assert_same(pickled(window).take(np.array([8, 2, 2, 0])), frames[[8, 2, 2, 0], first:last])


def test_any_bytes_of_a_chunk(tmp_path: Path) -> None:
    frames = counts("<u4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset(
            "x", data=frames, chunks=(1, *SHAPE[1:]), **hdf5plugin.Bitshuffle(nelems=128)
        )
        body = made.id.read_direct_chunk((4, 0, 0))[1]
        values = made.id.get_create_plist().get_filter(0)[2]
    size = frames[0].nbytes
    pipeline = Pipeline.of((Filter(32008, tuple(values), "", True),), size, 4)
    assert pipeline is not None
    whole = frames[4].tobytes()
    edges = [0, 1, 511, 512, 513, 4096, 9000, size - 13, size - 12, size - 1, size]
    for begin, end in itertools.combinations(edges, 2):
        found = pipeline.decode_span(memoryview(body), 0, begin, end)
        assert found.tobytes() == whole[begin:end]
        # A chunk that no filter was used on.
        assert pipeline.decode_span(memoryview(whole), 1, begin, end).tobytes() == whole[begin:end]


@pytest.mark.parametrize(
    "kind",
    [{"compression": "gzip"}, {}, {**KINDS["lz4"], "fletcher32": True}, {"compression": "lzf"}],
    ids=["gzip", "none", "checked", "lzf"],
)
def test_where_whole_frames_cost_no_more(tmp_path: Path, kind: dict[str, Any]) -> None:
    assert window_of(stored(tmp_path / "a.h5", counts("u4"), kind), 3, 5) is None


def test_other_arrays_than_frames_in_a_chunk_each(tmp_path: Path) -> None:
    frames = counts("u4")
    for name, values, chunks in (
        ("several", frames, (2, *SHAPE[1:])),
        ("parts", frames, (1, 30, 47)),
        ("swapped", frames.astype(">u4"), (1, *SHAPE[1:])),
        ("raster", frames.reshape(3, 3, 61, 47), (1, 3, 61, 47)),
    ):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("diff3d", data=values, chunks=chunks, **KINDS["lz4"])
        array = ptystore.open(tmp_path / f"{name}.h5")["diff3d"].array
        assert window_of(array, 3, 5) is None
    array = stored(tmp_path / "a.h5", frames, KINDS["lz4"])
    assert window_of(array, 3, 62) is None


def test_frames_that_were_never_written(tmp_path: Path) -> None:
    frames = counts("u4")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset(
            "diff3d", SHAPE, "u4", chunks=(1, *SHAPE[1:]), fillvalue=7, **KINDS["lz4"]
        )
        made[:5] = frames[:5]
    window = window_of(ptystore.open(tmp_path / "a.h5")["diff3d"].array, 3, 8)
    assert window is not None
    assert_same(window.read(0, 5), frames[:5, 3:8])
    for use in (lambda: window.read(4, 6), lambda: window.prepare(None)):
        with pytest.raises(InputError, match="frames 5 to 8: never written"):
            use()
    filled = window_of(ptystore.open(tmp_path / "a.h5", missing="fill")["diff3d"].array, 3, 8)
    assert filled is not None
    assert_same(
        filled.read(4, 7), np.concatenate([frames[4:5], np.full((2, 61, 47), 7, "u4")])[:, 3:8]
    )


@pytest.mark.parametrize("harm", ["cut", "overwritten", "too long"])
def test_damage_is_told_of_the_frame(tmp_path: Path, harm: str) -> None:
    array = stored(tmp_path / "a.h5", counts("u4"), KINDS["lz4"])
    del array
    with h5py.File(tmp_path / "a.h5", "a") as file:
        made = file["diff3d"].id
        body = bytearray(made.read_direct_chunk((6, 0, 0))[1])
        if harm == "cut":
            body = body[: len(body) // 3]
        elif harm == "overwritten":
            body[16:200] = b"\xff" * 184
        else:
            body[7] ^= 8
        made.write_direct_chunk((6, 0, 0), bytes(body))
    window = window_of(ptystore.open(tmp_path / "a.h5")["diff3d"].array, 2, 60)
    assert window is not None
    with pytest.raises(InputError, match="diff3d: frames 6 to 6: "):
        window.read(0, 9)


@pytest.mark.parametrize("orientation", range(8))
@pytest.mark.parametrize("crop", [(4, 5), (7, 3), (9, 12)])
def test_prepared_frames_are_the_same_as_from_memory(
    tmp_path: Path, orientation: int, crop: tuple[int, int]
) -> None:
    path = master(tmp_path)
    scan = ptystore.open(path)
    names = ("diffraction", "mask")
    whole = ptystore.dataset_of({name: scan[name].values() for name in names})
    for frames in (None, [9, 1, 1, 4]):
        made = [
            ptystore.prepare(one, crop=crop, orientation=orientation, center=(4.0, 5.0))
            for one in (scan, whole)
        ]
        key = slice(None) if frames is None else frames
        assert_same(made[0]["diffraction"][key], made[1]["diffraction"][key])
    some = ptystore.prepare(ptystore.open(path, frames="1:9:3"), crop=3, center=(4.0, 5.0))
    wanted = ptystore.prepare(whole, crop=3, center=(4.0, 5.0))["diffraction"][1:9:3]
    assert_same(some["diffraction"].values(), wanted)
    partial = ptystore.open(path, partial=True)
    assert window_of(partial["diffraction"].array, 1, 3) is not None
