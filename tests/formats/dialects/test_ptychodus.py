"""ptychodus: products and diffraction files of both ages, HDF5 and `.npz`, each alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import assert_truth, fixture, opened, remarks
from ptychodus_files import (
    BAD,
    CENTER,
    COUNTS,
    HEIGHT,
    NUMBERS,
    OBJECT,
    OF_1_7,
    OF_2025,
    PIXEL,
    PROBE,
    STORED,
    SUFFIXES,
    WANTED,
    WEIGHTS,
    WIDTH,
    X_M,
    Y_M,
    N,
    X,
    Y,
    assert_positions,
    complexes,
    diffraction,
    facts,
    product,
)
from ptystore import Dataset, InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from scans import assert_same


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("own", [OF_1_7, OF_2025])
def test_a_product_alone(tmp_path: Path, suffix: str, own: dict[str, Any]) -> None:
    path = product(tmp_path / f"a{suffix}", own)
    found = dialect_of(open_tree(path), None)
    assert found is not None
    assert found.name == "ptychodus-product"
    scan = opened(path)
    assert_positions(scan)
    assert "diffraction" not in scan
    assert "--with" in remarks(scan)
    assert_same(scan["probeGuess"].values(), PROBE)
    assert_same(scan["objectGuess"].values(), OBJECT)
    assert_same(scan["frame_index"].values(), NUMBERS)
    assert_same(scan["slice_spacing_m"].values(), np.array([2e-6]))
    assert_same(scan["loss"].values(), np.array([3.0, 2.0, 1.5]))
    assert "epochs" not in scan["loss"].attrs
    assert_same(scan["opr_weights"].values(), WEIGHTS)
    assert_same(scan["probe_photon_counts"].values(), np.linspace(1e5, 2e5, N))
    wanted = {
        "photon_energy_eV": 8800.0,
        "detector_distance_m": 2.0,
        "object_pixel_size_m": list(PIXEL),
        "object_center_m": list(CENTER),
        "exposure_s": 0.05,
        "probe_photon_count": 2e5,
        "mass_attenuation_m2_kg": 0.5,
    }
    if own is OF_1_7:
        wanted |= {
            "propagation": "far",
            "focus_distance_m": -0.001,
            "tomography_angle_deg": 12.5,
            "tilt_angle_deg": 0.0,
            "polarization": "left_circular",
        }
    known = facts(scan)
    np.testing.assert_allclose(known.pop("wavelength_m"), 1.2398419843320026e-6 / 8800, rtol=1e-9)
    assert known == wanted
    assert scan.metadata is not None
    assert scan.metadata.document["additional_parameters"] == {"name": "asymmetric"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("height", [6, 7])
def test_a_frame_at_the_centre_sees_the_objects_middle(
    tmp_path: Path, suffix: str, height: int
) -> None:
    """Whichever of size and extent are odd: as much of the object above as below the window."""
    for extent in (30, 31):
        at = np.zeros(N)
        path = product(
            tmp_path / f"a{suffix}",
            probe=complexes(height, height),
            object=complexes(extent, extent),
            probe_position_x_m=at + CENTER[1],
            probe_position_y_m=at + CENTER[0],
        )
        scan = opened(path)
        for name in ("ycoords", "xcoords"):
            first = scan[name].values()[0] - height // 2
            assert first == pytest.approx(extent - height - first)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_zeros_are_unset_where_they_mean_it(tmp_path: Path, suffix: str) -> None:
    unset = dict.fromkeys(("exposure_time_s", "probe_photon_count", "tomography_angle_deg"), 0.0)
    path = product(
        tmp_path / f"a{suffix}", OF_1_7, **unset, photon_energy_eV=np.nan, far_field=np.False_
    )
    known = facts(opened(path))
    gone = ("exposure_s", "probe_photon_count", "tomography_angle_deg", "photon_energy_eV")
    assert not known.keys() & {*gone, "wavelength_m"}
    assert known["propagation"] == "near"
    assert known["tilt_angle_deg"] == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        ((1, 1), ()),
        ((1, 3), (3,)),
        ((3,), (3,)),
        ((1,), ()),
        ((), ()),
        ((2, 1), (2, 1)),
        ((2, 3), (2, 3)),
    ],
)
def test_probes_of_two_to_four_axes(
    tmp_path: Path, suffix: str, stored: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    probe = complexes(*stored, HEIGHT, WIDTH)
    scan = opened(product(tmp_path / f"a{suffix}", probe=probe, object=OBJECT[:1]))
    assert_same(scan["probeGuess"].values(), probe.reshape(*wanted, HEIGHT, WIDTH))
    assert_same(scan["objectGuess"].values(), OBJECT[0])
    assert_positions(scan)


def test_older_places(tmp_path: Path) -> None:
    path = product(
        tmp_path / "a.h5",
        opr_weights=None,
        at_probe={"opr_weights": WEIGHTS},
        loss_values=None,
        costs=np.array([4.0, 3.0, 1.0]),
        loss_epochs=np.array([0, 5, 10]),
        object_layer_spacing_m=np.zeros(0),
    )
    scan = opened(path)
    assert_same(scan["opr_weights"].values(), WEIGHTS)
    assert_same(scan["loss"].values(), np.array([4.0, 3.0, 1.0]))
    assert scan["loss"].attrs["epochs"] == [0, 5, 10]
    assert "slice_spacing_m" not in scan
    assert not scan["probeGuess"].attrs.keys() & {"opr_weights", "pixel_height_m"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_diffraction_file_alone(tmp_path: Path, suffix: str) -> None:
    path = diffraction(tmp_path / f"a{suffix}", probe_photon_counts=np.arange(8.0))
    found = dialect_of(open_tree(path), None)
    assert found is not None
    assert found.name == "ptychodus-diffraction"
    scan = opened(path)
    assert set(scan) == {"diffraction", "frame_index", "mask", "probe_photon_counts"}
    assert_same(scan["diffraction"].values(), COUNTS)
    assert_same(scan["frame_index"].values(), STORED)
    assert_same(scan["probe_photon_counts"].values(), np.arange(8.0))
    assert "--positions" in remarks(scan)
    known = {"detector_pixel_size_m": [7.5e-5, 5.5e-5]} if suffix == ".h5" else {}
    assert facts(scan) == known


def test_what_can_not_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for change, reason in (
        ({"opr_weights": WEIGHTS[:-1]}, "opr_weights: has 5 entries for 6 positions"),
        ({"probe_position_x_m": X_M[:-1]}, "x_m: has 5 entries for 6 positions"),
        ({"probe_position_y_m": np.ones((6, 2))}, "y_m: has shape .6, 2., where .n,."),
        ({"probe_position_indexes": NUMBERS + 0.5}, "indexes: is float64"),
        ({"probe_photon_counts": np.ones(4)}, "counts: has 4 entries for 6 positions"),
        ({"probe": complexes(1, 1, 1, 7, 12)}, "probe: has shape"),
    ):
        with pytest.raises(InputError, match=reason):
            opened(product(path, **change))
    for change, reason in (
        ({"bad_pixels": BAD[:-1]}, "bad_pixels: has shape .6, 12., and the frames are .7, 12."),
        ({"indexes": STORED[:-1]}, "indexes: has 7 entries for 8 frames"),
        ({"probe_photon_counts": np.ones(4)}, "counts: has 4 entries for 8 frames"),
    ):
        with pytest.raises(InputError, match=reason):
            opened(diffraction(path, **change))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_a_centre_or_an_object(tmp_path: Path, suffix: str) -> None:
    nowhere = {"center_y_m": None, "center_x_m": None}
    scan = opened(product(tmp_path / f"a{suffix}", at_object=nowhere))
    assert_same(scan["position_y_m"].values(), Y_M)
    assert "ycoords" not in scan
    assert "center_y_m" in remarks(scan)
    scan = opened(product(tmp_path / f"b{suffix}", object=None))
    for name, wanted in (("ycoords", Y), ("xcoords", X)):
        found = scan[name].values()
        np.testing.assert_allclose(found - found[0], wanted - wanted[0], rtol=0, atol=1e-9)


def test_near_relatives(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = diffraction(tmp_path / f"a{suffix}", bad_pixels=None, indexes=None)
        assert dialect_of(open_tree(path), None) is None
    path = product(tmp_path / "b.h5", detector_object_distance_m=None)
    found = dialect_of(open_tree(path), None)
    assert found is not None
    assert found.name == "pty-chi"
    with np.load(product(tmp_path / "b.npz")) as file:
        some = {name: file[name] for name in file if name != "probe_pixel_width_m"}
    np.savez(tmp_path / "c.npz", **some)
    assert dialect_of(open_tree(tmp_path / "c.npz"), None) is None


def exported(path: Path, *, raw: bool, shift: float = 0.0) -> Path:
    """As PtychoPINN exports it: metres from the corner, a centre of 0, the scan itself inside."""
    product(
        path,
        OF_2025,
        at_object={"center_y_m": 0.0, "center_x_m": 0.0},
        probe_position_y_m=(Y + shift) * PIXEL[0],
        probe_position_x_m=(X + shift) * PIXEL[1],
    )
    if raw:
        with h5py.File(path, "a") as file:
            for name, values in (("ycoords", Y), ("xcoords", X), ("diffraction", WANTED)):
                file[f"raw_data/{name}"] = values
    return path


def test_metres_from_the_corner_are_told(tmp_path: Path) -> None:
    for raw in (False, True):
        scan = opened(exported(tmp_path / f"{raw}.h5", raw=raw))
        assert "half a field off" in remarks(scan)
        assert ("--map ycoords=/raw_data/ycoords" in remarks(scan)) is raw
    mapped = {f: f"/raw_data/{f}" for f in ("ycoords", "xcoords", "diffraction")}
    scan = opened(tmp_path / "True.h5", mapped=mapped)
    assert_same(scan["ycoords"].values(), Y)
    assert_same(scan["diffraction"].values(), WANTED)
    assert "half a field off" not in remarks(opened(product(tmp_path / "sound.h5")))
    scan = opened(
        product(
            tmp_path / "about_zero.h5",
            at_object={"center_y_m": 0.0, "center_x_m": 0.0},
            probe_position_y_m=Y_M - CENTER[0],
            probe_position_x_m=X_M - CENTER[1],
        )
    )
    assert_same(scan["ycoords"].values().round(9), Y.round(9))
    assert "half a field off" not in remarks(scan)


KNOWN = {
    *("energy_eV", "wavelength_m", "detector_distance_m", "object_pixel_size_m"),
    *("object_center_m", "exposure_time_s", "probe_photon_count"),
}


def test_the_fixtures(data_dir: Path) -> None:
    folder = fixture(data_dir, "ptychodus_1.7_product_h5")
    of_1_7 = {*KNOWN, "tomography_angle_deg"}
    for name in ("product.h5", "diffraction.h5"):
        scan = opened(folder / name)
        assert_truth(scan, folder, knows={*of_1_7, "detector_pixel_size_m"})
        assert_fixture(scan)
    folder = fixture(data_dir, "ptychodus_1.7_product_npz")
    scan = opened(folder / "product.npz")
    assert_truth(scan, folder, knows=of_1_7)
    assert_fixture(scan)
    other = fixture(data_dir, "ptychodus_1.7_diffraction_npz") / "diffraction.npz"
    for path, partner in ((folder / "product.npz", other), (other, folder / "product.npz")):
        scan = opened(path, partner=partner)
        assert_truth(scan, folder, knows=of_1_7)
        assert scan["diffraction"].dtype == np.uint16
    folder = fixture(data_dir, "ptychodus_2025_product_h5")
    scan = opened(folder / "product.h5")
    assert_truth(scan, folder, knows=KNOWN)
    assert_fixture(scan)


def assert_fixture(scan: Dataset) -> None:
    assert_same(scan["frame_index"].values(), np.arange(5, 40, 2))
    assert scan["opr_weights"].shape == (18, 1)
    assert scan["opr_weights"].values().sum() == pytest.approx(18.0)
    assert scan["loss"].shape == (2,)
    assert scan.geometry["mass_attenuation_m2_kg"].value == 0.5


def test_the_fixture_of_frames(data_dir: Path) -> None:
    folder = fixture(data_dir, "ptychodus_1.7_diffraction_npz")
    scan = opened(folder / "diffraction.npz")
    with np.load(folder.parent / "scene.npz") as scene:
        assert_same(scan["diffraction"].values(), scene["counts"])
        assert_same(scan["mask"].values() != 0, scene["bad"])
    assert_same(scan["frame_index"].values(), np.arange(5, 40, 2))
    assert not scan.geometry
