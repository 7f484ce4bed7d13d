"""The options that tell what another tool's files lack, from the command line to the store."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import ptystore
from ptystore_cli.app import app

Y = np.array([0.0, 1.0, 4.0, 2.0])
X = np.array([3.0, 0.0, 1.0, 7.0])


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.output + result.stderr
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.npz"
    np.savez(path, diffraction=np.arange(4 * 36, dtype="u2").reshape(4, 6, 6))
    (tmp_path / "p.csv").write_text(
        "x_um,y_um\n" + "".join(f"{x},{y}\n" for y, x in zip(Y, X, strict=True))
    )
    return path


def test_one_command_from_detector_and_motors_to_a_store(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out.zarr"
    done(
        *("ingest", source, out, "--canonicalize", "--positions", tmp_path / "p.csv"),
        *("--positions-move", "sample", "--flipx", "--energy", "8.8keV", "--distance", "2m"),
        *("--detector-pixel", "75um", "--pixel-size", "500nm,250nm"),
    )
    scan = ptystore.open(out)
    np.testing.assert_allclose(scan["ycoords"].values(), -2 * Y + 8 + 3)
    np.testing.assert_allclose(scan["xcoords"].values(), 4 * X + 3)
    assert scan.frames.attrs["signal"] == "amplitude"
    facts = {name: scan.geometry[name].value for name in scan.geometry}
    assert facts["photon_energy_eV"] == 8800
    assert facts["detector_distance_m"] == 2
    assert facts["detector_pixel_size_m"] == [75e-6, 75e-6]
    assert facts["object_pixel_size_m"] == [5e-7, 2.5e-7]
    done("verify", out)


def test_flips_are_of_the_positions_that_are_read(tmp_path: Path, source: Path) -> None:
    """Without such, canonicalize flips those that are there; other verbs have nothing to flip."""
    read = ("--positions", tmp_path / "p.csv", "--position-units", "px")
    once = tmp_path / "once.zarr"
    done("canonicalize", source, once, *read, "--flipy")
    y = ptystore.open(once)["ycoords"].values()
    np.testing.assert_allclose(y - y[0], -(Y - Y[0]))
    twice = tmp_path / "twice.zarr"
    done("canonicalize", once, twice, "--flipy", "--flipx")
    np.testing.assert_allclose(ptystore.open(twice)["ycoords"].values(), -y)
    x = ptystore.open(once)["xcoords"].values()
    np.testing.assert_allclose(ptystore.open(twice)["xcoords"].values(), -x)
    refused = run("ingest", source, tmp_path / "no.zarr", "--flipx")
    assert refused.exit_code == 2
    assert "--flipx" in refused.output + refused.stderr


def test_maps_and_a_choice_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["e/images"] = np.arange(4 * 36, dtype="u2").reshape(4, 6, 6)
    np.savez(tmp_path / "m.npz", y=Y, x=X)
    words = ["--map", "diffraction=/e/images", "--map", f"ycoords={tmp_path / 'm.npz'}:y"]
    words += ["--map", f"xcoords={tmp_path / 'm.npz'}:x", "--frames", "::2", "--skip-first", "1"]
    done("ingest", path, tmp_path / "out.zarr", *words)
    scan = ptystore.open(tmp_path / "out.zarr")
    np.testing.assert_array_equal(scan["ycoords"].values(), Y[2:3])
    np.testing.assert_array_equal(scan["frame_index"].values(), [2])
    assert "diffraction" in done("info", path, *words).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--energy", "8.8"), "--energy: '8.8' has no unit: a number and one of eV, keV, MeV, J"),
        (("--distance", "2"), "one of m, cm, mm"),
        (("--detector-pixel", "75um,"), "--detector-pixel"),
        (("--map", "diffraction"), "FIELD=[FILE:]PATH"),
        (("--map", "mask=a", "--map", "mask=b"), "mapped twice"),
        (("--map", "nothing=a"), "no field"),
        (("--dialect", "nobody"), "known are none, "),
        (("--frames", "a"), "--frames"),
        (("--swap-xy",), "is for --positions"),
        (("--unpaired", "perhaps"), "perhaps"),
    ],
)
def test_usage_errors(tmp_path: Path, source: Path, words: tuple[str, ...], told: str) -> None:
    result = run("ingest", source, tmp_path / "out.zarr", *words)
    assert result.exit_code == 2
    said = " ".join((result.output + result.stderr).replace("│", " ").split())
    assert told in said
    assert not (tmp_path / "out.zarr").exists()


def test_what_the_data_lack_names_the_option(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X])[:3])
    result = run("ingest", source, tmp_path / "out.zarr", "--positions", tmp_path / "p.txt")
    assert result.exit_code == 3
    assert "--position-columns y,x" in result.stderr
    words = ("--positions", tmp_path / "p.txt", "--position-columns", "y,x")
    result = run("ingest", source, tmp_path / "out.zarr", *words)
    assert result.exit_code == 3
    assert "--position-units" in result.stderr
    result = run("ingest", source, tmp_path / "out.zarr", *words, "--position-units", "um")
    assert result.exit_code == 3
    assert "4 frames, but 3 positions" in result.stderr
    assert "--skip-first 1" in result.stderr
    assert not (tmp_path / "out.zarr").exists()
    done(
        "ingest",
        source,
        tmp_path / "out.zarr",
        *words,
        "--position-units",
        "px",
        "--skip-first",
        "1",
    )


def test_many_files(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in (1, 2, 4):
        np.save(folder / f"s_{k}.npy", np.full((4, 5), k, "u2"))
    result = done("ingest", folder, tmp_path / "a.zarr")
    assert "numbers 3" in result.stderr
    done("ingest", folder / "s_*.npy", tmp_path / "b.zarr", "--axis-order", "nhw")
    (tmp_path / "list.txt").write_text("s_4.npy\ns_1.npy\n")
    done("ingest", folder, tmp_path / "c.zarr", "--files", tmp_path / "list.txt")
    for name, wanted in (("a", [1, 2, 4]), ("b", [1, 2, 4]), ("c", [4, 1])):
        found = ptystore.open(tmp_path / f"{name}.zarr").frames.values()
        np.testing.assert_array_equal(found[:, 0, 0], wanted)
    assert "files" in done("info", folder).output
    done("digest", folder, "--json")
    assert run("verify", folder).exit_code == 3


def test_simulate_keeps_its_own_frames(tmp_path: Path) -> None:
    """Its `--frames` is how many are made: an option of a verb counts before that of a group."""
    made = np.random.default_rng(0)
    np.savez(
        tmp_path / "s.npz",
        probeGuess=np.ones((6, 6), "c8"),
        objectGuess=made.standard_normal((30, 30)).astype("c8"),
        xcoords=np.full(3, 15.0),
        ycoords=np.full(3, 15.0),
    )
    done("simulate", tmp_path / "s.npz", tmp_path / "out.zarr", "--frames", "5", "--dose", "100")
    assert ptystore.open(tmp_path / "out.zarr").frame_count == 5
