"""Files that are still being written: refused, or the frames that are there taken when asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from linked_files import FRAMES, halves, part, virtual
from ptystore import InputError
from ptystore.errors import IntegrityError
from ptystore_cli.app import app
from scans import assert_same, pickled


def writer(path: Path, **kind: Any) -> h5py.File:
    """A writer that lets others read, with five frames and six positions so far."""
    file = h5py.File(path, "w", libver="latest")
    for name, shape in (("diff3d", (7, 6)), ("xcoords", ()), ("ycoords", ())):
        file.create_dataset(
            name, (0, *shape), "u2" if shape else "f8", maxshape=(None, *shape), chunks=(1, *shape)
        )
    file.swmr_mode = True
    write(file, 5, 6)
    return file


def write(file: h5py.File, frames: int, positions: int) -> None:
    for name, count in (("diff3d", frames), ("xcoords", positions), ("ycoords", positions)):
        start = len(file[name])
        file[name].resize(count, axis=0)
        values = FRAMES if name == "diff3d" else np.arange(12.0)
        file[name][start:] = values[start:count]
        file[name].flush()


def test_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with writer(path) as file:
        with pytest.raises(InputError, match="is being written") as caught:
            ptystore.open(path)
        assert "--partial" in str(caught.value.advice)
        scan = ptystore.open(path, partial=True)
        assert_same(scan["diff3d"].values(), FRAMES[:5])
        write(file, 9, 9)
        # What was there when it was opened, though there is more by now.
        ptystore.write(ptystore.ingest(scan), tmp_path / "b.zarr")
        stored = ptystore.open(tmp_path / "b.zarr")
        assert_same(stored["diff3d"].values(), FRAMES[:5])
        assert_same(stored["xcoords"].values(), np.arange(5.0))
        assert any("xcoords: the first 5 of 6" in line for line in scan.source.remarks)
        assert_same(ptystore.open(path, partial=True)["diff3d"].values(), FRAMES[:9])
    assert_same(ptystore.open(path)["diff3d"].values(), FRAMES[:9])


def test_frames_announced_and_not_written_yet(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("diff3d", FRAMES.shape, "u2", chunks=(2, 7, 6))
        file["xcoords"], file["ycoords"] = np.arange(12.0), np.arange(12.0)
        file.swmr_mode = True
        file["diff3d"][:6] = FRAMES[:6]
        file["diff3d"].flush()
        scan = ptystore.open(path, partial=True)
        assert_same(scan["diff3d"].values(), FRAMES[:6])
        assert_same(pickled(scan)["diff3d"][[5, 0]], FRAMES[[5, 0]])
        assert scan["xcoords"].shape == (6,)
        ptystore.write(scan, tmp_path / "all.zarr")
        assert_same(ptystore.open(tmp_path / "all.zarr")["diff3d"].values(), FRAMES[:6])
        file["diff3d"][8:10] = FRAMES[8:10]
        file["diff3d"].flush()
        with pytest.raises(InputError, match=r"frames 6 to 7.*never written"):
            ptystore.write(ptystore.open(path, partial=True), tmp_path / "b.zarr")
    with pytest.raises(InputError, match="frames 6 to 7, 10 to 11: never written"):
        ptystore.open(path)["diff3d"].values()


def test_nothing_written_yet(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("diff3d", FRAMES.shape, "u2", chunks=(2, 7, 6))
        file.swmr_mode = True
        with pytest.raises(InputError, match="no frame yet"):
            ptystore.open(path, partial=True)


def test_a_file_that_only_grows_meanwhile_is_refused_without_it(tmp_path: Path) -> None:
    path = part(tmp_path / "a.h5", FRAMES, "diff3d")
    scan, partial = ptystore.open(path), ptystore.open(path, partial=True)
    with open(path, "ab") as raw:
        raw.write(b"more")
    with pytest.raises(IntegrityError, match="changed"):
        scan["diff3d"].values()
    assert_same(partial["diff3d"].values(), FRAMES)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(IntegrityError, match="changed"):
        partial["diff3d"].values()


def test_another_file_by_the_same_name_is_refused_all_the_same(tmp_path: Path) -> None:
    path = part(tmp_path / "a.h5", FRAMES, "diff3d")
    scan = pickled(ptystore.open(path, partial=True))
    path.rename(tmp_path / "old.h5")
    part(path, FRAMES, "diff3d")
    assert path.stat().st_size >= (tmp_path / "old.h5").stat().st_size
    with pytest.raises(IntegrityError, match="changed"):
        pickled(scan)["diff3d"].values()


def test_a_writer_that_lets_nobody_read(tmp_path: Path) -> None:
    """Its mark is of another kind: what is in the file may be anything."""
    path, copy = tmp_path / "a.h5", tmp_path / "b.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["diff3d"] = FRAMES
        file.flush()
        copy.write_bytes(path.read_bytes())
    for options in ({}, {"partial": True}):
        with pytest.raises(InputError, match="is being written, or its writer died"):
            ptystore.open(copy, **options)


def test_virtual_frames_of_which_some_are_to_come(tmp_path: Path) -> None:
    path = halves(tmp_path)
    with h5py.File(tmp_path / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = FRAMES[5:9]
    with pytest.raises(InputError, match=r"shape \(4, 7, 6\) there, declared is \(7, 7, 6\)"):
        ptystore.open(path)
    scan = ptystore.open(path, partial=True)
    assert_same(scan["diff3d"].values(), FRAMES[:9])
    assert scan["xcoords"].shape == (9,)
    (tmp_path / "deep" / "b.h5").unlink()
    assert_same(ptystore.open(path, partial=True)["diff3d"].values(), FRAMES[:5])
    (tmp_path / "a.h5").unlink()
    with pytest.raises(InputError, match="no frame yet"):
        ptystore.open(path, partial=True)


def test_parts_of_sources_of_which_some_are_to_come(tmp_path: Path) -> None:
    part(tmp_path / "a.h5", FRAMES[:8])
    path = virtual(
        tmp_path / "m.h5",
        (6, 7, 6),
        (np.s_[:3], "a.h5", FRAMES.shape, np.s_[:3]),
        (np.s_[3:], "a.h5", FRAMES.shape, np.s_[6:9]),
    )
    with pytest.raises(InputError, match=r"frames 3 to 5 are .*taken up to index 8 of 8"):
        ptystore.open(path)
    scan = ptystore.open(path, partial=True)
    assert_same(scan["diff3d"].values(), FRAMES[[0, 1, 2, 6, 7]])


def test_what_ptystore_wrote_is_never_taken_for_growing(tmp_path: Path) -> None:
    ptystore.write(ptystore.dataset_of({"diff3d": FRAMES}), tmp_path / "a.h5")
    scan = ptystore.open(tmp_path / "a.h5", partial=True)
    with open(tmp_path / "a.h5", "ab") as raw:
        raw.write(b"more")
    with pytest.raises(IntegrityError, match="changed"):
        scan["diff3d"].values()


def test_the_fixture_by_its_commands(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "field" / "h5_swmr_left_open.h5"
    if not path.is_file():
        pytest.skip(f"no fixture at {path}")
    refused = CliRunner().invoke(app, ["ingest", str(path), str(tmp_path / "a.zarr")])
    assert refused.exit_code == 3
    assert "is being written, or its writer died" in refused.output
    assert not (tmp_path / "a.zarr").exists()
    taken = CliRunner().invoke(app, ["ingest", str(path), str(tmp_path / "a.zarr"), "--partial"])
    with h5py.File(path, "r", swmr=True, locking=False) as file:
        there = file["diff3d"].id.get_num_chunks()
        wanted = file["diff3d"][:there]
    if there:
        assert taken.exit_code == 0, taken.output
        assert_same(ptystore.open(tmp_path / "a.zarr")["diff3d"].values(), wanted)
    else:
        assert taken.exit_code == 3
        assert "no frame yet" in taken.output
