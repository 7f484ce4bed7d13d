"""What a caller says is used, or refused where nothing needs it; and what facts say together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from foreign import remarks
from ptystore import InputError, ParameterError
from ptystore.model.geometry import RawFrame

RNG = np.random.default_rng(10)
COUNT, SIZE = 12, 6
HC = 1.2398419843320026e-6


def pair(folder: Path, *, pixel: float = 1e-8) -> Path:
    """pty-chi's two files, of one object of 30 by 40."""
    with h5py.File(folder / "a_dp.hdf5", "w") as file:
        file["dp"] = RNG.poisson(5, (COUNT, SIZE, SIZE)).astype("f4")
    with h5py.File(folder / "a_para.hdf5", "w") as file:
        for name, shape in (("probe", (1, SIZE, SIZE)), ("object", (1, 30, 40))):
            file[name] = np.ones(shape, "c8")
            file[name].attrs["pixel_height_m"] = file[name].attrs["pixel_width_m"] = pixel
        for axis in "yx":
            file[f"probe_position_{axis}_m"] = RNG.uniform(-5, 5, COUNT) * pixel
    return folder / "a_dp.hdf5"


def flat(path: Path, **more: Any) -> Path:
    arrays = {"diffraction": RNG.poisson(5, (COUNT, SIZE, SIZE)).astype("u2"), **more}
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"entry": "5"}, "--entry: is for files of several entries; this is read as"),
        ({"unpaired": "drop"}, "--unpaired: is for --positions, and files paired"),
        ({"scan_shape": (3, 5)}, "--scan-shape: 3 by 5 is no raster of 12 frames"),
        ({"energy": "8.8keV", "wavelength": "0.2nm"}, "--wavelength: 2e-10 m is not the"),
        ({"skip": ("object",)}, "object: is to be skipped or renamed, but there is no such"),
    ],
)
def test_what_a_dialect_has_no_use_for_is_refused(tmp_path: Path, said: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        ptystore.open(pair(tmp_path), **said)


def test_a_partner_of_a_file_that_has_all(tmp_path: Path) -> None:
    path = pair(tmp_path)
    ptystore.open(path, partner=tmp_path / "a_para.hdf5")
    with h5py.File(tmp_path / "a_para.hdf5", "a") as file, h5py.File(path) as frames:
        file["dp"] = frames["dp"][:]
    with pytest.raises(ParameterError, match="--with: is for scans in two files"):
        ptystore.open(tmp_path / "a_para.hdf5", partner=path)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"dialect": "cxi"}, "--dialect: is for files of other tools"),
        ({"partner": "b.h5"}, "--with: is for scans in two files"),
        ({"entry": "1"}, "--entry: is for files of several"),
        ({"unpaired": "keep"}, "--unpaired: is for --positions"),
    ],
)
@pytest.mark.parametrize("kind", ["scan.zarr", "frames"])
def test_a_scan_of_ours_and_frames_in_files(
    tmp_path: Path, kind: str, said: Any, words: str
) -> None:
    path = tmp_path / kind
    if kind == "frames":
        path.mkdir()
        np.save(path / "a_1.npy", np.ones((SIZE, SIZE)))
    else:
        ptystore.write(ptystore.open(flat(tmp_path / "a.h5")), path)
    ptystore.open(path)
    with pytest.raises(ParameterError, match=words):
        ptystore.open(path, **said)


def test_fields_of_a_dialect_are_left_out_and_renamed(tmp_path: Path) -> None:
    whole = ptystore.open(pair(tmp_path))
    scan = ptystore.open(
        tmp_path / "a_dp.hdf5", skip=("objectGuess",), rename={"probeGuess": "first_probe"}
    )
    assert {*whole} - {*scan} == {"objectGuess", "probeGuess"}
    np.testing.assert_array_equal(scan["first_probe"].values(), whole["probeGuess"].values())
    # As `prepare` advises where an object is of frames of another size.
    made = ptystore.prepare(
        ptystore.open(tmp_path / "a_dp.hdf5", skip=("objectGuess", "probeGuess")),
        center=(3, 3),
        crop=4,
    )
    assert made["diffraction"].shape == (COUNT, 4, 4)


@pytest.mark.parametrize(("off", "is_said"), [(1.0, False), (1.009, False), (1.011, True)])
def test_a_pixel_that_other_facts_contradict_is_told(
    tmp_path: Path, off: float, is_said: bool
) -> None:
    far = HC / 8800 * 2.0 / (SIZE * 75e-6)
    facts: Any = {"energy": "8.8keV", "distance": "2m", "detector_pixel": "75um"}
    scan = ptystore.open(pair(tmp_path, pixel=far * off), **facts)
    assert ("/object@pixel_height_m says that an object's pixel is" in remarks(scan)) == is_said
    assert scan.geometry.pair("object_pixel_size_m") == pytest.approx((far * off,) * 2)
    said = ptystore.open(flat(tmp_path / "b.h5"), pixel_size=far * off, **facts)
    assert ("--pixel-size says" in remarks(said)) == is_said
    ptystore.write(said, tmp_path / "c.zarr")
    assert remarks(ptystore.open(tmp_path / "c.zarr")) == ""
    told = [
        line for check in ptystore.set_facts(said, {"exposure_s": 1}).checks for line in check()
    ]
    assert any("λz/(NΔ)" in line for line in told) == is_said


def test_an_energy_says_of_what(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.h5")
    assert ptystore.open(path, electron_energy="300keV").geometry.text("radiation") == "electron"
    assert ptystore.open(path, energy="8keV").geometry.text("radiation") is None
    ptystore.write(ptystore.open(path, electron_energy="300keV"), tmp_path / "b.zarr")
    again = ptystore.open(tmp_path / "b.zarr", energy="8keV").geometry
    assert again.text("radiation") == "photon"
    assert "electron_energy_eV" not in again
    agree = ptystore.open(path, energy="8keV", wavelength=HC / 8000).geometry
    assert {"photon_energy_eV", "wavelength_m"} <= {*agree}


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".npz"])
def test_positions_with_a_length_come_into_one_object(tmp_path: Path, suffix: str) -> None:
    y, x = RNG.uniform(-2, 2, COUNT), RNG.uniform(-3, 3, COUNT)
    path = flat(tmp_path / "a.h5", ycoords=y, xcoords=x, ycoords_start=y + 0.25)
    with h5py.File(path, "a") as file:
        for name in ("ycoords", "xcoords", "ycoords_start"):
            file[name].attrs["units"] = "um"
    scan = ptystore.open(path, pixel_size="100nm,200nm")
    for name, metres, own in (("y", y * 1e-6, 1e-7), ("x", x * 1e-6, 2e-7)):
        wanted = (metres - metres.min()) / own + SIZE // 2
        np.testing.assert_allclose(scan[f"{name}coords"].values(), wanted, rtol=0, atol=1e-9)
        np.testing.assert_allclose(scan[f"position_{name}_m"].values(), metres, rtol=1e-12)
    nominal = scan["ycoords_start"].values() - scan["ycoords"].values()
    np.testing.assert_allclose(nominal, 2.5, rtol=0, atol=1e-9)
    shape = [int(np.ceil(np.ptp(v) * 1e-6 / own)) + SIZE for v, own in ((y, 1e-7), (x, 2e-7))]
    assert scan.geometry["object_shape"].value == shape
    assert "are moved, all by as much" in remarks(scan)
    ptystore.write(scan, tmp_path / f"b{suffix}")
    again = ptystore.open(tmp_path / f"b{suffix}")
    assert again.geometry == scan.geometry
    # Facts that make its pixel another one are for the verb that renews positions.
    with pytest.raises(ParameterError, match="--pixel-size: would make its object pixel") as caught:
        ptystore.open(tmp_path / f"b{suffix}", pixel_size="50nm")
    assert "ptystore set" in str(caught.value.advice)
    assert len(ptystore.open(tmp_path / f"b{suffix}", pixel_size="100nm,200nm")) == len(again)


def test_what_was_known_of_other_frames_is_not_of_those(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["cxi_version"] = 160
        file["entry_1/instrument_1/detector_1/data"] = np.ones((COUNT, 8, 10), "u2")
        file["entry_1/sample_1/geometry_1/translation"] = RNG.uniform(0, 1e-6, (COUNT, 3))
    np.savez(tmp_path / "b.npz", raw=np.ones((COUNT, 20, 22), "u2"), same=np.ones((COUNT, 8, 10)))
    frames = f"{tmp_path / 'b.npz'}:"
    known = RawFrame.of(ptystore.open(tmp_path / "a.cxi").metadata)
    assert known is not None
    assert known.center_px == (4, 5)
    same = ptystore.open(tmp_path / "a.cxi", map={"diffraction": f"{frames}same"})
    assert RawFrame.of(same.metadata) == known
    other = ptystore.open(tmp_path / "a.cxi", map={"diffraction": f"{frames}raw"})
    assert RawFrame.of(other.metadata) is None


def test_part_of_a_raster_is_none(tmp_path: Path) -> None:
    y, x = np.mgrid[:3, :4] * 2.0
    stack = RNG.poisson(5, (3, 4, SIZE, SIZE)).astype("u2")
    path = flat(tmp_path / "a.h5", diffraction=stack, ycoords=y, xcoords=x)
    for suffix in (".zarr", ".npz"):
        ptystore.write(ptystore.open(path), tmp_path / f"b{suffix}")
        for source in (path, tmp_path / f"b{suffix}"):
            assert ptystore.open(source).geometry["scan_shape"].value == [3, 4]
            for said in ({"frames": "2:9"}, {"skip_first": 1}):
                assert "scan_shape" not in ptystore.open(source, **said).geometry
            assert "scan_shape" in ptystore.open(source, frames=":").geometry
    scan = ptystore.open(path)
    for part in (*ptystore.split(scan), ptystore.select_view(scan, fraction=0.5)):
        assert "scan_shape" not in part.geometry
    assert "scan_shape" in ptystore.select_view(scan, overlap=0.9).geometry


def test_a_raster_of_another_length(tmp_path: Path) -> None:
    assert ptystore.open(pair(tmp_path), scan_shape=(3, 4)).geometry["scan_shape"].value == [3, 4]


def test_motors_whose_names_say_nothing(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.h5", h=np.arange(12.0), v=np.arange(12.0) * 2)
    said: Any = {"positions": f"{path}:/{{v,h}}", "position_units": "um", "pixel_size": "1um"}
    with pytest.raises(InputError, match="v, h don't say which are y and x") as caught:
        ptystore.open(path, **said)
    assert "--position-columns v,h, or h,v" in str(caught.value.advice)
    scan = ptystore.open(path, position_columns="v,h", **said)
    np.testing.assert_array_equal(np.diff(scan["ycoords"].values()), 2)
    assert scan["position_y_m"].attrs["moves"] == "probe"
    assert ptystore.open(pair(tmp_path))["position_x_m"].attrs["moves"] == "probe"
