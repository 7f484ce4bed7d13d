"""NXcxi_ptycho: the ring's energy is none of the beam's, and rasters are put in a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from foreign import assert_truth, fixture, moved, opened, remarks
from ptystore import InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from ptystore.model.geometry import RawFrame
from scans import assert_same, pickled

RNG = np.random.default_rng(8)
GRID, SHAPE = (2, 3), (7, 10)
COUNTS = RNG.poisson(9, (*GRID, *SHAPE)).astype(np.uint16)
FLAT = COUNTS.reshape(6, *SHAPE)
TRANSLATION = RNG.uniform(-2e-6, 2e-6, (*GRID, 3))
DETECTOR, DISTANCE = np.array([60e-6, 80e-6]), 1.5
WAVELENGTH = 1.2398419843320026e-6 / 6200
PIXEL = WAVELENGTH * DISTANCE / (np.array(SHAPE) * DETECTOR)
DET = "instrument_1/detector_1"
NODES: dict[str, tuple[Any, str | None]] = {
    "instrument_1/source_1/energy": (3.0, "GeV"),
    "instrument_1/source_1/probe": ("x-ray", None),
    "instrument_1/beam_1/energy": (6.2, "keV"),
    "instrument_1/beam_1/extent": (1e-6, "m"),
    f"{DET}/data": (COUNTS, None),
    f"{DET}/distance": (DISTANCE * 1e3, "mm"),
    f"{DET}/y_pixel_size": (60.0, "um"),
    f"{DET}/x_pixel_size": (80.0, "um"),
    "sample_1/geometry_1/translation": (TRANSLATION, "m"),
}


def put(path: Path, **more: tuple[Any, str | None] | None) -> Path:
    """A file; names with `__` for slashes, None to leave out."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry_1")
        entry.attrs["NX_class"], entry["definition"] = "NXentry", "NXcxi_ptycho"
        nodes = {**NODES, **{name.replace("__", "/"): node for name, node in more.items()}}
        for name, node in nodes.items():
            if node is None:
                continue
            entry[name] = node[0]
            if node[1] is not None:
                entry[name].attrs["units"] = node[1]
        data = entry.require_group("data_1")
        data.attrs["NX_class"], data.attrs["signal"] = "NXdata", "data"
        data["data"] = h5py.SoftLink(f"/entry_1/{DET}/data")
    return path


def test_a_raster(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nxs", **{f"{DET}/count_time": (250.0, "ms")})
    scan = opened(path)
    assert_same(scan["diffraction"].values(), FLAT)
    assert_same(pickled(scan)["diffraction"][[5, 2]], FLAT[[5, 2]])
    for axis, name in enumerate("yx"):
        metres = TRANSLATION.reshape(6, 3)[:, 1 - axis]
        wanted = moved(metres / PIXEL[axis])
        np.testing.assert_allclose(moved(scan[f"{name}coords"].values()), wanted, atol=1e-9)
        assert_same(scan[f"position_{name}_m"].values(), metres)
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    del facts["object_shape"]
    assert facts.pop("object_pixel_size_m") == pytest.approx(PIXEL.tolist(), 1e-12)
    assert facts.pop("detector_pixel_size_m") == pytest.approx(DETECTOR.tolist(), 1e-12)
    assert facts == {
        "photon_energy_eV": 6200.0,
        "wavelength_m": pytest.approx(WAVELENGTH, 1e-12),
        "detector_distance_m": DISTANCE,
        "scan_shape": [2, 3],
        "exposure_s": 0.25,
    }
    assert scan.geometry["photon_energy_eV"].source == "/entry_1/instrument_1/beam_1/energy"
    assert remarks(scan) == ""


def test_the_ring_is_no_beam(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nxs", instrument_1__beam_1__energy=None)
    scan = opened(path)
    assert not {"photon_energy_eV", "wavelength_m"} & set(scan.geometry)
    assert "ycoords" not in scan
    assert "--energy" in remarks(scan)
    scan = opened(path, energy=6200.0)
    wanted = moved(TRANSLATION[..., 0].reshape(-1) / PIXEL[1])
    np.testing.assert_allclose(moved(scan["xcoords"].values()), wanted, atol=1e-9)


@pytest.mark.parametrize(
    "place", ["beam_1/incident_beam_energy", "beam_1/incident_energy", "beam_1/energy"]
)
def test_where_the_energy_is(tmp_path: Path, place: str) -> None:
    nodes = {"instrument_1/beam_1/energy": None, f"instrument_1/{place}": (6200.0, "eV")}
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    assert scan.geometry.number("photon_energy_eV") == 6200.0


def test_the_wavelength_wins(tmp_path: Path) -> None:
    """As ptystore exports it: no energy of the source."""
    nodes = {
        "instrument_1/source_1/energy": None,
        "instrument_1/source_1/wavelength": (2.0, "angstrom"),
    }
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    assert scan.geometry.number("wavelength_m") == pytest.approx(2e-10, 1e-12)
    assert "which counts" in remarks(scan)


def test_the_centre(tmp_path: Path) -> None:
    nodes = {f"{DET}/beam_center_y": (3.25, None), f"{DET}/beam_center_x": (5.0, "pixel")}
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    assert RawFrame.of(scan.metadata) == RawFrame(SHAPE, (3.25, 5.0))
    assert remarks(scan) == ""
    nodes = {f"{DET}/beam_center_y": (90.0, "um"), f"{DET}/beam_center_x": (0.16, "mm")}
    scan = opened(put(tmp_path / "b.nxs", **nodes))
    frame = RawFrame.of(scan.metadata)
    assert frame is not None
    assert frame.center_px == pytest.approx((1.5, 2.0), 1e-12)
    assert "cropping around the centre" in remarks(scan)
    nodes = {f"{DET}/beam_center_y": (0.0, None), f"{DET}/beam_center_x": (0.0, None)}
    scan = opened(put(tmp_path / "c.nxs", **nodes))
    assert RawFrame.of(scan.metadata) == RawFrame(SHAPE, (3.0, 5.0))
    assert "unset" in remarks(scan)


def test_a_basis_and_units_of_translations(tmp_path: Path) -> None:
    up = np.array([[0, DETECTOR[1]], [DETECTOR[0], 0], [0, 0]])
    nodes = {
        f"{DET}/basis_vectors": (up, "m"),
        "sample_1/geometry_1/translation": (TRANSLATION * 1e6, "um"),
    }
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    for axis, name in enumerate("yx"):
        wanted = moved(-TRANSLATION.reshape(6, 3)[:, 1 - axis] / PIXEL[axis])
        np.testing.assert_allclose(moved(scan[f"{name}coords"].values()), wanted, atol=1e-9)


def test_units_of_translations_that_are_none(tmp_path: Path) -> None:
    nodes = {"sample_1/geometry_1/translation": (TRANSLATION, "V")}
    with pytest.raises(InputError, match="'V', which is no length") as caught:
        opened(put(tmp_path / "a.nxs", **nodes))
    assert "--positions" in str(caught.value.advice)


def test_it_becomes_canonical(tmp_path: Path) -> None:
    scan = opened(put(tmp_path / "a.nxs"))
    ptystore.write(ptystore.canonicalize(scan), tmp_path / "b.zarr")
    again = ptystore.open(tmp_path / "b.zarr")
    np.testing.assert_allclose(again["diffraction"].values() ** 2, FLAT, rtol=1e-6)
    assert again.geometry == scan.geometry
    assert_same(again["ycoords"].values(), scan["ycoords"].values())


def test_detection(tmp_path: Path) -> None:
    found = dialect_of(open_tree(put(tmp_path / "a.nxs")), None)
    assert found is not None
    assert found.name == "nxcxi-ptycho"
    path = put(tmp_path / "b.nxs")
    with h5py.File(path, "a") as file:
        del file["entry_1/definition"]
        file["entry_1/definition"] = "NXmx"
    found = dialect_of(open_tree(path), None)
    assert found is not None
    assert found.name == "cxi"


def test_the_fixture(data_dir: Path) -> None:
    folder = fixture(data_dir, "nxcxi_ptycho")
    scan = opened(folder / "scan.cxi")
    known = {
        "energy_eV",
        "wavelength_m",
        "detector_distance_m",
        "detector_pixel_size_m",
        "object_pixel_size_m",
    }
    assert_truth(scan, folder, knows=known)
    assert RawFrame.of(scan.metadata) == RawFrame((32, 32), (16.0, 16.0))
    assert remarks(scan) == ""
