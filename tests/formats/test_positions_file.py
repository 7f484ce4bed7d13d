"""Scan positions in a file of their own: columns, units, signs, pairing, placing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from foreign import assert_truth, fixture
from measured_positions import FRAME, PIXEL, N, X, Y, check, frames, opened, rows
from ptystore.compute.positions import moved_by_probe
from ptystore.errors import InputError, IntegrityError, ParameterError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return frames(tmp_path / "a.npz")


# What is understood of a table


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("\n".join(f"{y},{x}" for y, x in rows()), "y,x"),
        ("\n".join(f"{x} {y}" for y, x in rows()), "x,y"),
        ("# motors\n\n" + "\n".join(f"  {x}\t{y}\t17 " for y, x in rows()), "x,y,-"),
        ("y,x\n" + "\n".join(f"{y},{x}" for y, x in rows()), None),
        (
            "time,X_um,Y_um\n" + "\n".join(f"10:0{k},{r[1]},{r[0]}" for k, r in enumerate(rows())),
            None,
        ),
        ("pos_x (um); pos_y (um)\n" + "\n".join(f"{x};{y}" for y, x in rows()), None),
        ("sx;sy\n" + "\n".join(f"{x};{y}".replace(".", ",") for y, x in rows()), "sy,sx"),
        ("# sx sy t\n" + "\n".join(f"{x} {y} 0" for y, x in rows()), "y=sy,x=sx"),
        ("\n".join(f"a,{x},{y}" for y, x in rows()), "3,2"),
        ("py px\n" + "\n".join(f"{y} {x}" for y, x in rows()), "y,x"),
        ("﻿y,x\r\n" + "\r\n".join(f"{y},{x}," for y, x in rows()).replace(",\r", "\r")[:-1], None),
        ("y,x\n" + "\n".join(f"{y},{x}," for y, x in rows()), None),
        ("y,x,\n" + "\n".join(f"{y},{x}" for y, x in rows()), None),
        ("y,x\num,um\n" + "\n".join(f"{y},{x}" for y, x in rows()), None),
        ("# y x\n#\n\n" + "\n".join(f"{y} {x}" for y, x in rows()), None),
        ("x (um)  y (um)\n" + "\n".join(f"{x}  {y}" for y, x in rows()), None),
        ("# x [um]  y [um]\n" + "\n".join(f"{x}  {y}" for y, x in rows()), None),
        ("x y\n" + "\n".join(f"{x} {y}".replace(".", ",") for y, x in rows()), None),
        ("\n".join(f"{x}\t{y}".replace(".", ",") for y, x in rows()), "x,y"),
    ],
)
def test_tables(tmp_path: Path, source: Path, text: str, columns: str | None) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text, "utf-8")
    check(opened(source, path, position_columns=columns))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_tables_of_other_programs_encodings(tmp_path: Path, source: Path, encoding: str) -> None:
    lines = (f"{x};{y}".replace(".", ",") for y, x in rows())
    (tmp_path / "p.csv").write_bytes("\r\n".join(["X [µm];Y [µm]", *lines]).encode(encoding))
    check(opened(source, tmp_path / "p.csv", position_units=None))


def test_a_line_of_units_below_the_names(tmp_path: Path, source: Path) -> None:
    lines = (f"{k},{x * 1e3},{y}" for k, (y, x) in enumerate(rows()))
    (tmp_path / "p.csv").write_text("\n".join(["t,x,y", "s,nm,(um)", *lines]))
    check(opened(source, tmp_path / "p.csv", position_units=None))


@pytest.mark.filterwarnings("error")
def test_an_infinite_position_is_refused_in_words(tmp_path: Path, source: Path) -> None:
    values = np.column_stack([Y, X])
    values[2, 1] = np.inf
    np.savetxt(tmp_path / "p.txt", values)
    scan = opened(source, tmp_path / "p.txt", position_columns="y,x")
    with pytest.raises(InputError, match="not finite, the first at index 2"):
        ptystore.write(scan, tmp_path / "out.zarr")


def test_measured_positions_are_kept_beside(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    scan = opened(source, tmp_path / "p.txt", position_columns="y,x", positions_move="sample")
    np.testing.assert_allclose(scan["position_y_m"].values(), Y * 1e-6, rtol=1e-14)
    assert scan["position_x_m"].attrs["units"] == "m"
    assert scan["position_x_m"].attrs["moves"] == "sample"
    measured = scan["position_y_m"].values(), scan["position_x_m"].values()
    y = moved_by_probe(*measured, scan["position_y_m"].attrs["affine"])[0]
    np.testing.assert_allclose(
        y / PIXEL[0],
        scan["ycoords"].values() + y[0] / PIXEL[0] - scan["ycoords"].values()[0],
        atol=1e-9,
    )
    check(scan, -Y, -X)
    height, width = scan.geometry["object_shape"].value
    for name, size, extent in (("ycoords", FRAME[0], height), ("xcoords", FRAME[1], width)):
        corners = scan[name].values() - size // 2
        assert corners.min() == 0
        assert extent - 1 <= corners.max() + size <= extent
    ptystore.write(scan, tmp_path / "out.zarr")
    assert ptystore.open(tmp_path / "out.zarr")["position_x_m"].attrs["affine"] == [
        [-1, 0, 0],
        [0, -1, 0],
    ]


@pytest.mark.parametrize(
    ("said", "y", "x"),
    [
        ({"flipx": True}, Y, -X),
        ({"flipy": True}, -Y, X),
        ({"positions_move": "sample", "flipx": True}, -Y, X),
        ({"swap_xy": True}, X, Y),
        ({"flipx": True, "swap_xy": True}, -X, Y),
        ({"affine": "1,0.5,0,0,2,1e-6"}, Y + 0.5 * X, 2 * X + 1),
        ({"affine": (0, 1, 0, 1, 0, 0), "flipy": True}, X, -Y),
    ],
)
def test_signs_and_axes(tmp_path: Path, source: Path, said: Any, y: Any, x: Any) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    check(opened(source, tmp_path / "p.txt", position_columns="y,x", **said), y, x)


def test_arrays_in_files(tmp_path: Path, source: Path) -> None:
    both = np.column_stack([X, Y])
    np.save(tmp_path / "p.npy", both.T)
    np.savez(tmp_path / "p.npz", pos_y=Y, pos_x=X, other=np.zeros(3)[:0].reshape(0, 2))
    np.savez(tmp_path / "q.npz", pos_y=Y, pos_x=X, list=both)
    with h5py.File(tmp_path / "m.nxs", "w") as file:
        file["entry/data/y"], file["entry/data/x"] = Y[:, None, None], X[:, None, None] * 1e3
        file["entry/data/y"].attrs["units"], file["entry/data/x"].attrs["units"] = "um", "nm"
        file["entry/list"] = both * 1e-3
        file["entry/list"].attrs["units"] = "millimetre"
    check(opened(source, tmp_path / "p.npy", position_columns="x,y"))
    check(opened(source, f"{tmp_path / 'q.npz'}:list", position_columns="x,y"))
    check(opened(source, f"{tmp_path / 'q.npz'}:pos_{{y,x}}"))
    check(opened(source, f"{tmp_path / 'm.nxs'}:/entry/data/{{y,x}}", position_units=None))
    check(opened(source, f"{tmp_path / 'm.nxs'}:/entry/data/{{x,y}}", position_units=None))
    check(
        opened(
            source, f"{tmp_path / 'm.nxs'}:entry/list", position_units=None, position_columns="x,y"
        )
    )


def test_positions_in_the_scans_own_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["e/frames"] = np.ones((N, *FRAME), "u2")
        file["e/sy"], file["e/sx"] = Y, X
    said = {"map": {"diffraction": "/e/frames"}, "position_columns": "sy,sx"}
    check(opened(path, "/e/{sx,sy}", **said))
    check(opened(path, f"{path}:/e/{{sx,sy}}", **said))


# Units and places


def test_units_must_be_known(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    said: dict[str, Any] = {"positions": tmp_path / "p.txt", "position_columns": "y,x"}
    with pytest.raises(InputError, match="does not say in which units") as caught:
        ptystore.open(source, **said)
    assert "px, m, " in str(caught.value.advice)
    with pytest.raises(ParameterError, match="'furlong', which is no length"):
        ptystore.open(source, position_units="furlong", **said)


def test_without_a_pixel_size_they_stay_in_metres(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    scan = opened(source, tmp_path / "p.txt", position_columns="y,x", pixel_size=None)
    assert "xcoords" not in scan
    assert scan.source is not None
    assert any("--pixel-size" in line for line in scan.source.remarks)
    np.testing.assert_allclose(scan["position_x_m"].values(), X * 1e-6)


def test_the_pixel_size_follows_from_the_facts(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    said = {"wavelength": "0.1nm", "distance": 1.0, "detector_pixel": "40um,50um"}
    scan = opened(source, tmp_path / "p.txt", position_columns="y,x", pixel_size=None, **said)
    assert scan.geometry["object_pixel_size_m"].value == pytest.approx([0.5e-6, 0.25e-6])
    check(scan)


def test_object_pixels(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y + 10, X + 20]))
    said = {"position_columns": "y,x", "position_units": "px"}
    scan = opened(source, tmp_path / "p.txt", **said)
    np.testing.assert_allclose(scan["ycoords"].values(), Y + 10)
    assert "position_y_m" not in scan
    moved = opened(source, tmp_path / "p.txt", flipx=True, **said)
    x = -(X + 20)
    np.testing.assert_allclose(moved["xcoords"].values(), x - x.min() + FRAME[1] // 2)
    assert moved.source is not None
    assert any("are moved" in line for line in moved.source.remarks)
    with_object = frames(tmp_path / "b.npz", objectGuess=np.ones((40, 50), "c8"))
    kept = opened(with_object, tmp_path / "p.txt", flipx=True, **said)
    np.testing.assert_allclose(kept["xcoords"].values(), x)


def test_an_object_with_a_centre_and_one_without(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    path = frames(
        tmp_path / "b.npz",
        objectGuess=np.ones((41, 50), "c8"),
        xcoords=np.zeros(N),
        ycoords=np.zeros(N),
    )
    scan = opened(path, tmp_path / "p.txt", position_columns="y,x")
    assert "xcoords" not in scan
    assert scan.source is not None
    assert any("object's middle" in line for line in scan.source.remarks)
    from ptystore.model.geometry import Fact, Geometry, with_geometry

    facts = {
        "object_center_m": Fact([1e-6, -2e-6], "t"),
        "object_pixel_size_m": Fact([*PIXEL], "t"),
    }
    document = with_geometry(None, Geometry(facts))
    ours = ptystore.dataset_of({n: f.values() for n, f in ptystore.open(path).items()}, document)
    ptystore.write(ours, tmp_path / "b.zarr")
    scan = opened(tmp_path / "b.zarr", tmp_path / "p.txt", position_columns="y,x", pixel_size=None)
    np.testing.assert_allclose(scan["ycoords"].values(), (Y - 1) / 0.5 + (41 - 5) / 2 + 2)
    np.testing.assert_allclose(scan["xcoords"].values(), (X + 2) / 0.25 + (50 - 8) / 2 + 4)
    ptystore.write(scan, tmp_path / "c.zarr")
    assert ptystore.verify(tmp_path / "c.zarr").ok


def test_they_take_the_place_of_the_files_own(tmp_path: Path) -> None:
    path = frames(tmp_path / "b.npz", ycoords=np.zeros(N), xcoords_start=np.zeros(N))
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    scan = opened(path, tmp_path / "p.txt", position_columns="y,x")
    assert "xcoords_start" not in scan
    check(scan)


# What is refused


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("1 2\n3 4\n", None, "2 columns and no names"),
        ("1 2 3\n3 4 5\n", "y,x", "has 3 columns, --position-columns y,x names 2"),
        ("a,b\n1,2\n", None, "don't say which are y and x"),
        ("y,x\n1,2\n", "y,z", "no column 'z'"),
        ("x,y\n1,a\n", None, "line 2: 'a' is no number"),
        ("1,2\n3\n4,5\n", "y,x", "line 2 has 1 fields, the first 2"),
        ("y1,y2,x\n1,2,3\n", None, "don't say which"),
        ("# nothing\n", "y,x", "holds no rows"),
        ("y,x\n", None, "no rows of numbers"),
        ("x,y,frame\n1,2,3\n4,5,3\n", None, "two positions of frame 3"),
        ("x,y,frame\n1,2,0.5\n", None, "no whole numbers"),
        ("1,2\n", "y,y", "y and x, each once"),
        ("1,2\n", "0,1", "no column '0'"),
    ],
)
def test_tables_that_do_not_tell(
    tmp_path: Path, source: Path, text: str, columns: str | None, words: str
) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises((InputError, ParameterError), match=words):
        opened(source, tmp_path / "p.csv", position_columns=columns)


def test_places_that_are_not_there(tmp_path: Path, source: Path) -> None:
    np.savez(tmp_path / "p.npz", a=np.zeros((3, 2)), b=np.zeros(4))
    with pytest.raises(InputError, match="no such file"):
        opened(source, tmp_path / "nothing.csv:x")
    with pytest.raises(InputError, match="no such array"):
        opened(source, "nothing.csv")
    with pytest.raises(InputError, match="/c: there is no such array") as caught:
        opened(source, f"{tmp_path / 'p.npz'}:c")
    assert "there are a, b" in str(caught.value.advice)
    with pytest.raises(InputError, match="two columns"):
        opened(source, f"{tmp_path / 'p.npz'}:b")


def test_a_pickle_is_never_loaded(tmp_path: Path, source: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{}, 1], object), allow_pickle=True)
    with pytest.raises(InputError, match="never loaded"):
        opened(source, tmp_path / "p.npy")


def test_a_table_that_changes_is_noticed(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    scan = opened(source, tmp_path / "p.txt", position_columns="y,x")
    np.savetxt(tmp_path / "p.txt", np.column_stack([X, Y]))
    with pytest.raises(IntegrityError, match="changed while it was read"):
        ptystore.write(scan, tmp_path / "out.zarr")


# Files that others wrote


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("positions.csv", {"position_units": "um"}),
        ("positions.csv", {"position_columns": "y,x"}),
        (
            "positions_motor_nm.txt",
            {"position_columns": "y,x", "position_units": "nm", "flipy": True},
        ),
    ],
)
def test_positions_of_an_eiger(data_dir: Path, tmp_path: Path, name: str, said: Any) -> None:
    folder = fixture(data_dir, "eiger_master")
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    np.savez(tmp_path / "f.npz", diffraction=np.ones((18, 32, 32), "u4"))
    pixel = tuple(truth["object_pixel_size_m"])
    scan = ptystore.open(tmp_path / "f.npz", positions=folder / name, pixel_size=pixel, **said)
    for field in ("ycoords", "xcoords"):
        found, wanted = scan[field].values(), np.array(truth[f"{field}_px"])
        np.testing.assert_allclose(found - found[0], wanted - wanted[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "columns"), [("positions.csv", "y,x"), ("positions.txt", "x,y")])
def test_positions_of_ptychodus(data_dir: Path, name: str, columns: str) -> None:
    folder = fixture(data_dir, "ptychodus_1.7_diffraction_npz")
    scan = ptystore.open(
        folder / "diffraction.npz",
        positions=folder / name,
        position_columns=columns,
        position_units="m",
        energy="8.8keV",
        distance="2m",
        detector_pixel="75um",
    )
    facts = ("energy_eV", "wavelength_m", "detector_distance_m", "detector_pixel_size_m")
    assert_truth(scan, folder, knows=(*facts, "object_pixel_size_m"))
