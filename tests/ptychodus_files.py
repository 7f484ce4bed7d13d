"""Files as ptychodus writes them, of a scan with odd and even sizes, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ptystore import Dataset
from scans import assert_same

RNG = np.random.default_rng(5)
N, HEIGHT, WIDTH = 6, 7, 12  # of positions, of frames
EXTENT = (31, 44)
#: Some of the frames of a series, and the file of frames has them in another order, and more.
NUMBERS = np.array([5, 7, 9, 12, 20, 21])
STORED = np.array([21, 3, 5, 7, 9, 20, 12, 40])
COUNTS = RNG.integers(0, 900, (len(STORED), HEIGHT, WIDTH)).astype(np.uint16)
WANTED = COUNTS[[2, 3, 4, 6, 5, 0]]
BAD = np.zeros((HEIGHT, WIDTH), bool)
BAD[1, 2] = BAD[6, 11] = True
PIXEL, CENTER = (3e-8, 5e-8), (-1.7e-6, 3.1e-6)
Y, X = RNG.uniform(3, 27, N), RNG.uniform(6, 38, N)
#: Pixel N//2 from the object's middle: the odd height and the even width differ in the half pixel.
Y_M = (Y - (EXTENT[0] - 1) / 2) * PIXEL[0] + CENTER[0]
X_M = (X - EXTENT[1] / 2) * PIXEL[1] + CENTER[1]
SUFFIXES = (".h5", ".npz")


def complexes(*shape: int) -> Any:
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(np.complex64)


PROBE, OBJECT = complexes(2, 3, HEIGHT, WIDTH), complexes(2, *EXTENT)
WEIGHTS = RNG.normal(size=(N, 2))
OF_1_7 = {
    "photon_energy_eV": 8800.0,
    "mass_attenuation_m2_per_kg": 0.5,
    "tomography_angle_deg": 12.5,
    "focus_object_distance_m": -0.001,
    "tilt_angle_deg": 0.0,
    "far_field": np.True_,
    "polarization": "left_circular",
}
OF_2025 = {"probe_energy_eV": 8800.0, "mass_attenuation_m2_kg": 0.5}


def facts(scan: Dataset) -> dict[str, Any]:
    return {name: fact.value for name, fact in scan.geometry.items()}


def product(path: Path, own: dict[str, Any] = OF_1_7, **change: Any) -> Path:
    """A product as ptychodus writes it; a change to None leaves out, `at_probe` are attributes."""
    attrs = {
        "name": "asymmetric",
        "comments": "",
        "detector_object_distance_m": 2.0,
        "exposure_time_s": 0.05,
        "probe_photon_count": 2e5,
        **own,
    }
    arrays: dict[str, Any] = {
        "probe_position_indexes": NUMBERS,
        "probe_position_x_m": X_M,
        "probe_position_y_m": Y_M,
        "probe": PROBE,
        "object": OBJECT,
        "object_layer_spacing_m": np.array([2e-6]),
        "loss_epochs": np.arange(3),
        "loss_values": np.array([3.0, 2.0, 1.5]),
        "opr_weights": WEIGHTS,
        "probe_photon_counts": np.linspace(1e5, 2e5, N),
    }
    pixel = {"pixel_height_m": PIXEL[0], "pixel_width_m": PIXEL[1]}
    center = {"center_y_m": CENTER[0], "center_x_m": CENTER[1]}
    inside = {"probe": dict(pixel), "object": {**pixel, **center}}
    inside["probe"].update(change.pop("at_probe", {}))
    inside["object"].update(change.pop("at_object", {}))
    for name, value in change.items():
        (arrays if name in arrays or np.ndim(value) else attrs)[name] = value
    arrays, attrs = ({k: v for k, v in d.items() if v is not None} for d in (arrays, attrs))
    inside = {
        owner: {k: v for k, v in found.items() if v is not None}
        for owner, found in inside.items()
        if owner in arrays
    }
    if path.suffix == ".npz":
        flat = {f"{owner}_{k}": v for owner, found in inside.items() for k, v in found.items()}
        np.savez(path, **arrays, **attrs, **flat)
        return path
    with h5py.File(path, "w") as file:
        file.attrs.update(attrs)
        for name, values in arrays.items():
            file[name] = values
        for owner, found in inside.items():
            file[owner].attrs.update(found)
    return path


def diffraction(path: Path, **change: Any) -> Path:
    arrays = {"patterns": COUNTS, "indexes": STORED, "bad_pixels": BAD, **change}
    arrays = {name: values for name, values in arrays.items() if values is not None}
    if path.suffix == ".npz":
        np.savez_compressed(path, allow_pickle=False, **arrays)
        return path
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="lzf" if values.ndim else None)
        pixels = {"detector_pixel_height_m": 7.5e-5, "detector_pixel_width_m": 5.5e-5}
        file["patterns"].attrs.update(pixels)
    return path


def assert_positions(scan: Dataset, rows: Any = slice(None)) -> None:
    np.testing.assert_allclose(scan["ycoords"].values(), Y[rows], rtol=0, atol=1e-9)
    np.testing.assert_allclose(scan["xcoords"].values(), X[rows], rtol=0, atol=1e-9)
    assert_same(scan["position_y_m"].values(), Y_M[rows])
    assert_same(scan["position_x_m"].values(), X_M[rows])
