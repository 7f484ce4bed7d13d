"""The demo: a scan made on the spot that is as real, and as awkward, as a legacy one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import ptystore
from ptystore_cli.app import app

FRAMES = 30


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["demo", *map(str, words), "--frames", str(FRAMES)])


def test_the_scan(tmp_path: Path) -> None:
    path = ptystore.make_demo_scan(tmp_path / "raw.npz", 300, seed=3)
    with np.load(path, allow_pickle=False) as plain:
        assert plain["diff3d"].dtype == np.uint16
        assert plain["probeGuess"].dtype == plain["objectGuess"].dtype == np.complex128
        with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
            plain["_metadata"]
        counts = plain["diff3d"].astype(np.float64)
    scan = ptystore.open(path)
    assert scan.metadata.nphotons == 1e5
    assert scan.metadata.physics["N"] == 64
    # The dose is the mean over all frames; its Poisson error is far below this.
    assert counts.sum(axis=(1, 2)).mean() == pytest.approx(1e5, rel=2e-3)
    assert counts.max() < 65535
    # The frames are those of the object at the positions, not only any: the noiseless model
    # explains all but the Poisson noise, whose χ² per pixel is one.
    patches = ptystore.extract_patches(scan)["Y"][...]
    waves = np.fft.fft2(scan["probeGuess"][...] * patches)
    model = np.fft.fftshift(np.abs(waves) ** 2, axes=(1, 2))
    model *= 1e5 / model.sum(axis=(1, 2)).mean()
    bright = model > 20
    assert np.mean((counts - model)[bright] ** 2 / model[bright]) == pytest.approx(1, abs=0.05)
    x, start = scan["xcoords"][...], scan["xcoords_start"][...]
    assert 0 < np.abs(x - start).max() < 1
    assert len(np.unique(start)) == len(np.unique(np.round(start)))


def test_the_scan_follows_its_seed(tmp_path: Path) -> None:
    paths = [
        ptystore.make_demo_scan(tmp_path / f"{k}.npz", FRAMES, seed=seed)
        for k, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (ptystore.digest(path)[1] for path in paths)
    assert first == again != other
    assert {path.name for path in tmp_path.iterdir()} == {"0.npz", "1.npz", "2.npz"}


def test_the_scan_replaces_no_strangers_file(tmp_path: Path) -> None:
    path = tmp_path / "raw.npz"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        ptystore.make_demo_scan(path, FRAMES)
    with pytest.raises(ptystore.DestinationError, match="not written by ptystore"):
        ptystore.make_demo_scan(path, FRAMES, overwrite=True)
    assert path.read_text() == "precious"
    with pytest.raises(ptystore.ParameterError):
        ptystore.make_demo_scan(tmp_path / "none.npz", 0)


def test_the_whole_demo(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = run(folder)
    assert result.exit_code == 0, result.stderr
    commands = re.findall(r"^\$ ptystore (\w+) ", result.stdout, re.MULTILINE)
    assert commands == ["ingest", "canonicalize", "patch", "export", "history", "study"]
    # Plain numpy fails on the raw file, and reads every member of the result.
    refused, read = re.findall(r"^\$ python -c .*\n(.*)$", result.stdout, re.MULTILINE)
    assert refused == "ValueError: Object arrays cannot be loaded when allow_pickle=False"
    assert {"diffraction", "Y", "_metadata"} < set(read.split())
    assert result.stdout.count("wrote ") == 4
    assert "generate_patches_tool.py  generate_patches" in result.stdout
    assert "products" in result.stdout.splitlines()[-1]
    with np.load(folder / "patched.npz", allow_pickle=False) as members:
        assert members["Y"].shape == (FRAMES, 64, 64)
        assert len(json.loads(str(members["_metadata"].item()))["data_transformations"]) == 3
    assert ptystore.verify(folder / "patched.zarr").ok
    assert (folder / "study" / "summary" / "summary.md").is_file()


def test_demo_as_json_and_again(tmp_path: Path) -> None:
    first = run(tmp_path, "--json")
    assert first.exit_code == 0, first.stderr
    document = json.loads(first.stdout)
    assert [step["command"][1] for step in document["steps"]] == [
        *("ingest", "canonicalize", "patch", "export", "study")
    ]
    assert len(document["history"]) == 3
    made = {path.name for path in tmp_path.iterdir()}
    assert made == set(document["files"])

    again = run(tmp_path)
    assert again.exit_code == 4
    assert "is not empty" in again.stderr
    (tmp_path / "mine.txt").write_text("precious")
    assert run(tmp_path, "--overwrite", "--quiet").stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == {*made, "mine.txt"}


def test_a_demo_that_fails_leaves_only_what_was_there(tmp_path: Path) -> None:
    mine = tmp_path / "canonical.zarr"
    mine.mkdir()
    (mine / "chapter1").write_text("precious")
    result = run(tmp_path, "--overwrite")
    assert result.exit_code == 4
    assert "canonical.zarr: was not written by ptystore" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["canonical.zarr"]
    assert (mine / "chapter1").read_text() == "precious"


@pytest.mark.parametrize("folder", ["no/folder", "file"])
def test_a_folder_that_can_not_be(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("precious")
    result = run(tmp_path / folder)
    assert result.exit_code == 4
    assert result.stderr.startswith(f"ptystore: {tmp_path / folder}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
