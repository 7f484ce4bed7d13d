"""CXI 1.6, as cdtools lays it out: basis, masks, darks, monitors, units, entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import assert_truth, fixture, moved, opened, remarks
from ptystore import InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from ptystore.formats.supplement_said import PositionsSaid
from ptystore.model.geometry import RawFrame
from scans import assert_same, pickled

RNG = np.random.default_rng(6)
SHAPE = (7, 10)
COUNTS = RNG.poisson(9, (6, *SHAPE)).astype(np.int32)
#: x, y, z of the sample in metres.
TRANSLATION = RNG.uniform(-2e-6, 2e-6, (6, 3))
#: y and x.
DETECTOR = np.array([60e-6, 80e-6])
DISTANCE, WAVELENGTH = 1.5, 2e-10
PIXEL = WAVELENGTH * DISTANCE / (np.array(SHAPE) * DETECTOR)
HC = 1.2398419843320026e-6
JOULE = 1.602176634e-19
NODES = {
    "instrument_1/source_1/wavelength": WAVELENGTH,
    "instrument_1/detector_1/data": COUNTS,
    "instrument_1/detector_1/distance": DISTANCE,
    "instrument_1/detector_1/y_pixel_size": DETECTOR[0],
    "instrument_1/detector_1/x_pixel_size": DETECTOR[1],
    "sample_1/geometry_1/translation": TRANSLATION,
}
DET = "instrument_1/detector_1"


def put(path: Path, entry: str = "entry_1", version: bool = True, **more: Any) -> Path:
    """A file of one entry; names with `__` for slashes, None to leave out."""
    arrays = {**NODES, **{name.replace("__", "/"): value for name, value in more.items()}}
    with h5py.File(path, "a") as file:
        if version and "cxi_version" not in file:
            file["cxi_version"] = 160
        for name, value in arrays.items():
            if value is not None:
                file[f"{entry}/{name}"] = value
        group = file.require_group(f"{entry}/data_1")
        for name, of in (("data", DET), ("translation", "sample_1/geometry_1")):
            if arrays.get(f"{of}/{name}") is not None:
                group[name] = h5py.SoftLink(f"/{entry}/{of}/{name}")
    return path


def by_formula(basis: Any) -> Any:
    """y = -N_y dot(B[:,0], t) / (λ z), x likewise; from the first one."""
    y, x = (
        -SHAPE[axis] * (TRANSLATION @ basis[:, axis]) / (WAVELENGTH * DISTANCE) for axis in (0, 1)
    )
    return moved(y), moved(x)


DEFAULT = np.array([[0, -DETECTOR[1]], [-DETECTOR[0], 0], [0, 0]])
UP = np.array([[0, DETECTOR[1]], [DETECTOR[0], 0], [0, 0]])
OTHER = np.array([[DETECTOR[0], 0], [0, -DETECTOR[1]], [0, 0]])
TILTED = DEFAULT + np.array([[0.6, 0.0], [0.2, 0.0], [0.0, 0.0]]) * 6e-5
TILTED[:, 0] *= DETECTOR[0] / np.linalg.norm(TILTED[:, 0])


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("basis", [DEFAULT, UP, OTHER, TILTED])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_basis_tells_the_sign(tmp_path: Path, basis: Any, transposed: bool, dtype: str) -> None:
    stored = (basis.T if transposed else basis).astype(dtype)
    scan = opened(put(tmp_path / "a.cxi", **{f"{DET}/basis_vectors": stored}))
    y, x = by_formula(basis)
    close = 1e-9 if dtype == "f8" else 1e-5
    np.testing.assert_allclose(moved(scan["ycoords"].values()), y, atol=close)
    np.testing.assert_allclose(moved(scan["xcoords"].values()), x, atol=close)
    assert np.abs(y).max() > 1
    assert remarks(scan) == ""


def test_without_a_basis_more_is_down_and_right(tmp_path: Path) -> None:
    scan = opened(put(tmp_path / "a.cxi"))
    for axis, name in enumerate("yx"):
        wanted = moved(TRANSLATION[:, 1 - axis] / PIXEL[axis])
        np.testing.assert_allclose(moved(scan[f"{name}coords"].values()), wanted, atol=1e-9)
        assert_same(scan[f"position_{name}_m"].values(), TRANSLATION[:, 1 - axis])
    np.testing.assert_allclose(moved(scan["ycoords"].values()), by_formula(DEFAULT)[0], atol=1e-9)
    for name, size in zip("yx", SHAPE, strict=True):
        assert scan[f"{name}coords"].values().min() == size // 2
    # And back to the translations of the default basis.
    for axis, name in enumerate("yx"):
        back = scan[f"{name}coords"].values() * PIXEL[axis]
        np.testing.assert_allclose(moved(back), moved(TRANSLATION[:, 1 - axis]), atol=1e-16)


@pytest.mark.parametrize(
    ("basis", "reason"),
    [
        (np.ones((3, 3)), "shape"),
        (np.array([[0, 1.0], [0, 0], [0, 0]]), "no step"),
        (np.full((3, 2), np.nan), "no step"),
    ],
)
def test_what_is_no_basis(tmp_path: Path, basis: Any, reason: str) -> None:
    path = put(tmp_path / "a.cxi", **{f"{DET}/basis_vectors": basis})
    with pytest.raises(InputError, match=reason) as caught:
        opened(path)
    assert caught.value.member == f"/entry_1/{DET}/basis_vectors"


def test_facts_frames_and_what_comes_with_them(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.int64)
    mask[1, 2], mask[3, 4], mask[5, 6], mask[0, 9] = 1, 0x1000, 0x1204, 0x80
    more = {
        f"{DET}/mask": mask,
        f"{DET}/data_dark": np.full((1, *SHAPE), 0.5, "f4"),
        f"{DET}/qe_mask": np.full(SHAPE, 0.9),
        "sample_1/geometry_1/intensities": np.arange(6, dtype="f4")[:, None],
        "title": "a scan",
        "instrument_1/source_1/energy": HC / WAVELENGTH * JOULE,
    }
    scan = opened(put(tmp_path / "a.cxi", **more))
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.frames.attrs["signal"] == "counts"
    wanted = np.where(mask == 0x1000, 0, mask).astype(np.uint32)
    assert_same(scan["mask"].values(), wanted)
    assert_same(scan["background"].values(), np.full(SHAPE, 0.5, np.float32))
    assert_same(scan["flatfield"].values(), np.full(SHAPE, 0.9, np.float32))
    assert_same(scan["monitor"].values(), np.arange(6.0))
    assert scan.metadata is not None
    assert scan.metadata.document["additional_parameters"]["name"] == "a scan"
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    del facts["object_shape"]
    assert facts.pop("object_pixel_size_m") == pytest.approx(PIXEL.tolist(), 1e-12)
    assert facts.pop("photon_energy_eV") == pytest.approx(HC / WAVELENGTH, 1e-12)
    assert facts == {
        "wavelength_m": WAVELENGTH,
        "detector_distance_m": DISTANCE,
        "detector_pixel_size_m": DETECTOR.tolist(),
    }
    assert scan.geometry["wavelength_m"].source == "/entry_1/instrument_1/source_1/wavelength"
    assert RawFrame.of(scan.metadata) == RawFrame(SHAPE, (3.0, 5.0))
    assert remarks(scan) == ""
    assert_same(pickled(scan)["diffraction"][[4, 1]], COUNTS[[4, 1]])


def test_several_darks_are_averaged(tmp_path: Path) -> None:
    darks = RNG.poisson(3, (4, *SHAPE)).astype("u2")
    scan = opened(put(tmp_path / "a.cxi", **{f"{DET}/data_dark": darks}))
    np.testing.assert_allclose(scan["background"].values(), darks.mean(0), rtol=1e-6)


def test_maps_of_other_shapes_are_left_out(tmp_path: Path) -> None:
    more = {f"{DET}/mask": np.zeros((6, *SHAPE), "u4"), f"{DET}/qe_mask": np.ones((3, 3))}
    scan = opened(put(tmp_path / "a.cxi", **more, data_1__intensities=np.ones(5)))
    assert not {"mask", "flatfield", "monitor"} & set(scan)
    assert "--map mask=" in remarks(scan)
    assert "qe_mask has shape (3, 3)" in remarks(scan)
    assert "intensities has shape (5,) for 6 frames" in remarks(scan)


def test_boolean_masks(tmp_path: Path) -> None:
    bad = RNG.random(SHAPE) < 0.2
    scan = opened(put(tmp_path / "a.cxi", **{f"{DET}/mask": bad}))
    assert_same(scan["mask"].values(), bad.astype(np.uint32))


SOURCE = "instrument_1/source_1"


@pytest.mark.parametrize(
    ("energy", "units", "told"),
    [
        (8800 * JOULE, None, ""),
        (8800.0, None, "taken for eV"),
        (8.8, "keV", ""),
        (8800 * JOULE, "eV", "taken for J"),
        (8800 * JOULE, "J", ""),
    ],
)
def test_energies(tmp_path: Path, energy: float, units: str | None, told: str) -> None:
    more = {f"{SOURCE}/wavelength": None, f"{SOURCE}/energy": np.array([[energy]])}
    path = put(tmp_path / "a.cxi", **more)
    if units is not None:
        with h5py.File(path, "a") as file:
            file[f"entry_1/{SOURCE}/energy"].attrs["units"] = units
    scan = opened(path)
    assert scan.geometry.number("photon_energy_eV") == pytest.approx(8800, 1e-12)
    assert scan.geometry.number("wavelength_m") == pytest.approx(HC / 8800, 1e-12)
    assert told in remarks(scan)
    assert bool(told) == bool(remarks(scan))


def test_the_wavelength_wins(tmp_path: Path) -> None:
    scan = opened(put(tmp_path / "a.cxi", **{f"{SOURCE}/energy": 1e4 * JOULE}))
    assert scan.geometry.number("wavelength_m") == WAVELENGTH
    assert scan.geometry.number("photon_energy_eV") == pytest.approx(HC / WAVELENGTH, 1e-12)
    assert "which counts" in remarks(scan)


def test_the_caller_wins(tmp_path: Path) -> None:
    path = put(tmp_path / "a.cxi")
    scan = opened(path, energy=5000.0, distance=2.0, detector_pixel=(1e-4, 1e-4))
    assert scan.geometry.number("photon_energy_eV") == 5000.0
    pixel = HC / 5000 * 2 / (np.array(SHAPE) * 1e-4)
    found = moved(scan["xcoords"].values())
    np.testing.assert_allclose(found, moved(TRANSLATION[:, 0] / pixel[1]), atol=1e-9)
    scan = opened(path, pixel_size=(1e-8, 2e-8))
    found = moved(scan["xcoords"].values())
    np.testing.assert_allclose(found, moved(TRANSLATION[:, 0] / 2e-8), atol=1e-9)


def test_units_that_are_none(tmp_path: Path) -> None:
    path = put(tmp_path / "a.cxi")
    with h5py.File(path, "a") as file:
        file[f"entry_1/{DET}/distance"].attrs["units"] = "furlong"
    with pytest.raises(InputError, match="'furlong', which is no length") as caught:
        opened(path)
    assert "--distance" in str(caught.value.advice)
    assert opened(path, distance=1.5).geometry.number("detector_distance_m") == 1.5


def test_what_is_missing(tmp_path: Path) -> None:
    """Absent facts stay so; positions stay in metres until the caller says what is missing."""
    path = put(tmp_path / "a.cxi", **{f"{DET}/distance": 0.0, f"{DET}/y_pixel_size": None})
    scan = opened(path)
    assert set(scan.geometry) == {"wavelength_m"}
    assert "ycoords" not in scan
    assert_same(scan["position_y_m"].values(), TRANSLATION[:, 1])
    assert "--pixel-size" in remarks(scan)
    path = put(tmp_path / "b.cxi", **{"sample_1/geometry_1/translation": None})
    scan = opened(path)
    assert "--positions names a file" in remarks(scan)
    assert set(scan) == {"diffraction"}


def test_the_basis_has_the_pixel_too(tmp_path: Path) -> None:
    more = {f"{DET}/y_pixel_size": None, f"{DET}/basis_vectors": DEFAULT}
    scan = opened(put(tmp_path / "a.cxi", **more))
    assert scan.geometry.pair("detector_pixel_size_m") == pytest.approx(tuple(DETECTOR), 1e-12)
    scan = opened(put(tmp_path / "b.cxi", **{f"{DET}/basis_vectors": 1.5 * DEFAULT}))
    assert scan.geometry.pair("detector_pixel_size_m") == tuple(DETECTOR)
    assert "which counts" in remarks(scan)


def test_counts_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("y,x\n" + "\n".join(f"{k},{2 * k}" for k in range(6)))
    said = PositionsSaid(str(tmp_path / "p.csv"), units="px")
    for given, reason in (
        (TRANSLATION[:5], "5 translations for 6 frames"),
        (TRANSLATION.T, "3, 6"),
    ):
        path = put(tmp_path / f"{len(given)}.cxi", sample_1__geometry_1__translation=given)
        with pytest.raises(InputError, match=reason) as caught:
            opened(path)
        assert "--positions" in str(caught.value.advice)
        assert_same(np.diff(opened(path, positions=said)["xcoords"].values()), np.full(5, 2.0))
    path = put(tmp_path / "b.cxi", **{f"{DET}/data": COUNTS[0]})
    with pytest.raises(InputError, match=r"\(n, H, W\)"):
        opened(path)


def test_a_raster(tmp_path: Path) -> None:
    more = {f"{DET}/data": COUNTS.reshape(2, 3, *SHAPE)}
    scan = opened(put(tmp_path / "a.cxi", **more))
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry["scan_shape"].value == [2, 3]
    # Modules of a detector are none.
    path = put(tmp_path / "b.cxi", **{f"{DET}/data": np.zeros((6, 2, *SHAPE), "u2")})
    with pytest.raises(InputError, match=r"\(n, H, W\)"):
        opened(path)


@pytest.mark.parametrize("place", ["data_1", "sample_1/geometry_1", DET])
def test_where_positions_are(tmp_path: Path, place: str) -> None:
    more = {"sample_1/geometry_1/translation": None, f"{place}/translation": TRANSLATION[:, :2]}
    scan = opened(put(tmp_path / "a.cxi", **more))
    wanted = moved(TRANSLATION[:, 0] / PIXEL[1])
    np.testing.assert_allclose(moved(scan["xcoords"].values()), wanted, atol=1e-9)


def test_probes(tmp_path: Path) -> None:
    probe = (RNG.normal(size=(1, 2, *SHAPE)) + 1j).astype("c8")
    scan = opened(put(tmp_path / "a.cxi", image_1__data=probe))
    assert_same(scan["probeGuess"].values(), probe[0])
    scan = opened(put(tmp_path / "b.cxi", **{f"{SOURCE}/illumination": probe[0, 0]}))
    assert_same(scan["probeGuess"].values(), probe[0, 0])
    scan = opened(put(tmp_path / "c.cxi", image_1__data=np.ones((20, 20), "c8")))
    assert "probeGuess" not in scan
    assert "--map probeGuess=/entry_1/image_1/data" in remarks(scan)


def test_entries(tmp_path: Path) -> None:
    put(tmp_path / "a.cxi")
    path = put(tmp_path / "a.cxi", "entry_2", **{f"{DET}/data": COUNTS + 1})
    with pytest.raises(InputError, match="entry_1, entry_2") as caught:
        opened(path)
    assert "--entry" in str(caught.value.advice)
    for name in ("entry_2", "/entry_2", "2"):
        assert_same(opened(path, entry=name)["diffraction"].values(), COUNTS + 1)
    with pytest.raises(InputError, match="no entry 3"):
        opened(path, entry="3")
    with h5py.File(path, "a") as file:
        file.attrs["default"] = "entry_1"
    assert_same(opened(path)["diffraction"].values(), COUNTS)


def test_a_corner_somewhere_else_is_told(tmp_path: Path) -> None:
    more = {f"{DET}/basis_vectors": DEFAULT}
    # The middle of pixel 3, 5 is on the axis.
    there = -DEFAULT @ np.array([3.5, 5.5]) + [0, 0, DISTANCE]
    scan = opened(put(tmp_path / "a.cxi", **more, **{f"{DET}/corner_position": there}))
    assert remarks(scan) == ""
    there = -DEFAULT @ np.array([1.0, 8.75]) + [0, 0, DISTANCE]
    scan = opened(put(tmp_path / "b.cxi", **more, **{f"{DET}/corner_position": there}))
    assert "--center 0.5,8.2" in remarks(scan)


def test_detection(tmp_path: Path) -> None:
    def name(path: Path) -> str | None:
        found = dialect_of(open_tree(path), None)
        return None if found is None else found.name

    assert name(put(tmp_path / "a.cxi")) == "cxi"
    assert name(put(tmp_path / "b.h5", version=False)) == "cxi"
    with h5py.File(tmp_path / "c.cxi", "w") as file:
        file["entry_1/data"] = 1
    assert name(tmp_path / "c.cxi") is None
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["cxi_version"], file["diffraction"] = 160, COUNTS
    assert name(tmp_path / "d.h5") is None
    with pytest.raises(InputError, match="no entry of CXI"):
        opened(tmp_path / "d.h5", dialect="cxi")


def test_frames_far_apart_are_told(tmp_path: Path) -> None:
    path = put(tmp_path / "a.cxi", **{"sample_1/geometry_1/translation": 30 * TRANSLATION})
    assert "near field" in remarks(opened(path))
    assert "near field" not in remarks(opened(path, pixel_size=(1e-6, 1e-6)))
    assert "near field" not in remarks(opened(put(tmp_path / "b.cxi")))


def test_cdtools(data_dir: Path) -> None:
    folder = fixture(data_dir, "cdtools_cxi_default_basis")
    scan = opened(folder / "scan.cxi")
    known = {
        "energy_eV",
        "wavelength_m",
        "detector_distance_m",
        "detector_pixel_size_m",
        "object_pixel_size_m",
    }
    assert_truth(scan, folder, knows=known, positions=1e-3)
    assert (scan["background"].values() == np.float32(0.5)).all()
    assert scan["monitor"].shape == (18,)
    assert remarks(scan) == ""


def test_a_measured_near_field_scan(data_dir: Path) -> None:
    path = data_dir / "real" / "PETRAIII_P25_Near_Field_Ptycho.cxi"
    if not path.is_file():
        pytest.skip(f"no {path}")
    scan = opened(path)
    assert scan.frames.shape == (200, 100, 100)
    assert np.count_nonzero(scan["mask"].values()) == 5
    assert scan.geometry.number("detector_distance_m") == pytest.approx(1.12, 1e-6)
    assert "propagation" not in scan.geometry
    assert "near field" in remarks(scan)
    assert "--pixel-size" in remarks(scan)
    near = opened(path, pixel_size=(2e-7, 2e-7))
    with h5py.File(path) as file:
        told = file["entry_1/sample_1/geometry_1/translation"][()].astype("f8")
    for column, name in enumerate(("xcoords", "ycoords")):
        wanted = moved(told[:, column] / 2e-7)
        np.testing.assert_allclose(moved(near[name].values()), wanted, atol=1e-9)
    assert "near field" not in remarks(near)
