"""Blocks of a Dectris master: as one virtual dataset, and without the numbers of their images."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import ptystore
from dectris_files import DETECTOR, SHAPE, counts, mask, master
from ptystore.errors import InputMissingError
from scans import assert_same


def as_virtual(file: h5py.File) -> None:
    """The same blocks under one virtual dataset in place of links to each."""
    layout = h5py.VirtualLayout((11, *SHAPE), "u4")
    begin = 0
    for at, size in enumerate((4, 4, 3), 1):
        source = h5py.VirtualSource(f"s_data_{at:06d}.h5", "entry/data/data", (size, *SHAPE))
        layout[begin : begin + size] = source
        del file[f"entry/data/data_{at:06d}"]
        begin += size
    file["entry/data"].create_virtual_dataset("data", layout)


def test_one_virtual_dataset_over_all_blocks(tmp_path: Path) -> None:
    path = master(tmp_path, change=as_virtual)
    scan = ptystore.open(path)
    assert scan.source is not None
    assert scan.source.understood is not None
    assert scan.source.understood.dialect == "dectris"
    assert_same(scan["diffraction"].values(), counts())
    assert scan.geometry.number("photon_energy_eV") == 8800
    assert_same(scan["mask"].values() != 0, mask() != 0)
    (tmp_path / "s_data_000002.h5").unlink()
    with pytest.raises(InputMissingError, match=r"frames 4 to 7.*s_data_000002") as caught:
        ptystore.open(path)
    assert "--partial" not in str(caught.value.advice)


@pytest.mark.parametrize("gone", [1, 2])
def test_frames_behind_a_missing_block_keep_their_numbers(tmp_path: Path, gone: int) -> None:
    path = master(tmp_path)
    for at in (1, 2, 3):
        with h5py.File(tmp_path / f"s_data_{at:06d}.h5", "a") as file:
            attrs = file["entry/data/data"].attrs
            assert {"image_nr_low", "image_nr_high"} <= set(attrs)
            del attrs["image_nr_low"], attrs["image_nr_high"]
    (tmp_path / f"s_data_{gone:06d}.h5").unlink()
    scan = ptystore.open(path, partial=True)
    there = np.delete(np.arange(11), np.s_[4 * gone - 4 : 4 * gone])
    assert_same(scan["diffraction"].values(), counts()[there])
    assert_same(scan["frame_index"].values(), there)


def test_a_file_of_other_frames_is_still_no_master(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = counts()
        file["entry"].attrs["NX_class"] = "NXentry"
        file[f"{DETECTOR}/data"] = counts()
        file[DETECTOR].attrs["NX_class"] = "NXdetector"
    scan = ptystore.open(tmp_path / "a.h5")
    assert scan.source is not None
    assert scan.source.understood is not None
    assert scan.source.understood.dialect == "nexus"
