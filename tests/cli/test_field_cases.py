"""Files as people meet them at work, by the command line: the right values, or the way on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from typer.testing import CliRunner, Result

import ptystore
from ptystore_cli.app import app

RNG = np.random.default_rng(12)
COUNTS = RNG.poisson(40, (12, 5, 7)).astype(np.uint16)
PROBE = (RNG.normal(size=(5, 7)) + 1j * RNG.normal(size=(5, 7))).astype(np.complex64)
OBJECT = (RNG.normal(size=(31, 40)) + 1j * RNG.normal(size=(31, 40))).astype(np.complex64)
Y, X = RNG.uniform(4, 27, 12), RNG.uniform(5, 35, 12)
AMPLITUDE = np.sqrt(COUNTS).astype(np.float32)
SCAN = {"diff3d": COUNTS, "probeGuess": PROBE, "objectGuess": OBJECT, "ycoords": Y, "xcoords": X}

NAMED = {"diff3d": "diffraction"}


def ingest(source: Path, *words: object) -> Result:
    """`ptystore ingest SOURCE out.zarr --canonicalize` and more words."""
    line = ["ingest", source, source.parent / "out.zarr", "--canonicalize", *words]
    return CliRunner().invoke(app, [str(word) for word in line])


def canonical(source: Path, *words: object) -> ptystore.Dataset:
    done = ingest(source, *words)
    assert done.exit_code == 0, done.stderr
    told = CliRunner().invoke(app, ["validate", str(source.parent / "out.zarr")])
    assert told.exit_code == 0, told.output
    return ptystore.open(source.parent / "out.zarr")


def refused(source: Path, *words: object) -> str:
    done = ingest(source, *words)
    assert done.exit_code == 3
    assert not (source.parent / "out.zarr").exists()
    return done.stderr


def put(path: Path, **change: Any) -> Path:
    """The scan in an HDF5 file; a change to None leaves out."""
    with h5py.File(path, "w") as file:
        for name, values in {**SCAN, **change}.items():
            if values is not None:
                file[name] = values
    return path


def assert_scan(scan: ptystore.Dataset) -> None:
    wanted = {
        "diffraction": AMPLITUDE,
        "probeGuess": PROBE,
        "objectGuess": OBJECT,
        "ycoords": Y,
        "xcoords": X,
    }
    for name, values in wanted.items():
        found = scan[name].values()
        assert found.dtype == values.dtype, name
        np.testing.assert_array_equal(found, values, err_msg=name)


def test_positions_in_micrometres_are_no_pixels(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", ycoords=Y * 0.2, xcoords=X * 0.3)
    with h5py.File(path, "a") as file:
        for name in ("ycoords", "xcoords"):
            file[name].attrs["units"] = "um"
    told = refused(path)
    assert "xcoords: is in um, not in object pixels" in told or "ycoords: is in um" in told
    assert "--pixel-size" in told
    assert "--energy, --distance and --detector-pixel" in told
    scan = canonical(path, "--pixel-size", "200nm,300nm")
    np.testing.assert_allclose(scan["ycoords"].values(), Y, rtol=1e-12)
    np.testing.assert_allclose(scan["xcoords"].values(), X, rtol=1e-12)
    assert scan["xcoords"].attrs["units"] == "pixel"


def test_what_the_experiment_was_tells_how_large_a_pixel_is(tmp_path: Path) -> None:
    wavelength = 1.2398419843320026e-6 / 8000
    height, width = (wavelength * 2 / (n * side) for n, side in ((5, 75e-6), (7, 50e-6)))
    path = put(tmp_path / "a.h5", ycoords=Y * height * 1e3, xcoords=X * width * 1e3)
    with h5py.File(path, "a") as file:
        for name in ("ycoords", "xcoords"):
            file[name].attrs["units"] = "mm"
    words = ("--energy", "8keV", "--distance", "2m", "--detector-pixel", "75um,50um")
    scan = canonical(path, *words)
    np.testing.assert_allclose(scan["ycoords"].values(), Y, rtol=1e-9)
    np.testing.assert_allclose(scan["xcoords"].values(), X, rtol=1e-9)


@pytest.mark.parametrize("names", ["real,imag", "r,i", "re,im"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_pairs_of_floats_are_complex_numbers(tmp_path: Path, names: str, dtype: str) -> None:
    def pairs(values: Any) -> Any:
        real, imag = names.split(",")
        out = np.zeros(values.shape, [(real, dtype), (imag, dtype)])
        out[real], out[imag] = values.real, values.imag
        return out

    path = put(tmp_path / "a.h5", probeGuess=pairs(PROBE), objectGuess=pairs(OBJECT))
    assert_scan(canonical(path))


def test_links_inside_the_file_are_followed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.h5", diff3d=None, xcoords=None)
    with h5py.File(path, "a") as file:
        file["raw/frames"], file["raw/x"] = COUNTS, X
        file["diff3d"] = h5py.SoftLink("/raw/frames")
        file["xcoords"] = h5py.SoftLink("/x")
        file["x"] = h5py.SoftLink("raw/x")
    words = [part for name in ("raw", "x") for part in ("--skip", name)]
    assert_scan(canonical(path, *words))


def test_names_of_ones_own_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    positions = np.stack([Y, X], 1)
    np.savez(path, data=COUNTS, positions=positions, probe=PROBE, object=OBJECT)
    told = refused(path)
    for there in ("data uint16 (12, 5, 7)", "positions float64 (12, 2)", "--map diffraction="):
        assert there in told
    words = ["--map", "diffraction=data", "--map", "probeGuess=probe", "--map"]
    words += ["objectGuess=object", "--positions", f"{path}:positions"]
    scan = canonical(path, *words, "--position-columns", "y,x", "--position-units", "px")
    assert_scan(scan)
    assert not {"data", "probe", "object"} & set(scan)  # no array is there twice


def test_a_raster_is_put_in_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{**SCAN, "diff3d": COUNTS.reshape(3, 4, 5, 7)})
    scan = canonical(path)
    assert_scan(scan)
    assert scan.geometry["scan_shape"].value == [3, 4]


def test_positions_on_the_raster_too(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    grids = {"ycoords": Y.reshape(3, 4), "xcoords": X.reshape(3, 4)}
    np.savez(path, **{**SCAN, **grids, "diff3d": COUNTS.reshape(3, 4, 5, 7)})
    assert_scan(canonical(path))


def test_zarr_in_groups_is_read_by_path(tmp_path: Path) -> None:
    entry = zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_group("entry")
    for name, values in SCAN.items():
        entry.create_array(name, data=values)
    told = refused(tmp_path / "a.zarr")
    assert "--map diffraction=/entry/diff3d" in told
    words = [part for name in SCAN for part in ("--map", f"{NAMED.get(name, name)}=/entry/{name}")]
    assert_scan(canonical(tmp_path / "a.zarr", *words))


def test_a_single_array_of_zarrs_is_a_field(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "frames.zarr"), data=COUNTS)
    told = refused(tmp_path / "frames.zarr")
    option = told.partition("advice: ")[2].split()[:2]
    assert option == ["--map", "diffraction=frames"]
    positions = tmp_path / "p.csv"
    np.savetxt(positions, np.column_stack([Y, X]), delimiter=",", header="y_px,x_px", comments="")
    scan = canonical(tmp_path / "frames.zarr", *option, "--positions", positions)
    np.testing.assert_array_equal(scan["diffraction"].values(), AMPLITUDE)
    np.testing.assert_array_equal(scan["xcoords"].values(), X)


def test_a_file_whose_writer_died(tmp_path: Path) -> None:
    """What others were let read so far is taken when it is asked for, and nothing else."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for name, values in SCAN.items():
            shape = (None, *values.shape[1:]) if len(values) == 12 else None
            part = values[:7] if name == "diff3d" else values
            chunks = None if shape is None else (1, *values.shape[1:])
            file.create_dataset(name, data=part, maxshape=shape, chunks=chunks)
        file.swmr_mode = True
        file.flush()
        shutil.copyfile(path, tmp_path / "left.h5")  # as it lies there while it is open
    told = refused(tmp_path / "left.h5")
    assert "is being written, or its writer died" in told
    assert "--partial" in told
    scan = canonical(tmp_path / "left.h5", "--partial")
    np.testing.assert_array_equal(scan["diffraction"].values(), AMPLITUDE[:7])
    np.testing.assert_array_equal(scan["ycoords"].values(), Y[:7])
    np.testing.assert_array_equal(scan["objectGuess"].values(), OBJECT)
