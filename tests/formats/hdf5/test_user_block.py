"""HDF5 files that begin with another program's bytes, as those of MATLAB 7.3 do."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from ptystore import InputError
from scans import assert_same

FRAMES = np.random.default_rng(3).poisson(9, (11, 7, 6)).astype(">u4")


def written(path: Path, block: int, libver: Any = "earliest", head: bytes = b"MATLAB 7.3") -> Path:
    """Arrays of every layout behind a user block that is not empty."""
    with h5py.File(path, "w", userblock_size=block, libver=libver) as file:
        file["piece"] = FRAMES
        kinds: dict[str, dict[str, Any]] = {
            "one": {"chunks": FRAMES.shape},
            "each": {"chunks": (1, 7, 6), "compression": "gzip", "shuffle": True},
            "growing": {"chunks": (2, 4, 6), "maxshape": (None, 7, 6)},
            "tree": {"chunks": (2, 4, 6), "maxshape": (None, None, 6), "fletcher32": True},
            "asked": {"chunks": (3, 7, 6), "scaleoffset": 0},
        }
        for name, kind in kinds.items():
            file.create_dataset(name, data=FRAMES, **kind)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3,))
        made = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F64LE, space, plan)
        h5py.Dataset(made)[...] = [1.0, 2.0, 3.0]
        file.create_dataset("never", (4, 5), "u2", chunks=(1, 5), fillvalue=7)[2] = 1
        file["word"] = "text"
        file.attrs["units"] = "pixel"
    with open(path, "r+b") as raw:
        raw.write(head.ljust(block, b"\x20"))
    return path


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("block", [512, 1024, 2048, 4096, 65536])
def test_every_layout_is_read_where_it_lies(tmp_path: Path, block: int, libver: str) -> None:
    path = written(tmp_path / "a.mat", block, libver)
    scan = ptystore.open(path, dialect="none")
    with h5py.File(path, "r") as file:
        assert set(scan) == set(file)
        for name in set(file) - {"word"}:
            assert_same(scan[name].values(), file[name][...].astype(scan[name].dtype))
    assert_same(scan["each"][[10, 0, 3]], FRAMES[[10, 0, 3]].astype("u4"))
    assert scan["word"].values() == "text"
    ptystore.write(scan, tmp_path / "b.zarr")
    assert_same(ptystore.open(tmp_path / "b.zarr")["tree"].values(), FRAMES.astype("u4"))


@pytest.mark.parametrize("block", [512, 8192])
def test_what_lies_elsewhere_is_not_found(tmp_path: Path, block: int) -> None:
    """As HDF5 looks for it: at 0 and at powers of two from 512 on."""
    whole = written(tmp_path / "a.h5", block).read_bytes()
    moved = tmp_path / "moved.h5"
    moved.write_bytes(b" " * 100 + whole)
    with pytest.raises(InputError, match="neither"):
        ptystore.open(moved)


def test_a_tar_archive_stays_one(tmp_path: Path) -> None:
    """Whose first member begins at 512."""
    inner = written(tmp_path / "a.h5", 0).read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("a.h5")
        info.size = len(inner)
        archive.addfile(info, io.BytesIO(inner))
    with pytest.raises(InputError, match="is a tar archive"):
        ptystore.open(tmp_path / "a.tar")


def test_a_short_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(b"MATLAB 7.3 MAT-file")
    with pytest.raises(InputError, match="neither"):
        ptystore.open(tmp_path / "a.dat")
