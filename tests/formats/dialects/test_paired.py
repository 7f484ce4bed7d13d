"""Frames in `NAME_dp.hdf5`, the rest in `NAME_para.hdf5`: pty-chi's and fold_slice's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import assert_truth, fixture, opened, plain_patches, residual
from ptystore import InputError
from scans import assert_same

RNG = np.random.default_rng(8)
PIXEL = (3e-8, 5e-8)


def chi_window(size: int, extent: int, position_px: float) -> float:
    """Where pty-chi's patch begins: its corner is position + origin - (N-1)/2."""
    half = extent / 2
    low = int(np.floor(half))
    rounded = (low if low % 2 == 0 else low + 1) if half - low == 0.5 else int(half)
    return position_px + (rounded - 0.5) - (size - 1) / 2


def pty_chi(folder: Path, size: int, shape: tuple[int, int], **more: Any) -> dict[str, Any]:
    """A pair whose frames are of windows cut as pty-chi cuts them; and where those begin."""
    whole = np.exp(1j * RNG.normal(size=shape)).astype(np.complex64)
    probe = (RNG.normal(size=(size, size)) + 1j).astype(np.complex64) * 30
    metres = {axis: RNG.uniform(-3, 3, 6) * own for axis, own in zip("yx", PIXEL, strict=True)}
    corners = {
        axis: np.array([chi_window(size, extent, p / own) for p in metres[axis]])
        for axis, extent, own in zip("yx", shape, PIXEL, strict=True)
    }
    patches = plain_patches(whole, corners["y"] + size // 2, corners["x"] + size // 2, (size, size))
    waves = np.fft.fftshift(np.fft.fft2(probe * patches), axes=(-2, -1))
    frames = np.rint(np.abs(waves) ** 2 / size**2).astype(np.float32)
    with h5py.File(folder / "fly_dp.hdf5", "w") as file:
        file["dp"] = frames
    with h5py.File(folder / "fly_para.hdf5", "w") as file:
        file["object"] = more.get("object", whole[None])
        file["probe"] = more.get("probe", probe[None, None])
        for name in ("object", "probe"):
            file[name].attrs["pixel_height_m"], file[name].attrs["pixel_width_m"] = PIXEL
        for axis in "yx":
            file[f"probe_position_{axis}_m"] = metres[axis]
    return {"corners": corners, "whole": whole, "probe": probe, "frames": frames, **metres}


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("shape", [(20, 26), (21, 27), (22, 31), (23, 24)])
@pytest.mark.parametrize("main", ["fly_dp.hdf5", "fly_para.hdf5"])
def test_pty_chi_windows(tmp_path: Path, size: int, shape: tuple[int, int], main: str) -> None:
    made = pty_chi(tmp_path, size, shape)
    scan = opened(tmp_path / main)
    assert_same(scan["diffraction"].values(), made["frames"])
    assert scan.frames.attrs["signal"] == "counts"
    assert_same(scan["objectGuess"].values(), made["whole"])
    assert_same(scan["probeGuess"].values(), made["probe"])
    for axis in "yx":
        wanted = made["corners"][axis] + size // 2
        np.testing.assert_allclose(scan[f"{axis}coords"].values(), wanted, rtol=0, atol=1e-9)
        assert_same(scan[f"position_{axis}_m"].values(), made[axis])
    y, x = scan["ycoords"].values(), scan["xcoords"].values()
    patches = plain_patches(made["whole"], y, x, (size, size))
    good = np.ones((size, size), bool)
    assert residual(made["frames"], [made["probe"]], patches, good) < 0.01
    assert scan.geometry["object_pixel_size_m"].value == list(PIXEL)
    assert {*scan.geometry} == {"object_pixel_size_m"}


def test_pty_chi_modes_oprs_and_slices(tmp_path: Path) -> None:
    probe = RNG.normal(size=(2, 3, 8, 8)).astype(np.complex64)
    whole = RNG.normal(size=(2, 20, 26)).astype(np.complex64)
    pty_chi(tmp_path, 8, (20, 26), probe=probe, object=whole)
    scan = opened(tmp_path / "fly_para.hdf5")
    assert_same(scan["probeGuess"].values(), probe)
    assert_same(scan["objectGuess"].values(), whole)
    pty_chi(tmp_path, 8, (20, 26), probe=probe[1])
    assert_same(opened(tmp_path / "fly_dp.hdf5")["probeGuess"].values(), probe[1])


def test_the_distance_follows_from_the_detectors_pixel(tmp_path: Path) -> None:
    pty_chi(tmp_path, 8, (20, 26))
    scan = opened(tmp_path / "fly_dp.hdf5", wavelength=1e-10, detector_pixel=(5e-5, 3e-5))
    # dx N Δ / λ
    assert scan.geometry["detector_distance_m"].value == pytest.approx(3e-8 * 8 * 5e-5 / 1e-10)
    assert scan.geometry["detector_distance_m"].source == "derived"
    given = opened(
        tmp_path / "fly_dp.hdf5", wavelength=1e-10, detector_pixel=(5e-5,) * 2, distance=3
    )
    assert given.geometry["detector_distance_m"].value == 3


FOLD_FRAMES = RNG.poisson(7, (5, 9, 9)).astype(np.uint16)
FOLD_Y, FOLD_X = RNG.uniform(-1e-6, 1e-6, (2, 5))


def fold_slice(folder: Path, shape: tuple[int, ...] = (5, 1), **left_out: bool) -> Path:
    with h5py.File(folder / "s_dp.h5", "w") as file:
        file["dp"] = FOLD_FRAMES
    with h5py.File(folder / "s_para.h5", "w") as file:
        file["ppY"], file["ppX"] = FOLD_Y.reshape(shape), FOLD_X.reshape(shape)
        for name, value in (("lambda", 2e-10), ("dx", 4e-8), ("angle", -12.5)):
            if name not in left_out:
                file[name] = [[value]]
    return folder / "s_dp.h5"


@pytest.mark.parametrize("shape", [(5, 1), (1, 5), (5,)])
@pytest.mark.parametrize("main", ["s_dp.h5", "s_para.h5"])
def test_fold_slice(tmp_path: Path, shape: tuple[int, ...], main: str) -> None:
    fold_slice(tmp_path, shape)
    scan = opened(tmp_path / main)
    assert_same(scan["diffraction"].values(), FOLD_FRAMES)
    for name, metres in (("y", FOLD_Y), ("x", FOLD_X)):
        assert_same(scan[f"position_{name}_m"].values(), metres)
        found = scan[f"{name}coords"].values()
        np.testing.assert_allclose(found - found[0], (metres - metres[0]) / 4e-8, atol=1e-9)
        assert found.min() == 4
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    extents = [int(np.ceil(np.ptp(metres) / 4e-8)) + 9 for metres in (FOLD_Y, FOLD_X)]
    assert facts == {
        "wavelength_m": 2e-10,
        "object_pixel_size_m": [4e-8, 4e-8],
        "tomography_angle_deg": -12.5,
        "object_shape": extents,
    }
    scan = opened(tmp_path / main, detector_pixel=(7e-5, 7e-5))
    wanted = 4e-8 * 9 * 7e-5 / 2e-10
    assert scan.geometry["detector_distance_m"].value == pytest.approx(wanted, 1e-12)


def test_what_fold_slice_left_out_is_not_known(tmp_path: Path) -> None:
    scan = opened(fold_slice(tmp_path, **{"lambda": True, "dx": True, "angle": True}))
    assert not scan.geometry
    assert "ycoords" not in scan
    assert_same(scan["position_y_m"].values(), FOLD_Y)
    assert scan.source is not None
    assert "--pixel-size" in scan.source.remarks[0]


def test_the_partner_is_found_or_named(tmp_path: Path) -> None:
    path = fold_slice(tmp_path)
    (tmp_path / "s_para.h5").rename(tmp_path / "other.h5")
    alone = opened(path)
    assert {*alone} == {"diffraction"}
    assert alone.source is not None
    assert "NAME_para.hdf5" in alone.source.remarks[0]
    assert "--with" in alone.source.remarks[0]
    assert {*opened(path, partner=tmp_path / "other.h5")} >= {"diffraction", "xcoords"}
    assert {*opened(tmp_path / "other.h5", partner=path)} >= {"diffraction", "xcoords"}
    alone = opened(tmp_path / "other.h5")
    assert "diffraction" not in alone
    (tmp_path / "other.h5").rename(tmp_path / "s_para.hdf5")
    assert {*opened(path)} >= {"diffraction", "xcoords"}
    with pytest.raises(InputError, match=r"s_dp\.h5: holds no pos.*: it is no partner of s_dp\.h5"):
        opened(path, partner=path)


def test_another_file_of_that_name_is_no_partner(tmp_path: Path) -> None:
    path = fold_slice(tmp_path)
    with h5py.File(tmp_path / "s_para.h5", "w") as file:
        file["x"] = np.ones(5)
    scan = opened(path)
    assert {*scan} == {"diffraction"}
    assert scan.source is not None
    assert scan.source.remarks[0].startswith("s_para.h5 holds no positions")


def test_a_pair_of_various_lengths_names_both(tmp_path: Path) -> None:
    path = fold_slice(tmp_path)
    with h5py.File(path, "w") as file:
        file["dp"] = FOLD_FRAMES[:3]
    with pytest.raises(InputError, match=r"diffraction.*3.*5|5.*3"):
        opened(path)


def test_near_relatives(tmp_path: Path) -> None:
    """A product of ptychodus has the keys of pty-chi, and an attribute of its own."""
    pty_chi(tmp_path, 8, (20, 26))
    from ptystore.formats.dialects.table import dialect_of
    from ptystore.formats.opening import open_tree

    def name_of(name: str) -> str | None:
        found = dialect_of(open_tree(tmp_path / name), None)
        return found and found.name

    assert name_of("fly_para.hdf5") == "pty-chi"
    assert name_of("fly_dp.hdf5") == "dp"
    fold_slice(tmp_path)
    assert name_of("s_para.h5") == "fold-slice"
    with h5py.File(tmp_path / "fly_para.hdf5", "a") as file:
        file.attrs["detector_object_distance_m"] = 2.0
    assert name_of("fly_para.hdf5") != "pty-chi"
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["dp"] = np.ones(4)
    assert name_of("flat.h5") is None


def test_the_fixture(data_dir: Path) -> None:
    folder = fixture(data_dir, "fold_slice_dp_para")
    for end in ("dp", "para"):
        scan = opened(folder / f"fly001_roi0_Ndp32_{end}.hdf5")
        assert_truth(scan, folder, knows={"wavelength_m", "object_pixel_size_m"})
        assert scan.geometry["tomography_angle_deg"].value == 0
    pixel = (75e-6, 75e-6)
    scan = opened(folder / "fly001_roi0_Ndp32_dp.hdf5", detector_pixel=pixel)
    facts = {"wavelength_m", "object_pixel_size_m", "detector_distance_m", "detector_pixel_size_m"}
    assert_truth(scan, folder, knows=facts)
