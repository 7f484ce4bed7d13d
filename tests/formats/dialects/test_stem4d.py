"""4D-STEM scans by HyperSpy and in EMD 1.0: rasters in a row, and what the axes' scales mean."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import assert_truth, fixture, opened
from ptystore import Dataset, InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from scans import assert_same

RNG = np.random.default_rng(6)
SHAPE = (3, 5, 7, 9)
FRAMES = RNG.poisson(40, SHAPE).astype(np.uint16)
FLAT = FRAMES.reshape(15, 7, 9)
LAMBDA_300 = 1.9687489e-12  # of electrons of 300 keV, by the tables
STEP = (0.4, 0.3)


def axes(units: tuple[str, str] = ("nm", "mrad"), scale: float = 0.5) -> list[dict[str, Any]]:
    """Of the scan, slow and fast, and of the detector."""
    scales = [*STEP, scale, scale / 2]
    return [
        {"name": name, "scale": one, "offset": offset, "units": unit, "navigate": at < 2}
        for at, (name, one, offset, unit) in enumerate(
            zip(
                "xyab", scales, (10.0, -3.0, 0.0, 0.0), [units[0]] * 2 + [units[1]] * 2, strict=True
            )
        )
    ]


def hspy(
    path: Path,
    frames: Any = FRAMES,
    told: list[dict[str, Any]] | None = None,
    energy: float | None = 300.0,
    titles: tuple[str, ...] = ("F",),
) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["file_format"] = "HyperSpy"
        for title in titles:
            group = file.create_group(f"Experiments/{title}")
            group.create_dataset("data", data=frames, compression="gzip")
            for at, one in enumerate(axes() if told is None else told):
                axis = group.create_group(f"axis-{at}")
                for name, value in one.items():
                    if name == "axis":
                        axis[name] = value
                    else:
                        axis.attrs[name] = value
            if energy is not None:
                microscope = group.create_group("metadata/Acquisition_instrument/TEM")
                microscope.attrs["beam_energy"] = energy
    return path


def emd(
    path: Path,
    units: tuple[str, str] = ("nm", "A^-1"),
    short: bool = True,
    others: dict[str, Any] | None = None,
) -> Path:
    """As emdfile 0.0.17 lays it out; linear axes as their first two points."""
    with h5py.File(path, "w") as file:
        file.attrs["emd_group_type"] = "file"
        root = file.create_group("root")
        root.attrs["emd_group_type"] = "root"
        for name, frames in {"datacube": FRAMES, **(others or {})}.items():
            group = root.create_group(name)
            group.attrs["emd_group_type"] = "array"
            group["data"] = frames
            for at, size in enumerate(frames.shape):
                points = (10, -3, 0, 0)[at] + (*STEP, 0.01, 0.02)[at] * np.arange(size)
                group[f"dim{at}"] = points[:2] if short else points
                group[f"dim{at}"].attrs["name"] = ("Rx", "Ry", "Qx", "Qy")[at]
                group[f"dim{at}"].attrs["units"] = units[at // 2]
    return path


def check_positions(scan: Dataset, pixel: list[float], metres: float) -> None:
    """Rows slow, columns fast; the first window begins at 0."""
    for axis, number, size in (("y", 0, 7), ("x", 1, 9)):
        raster = np.indices(SHAPE[:2])[number].reshape(-1) * STEP[number] * metres
        measured = scan[f"position_{axis}_m"].values()
        np.testing.assert_allclose(measured - measured[0], raster, rtol=0, atol=1e-15)
        found = scan[f"{axis}coords"].values()
        np.testing.assert_allclose(found, raster / pixel[number] + size // 2, rtol=1e-12)


@pytest.mark.parametrize("is_raster", [True, False])
def test_frames(tmp_path: Path, is_raster: bool) -> None:
    told = axes() if is_raster else axes()[1:]
    scan = opened(hspy(tmp_path / "a.hspy", FRAMES if is_raster else FLAT, told))
    frames = scan.frames
    assert_same(frames.values(), FLAT)
    assert_same(frames.array.read(4, 11), FLAT[4:11])
    assert_same(frames.array.take(np.array([14, 0, 6])), FLAT[[14, 0, 6]])
    assert frames.attrs["signal"] == "counts"
    assert ("scan_shape" in scan.geometry) == is_raster
    assert ("ycoords" in scan) == is_raster
    if is_raster:
        assert scan.geometry["scan_shape"].value == [3, 5]
    else:
        assert scan.source is not None
        assert "no raster" in scan.source.remarks[0]


def test_electrons_and_an_angle_a_pixel(tmp_path: Path) -> None:
    scan = opened(hspy(tmp_path / "a.hspy"))
    facts = scan.geometry
    assert facts["electron_energy_eV"].value == 300e3
    assert facts["radiation"].value == "electron"
    assert "photon_energy_eV" not in facts
    assert facts["wavelength_m"].value == pytest.approx(LAMBDA_300, rel=1e-6)
    pixel = facts["object_pixel_size_m"].value
    assert pixel == pytest.approx([LAMBDA_300 / (7 * 5e-4), LAMBDA_300 / (9 * 2.5e-4)], rel=1e-6)
    check_positions(scan, pixel, 1e-9)
    assert scan["position_y_m"].values()[0] == pytest.approx(10e-9)
    assert scan["position_x_m"].values()[0] == pytest.approx(-3e-9)
    extents = [math.ceil(2 * 0.4e-9 / pixel[0]) + 7, math.ceil(4 * 0.3e-9 / pixel[1]) + 9]
    assert facts["object_shape"].value == extents


@pytest.mark.parametrize(
    ("said", "wavelength", "radiation"),
    [
        ({"energy": 8800.0}, 1.4089113458318212e-10, None),
        ({"wavelength": 2e-12}, 2e-12, None),
        ({"electron_energy": 80e3}, 4.1757e-12, "electron"),
        ({}, LAMBDA_300, "electron"),
    ],
)
def test_what_the_caller_says_wins(
    tmp_path: Path, said: Any, wavelength: float, radiation: str | None
) -> None:
    scan = opened(hspy(tmp_path / "a.hspy"), **said)
    facts = scan.geometry
    assert facts["wavelength_m"].value == pytest.approx(wavelength, rel=1e-4)
    assert facts.text("radiation") == radiation
    energies = {"photon_energy_eV", "electron_energy_eV"} & {*facts}
    assert energies == (
        {"photon_energy_eV"} if "energy" in said else {"electron_energy_eV"} if radiation else set()
    )
    pixel = facts["object_pixel_size_m"].value
    assert pixel[0] == pytest.approx(wavelength / (7 * 5e-4), rel=1e-4)
    check_positions(scan, pixel, 1e-9)


def test_a_pixel_of_the_callers_wins_over_the_axes(tmp_path: Path) -> None:
    scan = opened(hspy(tmp_path / "a.hspy"), pixel_size=(3e-11, 4e-11))
    assert scan.geometry["object_pixel_size_m"].value == [3e-11, 4e-11]
    check_positions(scan, [3e-11, 4e-11], 1e-9)
    scan = opened(hspy(tmp_path / "a.hspy"), distance=0.5, detector_pixel=(1e-4, 2e-4))
    wanted = [LAMBDA_300 * 0.5 / (7 * 1e-4), LAMBDA_300 * 0.5 / (9 * 2e-4)]
    assert scan.geometry["object_pixel_size_m"].value == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("unit", "per_metre"),
    [("1/nm", 1e9), ("nm^-1", 1e9), ("A^-1", 1e10), ("1/Å", 1e10), ("1/\u212b", 1e10)],
)
def test_reciprocal_axes_need_no_wavelength(tmp_path: Path, unit: str, per_metre: float) -> None:
    told = axes(("um", unit), 0.01)
    scan = opened(hspy(tmp_path / "a.hspy", told=told, energy=None))
    pixel = scan.geometry["object_pixel_size_m"].value
    wanted = [1 / (7 * 0.01 * per_metre), 1 / (9 * 0.005 * per_metre)]
    assert pixel == pytest.approx(wanted, rel=1e-12)
    check_positions(scan, wanted, 1e-6)
    assert {*scan.geometry} == {"object_pixel_size_m", "scan_shape", "object_shape"}


def test_detectors_in_metres(tmp_path: Path) -> None:
    path = hspy(tmp_path / "a.hspy", told=axes(("nm", "um"), 80.0))
    scan = opened(path)
    assert scan.geometry["detector_pixel_size_m"].value == pytest.approx([8e-5, 4e-5])
    assert "ycoords" not in scan
    scan = opened(path, distance=2.0)
    pixel = scan.geometry["object_pixel_size_m"].value
    wanted = [LAMBDA_300 * 2 / (7 * 8e-5), LAMBDA_300 * 2 / (9 * 4e-5)]
    assert pixel == pytest.approx(wanted, rel=1e-6)
    check_positions(scan, pixel, 1e-9)


@pytest.mark.parametrize(
    ("told", "energy", "remark"),
    [
        (axes(("nm", "mrad")), None, "without a wavelength: --electron-energy"),
        (axes(("nm", "mrad")), 0.0, "without a wavelength: --electron-energy"),
        (axes(("nm", "px")), 300.0, "in 'px', tell no pixel size: --detector-pixel"),
        (axes(("px", "mrad")), 300.0, "axis-0 is in 'px', which is no length: --positions FILE"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, told: Any, energy: float | None, remark: str) -> None:
    scan = opened(hspy(tmp_path / "a.hspy", told=told, energy=energy))
    assert_same(scan.frames.values(), FLAT)
    assert "ycoords" not in scan
    assert scan.source is not None
    assert any(remark in line for line in scan.source.remarks), scan.source.remarks
    pixel = scan.geometry.pair("object_pixel_size_m")
    assert (pixel is None) == ("mrad" not in told[2]["units"] or not energy)


def test_points_in_a_list(tmp_path: Path) -> None:
    """Axes without a scale: uneven ones are positions all the same, but no detector's pixel."""
    told = axes()
    for at, points in ((1, np.array([0, 1, 3, 4, 9.0])), (2, 0.0005 * np.arange(7))):
        told[at] = {**told[at], "axis": points}
        del told[at]["scale"], told[at]["offset"]
    told[2]["units"] = "rad"
    scan = opened(hspy(tmp_path / "a.hspy", told=told))
    pixel = scan.geometry["object_pixel_size_m"].value
    assert pixel[0] == pytest.approx(LAMBDA_300 / (7 * 5e-4), rel=1e-6)
    x = scan["xcoords"].values()[5:10]
    np.testing.assert_allclose(x - 4, np.array([0, 1, 3, 4, 9]) * 1e-9 / pixel[1], rtol=1e-9)
    told[2]["axis"] = told[2]["axis"] ** 2
    scan = opened(hspy(tmp_path / "b.hspy", told=told))
    assert "object_pixel_size_m" not in scan.geometry
    told[2]["axis"] = np.arange(6.0)
    with pytest.raises(InputError, match=r"shape \(6,\), where 7 points should be"):
        opened(hspy(tmp_path / "c.hspy", told=told))


def test_one_of_several_signals_must_be_named(tmp_path: Path) -> None:
    path = hspy(tmp_path / "a.hspy", titles=("one", "two"))
    with pytest.raises(InputError, match="several signals: one, two") as caught:
        opened(path)
    assert "--entry one" in str(caught.value.advice)
    assert_same(opened(path, entry="two").frames.values(), FLAT)
    with pytest.raises(InputError, match="no entry 3; it has one, two"):
        opened(path, entry="3")
    with h5py.File(path, "a") as file:
        del file["Experiments"]
    with pytest.raises(InputError, match="holds no signals"):
        opened(path)


def test_other_signals_are_refused(tmp_path: Path) -> None:
    spectrum = axes()
    spectrum[2]["navigate"] = True
    with pytest.raises(InputError, match="F: has other axes than those of a scan"):
        opened(hspy(tmp_path / "a.hspy", told=spectrum))
    with pytest.raises(InputError, match=r"shape \(7, 9\), not"):
        opened(hspy(tmp_path / "b.hspy", FRAMES[0, 0], axes()[2:]))
    with h5py.File(hspy(tmp_path / "c.hspy"), "a") as file:
        del file["Experiments/F/data"]
        file.create_dataset(
            "Experiments/F/data", (1 << 20, 1 << 20, 7, 9), "u2", chunks=(1, 1, 7, 9)
        )
    with pytest.raises(InputError, match="a scan of so many frames"):
        opened(tmp_path / "c.hspy")


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize(("unit", "per_metre"), [("A^-1", 1e10), ("nm^-1", 1e9), ("1/nm", 1e9)])
def test_emd(tmp_path: Path, short: bool, unit: str, per_metre: float) -> None:
    scan = opened(emd(tmp_path / "a.h5", ("A", unit), short))
    assert_same(scan.frames.values(), FLAT)
    wanted = [1 / (7 * 0.01 * per_metre), 1 / (9 * 0.02 * per_metre)]
    assert scan.geometry["object_pixel_size_m"].value == pytest.approx(wanted, rel=1e-9)
    check_positions(scan, wanted, 1e-10)
    assert scan.geometry["scan_shape"].value == [3, 5]
    assert "wavelength_m" not in scan.geometry
    assert "radiation" not in scan.geometry


def test_emd_in_angles(tmp_path: Path) -> None:
    scan = opened(emd(tmp_path / "a.h5", ("nm", "mrad")), electron_energy=300e3)
    assert scan.geometry["radiation"].value == "electron"
    wanted = [LAMBDA_300 / (7 * 1e-5), LAMBDA_300 / (9 * 2e-5)]
    assert scan.geometry["object_pixel_size_m"].value == pytest.approx(wanted, rel=1e-6)


def test_emd_with_other_arrays(tmp_path: Path) -> None:
    """Pictures beside the scan are none; of two scans one must be named, also one of 3 axes."""
    more = {"bright": FRAMES.sum((2, 3)), "line": FRAMES[0]}
    assert_same(opened(emd(tmp_path / "a.h5", others=more)).frames.values(), FLAT)
    assert_same(opened(tmp_path / "a.h5", entry="root/line").frames.values(), FRAMES[0])
    path = emd(tmp_path / "b.h5", others={"again": FRAMES + 1})
    with pytest.raises(InputError, match="several arrays of 4 axes: root/again, root/datacube"):
        opened(path)
    assert_same(opened(path, entry="root/again").frames.values(), FLAT + 1)
    with h5py.File(path, "a") as file:
        del file["root/again"], file["root/datacube"]
    with pytest.raises(InputError, match="holds no arrays of 4 axes"):
        opened(path)


def test_near_relatives(tmp_path: Path) -> None:
    def name_of(path: Path) -> str | None:
        found = dialect_of(open_tree(path), None)
        return found and found.name

    path = hspy(tmp_path / "a.h5")
    assert name_of(path) == "hyperspy"
    with h5py.File(path, "a") as file:
        file.attrs["file_format"] = "ZSpy"
    assert name_of(path) is None
    path = emd(tmp_path / "b.h5")
    assert name_of(path) == "emd"
    with h5py.File(path, "a") as file:
        del file.attrs["emd_group_type"]
    assert name_of(path) == "emd"
    with h5py.File(path, "a") as file:  # an EMD of the older kind has numbers
        file["root"].attrs["emd_group_type"] = 1
    assert name_of(path) is None


def test_fixture(data_dir: Path) -> None:
    folder = fixture(data_dir, "stem4d_hspy")
    scan = opened(folder / "scan.hspy")
    assert scan.geometry["electron_energy_eV"].value == 300e3
    assert scan.geometry["wavelength_m"].value == pytest.approx(LAMBDA_300, rel=1e-6)
    assert "photon_energy_eV" not in scan.geometry
    scan = opened(folder / "scan.hspy", energy=8800.0)
    y, x = scan["ycoords"].values(), scan["xcoords"].values()
    np.testing.assert_allclose(np.diff(x.reshape(3, 6)), 3, rtol=1e-6)
    np.testing.assert_allclose(np.diff(y.reshape(3, 6), axis=0), 3, rtol=1e-6)
    assert scan.geometry["scan_shape"].value == [3, 6]
    knows = {"energy_eV", "wavelength_m", "object_pixel_size_m"}
    with h5py.File(folder / "scan.hspy") as file:
        assert_same(scan.frames.values(), file["Experiments/F/data"][...].reshape(18, 32, 32))
    assert_truth(scan, folder, knows=knows, own_frames=True)
