"""Scan positions in arrays of a file: lists, lists of pairs, axes of a raster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

import ptystore
from measured_positions import FRAME, N, X, Y, check, frames, opened
from ptystore.errors import InputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return frames(tmp_path / "a.npz")


def test_lists_as_matlab_has_them_and_lists_of_a_raster(tmp_path: Path, source: Path) -> None:
    scipy.io.savemat(tmp_path / "row.mat", {"x_um": X, "y_um": Y})
    scipy.io.savemat(tmp_path / "column.mat", {"x_um": X[:, None], "y_um": Y[:, None]})
    np.save(tmp_path / "three.npy", np.stack([np.arange(N), Y, X]))
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["positions_um"] = np.column_stack([Y, X]).reshape(2, 3, 2)
        file["y"], file["x"] = Y, X
        file["y"].attrs["units"] = np.array([b"um"])
        file["x"].attrs["unit"] = "um"
    check(opened(source, tmp_path / "row.mat", position_units=None))
    check(opened(source, tmp_path / "column.mat", position_units=None))
    check(opened(source, tmp_path / "three.npy", position_columns="frame,y,x"))
    key = f"{tmp_path / 'p.h5'}:positions_um"
    check(opened(source, key, position_columns="y,x", position_units=None))
    check(opened(source, f"{tmp_path / 'p.h5'}:{{y,x}}", position_units=None))


def test_a_file_of_a_list_of_pairs_and_another_list(tmp_path: Path, source: Path) -> None:
    np.savez(tmp_path / "p.npz", pos=np.column_stack([Y, X]), t=np.arange(N))
    with pytest.raises(InputError, match="it has pos, t") as caught:
        opened(source, tmp_path / "p.npz", position_columns="y,x")
    assert "FILE:KEY" in str(caught.value.advice)


@pytest.mark.parametrize("y_shape", [(2,), (2, 1)])
def test_axes_of_a_raster(tmp_path: Path, y_shape: tuple[int, ...]) -> None:
    path = tmp_path / "scan.h5"
    y, x = np.array([0.0, 3]), np.array([1.0, 1.5, 4])
    with h5py.File(path, "w") as file:
        file["e/frames"] = np.ones((2, 3, *FRAME), "u2")
        file["e/y"], file["e/x"] = y.reshape(y_shape), x.reshape((1, 3) if len(y_shape) > 1 else 3)
    scan = opened(path, "/e/{y,x}", map={"diffraction": "/e/frames"})
    check(scan, np.repeat(y, 3), np.tile(x, 2))


@pytest.mark.parametrize(
    ("attrs", "is_x_slow"),
    [
        ({}, False),
        ({"axes": ["y", "x", ".", "."]}, False),
        ({"axes": ["x", "y", ".", "."]}, True),
        ({"axes": "x:y"}, True),
        ({"axes": [".", "."], "x_indices": 0, "y_indices": 1}, True),
    ],
)
def test_the_slow_axis_of_a_square_raster(
    tmp_path: Path, attrs: dict[str, Any], is_x_slow: bool
) -> None:
    path = tmp_path / "scan.h5"
    y, x = np.array([0.0, 3, 4]), np.array([1.0, 1.5, 4])
    with h5py.File(path, "w") as file:
        file["e/frames"] = np.ones((3, 3, *FRAME), "u2")
        file["e/y"], file["e/x"] = y, x
        file["e"].attrs.update(attrs)
    scan = opened(path, "/e/{y,x}", map={"diffraction": "/e/frames"})
    if is_x_slow:
        check(scan, np.tile(y, 3), np.repeat(x, 3))
    else:
        check(scan, np.repeat(y, 3), np.tile(x, 3))


def test_axes_of_a_raster_whose_frames_are_in_a_row(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    y, x = np.array([0.0, 3]), np.array([1.0, 1.5, 4])
    with h5py.File(path, "w") as file:
        file["frames"], file["y"], file["x"] = np.ones((6, *FRAME), "u2"), y, x
    scan = opened(path, "{y,x}", map={"diffraction": "frames"}, scan_shape=(2, 3))
    check(scan, np.repeat(y, 3), np.tile(x, 2))


def test_positions_tell_that_frames_are_last_and_so_how_large_a_pixel_is(tmp_path: Path) -> None:
    # An object's pixel is λz/(NΔ): N is known only once the positions say which axis counts.
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["frames"] = np.ones((*FRAME, N), "u2")
        file["list"] = np.column_stack([Y, X])
    said = {"energy": 8800, "distance": 2, "detector_pixel": (75e-6, 55e-6)}
    scan = ptystore.open(
        tmp_path / "a.h5",
        map={"diffraction": "frames"},
        positions=f"{tmp_path / 'a.h5'}:list",
        position_columns="y,x",
        position_units="um",
        **said,
    )
    wavelength = 1.2398419843320026e-6 / 8800
    pixel = [wavelength * 2 / (n * d) for n, d in zip(FRAME, (75e-6, 55e-6), strict=True)]
    np.testing.assert_allclose(scan.geometry["object_pixel_size_m"].value, pixel, rtol=1e-12)
    for name, values, own in (("ycoords", Y, pixel[0]), ("xcoords", X, pixel[1])):
        np.testing.assert_allclose(
            np.diff(scan[name].values()), np.diff(values) * 1e-6 / own, atol=1e-9
        )
