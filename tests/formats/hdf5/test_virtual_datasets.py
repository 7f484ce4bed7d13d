"""Virtual datasets: put together from other files, each compared before anything is read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from linked_files import FRAMES, PACKED, Place, halves, part, tree_of, virtual
from ptystore.errors import InputMissingError
from ptystore.formats.dialects.raster4d import flattened
from ptystore_cli.app import app
from scans import assert_same, forked, pickled


@pytest.mark.parametrize(
    "kind",
    [{}, {"chunks": None}, {"chunks": (3, 4, 6), "compression": "gzip"}, {"chunks": (2, 7, 6)}],
    ids=str,
)
def test_frames_of_two_files(tmp_path: Path, kind: dict[str, Any]) -> None:
    path = halves(tmp_path, **(kind or PACKED))
    scan = ptystore.open(path)
    field = scan["diff3d"]
    assert field.shape == FRAMES.shape
    assert_same(field.values(), FRAMES)
    for a, b in itertools.combinations(range(13), 2):
        assert_same(field[a:b], FRAMES[a:b])
    assert_same(pickled(scan)["diff3d"][[11, 4, 5, 4]], FRAMES[[11, 4, 5, 4]])
    forked(lambda: assert_same(field[3:8], FRAMES[3:8]))
    assert ptystore.verify(path).ok
    ptystore.write(ptystore.ingest(scan), tmp_path / "b.zarr")
    assert_same(ptystore.open(tmp_path / "b.zarr")["diff3d"].values(), FRAMES)


def by_one_frame(folder: Path) -> Path:
    places: list[Place] = []
    for at, frame in enumerate(FRAMES):
        part(folder / f"f{at}.h5", frame, chunks=None)
        places.append((at, f"f{at}.h5", (7, 6), None))
    return virtual(folder / "m.h5", FRAMES.shape, *places)


def interleaved(folder: Path) -> Path:
    """Three writers, each of which has two frames in turn."""
    places: list[Place] = []
    for k in range(3):
        own = [at for at in range(12) if at // 2 % 3 == k]
        part(folder / f"n{k}.h5", FRAMES[own])
        for turn in range(2):
            at = turn * 6 + k * 2
            places.append(
                (np.s_[at : at + 2], f"n{k}.h5", (4, 7, 6), np.s_[turn * 2 : turn * 2 + 2])
            )
    return virtual(folder / "m.h5", FRAMES.shape, *places)


def strided(folder: Path) -> Path:
    part(folder / "even.h5", FRAMES[::2])
    part(folder / "odd.h5", np.repeat(FRAMES[1::2], 2, axis=0))
    return virtual(
        folder / "m.h5",
        FRAMES.shape,
        (np.s_[::2], "even.h5", (6, 7, 6), None),
        (np.s_[1::2], "odd.h5", (12, 7, 6), np.s_[1::2]),
    )


def modules(folder: Path) -> Path:
    """Four modules of a detector, in files that have several frames in a chunk."""
    places: list[Place] = []
    for at, (rows, columns) in enumerate(
        itertools.product((np.s_[:4], np.s_[4:]), (np.s_[:2], np.s_[2:]))
    ):
        own = FRAMES[:, rows, columns]
        part(folder / f"m{at}.h5", own, chunks=(5, *own.shape[1:]))
        places.append((np.s_[:, rows, columns], f"m{at}.h5", own.shape, None))
    return virtual(folder / "m.h5", FRAMES.shape, *places)


def columns_apart(folder: Path) -> Path:
    """Every second column in a file, cut out of wider frames, frames in steps too."""
    wide = np.zeros((24, 9, 6), "u2")
    wide[::2, 1:8, ::2], wide[1::2, 1:8, ::2] = FRAMES[:, :, ::2], FRAMES[:, :, 1::2]
    part(folder / "w.h5", wide, chunks=(4, 9, 6))
    return virtual(
        folder / "m.h5",
        FRAMES.shape,
        (np.s_[:, :, ::2], "w.h5", wide.shape, np.s_[::2, 1:8, ::2]),
        (np.s_[:, :, 1::2], "w.h5", wide.shape, np.s_[1::2, 1:8, ::2]),
    )


def of_more_axes(folder: Path) -> Path:
    part(folder / "line.h5", FRAMES[None, :6], chunks=(1, 1, 7, 6))
    part(folder / "raster.h5", FRAMES[6:].reshape(2, 3, 7, 6), chunks=(1, 3, 7, 6))
    return virtual(
        folder / "m.h5",
        FRAMES.shape,
        (np.s_[:6], "line.h5", (1, 6, 7, 6), None),
        (np.s_[6:], "raster.h5", (2, 3, 7, 6), None),
    )


def of_itself(folder: Path) -> Path:
    part(folder / "m.h5", FRAMES, "entry/data/data")
    return virtual(folder / "m.h5", FRAMES.shape, (np.s_[...], ".", FRAMES.shape, None))


def of_virtual_ones(folder: Path) -> Path:
    halves(folder / "inner")
    with h5py.File(folder / "inner" / "master.h5", "a") as file:
        file["entry/data/data"] = h5py.SoftLink("/diff3d")
    return virtual(
        folder / "m.h5", FRAMES.shape, (np.s_[...], "inner/master.h5", FRAMES.shape, None)
    )


def through_a_link(folder: Path) -> Path:
    part(folder / "raw" / "a.h5", FRAMES, "x")
    with h5py.File(folder / "l.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("raw/a.h5", "/x")
    return virtual(folder / "m.h5", FRAMES.shape, (np.s_[...], "l.h5", FRAMES.shape, None))


def percent(folder: Path) -> Path:
    part(folder / "100%.h5", FRAMES)
    return virtual(folder / "m.h5", FRAMES.shape, (np.s_[...], "100%%.h5", FRAMES.shape, None))


@pytest.mark.parametrize(
    "make",
    [
        *(by_one_frame, interleaved, strided, modules, columns_apart, of_more_axes, of_itself),
        *(of_virtual_ones, through_a_link, percent),
    ],
)
def test_every_way_of_putting_frames_together(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with h5py.File(path, "r") as file:
        assert_same(file["diff3d"][...], FRAMES)  # HDF5 thinks so too
    skip = ("entry",) if make is of_itself else ()
    scan = ptystore.open(path, skip=skip)
    assert_same(scan["diff3d"].values(), FRAMES)
    for a, b in itertools.combinations(range(13), 2):
        assert_same(scan["diff3d"][a:b], FRAMES[a:b])
    some = [7, 0, 11, 6, 7, 2]
    assert_same(pickled(scan)["diff3d"][some], FRAMES[some])


@pytest.mark.parametrize("whole", [True, False])
def test_frames_on_a_raster(tmp_path: Path, whole: bool) -> None:
    raster = FRAMES.reshape(3, 4, 7, 6)
    places: list[Place] = []
    for line in range(3):
        part(tmp_path / f"l{line}.h5", raster[line])
        if whole:
            places.append((line, f"l{line}.h5", (4, 7, 6), None))
        else:
            for k in range(4):
                places.append((np.s_[line, k], f"l{line}.h5", (4, 7, 6), k))
    path = virtual(tmp_path / "m.h5", raster.shape, *places)
    raw = tree_of(path).array("/diff3d", "diff3d")
    assert_same(raw.build(0).read(0, 3), raster)
    rows = flattened(raw).build(0)
    assert type(rows).__name__ == "VirtualArray"  # no line is read for a frame of it
    for a, b in itertools.combinations(range(13), 2):
        assert_same(rows.read(a, b), FRAMES[a:b])
    assert_same(rows.take(np.array([11, 4, 3])), FRAMES[[11, 4, 3]])


def test_parts_of_a_raster_in_columns(tmp_path: Path) -> None:
    """Of each line the first and the last two points are in files of their own; one is nowhere."""
    raster = FRAMES.reshape(3, 4, 7, 6)
    part(tmp_path / "a.h5", raster[:, :1], chunks=(1, 1, 7, 6))
    part(tmp_path / "b.h5", raster[:, 2:], chunks=(1, 1, 7, 6))
    path = virtual(
        tmp_path / "m.h5",
        raster.shape,
        (np.s_[:, :1], "a.h5", (3, 1, 7, 6), None),
        (np.s_[:, 2:], "b.h5", (3, 2, 7, 6), None),
        fill=9,
    )
    rows = flattened(tree_of(path).array("/diff3d", "any")).build(0)
    wanted = FRAMES.copy()
    wanted[1::4] = 9
    assert_same(rows.read(0, 12), wanted)
    assert rows.missing() == [(1, 1), (5, 5), (9, 9)]


def test_small_arrays_are_virtual_too(tmp_path: Path) -> None:
    part(tmp_path / "a.h5", np.arange(5.0), chunks=None)
    path = virtual(tmp_path / "m.h5", (5,), (np.s_[...], "a.h5", (5,), None), dtype="f8", name="z")
    assert ptystore.open(path)["z"].values().tolist() == [0, 1, 2, 3, 4]


def test_pieces_beside_each_other_are_no_overlap(tmp_path: Path) -> None:
    part(tmp_path / "a.h5", FRAMES)
    places = [
        (np.s_[at, r : r + 1, c::2], "a.h5", FRAMES.shape, np.s_[at, r : r + 1, c::2])
        for at, r, c in itertools.product(range(12), range(7), range(2))
    ]
    path = virtual(tmp_path / "m.h5", FRAMES.shape, *places)
    assert_same(ptystore.open(path)["diff3d"].values(), FRAMES)


def test_the_commands_on_virtual_frames(tmp_path: Path) -> None:
    path = halves(tmp_path)
    with h5py.File(path, "a") as file:
        file.move("diff3d", "scan/frames")
    runner = CliRunner()

    def done(*words: object) -> str:
        result = runner.invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.output

    mapped = ("--map", "diffraction=/scan/frames", "--skip", "scan")
    assert "12" in done("info", path, *mapped)
    done("ingest", path, tmp_path / "b.zarr", *mapped)
    assert_same(ptystore.open(tmp_path / "b.zarr")["diffraction"].values(), FRAMES)
    done(
        "ingest",
        path,
        tmp_path / "c.zarr",
        "--map",
        f"diffraction={path}:/scan/frames",
        *mapped[2:],
    )
    (tmp_path / "deep" / "b.h5").unlink()
    for verb, rest in (("info", ()), ("ingest", (tmp_path / "d.zarr",))):
        result = runner.invoke(app, [verb, *map(str, (path, *rest, *mapped))])
        assert result.exit_code == 3
        assert "frames 5 to 11 are" in result.output
        assert "b.h5" in result.output
    assert not (tmp_path / "d.zarr").exists()


def test_a_nexus_file_whose_frames_are_virtual(tmp_path: Path) -> None:
    """Its detector is a link to the data's group of a file of its own, its plot a soft link."""
    path = halves(tmp_path)
    with h5py.File(path, "a") as file:
        file.create_group("entry/data")
        file.create_group("entry/instrument/detector")
        for group, kind in (
            ("entry", "NXentry"),
            ("entry/data", "NXdata"),
            ("entry/instrument", "NXinstrument"),
            ("entry/instrument/detector", "NXdetector"),
        ):
            file[group].attrs["NX_class"] = kind
        file["entry/data"].attrs["signal"] = "data"
        file.move("diff3d", "entry/instrument/detector/data")
        file["entry/data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
        del file["xcoords"], file["ycoords"]
    scan = ptystore.open(path)
    assert scan.source.understood is not None
    assert scan.source.understood.dialect == "nexus"
    assert_same(scan["diffraction"].values(), FRAMES)
    (tmp_path / "a.h5").unlink()
    with pytest.raises(InputMissingError, match=r"frames 0 to 4 are .* of a\.h5: .*not there"):
        ptystore.open(path)
