"""Positions on a grid, put in a row when asked; refused with the way out otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

import ptystore
from ptystore.errors import InputError, ParameterError
from scans import assert_same, pickled

GRID = (3, 4)


def arrays(**more: Any) -> dict[str, np.ndarray]:
    y, x = np.meshgrid(np.arange(30.0, 33), np.arange(20.0, 24), indexing="ij")
    given = {"diff3d": np.ones((12, 8, 8), "u2"), "xcoords": x, "ycoords": y}
    return given | {"probeGuess": np.ones((8, 8), "c8"), **more}


def put(path: Path, given: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **given)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in given.items():
                file[name] = values
    else:
        group = zarr.open_group(path, mode="w")
        for name, values in given.items():
            group.create_array(name, data=values)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_a_grid_of_positions_is_put_in_a_row(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"a{suffix}", arrays())
    with pytest.raises(InputError) as caught:
        ptystore.open(path)
    assert str(caught.value.advice).startswith("--scan-shape 3,4 puts")
    scan = ptystore.open(path, scan_shape=GRID)
    assert scan.frame_count == 12
    assert_same(scan["ycoords"].values(), np.repeat(np.arange(30.0, 33), 4))
    assert_same(pickled(scan)["xcoords"][[11, 4]], np.array([23.0, 20.0]))
    ptystore.write(ptystore.canonicalize(scan), tmp_path / "b.h5")
    assert_same(ptystore.open(tmp_path / "b.h5")["xcoords"].values(), scan["xcoords"].values())


def test_what_is_no_position_stays(tmp_path: Path) -> None:
    """A probe of the grid's shape is none, and other maps only if the caller says so."""
    given = arrays(probeGuess=np.ones(GRID, "c8"), ring_current=np.arange(12.0).reshape(GRID))
    path = put(tmp_path / "a.npz", given)
    scan = ptystore.open(path, scan_shape=GRID, global_=("ring_current",))
    assert (scan["probeGuess"].shape, scan["ring_current"].shape) == (GRID, GRID)
    scan = ptystore.open(path, scan_shape=GRID, per_frame=("ring_current",))
    assert (scan["ring_current"].role, scan["ring_current"].shape) == ("per_frame", (12,))


@pytest.mark.parametrize("shape", [(4, 3), (2, 6), (12, 1)])
def test_another_shape_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = put(tmp_path / "a.npz", arrays())
    with pytest.raises(ParameterError, match=f"grid of {shape[0]} by {shape[1]}"):
        ptystore.open(path, scan_shape=shape)


def test_what_ptystore_wrote_has_no_grids(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz", arrays())
    ptystore.write(ptystore.open(path, scan_shape=GRID), tmp_path / "b.zarr")
    with pytest.raises(ParameterError, match="grid"):
        ptystore.open(tmp_path / "b.zarr", scan_shape=GRID)
