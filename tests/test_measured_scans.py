"""Published measured scans, each by one command into a canonical store, what they lack said."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from ptystore_cli.app import app


def run(*words: object) -> str:
    """What a command says in all; it must succeed."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    return " ".join((done.stdout + done.stderr).split())


def measured(data_dir: Path, name: str) -> Path:
    path = data_dir / "real" / name
    if not path.is_file():
        pytest.skip(f"no measured scan at {path}")
    return path


def canonical(source: Path, out: Path, *words: object) -> ptystore.Dataset:
    run("ingest", source, out, "--canonicalize", *words)
    assert not ptystore.verify(out).damages
    scan = ptystore.open(out)
    assert scan.frames.attrs["signal"] == "amplitude"
    assert scan.frames.dtype == np.float32
    return scan


def assert_missing(told: str, *names: str) -> None:
    """The facts that a report names as missing are these."""
    found = told.partition("missing: ")[2].partition(" complete it")[0]
    assert set(found.replace(",", "").split()) == set(names)


def test_a_siemens_star_of_tikes(data_dir: Path, tmp_path: Path) -> None:
    path = measured(data_dir, "siemens-star-small.npz.bz2")
    scan = canonical(path, tmp_path / "a.zarr")
    assert scan.frames.shape == (516, 128, 128)
    counts = scan.frames[::50].astype(np.float64) ** 2
    assert counts.sum((1, 2)).mean() == pytest.approx(461_000, rel=0.1)
    # Of a measured pattern the middle is bright: zero frequency is there, not in the corner.
    assert counts.mean(0)[32:96, 32:96].sum() > 0.9 * counts.mean(0).sum()
    assert scan["probeGuess"].shape == (128, 128)
    assert_missing(
        run("info", tmp_path / "a.zarr"),
        *("photon_energy_eV", "detector_distance_m", "detector_pixel_size_m"),
    )


def test_a_near_field_scan(data_dir: Path, tmp_path: Path) -> None:
    path = measured(data_dir, "PETRAIII_P25_Near_Field_Ptycho.cxi")
    told = run("ingest", path, tmp_path / "a.zarr", "--canonicalize")
    assert "whether it is of the near field; --pixel-size says" in told
    # What a pixel of the near field is only the caller knows.
    scan = canonical(path, tmp_path / "b.zarr", "--pixel-size", "200nm")
    with h5py.File(path) as file:
        entry = file["entry_1"]
        counts = entry["data_1/data"][...]
        moved = entry["sample_1/geometry_1/translation"][...].astype(np.float64)
    assert scan.frames.shape == counts.shape == (200, 100, 100)
    np.testing.assert_array_equal(scan.frames.values(), np.sqrt(counts).astype(np.float32))
    for name, column in (("xcoords", 0), ("ycoords", 1)):
        found, wanted = scan[name].values(), moved[:, column] / 2e-7
        np.testing.assert_allclose(found - found[0], wanted - wanted[0], rtol=0, atol=1e-6)
    assert scan.geometry["object_pixel_size_m"].value == [2e-7, 2e-7]
    assert np.count_nonzero(scan["mask"].values()) == 5


def test_a_detector_of_electrons_that_was_never_told(data_dir: Path, tmp_path: Path) -> None:
    path = measured(data_dir, "arina/test_00_master.h5")
    told = run("ingest", path, tmp_path / "a.zarr", "--canonicalize")
    assert "detector_distance is 0, which is unset: --distance" in told
    assert "beam_center_y and x are 0, which is unset: --center" in told
    assert "holds no positions: --positions" in told
    missing = ("detector_distance_m", "xcoords", "ycoords", "center_px")
    assert_missing(run("info", tmp_path / "a.zarr"), *missing)
    scan = ptystore.open(tmp_path / "a.zarr")
    assert scan.frames.shape == (16, 192, 192)
    assert scan.geometry["electron_energy_eV"].value == pytest.approx(300e3)
    assert scan.geometry["wavelength_m"].value == pytest.approx(1.9687e-12, rel=1e-4)
    assert "photon_energy_eV" not in scan.geometry

    step = np.arange(16) * 0.5
    np.savetxt(tmp_path / "p.txt", np.column_stack([step // 2, step % 2]))
    words = ("--distance", "1m", "--center", "96,96", "--crop", "128", "--positions")
    words += (tmp_path / "p.txt", "--position-columns", "y,x", "--position-units", "nm")
    told = run("ingest", path, tmp_path / "b.zarr", "--canonicalize", *words)
    assert "unset" not in told
    assert_missing(run("info", tmp_path / "b.zarr"))
    pixel = 1.96875e-12 / (128 * 100e-6)
    found = ptystore.open(tmp_path / "b.zarr")["xcoords"].values()
    np.testing.assert_allclose(found - found[0], step % 2 * 1e-9 / pixel, rtol=1e-5, atol=1e-9)
