"""ptychodus 1.7's files with positions in pixels, half of one off; and PtychoPINN's own, not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import opened
from ptystore import Dataset, InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from ptystore.model.geometry import RawFrame
from scans import assert_same

RNG = np.random.default_rng(8)
COUNT, HEIGHT, WIDTH = 5, 7, 12
COUNTS = RNG.integers(0, 900, (COUNT, HEIGHT, WIDTH)).astype(np.uint16)
BAD = np.zeros((HEIGHT, WIDTH), bool)
BAD[6, 11] = True
#: From the corner of a window to where ptychodus counts: 3 of 7, 5½ of 12; here 3 of 7, 6 of 12.
CORNERS = RNG.uniform(0, 9, (2, COUNT))
THEIRS = CORNERS + np.array([[3.0], [5.5]])
OURS = CORNERS + np.array([[3.0], [6.0]])


def complexes(*shape: int) -> Any:
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(np.complex64)


PROBE, OBJECT = complexes(2, HEIGHT, WIDTH), complexes(19, 24)


def named(path: Path) -> str | None:
    found = dialect_of(open_tree(path), None)
    return found and found.name


def training(path: Path, **change: Any) -> Path:
    arrays = {
        "patterns": COUNTS,
        "bad_pixels": BAD,
        "probe": PROBE,
        "object": OBJECT,
        "probe_position_y_px": THEIRS[0],
        "probe_position_x_px": THEIRS[1],
        "object_pixel_height_m": 3e-8,
        "object_pixel_width_m": 5e-8,
        "detector_object_distance_m": 2.0,
        "photon_energy_eV": 8800.0,
        **change,
    }
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            compression = "lzf" if name == "patterns" else None
            if values is not None:
                file.create_dataset(name, data=values, compression=compression)
    return path


def pinn(path: Path, **change: Any) -> Path:
    arrays = {
        "ycoords": THEIRS[0],
        "xcoords": THEIRS[1],
        "ycoords_start": THEIRS[0],
        "xcoords_start": THEIRS[1],
        "diff3d": COUNTS,
        "bad_pixels": BAD,
        "probeGuess": PROBE,
        "objectGuess": OBJECT,
        "scan_index": np.zeros(COUNT, int),
        **change,
    }
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


def assert_scan(scan: Dataset) -> None:
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.frames.attrs["signal"] == "counts"
    assert_same(scan["mask"].values(), BAD.astype(np.uint32))
    assert_same(scan["probeGuess"].values(), PROBE)
    assert_same(scan["objectGuess"].values(), OBJECT)
    raw_frame = RawFrame.of(scan.metadata)
    assert raw_frame is not None
    assert raw_frame.filled == "inpaint"
    np.testing.assert_allclose(scan["ycoords"].values(), OURS[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scan["xcoords"].values(), OURS[1], rtol=0, atol=1e-12)


def test_a_training_file(tmp_path: Path) -> None:
    path = training(tmp_path / "training.h5")
    assert named(path) == "ptychodus-training"
    scan = opened(path)
    assert_scan(scan)
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    np.testing.assert_allclose(facts.pop("wavelength_m"), 1.2398419843320026e-6 / 8800, rtol=1e-9)
    assert facts == {
        "photon_energy_eV": 8800.0,
        "detector_distance_m": 2.0,
        "object_pixel_size_m": [3e-8, 5e-8],
    }


def test_a_training_file_that_lacks_something(tmp_path: Path) -> None:
    gone = ("photon_energy_eV", "detector_object_distance_m", "object_pixel_width_m", "bad_pixels")
    scan = opened(training(tmp_path / "a.h5", probe=PROBE[:1], **dict.fromkeys(gone)))
    assert not scan.geometry
    assert "mask" not in scan
    assert_same(scan["probeGuess"].values(), PROBE[0])
    path = training(tmp_path / "b.h5", probe_position_y_px=None)
    assert named(path) == "ptychodus-diffraction"
    path = training(tmp_path / "c.h5", probe_position_y_px=np.ones((COUNT, 2)))
    with pytest.raises(InputError, match="y_px: has shape"):
        opened(path)


def test_an_npz_for_ptychopinn(tmp_path: Path) -> None:
    path = pinn(tmp_path / "a.npz", ring_current=np.float64(101.5))
    assert named(path) == "ptychodus-ptychopinn"
    scan = opened(path)
    assert_scan(scan)
    for axis in "yx":
        nominal = scan[f"{axis}coords_start"].values()
        assert_same(nominal, scan[f"{axis}coords"].values())
    assert_same(scan["scan_index"].values(), np.zeros(COUNT, int))
    assert scan["ring_current"].values() == 101.5
    assert not {"diff3d", "bad_pixels"} & set(scan)
    assert not scan.geometry
    scan = opened(pinn(tmp_path / "b.npz", diff3d=COUNTS / 900.0, probeGuess=PROBE[:1]))
    assert scan.frames.attrs["signal"] == "amplitude"
    assert_same(scan["probeGuess"].values(), PROBE[0])
    path = pinn(tmp_path / "c.npz", bad_pixels=BAD[0])
    with pytest.raises(InputError, match="bad_pixels: has shape"):
        opened(path)


@pytest.mark.parametrize(
    "change",
    [
        {"bad_pixels": None},
        {"probeGuess": PROBE[0]},
        {"_metadata": '{"schema_version": "1.0.0"}'},
        {"diff3d": None, "diffraction": COUNTS},
    ],
)
def test_ptychopinns_own_stay_as_they_are(tmp_path: Path, change: dict[str, Any]) -> None:
    path = pinn(tmp_path / "a.npz", **change)
    assert named(path) is None
    scan = opened(path)
    assert_same(scan["ycoords"].values(), THEIRS[0])
    assert_same(scan["xcoords_start"].values(), THEIRS[1])
    assert_same(scan.frames.values(), COUNTS)
    assert "mask" not in scan
    assert_same(scan["probeGuess"].values(), change.get("probeGuess", PROBE))
