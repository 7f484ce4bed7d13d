"""SLAC's `.npz`: frames last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from foreign import opened, remarks
from ptystore import Dataset, InputError, ParameterError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from scans import assert_same, pickled

RNG = np.random.default_rng(12)
COUNT, HEIGHT, WIDTH = 5, 7, 12
COUNTS = RNG.integers(0, 9, (COUNT, HEIGHT, WIDTH)).astype(np.float32)
Y, X = RNG.uniform(3, 27, COUNT), RNG.uniform(6, 38, COUNT)
PROBE = RNG.normal(size=(HEIGHT, WIDTH)) + 1j * RNG.normal(size=(HEIGHT, WIDTH))
OBJECT = RNG.normal(size=(31, 44)) + 0j
FACTS = {
    "detector_distance_m": np.float64(0.75),
    "probe_energy_ev": np.array([8000.0]),
    "detector_pixel_size_m": np.array([[7.5e-5]]),
}


def put(path: Path, counts: Any = COUNTS, **change: Any) -> Path:
    arrays = {
        "diffraction": np.moveaxis(counts, 0, -1),
        "ycoords_start": Y,
        "xcoords_start": X,
        "probeGuess": PROBE,
        "objectGuess": OBJECT,
        **change,
    }
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


def named(path: Path) -> str | None:
    found = dialect_of(open_tree(path), None)
    return found and found.name


def facts(scan: Dataset) -> dict[str, Any]:
    return {name: fact.value for name, fact in scan.geometry.items()}


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2"])
def test_frames_come_last_and_are_counts(tmp_path: Path, dtype: str) -> None:
    path = put(tmp_path / "a.npz", COUNTS.astype(dtype))
    assert named(path) == "slac"
    scan = opened(path)
    for one in (scan, pickled(scan)):
        assert_same(one["diffraction"].values(), COUNTS.astype(dtype))
        assert_same(one["diffraction"][[3, 1]], COUNTS[[3, 1]].astype(dtype))
    assert scan.frames.attrs["signal"] == "counts"
    assert_same(scan["ycoords"].values(), Y)
    assert_same(scan["xcoords"].values(), X)
    assert_same(scan["xcoords_start"].values(), X)
    assert "nominal positions are taken" in remarks(scan)
    assert_same(scan["probeGuess"].values(), PROBE)
    assert_same(scan["objectGuess"].values(), OBJECT)
    assert facts(scan) == {}


def test_facts(tmp_path: Path) -> None:
    scan = opened(put(tmp_path / "a.npz", **FACTS, current=np.float64(3.0)))
    assert not FACTS.keys() & set(scan)
    assert scan["current"].values() == 3.0
    known = facts(scan)
    wavelength = 1.2398419843320026e-6 / 8000
    assert known.pop("wavelength_m") == pytest.approx(wavelength)
    own = [wavelength * 0.75 / (size * 7.5e-5) for size in (HEIGHT, WIDTH)]
    assert known.pop("object_pixel_size_m") == pytest.approx(own)
    assert known == {
        "detector_distance_m": 0.75,
        "photon_energy_eV": 8000.0,
        "detector_pixel_size_m": [7.5e-5, 7.5e-5],
    }
    newer = put(tmp_path / "b.npz", photon_energy_eV=np.float64(9000.0))
    assert facts(opened(newer))["photon_energy_eV"] == 9000


def test_refined_positions_count_before_nominal_ones(tmp_path: Path) -> None:
    refined = {"ycoords": Y + 0.3, "xcoords": X - 0.2}
    scan = opened(put(tmp_path / "a.npz", **refined))
    assert_same(scan["ycoords"].values(), Y + 0.3)
    assert_same(scan["xcoords"].values(), X - 0.2)
    assert_same(scan["ycoords_start"].values(), Y)
    nominal = {"ycoords_start": Y * 1e-7, "xcoords_start": X * 1e-7}
    scan = opened(put(tmp_path / "b.npz", **refined, **nominal))
    assert_same(scan["ycoords"].values(), Y + 0.3)
    assert_same(scan["position_y_m"].values(), Y * 1e-7)
    assert "ycoords_start" not in scan


def test_positions_in_metres(tmp_path: Path) -> None:
    y, x = (Y - 15) * 1e-6, (X - 22) * 1e-6
    assert max(abs(y).max(), abs(x).max()) < 1e-3
    in_metres = {"ycoords_start": y, "xcoords_start": x}
    scan = opened(put(tmp_path / "a.npz", **in_metres, objectGuess=None))
    assert "ycoords" not in scan
    assert_same(scan["position_x_m"].values(), x)
    assert "--pixel-size" in remarks(scan)
    scan = opened(put(tmp_path / "b.npz", **in_metres, **FACTS))
    pixel = scan.geometry["object_pixel_size_m"].value
    for name, wanted, own, size in (
        ("ycoords", y, pixel[0], HEIGHT),
        ("xcoords", x, pixel[1], WIDTH),
    ):
        found = scan[name].values()
        np.testing.assert_allclose(found - found[0], (wanted - wanted[0]) / own, atol=1e-9)
        assert found.min() == size // 2
    assert "not where they are in objectGuess" in remarks(scan)
    scan = opened(tmp_path / "b.npz", pixel_size=(1e-6, 1e-6))
    np.testing.assert_allclose(np.ptp(scan["ycoords"].values()), np.ptp(Y))
    limit = put(tmp_path / "c.npz", ycoords_start=np.full(COUNT, 1.1e-3), xcoords_start=X * 0)
    assert "position_y_m" not in opened(limit)


def test_as_many_frames_as_rows(tmp_path: Path) -> None:
    """Nothing tells then: it is read as PtychoPINN's, unless the caller says what it is."""
    cube = RNG.integers(0, 9, (HEIGHT, HEIGHT, HEIGHT)).astype(np.float32)
    at = {"ycoords_start": np.arange(7.0), "xcoords_start": np.arange(7.0) ** 2}
    path = put(tmp_path / "a.npz", cube, **at, probeGuess=PROBE[:, :HEIGHT])
    assert named(path) is None
    assert_same(opened(path)["diffraction"].values(), np.moveaxis(cube, 0, -1))
    assert_same(opened(path, dialect="slac")["diffraction"].values(), cube)


def test_the_order_that_the_caller_says(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz", **FACTS)
    last = opened(path, axis_order="hwn")
    assert_same(last["diffraction"].values(), np.moveaxis(COUNTS, 0, -1))
    assert facts(last) == facts(opened(path))
    assert_same(ptystore.canonicalize(last).frames.values(), np.sqrt(COUNTS))
    with pytest.raises(ParameterError, match="--axis-order: SLAC's frames come last"):
        opened(path, axis_order="nhw")


@pytest.mark.parametrize(
    "change",
    [
        {"scan_index": np.zeros(COUNT, int)},
        {"_metadata": '{"schema_version": "1.0.0"}'},
        {"xcoords_start": None, "xcoords": X, "ycoords_start": None, "ycoords": Y},
        {"diffraction": COUNTS},
    ],
)
def test_near_relatives(tmp_path: Path, change: dict[str, Any]) -> None:
    path = put(tmp_path / "a.npz", **change)
    assert named(path) is None
    stored = change.get("diffraction", np.moveaxis(COUNTS, 0, -1))
    assert_same(opened(path)["diffraction"].values(), stored)


def test_frames_of_other_axes_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz", diffraction=COUNTS[0])
    with pytest.raises(InputError, match=r"diffraction: has shape .7, 12., where .H, W, n."):
        opened(path, dialect="slac")


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz", **FACTS)
    ptystore.write(opened(path), tmp_path / "b.zarr")
    written = ptystore.open(tmp_path / "b.zarr")
    assert_same(written["diffraction"].values(), COUNTS)
    assert facts(written) == facts(opened(path))
    amplitude = ptystore.canonicalize(opened(path)).frames.values()
    assert_same(amplitude, np.sqrt(COUNTS))
