"""`ptystore info` on other tools' files: as what they are read, what is known, what is missing."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import foreign
import ptystore
from ptystore_cli.app import app

COUNTS = np.random.default_rng(0).poisson(20.0, (5, 7, 9)).astype("f4")
STEPS = np.arange(5) * 1e-6


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words: object) -> dict[str, Any]:
    done = run("info", *words, "--json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def filled(command: str, folder: Path, **values: str) -> list[str]:
    """A command as it is told, with values for what is left open and a store in `folder`."""
    words = shlex.split(command)
    assert words[0] == "ptystore"
    return [
        str(folder / "out.zarr") if word == "out.zarr" else values.get(last, word)
        for last, word in pairwise(words)
    ]


@pytest.fixture
def ptylab(tmp_path: Path) -> Path:
    path = tmp_path / "a scan.h5"
    with h5py.File(path, "w") as file:
        file["ptychogram"] = COUNTS
        file["encoder"] = np.stack([STEPS, STEPS[::-1]], 1)
        file["dxd"] = 75e-6
        file["a"], file["b"] = STEPS, STEPS
    return path


def test_what_it_is_and_what_is_known(ptylab: Path) -> None:
    about = told(ptylab)
    assert about["understood"] == {
        "dialect": "ptylab",
        "title": "PtyLab scan, HDF5",
        "ours": False,
        "why": "known by ptychogram and encoder",
        "keys": ["/ptychogram", "/encoder"],
        "nearest": None,
    }
    assert about["geometry"] == {
        "detector_pixel_size_m": {"value": [75e-6, 75e-6], "source": "/dxd"}
    }
    assert about["raw_frame"]["center_px"] == [3.0, 4.0]
    assert about["missing"] == [
        {"name": "photon_energy_eV", "option": "--energy …keV"},
        {"name": "detector_distance_m", "option": "--distance …m"},
    ]
    lines = run("info", ptylab).stdout.splitlines()
    assert lines[2] == (
        "read as ptylab (PtyLab scan, HDF5), known by ptychogram and encoder; "
        "it has /ptychogram, /encoder"
    )
    (row,) = (line for line in lines if line.startswith("detector_pixel_size_m"))
    assert row.split("  ")[1:] == ["75 × 75 um", "/dxd"]
    assert lines[-2] == "missing: photon_energy_eV, detector_distance_m"
    assert lines[-1] == (
        f"complete it with: ptystore ingest '{ptylab}' out.zarr --energy …keV --distance …m"
    )


def test_the_command_completes_it(ptylab: Path, tmp_path: Path) -> None:
    (command,) = told(ptylab)["completed_by"]
    words = filled(command, tmp_path, **{"--energy": "8.8keV", "--distance": "2m"})
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    about = told(tmp_path / "out.zarr")
    assert (about["missing"], about["completed_by"]) == ([], [])
    assert about["understood"]["ours"]
    assert about["geometry"]["detector_distance_m"] == {"value": 2.0, "source": "--distance"}
    assert "read as" not in run("info", tmp_path / "out.zarr").output


def test_options_that_were_given_are_given_again(ptylab: Path) -> None:
    about = told(ptylab, "--distance", "2m", "--frames", "0:4", "--flipx", "--positions",
                 f"{ptylab}:/encoder", "--position-columns", "y,x", "--position-units", "m",
                 "--map", "monitor=/a", "--map", "exposure=/b")  # fmt: skip
    (command,) = about["completed_by"]
    words = shlex.split(command)
    assert words[:6] == ["ptystore", "ingest", str(ptylab), "out.zarr", "--energy", "…keV"]
    given = words[6:]
    assert "--flipx" in given
    for option, value in (("--distance", "2m"), ("--frames", "0:4"), ("--position-columns", "y,x")):
        assert given[given.index(option) + 1] == value
    assert [given[at + 1] for at, word in enumerate(given) if word == "--map"] == [
        "monitor=/a",
        "exposure=/b",
    ]


def test_a_store_of_ours_is_completed_in_its_place(tmp_path: Path) -> None:
    scan = ptystore.dataset_of({"diffraction": COUNTS, "xcoords": STEPS, "ycoords": STEPS})
    store = tmp_path / "scan.zarr"
    ptystore.write(scan, store)
    (command,) = told(store)["completed_by"]
    assert command == (f"ptystore set {store} --energy …keV --distance …m --detector-pixel …um")
    values = {"--energy": "8.8keV", "--distance": "2m", "--detector-pixel": "75um"}
    assert run(*filled(command, tmp_path, **values)).exit_code == 0
    assert told(store)["completed_by"] == []
    bare = tmp_path / "bare.zarr"
    ptystore.write(ptystore.dataset_of({"diffraction": COUNTS}), bare)
    first, second = told(bare)["completed_by"]
    assert first.startswith(f"ptystore set {bare} --energy")
    assert second == f"ptystore ingest {bare} out.zarr --positions FILE"


def test_a_near_field_scan_lacks_the_pixel_of_the_object() -> None:
    scan = ptystore.dataset_of({"diffraction": COUNTS, "xcoords": STEPS, "ycoords": STEPS})
    facts = {
        "photon_energy_eV": 8800, "detector_distance_m": 2, "detector_pixel_size_m": 75e-6,
        "propagation": "near",
    }  # fmt: skip
    about = ptystore.describe(ptystore.set_facts(scan, facts))
    assert about["missing"] == [
        {"name": "object_pixel_size_m", "option": "--pixel-size …nm"},
    ]
    assert about["completed_by"] == []  # of one in memory


def test_a_detector_tells_where_its_beam_is_or_it_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        data = entry.create_group("data")
        data.attrs["NX_class"], data.attrs["signal"] = "NXdata", "data"
        data["data"] = COUNTS.astype("u2")
    about = told(path)
    assert about["understood"]["dialect"] == "nexus"
    assert about["missing"][-2:] == [
        {"name": "xcoords, ycoords", "option": "--positions FILE"},
        {"name": "center_px", "option": "--center Y,X"},
    ]
    values = {
        "--energy": "8.8keV", "--distance": "2m", "--detector-pixel": "75um", "--center": "3,4",
        "--positions": f"{tmp_path / 'p.csv'}",
    }  # fmt: skip
    (tmp_path / "p.csv").write_text("y_um,x_um\n" + "".join(f"{k},{-k}\n" for k in range(5)))
    done = run(*filled(about["completed_by"][0], tmp_path, **values))
    assert done.exit_code == 0, done.stderr
    after = told(tmp_path / "out.zarr")
    assert after["missing"] == []
    assert after["raw_frame"]["center_px"] == [3.0, 4.0]


def test_electrons_by_an_angle_need_neither_distance_nor_detector(data_dir: Path) -> None:
    about = told(foreign.fixture(data_dir, "stem4d_hspy") / "scan.hspy")
    assert about["understood"]["keys"] == ["/Experiments"]
    assert about["missing"] == []


def test_a_file_that_no_dialect_knows(tmp_path: Path) -> None:
    path = tmp_path / "odd.h5"
    with h5py.File(path, "w") as file:
        file["ptychogram"], file["where"] = COUNTS, STEPS
    about = told(path)
    assert about["understood"]["dialect"] is None
    assert about["understood"]["nearest"] == "nearest is ptylab, of which it lacks /encoder"
    assert about["missing"][0] == {
        "name": "diffraction",
        "option": "--map diffraction=FILE:PATH",
    }
    assert "none of which is known as frames: no dialect has its keys; nearest is ptylab" in (
        run("info", path).output
    )
    out = tmp_path / "out.zarr"
    refused = run("canonicalize", path, out)
    assert refused.exit_code == 3
    assert "there is no diffraction or diff3d" in refused.stderr
    assert "nearest is ptylab, of which it lacks /encoder" in refused.stderr
    assert not out.exists()


def test_groups_that_no_dialect_knows_are_told_by_path(tmp_path: Path) -> None:
    path = tmp_path / "odd.h5"
    with h5py.File(path, "w") as file:
        file["scan/images"], file["scan/where/y"] = COUNTS, STEPS
        file["scan/again"] = file["scan"]  # a circle
    done = run("info", path)
    assert done.exit_code == 3
    assert "--map diffraction=/scan/images takes an array by its path" in done.stderr
    assert "there are /scan/images (5, 7, 9)" in done.stderr
    assert run("info", path, "--map", "diffraction=/scan/images").exit_code == 0


def test_contract_names_are_near_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, diffraction=COUNTS, xcoords=STEPS, ycoords=STEPS)
    about = told(path)
    assert about["understood"]["dialect"] is None
    assert about["understood"]["nearest"] is None
    assert about["completed_by"][0].startswith(f"ptystore ingest {path} out.zarr --energy")
    assert "read as arrays under their own names: diffraction is what" in run("info", path).stdout


def test_the_history_says_what_a_file_was_read_as(ptylab: Path, tmp_path: Path) -> None:
    ptystore.write(ptystore.ingest(ptystore.open(ptylab)), tmp_path / "a.zarr")
    once = ptystore.canonicalize(ptystore.open(tmp_path / "a.zarr"))
    ptystore.write(once, tmp_path / "b.zarr")
    metadata = ptystore.open(tmp_path / "b.zarr").metadata
    assert metadata is not None
    first, second = metadata.history
    assert [one["dialect"] for one in first["inputs"]] == ["ptylab"]
    assert list(second["inputs"][0]) == ["file", "digest"]
    line = run("history", tmp_path / "b.zarr").stdout.splitlines()[0]
    assert line.startswith(first["timestamp"])
    assert line.endswith("as ptylab")
    joined = ptystore.concat([ptystore.open(ptylab), ptystore.open(ptylab)]).metadata
    assert joined is not None
    assert [one["dialect"] for one in joined.history[0]["inputs"]] == ["ptylab", "ptylab"]


def test_a_dialect_that_was_named_is_told_so(ptylab: Path) -> None:
    about = told(ptylab, "--dialect", "ptylab")
    assert about["understood"]["why"] == "named by the caller"
    as_it_is = told(ptylab, "--dialect", "none")
    assert as_it_is["understood"]["dialect"] is None


def test_a_document_of_nonsense_is_remarked(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    geometry = {"wavelength_m": {"value": "long"}}
    document = json.dumps({"physics_parameters": {"geometry": geometry}})
    np.savez(path, diffraction=COUNTS, _metadata=np.array(document))
    about = told(path)
    assert about["geometry"] == {}
    assert any("geometry.wavelength_m" in line for line in about["remarks"])
