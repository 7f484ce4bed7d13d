"""Damage under every way of reading: each raises an error that names field and frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ptystore
import scans
from chunk_places import chunk_places
from ptystore.errors import IntegrityError

WAYS: dict[str, Callable[[ptystore.Dataset, Path], object]] = {
    "values": lambda scan, out: scan["diff3d"].values(),
    "read": lambda scan, out: scan["diff3d"].array.read(120, 150),
    "array.take": lambda scan, out: scan["diff3d"].array.take(np.array([299, 128, 0])),
    "take": lambda scan, out: scan.take(np.array([130])),
    "one frame": lambda scan, out: scan["diff3d"][128],
    "a slice": lambda scan, out: scan["diff3d"][100:200:7],
    "a mask": lambda scan, out: scan["diff3d"][np.arange(300) == 255],
    "numpy": lambda scan, out: np.asarray(scan["diff3d"]),
    "a transform": lambda scan, out: ptystore.canonicalize(scan)["diffraction"][200],
    "write": lambda scan, out: ptystore.write(scan, out / "copy.npz"),
    "write to zarr": lambda scan, out: ptystore.write(scan, out / "copy.zarr"),
    "ingest": lambda scan, out: ptystore.write(ptystore.ingest(scan), out / "copy.h5"),
    "write a transform": lambda scan, out: ptystore.write(
        ptystore.canonicalize(scan), out / "copy.zarr"
    ),
    "digest": lambda scan, out: ptystore.digest(scan),
}


def missing(path: Path) -> None:
    (path / "diff3d" / "c.0.0.0").unlink()


def flipped(path: Path) -> None:
    scans.flip(chunk_places(path, "diff3d")[1])


def cut_short(path: Path) -> None:
    with open(path / "diff3d" / "c.0.0.0", "r+b") as file:
        file.truncate(100)


DAMAGES = [
    (".zarr", flipped, "128 to 255"),
    (".h5", flipped, "128 to 255"),
    (".zarr", missing, "0 to 299"),
    (".zarr", cut_short, "0 to 299"),
]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("suffix", "damage", "frames"), DAMAGES)
def test_no_way_round(
    tmp_path: Path,
    suffix: str,
    damage: Callable[[Path], None],
    frames: str,
    way: Callable[[ptystore.Dataset, Path], object],
) -> None:
    path = scans.put(tmp_path, suffix, scans.scan(300))
    out = tmp_path / "out"
    out.mkdir()
    damage(path)
    with pytest.raises(IntegrityError) as caught:
        way(ptystore.open(path), out)
    error = caught.value
    assert (error.exit_code, error.file) == (5, str(path))
    copied = "the file c.0.0.0 is not what the manifest says" in error.reason
    assert f"frames {'0 to 299' if copied else frames}: " in error.reason
    assert str(error.member) in ("diff3d", "diffraction")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_more_bytes_than_allowed(tmp_path: Path, suffix: str) -> None:
    path = scans.put(tmp_path, suffix, scans.scan(300))
    size = ptystore.open(path).nbytes
    with pytest.raises(ptystore.InputError, match="allowed are"):
        ptystore.open(path, max_bytes=size - 1)
    ptystore.open(path, max_bytes=2 * size)
