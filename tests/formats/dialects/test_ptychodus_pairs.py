"""Products and frames of ptychodus in files of their own, paired by the frames' numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ptystore
from foreign import opened, remarks
from ptychodus_files import (
    BAD,
    CENTER,
    COUNTS,
    NUMBERS,
    STORED,
    SUFFIXES,
    WANTED,
    WEIGHTS,
    N,
    assert_positions,
    diffraction,
    facts,
    product,
)
from ptystore import InputError
from ptystore.formats.supplement_said import FramesSaid
from ptystore.model.geometry import Geometry
from scans import assert_same, pickled


@pytest.mark.parametrize("name", ["product", "diffraction"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("other", SUFFIXES)
def test_frames_and_positions_are_paired_by_number(
    tmp_path: Path, name: str, suffix: str, other: str
) -> None:
    """Either file finds the other beside it, and both give the same scan."""
    paths = {
        "product": product(tmp_path / f"product{suffix}"),
        "diffraction": diffraction(tmp_path / f"diffraction{other}"),
    }
    scan = opened(paths[name])
    for one in (scan, pickled(scan)):
        assert_same(one["diffraction"].values(), WANTED)
        assert_same(one["diffraction"][[4, 0, 5]], WANTED[[4, 0, 5]])
    assert scan.frames.attrs["signal"] == "counts"
    assert_same(scan["frame_index"].values(), NUMBERS)
    assert_positions(scan)
    assert_same(scan["mask"].values(), BAD.astype(np.uint32))
    assert "frames 3, 40 have no position" in remarks(scan)
    known = facts(scan)
    if other == ".h5":
        assert known["detector_pixel_size_m"] == [7.5e-5, 5.5e-5]
        assert not scan.frames.attrs.keys() & {"detector_pixel_height_m"}
    else:
        assert "detector_pixel_size_m" not in known
    assert known["photon_energy_eV"] == 8800


def test_photons_of_the_frames_stand_in_for_those_of_the_positions(tmp_path: Path) -> None:
    path = product(tmp_path / "product.h5", probe_photon_counts=None)
    diffraction(tmp_path / "diffraction.h5", probe_photon_counts=np.arange(8.0))
    assert_same(opened(path)["probe_photon_counts"].values(), np.array([2, 3, 4, 6, 5, 0.0]))


def test_the_caller_names_the_partner(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    path = product(tmp_path / "scan12.h5")
    named = diffraction(tmp_path / "b" / "frames.npz")
    assert_same(opened(path, partner=named)["diffraction"].values(), WANTED)
    assert_same(opened(named, partner=path)["diffraction"].values(), WANTED)
    with pytest.raises(InputError, match="no patterns: it is no partner of scan12") as caught:
        opened(path, partner=product(tmp_path / "b" / "c.h5"))
    assert caught.value.file == str(tmp_path / "b" / "c.h5")
    with pytest.raises(InputError, match="no positions of a product"):
        opened(named, partner=diffraction(tmp_path / "b" / "d.h5"))
    with pytest.raises(InputError, match=r"e\.h5 has no indexes"):
        opened(path, partner=diffraction(tmp_path / "b" / "e.h5", indexes=None))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_frames(tmp_path: Path, suffix: str) -> None:
    path = product(tmp_path / f"product{suffix}")
    stored = np.where(np.isin(STORED, [7, 20, 21]), STORED + 100, STORED)
    frames = diffraction(tmp_path / f"diffraction{suffix}", indexes=stored)
    with pytest.raises(InputError, match="frames 7, 20 to 21 are missing") as caught:
        opened(path)
    assert "--unpaired drop" in str(caught.value.advice)
    assert caught.value.file == str(frames)
    rows = [0, 2, 3]
    for scan in (opened(path, frames=FramesSaid(unpaired="drop")), opened(frames)):
        assert_same(scan["diffraction"].values(), WANTED[rows])
        assert_same(scan["frame_index"].values(), NUMBERS[rows])
        assert_same(scan["opr_weights"].values(), WEIGHTS[rows])
        assert_same(scan["probe_photon_counts"].values(), np.linspace(1e5, 2e5, N)[rows])
        assert_positions(scan, rows)
        assert "positions 7, 20 to 21 have no frame" in remarks(scan)
    diffraction(frames, indexes=np.arange(8) + 100)
    with pytest.raises(InputError, match="no frame has the number of a position"):
        opened(frames)
    diffraction(frames, indexes=np.array([21, 3, 5, 7, 9, 20, 12, 12]))
    with pytest.raises(InputError, match="several frames of number 12"):
        opened(path)
    product(path, probe_position_indexes=np.array([5, 5, 9, 12, 20, 21]))
    diffraction(frames)
    with pytest.raises(InputError, match="several positions of number 5"):
        opened(path)


def test_numbers_that_are_not_there(tmp_path: Path) -> None:
    """Never by order: the files are read alone, and that is said."""
    path = product(tmp_path / "product.h5", probe_position_indexes=None)
    frames = diffraction(tmp_path / "diffraction.h5")
    assert "diffraction" not in opened(path)
    assert "product.h5 has no probe_position_indexes" in remarks(opened(path))
    assert "ycoords" not in opened(frames)
    product(path)
    diffraction(frames, indexes=None)
    scan = opened(frames)
    assert_same(scan["diffraction"].values(), COUNTS)
    assert "frame_index" not in scan
    assert "diffraction.h5 has no indexes" in remarks(scan)


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    path = product(tmp_path / "product.npz")
    diffraction(tmp_path / "diffraction.npz")
    ptystore.write(opened(path), tmp_path / "b.zarr")
    written = ptystore.open(tmp_path / "b.zarr")
    for name, field in opened(path).items():
        assert_same(written[name].values(), field.values())
    assert facts(written) == facts(opened(path))
    assert Geometry.of(written.metadata)["object_center_m"].value == list(CENTER)
