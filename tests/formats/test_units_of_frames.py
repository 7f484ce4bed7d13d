"""What frames of floating point are where their own attribute says counts."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import ptystore


@pytest.mark.parametrize("units", ["counts", "photons", None, "arb. u."])
@pytest.mark.parametrize("is_mapped", [True, False])
def test_units_of_counts_make_counts(tmp_path: Path, units: str | None, is_mapped: bool) -> None:
    frames = np.random.default_rng(3).uniform(0, 50, (4, 5, 8))
    name = "stack" if is_mapped else "diffraction"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[name], file["xcoords"], file["ycoords"] = frames, np.arange(4.0), np.arange(4.0)
        if units is not None:
            file[name].attrs["units"] = units
    told = {"map": {"diffraction": name}} if is_mapped else {}
    scan = ptystore.canonicalize(ptystore.open(tmp_path / "a.h5", **told))
    is_counts = units in ("counts", "photons")
    wanted = np.sqrt(frames) if is_counts else frames
    np.testing.assert_allclose(scan["diffraction"].values(), wanted, rtol=1e-6)
