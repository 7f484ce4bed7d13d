"""HDF5 files that are locked, or need what is not installed: one line, and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import ptystore
from faults.outcomes import small_scan
from ptystore.errors import DamagedInputError, InputError

LOCK = """
import h5py, sys
file = h5py.File(sys.argv[1], "r+", locking=True)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "another tool's"])
def test_a_file_that_another_process_writes(tmp_path: Path, ours: bool) -> None:
    path = tmp_path / "scan.h5"
    if ours:
        ptystore.write(small_scan(), path)
    else:
        with h5py.File(path, "w") as file:
            file["diffraction"] = np.zeros((4, 8, 8))
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(InputError, match="is locked: another program has it open") as caught:
            ptystore.open(path)
        process.communicate()
    assert "close it there" in str(caught.value.advice)
    assert "\n" not in str(caught.value)
    ptystore.open(path)


def test_a_path_that_speaks_of_locks_and_filters_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "unable to lock" / "filter returned"
    folder.mkdir(parents=True)
    (folder / "scan.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="is no HDF5 file that can be read"):
        ptystore.open(folder / "scan.h5")


def test_a_filter_that_is_not_installed(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4, 8, 8))
        plan.set_filter(40123, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((4, 8, 8))
        made = h5py.h5d.create(file.id, b"diffraction", h5py.h5t.NATIVE_DOUBLE, space, plan)
        made.write_direct_chunk((0, 0, 0), b"encoded", 0)
    with pytest.raises(InputError, match="diffraction: needs the HDF5 filter 40123") as caught:
        ptystore.open(path)
    assert "HDF5_PLUGIN_PATH" in str(caught.value.advice)


def test_a_checksum_of_another_tools_file(tmp_path: Path) -> None:
    path, values = tmp_path / "scan.h5", np.arange(1024.0).reshape(16, 8, 8)
    with h5py.File(path, "w") as file:
        file.create_dataset("diffraction", data=values, chunks=(4, 8, 8), fletcher32=True)
    data = bytearray(path.read_bytes())
    data[data.find(values[5].tobytes()) + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedInputError, match="diffraction: frames 4 to 7: the checksum"):
        ptystore.open(path)["diffraction"].values()
    assert ptystore.verify(path).damage == (
        "diffraction: frames 4 to 7: the checksum does not match",
    )
