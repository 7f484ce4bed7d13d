"""The name of the frames for legacy consumers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import scan_arrays
from ptystore.errors import InputError, ParameterError
from ptystore.transforms.naming import with_diffraction_key


@pytest.mark.parametrize("held", ["diff3d", "diffraction"])
@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("as-is", None),
        ("diffraction", ["diffraction"]),
        ("diff3d", ["diff3d"]),
        ("both", ["diffraction", "diff3d"]),
    ],
)
def test_keys(key: Any, names: list[str] | None, held: str, tmp_path: Path) -> None:
    arrays = scan_arrays()
    frames = arrays.pop("diff3d")
    ptystore.write(ptystore.dataset_of({**arrays, held: frames}), tmp_path / "in.zarr")
    scan = ptystore.open(tmp_path / "in.zarr")
    ptystore.export(scan, tmp_path / "out.npz", diffraction_key=key)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        found = [name for name in file if name in ("diffraction", "diff3d")]
        assert sorted(found) == sorted(names or [held])
        for name in found:
            np.testing.assert_array_equal(file[name], frames)
            assert file[name].dtype == np.uint16
        assert "_metadata" not in file  # export leaves no record
    assert ptystore.verify(tmp_path / "out.npz").ok


def test_a_digest_goes_with_its_name(tmp_path: Path) -> None:
    ptystore.write(ptystore.dataset_of(scan_arrays()), tmp_path / "in.zarr")
    both = with_diffraction_key(ptystore.open(tmp_path / "in.zarr"), "both")
    assert both["diff3d"].digest is not None
    assert both["diffraction"].digest is None


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="as-is"):
        with_diffraction_key(ptystore.dataset_of(scan_arrays()), "frames")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no frames"):
        with_diffraction_key(ptystore.dataset_of({"xcoords": np.zeros(3)}), "both")
