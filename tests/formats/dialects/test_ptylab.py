"""PtyLab's scans and results, laid out as its 0.3 writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from foreign import opened, plain_patches, remarks, residual
from ptystore import InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from ptystore.model.geometry import RawFrame
from scans import assert_same, pickled

RNG = np.random.default_rng(4)
WAVELENGTH, DISTANCE, DETECTOR = 6.3e-7, 0.05, 2e-5


def frames_of(size: int, count: int = 5) -> Any:
    return RNG.poisson(30, (count, size, size)).astype(np.float32)


def scan_file(path: Path, size: int = 9, **more: Any) -> dict[str, Any]:
    arrays = {
        "ptychogram": frames_of(size),
        "encoder": RNG.uniform(-2e-3, 2e-3, (5, 2)),
        "wavelength": WAVELENGTH,
        "zo": DISTANCE,
        "dxd": DETECTOR,
        **more,
    }
    arrays = {name: value for name, value in arrays.items() if value is not None}
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return arrays


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_scan(tmp_path: Path, size: int, transposed: bool) -> None:
    made = scan_file(tmp_path / "a.hdf5", size, theta=30.0, entrancePupilDiameter=1e-3)
    if transposed:
        with h5py.File(tmp_path / "a.hdf5", "a") as file:
            del file["encoder"]
            file["encoder"] = made["encoder"].T
    scan = opened(tmp_path / "a.hdf5")
    assert_same(scan["diffraction"].values(), made["ptychogram"])
    assert scan.frames.attrs["signal"] == "counts"
    dx = WAVELENGTH * DISTANCE / (size * DETECTOR)
    for name, column in (("y", 0), ("x", 1)):
        metres = made["encoder"][:, column]
        assert_same(scan[f"position_{name}_m"].values(), metres)
        found = scan[f"{name}coords"].values()
        np.testing.assert_allclose(found - found[0], (metres - metres[0]) / dx, atol=1e-9)
        assert found.min() == size // 2
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    assert facts.pop("object_pixel_size_m") == pytest.approx([dx, dx], 1e-12)
    del facts["object_shape"]
    assert facts == {
        "wavelength_m": WAVELENGTH,
        "detector_distance_m": DISTANCE,
        "detector_pixel_size_m": [DETECTOR, DETECTOR],
        "tilt_angle_deg": 30.0,
    }
    assert scan["entrancePupilDiameter"].values() == 1e-3
    assert RawFrame.of(scan.metadata) == RawFrame(
        (size, size), (size // 2, size // 2), orientation=0
    )


def test_two_positions_are_rows(tmp_path: Path) -> None:
    encoder = np.array([[1e-3, 2e-3], [5e-3, 7e-3]])
    scan_file(tmp_path / "a.hdf5", ptychogram=frames_of(9, 2), encoder=encoder)
    scan = opened(tmp_path / "a.hdf5")
    assert_same(scan["position_y_m"].values(), encoder[:, 0])
    assert_same(scan["position_x_m"].values(), encoder[:, 1])


#: What each orientation is of a frame, as PtyLab's user sees it.
TURNS = {
    0: lambda f: f,
    1: lambda f: f[:, ::-1],
    2: lambda f: f[::-1],
    3: lambda f: np.rot90(f, 2),
    4: lambda f: f.T,
    5: lambda f: np.rot90(f, -1),
    6: lambda f: np.rot90(f),
    7: lambda f: np.rot90(f, 2).T,
}


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("orientation", range(8))
def test_frames_are_turned_as_the_file_says(tmp_path: Path, size: int, orientation: int) -> None:
    empty = frames_of(size, 1)[0]
    made = scan_file(tmp_path / "a.hdf5", size, orientation=orientation, emptyBeam=empty)
    scan = opened(tmp_path / "a.hdf5")
    wanted = np.stack([TURNS[orientation](frame) for frame in made["ptychogram"]])
    assert_same(scan["diffraction"].values(), wanted)
    assert_same(pickled(scan)["diffraction"][[3, 0]], wanted[[3, 0]])
    assert_same(scan["emptyBeam"].values(), TURNS[orientation](empty))
    raw = RawFrame.of(scan.metadata)
    assert raw is not None
    assert raw.orientation == orientation
    # Where the pixel N//2 of the file is by now.
    spot = np.zeros((size, size))
    spot[size // 2, size // 2] = 1
    assert raw.center_px == tuple(np.argwhere(TURNS[orientation](spot))[0])
    moved = raw.center_px != (size // 2, size // 2)
    assert (
        ("cropping around the centre" in remarks(scan))
        == moved
        == bool(orientation & 3 and size == 8)
    )


def test_frames_that_are_not_square_are_turned_too(tmp_path: Path) -> None:
    made = scan_file(tmp_path / "a.hdf5", ptychogram=RNG.poisson(9, (5, 6, 8)), orientation=6)
    scan = opened(tmp_path / "a.hdf5")
    wanted = np.stack([np.rot90(frame) for frame in made["ptychogram"]])
    assert_same(scan["diffraction"].values(), wanted)
    raw = RawFrame.of(scan.metadata)
    assert raw is not None
    assert (raw.detector_shape, raw.center_px) == ((6, 8), (3, 3))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"orientation": 8}, "/orientation: is 8"),
        ({"orientation": 1.5}, "/orientation: is 1.5"),
        ({"encoder": np.ones((5, 3))}, r"/encoder: has shape \(5, 3\)"),
        ({"encoder": np.ones((4, 2))}, "diffraction.*5.*4"),
        ({"ptychogram": np.ones((5, 2, 9, 9))}, r"/ptychogram: has shape \(5, 2, 9, 9\)"),
        ({"dxd": [1.0, 2.0]}, r"/dxd: has shape \(2,\)"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, more: Any, reason: str) -> None:
    scan_file(tmp_path / "a.hdf5", **more)
    with pytest.raises(InputError, match=reason):
        opened(tmp_path / "a.hdf5")


def test_what_is_missing_stays_unknown(tmp_path: Path) -> None:
    made = scan_file(tmp_path / "a.hdf5", wavelength=[5e-7, 6e-7], zo=None, theta=np.nan)
    scan = opened(tmp_path / "a.hdf5")
    assert {*scan.geometry} == {"detector_pixel_size_m"}
    assert "several wavelengths" in remarks(scan)
    assert "--distance" in remarks(scan)
    assert "ycoords" not in scan
    scan = opened(tmp_path / "a.hdf5", wavelength=WAVELENGTH, distance=DISTANCE)
    dx = WAVELENGTH * DISTANCE / (9 * DETECTOR)
    found, metres = scan["xcoords"].values(), made["encoder"][:, 1]
    np.testing.assert_allclose(found - found[0], (metres - metres[0]) / dx, atol=1e-9)


# Results

DX = 3e-6


def result_file(path: Path, size: int, shape: tuple[int, int], **more: Any) -> dict[str, Any]:
    """A result whose windows PtyLab would cut at round(e / dx) + H//2 - N//2."""
    arrays = {
        "object": np.exp(1j * RNG.normal(size=(1, 1, 1, 1, *shape))),
        "probe": RNG.normal(size=(1, 1, 1, 1, size, size)) + 1j,
        "error": RNG.uniform(size=12),
        "zo": DISTANCE,
        "wavelength": WAVELENGTH,
        "dxp": DX,
        "encoder": RNG.integers(-3, 4, (5, 2)) * DX,
        "purityProbe": 0.9,
        **more,
    }
    arrays = {name: value for name, value in arrays.items() if value is not None}
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return arrays


def corners(encoder: Any, size: int, shape: tuple[int, int]) -> Any:
    """PtyLab's own `positions`: where its windows begin."""
    return np.round(encoder / DX) + np.array(shape) // 2 - size // 2


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("shape", [(20, 25), (21, 24)])
def test_a_result(tmp_path: Path, size: int, shape: tuple[int, int]) -> None:
    made = result_file(tmp_path / "a.hdf5", size, shape)
    scan = opened(tmp_path / "a.hdf5")
    assert_same(scan["objectGuess"].values(), made["object"][0, 0, 0, 0])
    assert_same(scan["probeGuess"].values(), made["probe"][0, 0, 0, 0])
    assert_same(scan["loss"].values(), made["error"])
    assert {"diffraction", "purityProbe"}.isdisjoint(scan)
    wanted = corners(made["encoder"], size, shape) + size // 2
    for name, column in (("y", 0), ("x", 1)):
        np.testing.assert_allclose(scan[f"{name}coords"].values(), wanted[:, column], atol=1e-9)
        assert_same(scan[f"position_{name}_m"].values(), made["encoder"][:, column])
    assert scan.geometry["object_pixel_size_m"].value == [DX, DX]
    assert "detector_pixel_size_m" not in scan.geometry


def test_corrected_positions_count_and_measured_ones_are_kept(tmp_path: Path) -> None:
    corrected = RNG.uniform(-3, 3, (5, 2)) * DX
    made = result_file(tmp_path / "a.hdf5", 8, (20, 24), encoder_corrected=corrected)
    scan = opened(tmp_path / "a.hdf5")
    np.testing.assert_allclose(scan["ycoords"].values(), corrected[:, 0] / DX + 10, atol=1e-9)
    assert_same(scan["position_y_m"].values(), made["encoder"][:, 0])


def test_modes_and_slices(tmp_path: Path) -> None:
    whole = RNG.normal(size=(1, 1, 1, 3, 20, 24)) + 1j
    probe = RNG.normal(size=(1, 1, 2, 3, 8, 8)) + 1j
    result_file(tmp_path / "a.hdf5", 8, (20, 24), object=whole, probe=probe)
    scan = opened(tmp_path / "a.hdf5")
    assert_same(scan["objectGuess"].values(), whole[0, 0, 0])
    assert_same(scan["probeGuess"].values(), probe[0, 0, :, 0])


@pytest.mark.parametrize(("name", "shape"), [("object", (2, 1, 1, 1)), ("object", (1, 2, 1, 1))])
def test_states_that_the_contract_has_not_are_kept(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    whole = RNG.normal(size=(*shape, 20, 24)) + 1j
    result_file(tmp_path / "a.hdf5", 8, (20, 24), **{name: whole})
    scan = opened(tmp_path / "a.hdf5")
    assert "objectGuess" not in scan
    assert_same(scan["object"].values(), whole)
    assert "several wavelengths or states" in remarks(scan)


def test_scan_and_result_go_together(tmp_path: Path) -> None:
    """The frames are those of PtyLab's windows, so the residual tells a wrong position."""
    size, shape = 8, (20, 25)
    made = result_file(tmp_path / "r.hdf5", size, shape, encoder=None, probe=None)
    probe = (RNG.normal(size=(size, size)) + 1j) * 40
    encoder = RNG.integers(-3, 4, (5, 2)) * DX
    begin = corners(encoder, size, shape).astype(int)
    whole = made["object"][0, 0, 0, 0]
    patches = np.stack([whole[y : y + size, x : x + size] for y, x in begin])
    waves = np.fft.fftshift(np.fft.fft2(probe * patches), axes=(-2, -1))
    frames = np.rint(np.abs(waves) ** 2 / size**2).astype(np.float32)
    with h5py.File(tmp_path / "r.hdf5", "a") as file:
        file["probe"] = probe[None, None, None, None]
    scan_file(tmp_path / "s.hdf5", size, ptychogram=frames, encoder=encoder, orientation=0)
    for main, partner in (("s", "r"), ("r", "s")):
        scan = opened(tmp_path / f"{main}.hdf5", partner=tmp_path / f"{partner}.hdf5")
        assert_same(scan["diffraction"].values(), frames)
        y, x = scan["ycoords"].values(), scan["xcoords"].values()
        found = plain_patches(scan["objectGuess"].values(), y, x, (size, size))
        good = np.ones((size, size), bool)
        assert residual(frames, [scan["probeGuess"].values()], found, good) < 0.02
    with pytest.raises(InputError, match="is no result of PtyLab"):
        opened(tmp_path / "s.hdf5", partner=tmp_path / "s.hdf5")
    with pytest.raises(InputError, match="is no scan of PtyLab"):
        opened(tmp_path / "r.hdf5", partner=tmp_path / "r.hdf5")


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    made = scan_file(tmp_path / "a.hdf5", 8, orientation=5)
    ptystore.write(ptystore.canonicalize(opened(tmp_path / "a.hdf5")), tmp_path / "b.zarr")
    scan = ptystore.open(tmp_path / "b.zarr")
    wanted = np.stack([np.rot90(frame, -1) for frame in made["ptychogram"]])
    assert_same(scan["diffraction"].values(), np.sqrt(wanted))
    raw = RawFrame.of(scan.metadata)
    assert raw is not None
    assert raw.orientation == 5


def test_near_relatives(tmp_path: Path) -> None:
    def name_of(**arrays: Any) -> str | None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, value in arrays.items():
                file[name] = value
        found = dialect_of(open_tree(tmp_path / "a.h5"), None)
        return found and found.name

    frames, six = frames_of(8), np.ones((1, 1, 1, 1, 9, 9))
    assert name_of(ptychogram=frames, encoder=np.ones((5, 2))) == "ptylab"
    assert name_of(ptychogram=frames) is None
    assert name_of(object=six, probe=six, zo=1.0) == "ptylab-result"
    assert name_of(object=six[0], probe=six, zo=1.0) is None
    assert name_of(object=six, probe=six) is None
    assert name_of(ptychogram=frames, encoder=np.ones((5, 2)), object=six, probe=six, zo=1) == (
        "ptylab"
    )
