"""Facts that are set in a scan's place: what follows from them, and what is left untouched."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from ptystore import DestinationError, IntegrityError, Metadata, ParameterError, api, set_facts
from ptystore.model.geometry import Fact, Geometry, with_geometry
from ptystore_cli.app import app

COUNT, HEIGHT, WIDTH = 7, 12, 9
HC = 1.2398419843320026e-6
SIZES = {
    "photon_energy_eV": 8800.0,
    "detector_distance_m": 2.0,
    "detector_pixel_size_m": [75e-6, 55e-6],
}


def scan(facts=None, **fields):
    made = np.random.default_rng(0)
    frames = made.poisson(9, (COUNT, HEIGHT, WIDTH)).astype(np.uint16)
    known = Geometry({name: Fact(value, "/file") for name, value in (facts or {}).items()})
    metadata = with_geometry(Metadata.create({"N": 9}), known)
    return ptystore.dataset_of({"diffraction": frames, **fields}, metadata)


def pixel(energy, distance, detector):
    wavelength = HC / energy
    return [wavelength * distance / (n * d) for n, d in zip((HEIGHT, WIDTH), detector, strict=True)]


def test_what_follows_from_facts_is_derived():
    made = set_facts(scan(), {**SIZES, "exposure_s": "10ms"})
    geometry = made.geometry
    assert geometry.number("wavelength_m") == pytest.approx(HC / 8800, rel=1e-12)
    expected = pixel(8800, 2.0, (75e-6, 55e-6))
    assert geometry.pair("object_pixel_size_m") == pytest.approx(expected, rel=1e-12)
    assert geometry["object_pixel_size_m"].source == "derived"
    assert geometry["detector_distance_m"].source == "caller"
    assert geometry.number("exposure_s") == 0.01
    record = made.metadata.history[-1]
    assert (record["tool"], record["operation"]) == ("ptystore", "set")
    assert record["parameters"]["facts"]["photon_energy_eV"] == 8800
    assert made.metadata.physics["N"] == 9


def test_a_correction_goes_through_and_what_was_withdrawn_is_gone():
    made = set_facts(scan(), SIZES)
    made = set_facts(made, {"detector_distance_m": "150cm"})
    expected = pixel(8800, 1.5, (75e-6, 55e-6))
    assert made.geometry.pair("object_pixel_size_m") == pytest.approx(expected, rel=1e-12)
    made = set_facts(made, {"wavelength_m": "0.2nm"})
    assert "photon_energy_eV" not in made.geometry
    assert made.geometry.number("wavelength_m") == 2e-10
    made = set_facts(made, {"photon_energy_eV": "8keV"}, unset=["detector_distance_m"])
    assert made.geometry.number("wavelength_m") == pytest.approx(HC / 8000)
    assert "object_pixel_size_m" not in made.geometry
    made = set_facts(made, {}, unset=["photon_energy_eV"])
    assert "wavelength_m" not in made.geometry


def test_an_objects_pixel_that_is_told_counts_more():
    made = set_facts(scan({**SIZES, "object_pixel_size_m": [1e-8, 2e-8]}), {"exposure_s": 1})
    assert made.geometry.pair("object_pixel_size_m") == (1e-8, 2e-8)
    made = set_facts(made, {"detector_distance_m": 3.0})
    assert made.geometry.pair("object_pixel_size_m") == (1e-8, 2e-8)
    near = set_facts(scan(), {**SIZES, "propagation": "near"})
    assert "object_pixel_size_m" not in near.geometry


def test_positions_in_metres_come_into_pixels_once_these_are_known():
    y, x = np.random.default_rng(1).uniform(-3e-6, 3e-6, (2, COUNT))
    bare = scan(position_y_m=y, position_x_m=x)
    known = set_facts(bare, SIZES)
    own = pixel(8800, 2.0, (75e-6, 55e-6))
    np.testing.assert_allclose(known["ycoords"].values(), (y - y.min()) / own[0] + HEIGHT // 2)
    np.testing.assert_allclose(known["xcoords"].values(), (x - x.min()) / own[1] + WIDTH // 2)
    corrected = set_facts(known, {"detector_distance_m": 1.0})
    np.testing.assert_allclose(
        corrected["ycoords"].values(), (y - y.min()) / own[0] * 2 + HEIGHT // 2
    )
    assert corrected.metadata.history[-1]["parameters"]["renewed"] == ["xcoords", "ycoords"]


def test_positions_of_an_object_and_of_no_metres_stay():
    y = np.linspace(20, 40, COUNT)
    for more in (
        {},
        {"position_y_m": y, "position_x_m": y, "objectGuess": np.ones((60, 60), "c8")},
    ):
        first = set_facts(scan(ycoords=y, xcoords=y, **more), SIZES)
        made = set_facts(first, {"detector_distance_m": 1.0})
        assert made["ycoords"] is first["ycoords"]
        np.testing.assert_array_equal(made["ycoords"].values(), y)


@pytest.mark.parametrize(
    ("facts", "unset", "said"),
    [
        ({}, (), "nothing to set"),
        ({"colour": 1}, (), "colour: there is no such fact"),
        ({"photon_energy_eV": "8.8"}, (), "has no unit"),
        ({"photon_energy_eV": "8.8um"}, (), "is no energy"),
        ({"photon_energy_eV": -3}, (), "can't be"),
        ({"detector_pixel_size_m": "75um,75um,75um"}, (), "can't be"),
        ({"scan_shape": "12"}, (), "can't be"),
        ({"scan_shape": f"1,{COUNT + 1}"}, (), f"is no raster of {COUNT} frames"),
        ({"photon_energy_eV": 8800, "wavelength_m": "0.2nm"}, (), "is not the wavelength of 8800"),
        ({"radiation": "sound"}, (), "not one of"),
        ({"photon_energy_eV": 1, "electron_energy_eV": 1}, (), "not both"),
        ({}, ("exposure_s",), "is not known"),
        ({"exposure_s": 1}, ("exposure_s",), "set and unset"),
    ],
)
def test_nonsense_is_refused(facts, unset, said):
    with pytest.raises(ParameterError, match=said):
        set_facts(scan(), facts, unset=unset)


def content(path: Path):
    """The inode of every file, and its bytes."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    return {one.relative_to(path.parent): (one.stat().st_ino, one.read_bytes()) for one in files}


@pytest.mark.parametrize("name", ["scan.zarr", "scan.h5", "scan.npz"])
def test_a_scan_is_completed_in_its_place(tmp_path, name):
    path = tmp_path / name
    ptystore.write(ptystore.canonicalize(scan()), path)
    before, old = content(path), ptystore.open(path)
    frames = old["diffraction"].values()
    digests = {field.name: field.digest for field in old.values()}
    report = ptystore.set_geometry(path, {"photon_energy_eV": "8.8keV"})
    assert report.path == path
    made = ptystore.open(path)
    assert made.geometry.number("photon_energy_eV") == 8800
    assert {field.name: field.digest for field in made.values()} == digests
    assert ptystore.verify(path).ok
    assert [one["operation"] for one in made.metadata.history][-1] == "set"
    np.testing.assert_array_equal(made["diffraction"].values(), frames)
    if name == "scan.zarr":
        after = content(path)
        shards = [one for one in before if one.name.startswith("c.")]
        assert shards
        assert all(after[one][0] == before[one][0] for one in shards)


@pytest.mark.parametrize("name", ["scan.zarr", "scan.h5", "scan.npz"])
def test_the_old_version_goes_unless_somebody_reads_it(tmp_path, name):
    path = tmp_path / name
    ptystore.write(scan(), path)
    warned = []
    ptystore.set_geometry(path, {"exposure_s": 1}, warn=warned.append)
    assert warned == []
    assert os.listdir(tmp_path) == [name]
    old = ptystore.open(path)
    ptystore.set_geometry(path, {"exposure_s": 2})
    np.testing.assert_array_equal(old["diffraction"].values(), scan()["diffraction"].values())
    assert old.geometry.number("exposure_s") == 1
    del old
    assert run("set", path, "--exposure", "3s").exit_code == 0
    assert os.listdir(tmp_path) == [name]


def test_virtual_frames_stay_virtual(tmp_path):
    path = tmp_path / "scan.zarr"
    ptystore.write(ptystore.canonicalize(scan(), virtual=True), path)
    frames = ptystore.open(path)["diffraction"].values()
    ptystore.set_geometry(path, SIZES)
    made = ptystore.open(path)
    assert made["diffraction"].recipe is not None
    np.testing.assert_array_equal(made["diffraction"].values(), frames)
    assert ptystore.verify(path).ok


def test_the_members_of_an_npz_stay_uncompressed(tmp_path):
    path = tmp_path / "scan.npz"
    ptystore.write(scan(), path, compression="store")
    ptystore.set_geometry(path, {"exposure_s": 1})
    assert ptystore.open(path)["diffraction"].storage.codec == "stored"


def test_what_ptystore_did_not_write_is_left_alone(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, diffraction=np.ones((3, 4, 4), "u2"))
    before = path.read_bytes()
    with pytest.raises(DestinationError, match="was not written by ptystore"):
        ptystore.set_geometry(path, {"exposure_s": 1})
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["scan.zarr", "scan.h5"])
def test_a_scan_that_another_changed_meanwhile_is_not_overwritten(tmp_path, monkeypatch, name):
    path = tmp_path / name
    ptystore.write(scan(), path)
    own = api.set_facts

    def beaten(dataset, *given, **more):
        # Another process was quicker.
        monkeypatch.setattr(api, "set_facts", own)
        ptystore.set_geometry(path, {"exposure_s": 1})
        return own(dataset, *given, **more)

    monkeypatch.setattr(api, "set_facts", beaten)
    with pytest.raises(IntegrityError):
        ptystore.set_geometry(path, {"detector_distance_m": 2})
    assert set(ptystore.open(path).geometry) == {"exposure_s"}
    assert ptystore.verify(path).ok


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_verb(tmp_path):
    path = tmp_path / "scan.zarr"
    ptystore.write(scan(), path)
    result = run("set", path, "--energy", "8.8keV", "--distance", "2m", "--detector-pixel", "75um")
    assert result.exit_code == 0, result.stderr
    geometry = ptystore.open(path).geometry
    assert geometry["photon_energy_eV"] == Fact(8800.0, "--energy")
    assert geometry.pair("detector_pixel_size_m") == (75e-6, 75e-6)
    assert run("set", path, "--unset", "distance", "--unset", "photon_energy_eV").exit_code == 0
    assert set(ptystore.open(path).geometry) == {"detector_pixel_size_m"}
    for words, code, said in (
        (("--energy", "8.8"), 2, "has no unit"),
        ((), 2, "nothing to set"),
        (("--unset", "distance"), 2, "is not known"),
    ):
        refused = run("set", path, *words)
        assert refused.exit_code == code
        assert said in " ".join(refused.stderr.split())
