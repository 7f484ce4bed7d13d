"""Chunks of other tools' Zarr arrays that nobody wrote: named and refused, or filled when asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import ptystore
from ptystore.errors import InputError
from scans import assert_same, pickled

FRAMES = np.arange(12 * 8 * 9, dtype="u2").reshape(12, 8, 9) + 1

KINDS: dict[str, dict[str, Any]] = {
    "2": {"zarr_format": 2},
    "2 nested": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "3": {},
    "3 flat": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "3 named as 2": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "shards": {"shards": (4, 8, 15)},
    "a shard": {"shards": (16, 8, 10)},
    "index first": {"shards": {"shape": (4, 8, 10), "index_location": "start"}},
}


def partly_written(path: Path, name: str = "diff3d", fill: int = 0, **kind: Any) -> Path:
    """A scan of 12 frames, of which 0 to 6 and 9 were written as a whole, 8 in part."""
    group = zarr.open_group(path, mode="w", zarr_format=kind.pop("zarr_format", 3))
    made = group.create_array(
        name, shape=FRAMES.shape, dtype="u2", chunks=(1, 4, 5), fill_value=fill, **kind
    )
    for at in (*range(7), 9):
        made[at] = FRAMES[at]
    made[8, :4] = FRAMES[8, :4]
    for other in ("xcoords", "ycoords"):
        group.create_array(other, data=np.arange(1.0, 13.0))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_were_never_written_are_named_and_refused(tmp_path: Path, kind: str) -> None:
    path = partly_written(tmp_path / "a.zarr", **KINDS[kind])
    scan = ptystore.open(path)
    with pytest.raises(InputError, match="diff3d: frames 7 to 8, 10 to 11: never") as caught:
        ptystore.write(ptystore.ingest(scan), tmp_path / "b.zarr")
    assert "--missing fill" in str(caught.value.advice)
    assert not (tmp_path / "b.zarr").exists()
    for key in (7, slice(6, 9), [0, 11], -1):
        with pytest.raises(InputError, match="never written"):
            scan["diff3d"][key]
    assert_same(pickled(scan)["diff3d"][[9, 0, 6]], FRAMES[[9, 0, 6]])
    assert_same(scan["diff3d"][2:7], FRAMES[2:7])
    assert ptystore.verify(path).damage == ("diff3d: frames 7 to 8, 10 to 11: never written",)


@pytest.mark.parametrize("fill", [0, 77])
def test_the_fill_value_is_taken_when_asked_for(tmp_path: Path, fill: int) -> None:
    path = partly_written(tmp_path / "a.zarr", fill=fill)
    wanted = FRAMES.copy()
    wanted[[7, 8, 10, 11]] = fill
    wanted[8, :4] = FRAMES[8, :4]
    report = ptystore.write(
        ptystore.ingest(ptystore.open(path, missing="fill")), tmp_path / "b.npz"
    )
    assert [line for line in report.warnings if "diff3d: frames 7 to 8, 10 to 11" in line]
    written = ptystore.open(tmp_path / "b.npz")
    assert_same(written["diff3d"].values(), wanted)
    assert written.metadata is not None
    first = written.metadata.history[0]
    assert first["operation"] == "fill_missing"
    assert first["parameters"] == {"missing_frames": {"diff3d": [[7, 8], [10, 11]]}}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_as_a_whole_is_as_it_is(tmp_path: Path, kind: str) -> None:
    path = partly_written(tmp_path / "a.zarr", **KINDS[kind])
    zarr.open_group(path, mode="a")["diff3d"][...] = FRAMES
    scan = ptystore.open(path)
    assert_same(scan["diff3d"].values(), FRAMES)
    assert ptystore.verify(path).ok


def test_a_missing_position_is_refused(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("diff3d", data=FRAMES)
    group.create_array("ycoords", data=np.arange(1.0, 13.0))
    group.create_array("xcoords", shape=(12,), dtype="f8", chunks=(5,))[:5] = 1
    with pytest.raises(InputError, match="xcoords: frames 5 to 11: never written"):
        ptystore.open(tmp_path / "a.zarr")["xcoords"].values()


def test_absent_chunks_of_other_arrays_are_ordinary_and_told(tmp_path: Path) -> None:
    path = partly_written(tmp_path / "a.zarr", "dark", fill=3)
    zarr.open_group(path, mode="a").create_array("diff3d", data=FRAMES)
    report = ptystore.write(ptystore.ingest(ptystore.open(path)), tmp_path / "b.zarr")
    assert [line for line in report.warnings if line.startswith("dark: 14 of 48 chunks are absent")]
    assert (ptystore.open(tmp_path / "b.zarr")["dark"].values()[7] == 3).all()


def test_a_huge_array_of_which_little_is_there(tmp_path: Path) -> None:
    """What is announced costs nothing: only what is there is counted."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    made = group.create_array("diff3d", shape=(1 << 24, 4, 4), dtype="u2", chunks=(1, 4, 4))
    made[3] = 1
    group.create_array("probeGuess", shape=(1 << 30, 1 << 30), dtype="c8", chunks=(64, 64))
    scan = ptystore.open(tmp_path / "a.zarr")
    assert (scan["diff3d"][3] == 1).all()
    with pytest.raises(InputError, match=f"frames 0 to 2, 4 to {(1 << 24) - 1}: never written"):
        scan["diff3d"].array.prepare(None)
