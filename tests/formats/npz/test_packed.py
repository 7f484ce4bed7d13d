"""A `.npz` that is compressed by bzip2 as a whole: unpacked to scratch, within limits."""

from __future__ import annotations

import bz2
import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import scan_members, zip_bytes
from ptystore import InputError, IntegrityError
from ptystore.errors import StorageError
from ptystore.storage import unpacked
from scans import assert_same, forked, pickled

FRAMES = np.random.default_rng(2).poisson(3, (40, 16, 16)).astype(np.uint16)


def packed(path: Path, data: bytes | None = None, streams: int = 1) -> Path:
    if data is None:
        plain = path.with_name("plain.npz")
        np.savez(plain, diffraction=FRAMES, xcoords=np.arange(40.0), ycoords=np.arange(40.0))
        data = plain.read_bytes()
    step = -(-len(data) // streams)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    path.write_bytes(b"".join(map(bz2.compress, pieces)))
    return path


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of the test, empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def descriptors(folder: Path) -> list[str]:
    """Open files that lie, or lay, in a folder."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")


@pytest.mark.parametrize("streams", [1, 3])
def test_it_reads_as_the_archive_in_it(tmp_path: Path, streams: int) -> None:
    scan = ptystore.open(packed(tmp_path / "a.npz.bz2", streams=streams))
    assert_same(scan["diffraction"].values(), FRAMES)
    assert_same(pickled(scan)["diffraction"][[7, 3]], FRAMES[[7, 3]])
    forked(lambda: assert_same(scan["diffraction"].values(), FRAMES))
    ptystore.write(scan, tmp_path / "b.zarr")
    assert_same(ptystore.open(tmp_path / "b.zarr")["diffraction"].values(), FRAMES)


def test_the_suffix_does_not_count(tmp_path: Path) -> None:
    scan = ptystore.open(packed(tmp_path / "scan.dat", zip_bytes(scan_members())))
    assert "xcoords" in scan


@needs_proc
def test_the_scratch_file_is_gone_with_the_scan(tmp_path: Path, scratch: Path) -> None:
    scan = ptystore.open(packed(tmp_path / "a.npz.bz2"))
    assert list(scratch.iterdir()) == []  # it has no name
    assert len(descriptors(scratch)) == 1
    frames = scan["diffraction"]
    del scan
    gc.collect()
    assert_same(frames.values(), FRAMES)
    del frames
    gc.collect()
    assert descriptors(scratch) == []


BOMB = bytes(200 << 20)


@needs_proc
@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (b"PK" + BOMB, {}, f"unpacks to more than {64 << 20} bytes"),
        (b"PK" + BOMB, {"max_bytes": 5_000_000}, "unpacks to more than 6048576 bytes"),
        (b"no archive" + BOMB, {}, r"compressed by bzip2, and what is in it is no \.npz"),
        (b"", {}, r"compressed by bzip2, and what is in it is no \.npz"),
    ],
    ids=["bomb", "bomb, limited", "another thing", "nothing"],
)
def test_what_is_too_large_or_another_thing(
    tmp_path: Path, scratch: Path, data: bytes, options: dict[str, Any], reason: str
) -> None:
    path = packed(tmp_path / "a.npz.bz2", data) if data else tmp_path / "a.npz.bz2"
    if not data:
        path.write_bytes(bz2.compress(b""))
    with pytest.raises(InputError, match=reason) as caught:
        ptystore.open(path, **options)
    assert "bunzip2" in str(caught.value.advice)
    assert list(scratch.iterdir()) == []
    caught.value.__traceback__ = None
    gc.collect()
    assert descriptors(scratch) == []


def test_more_than_the_disk_holds_is_refused(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path / "a.npz.bz2")
    free = unpacked.shutil.disk_usage(scratch).free
    monkeypatch.setattr(unpacked, "_SPARE", free - 1000)
    with pytest.raises(StorageError, match="bytes of scratch space to be unpacked") as caught:
        ptystore.open(path)
    assert "TMPDIR" in str(caught.value.advice)


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_damage_is_told(tmp_path: Path, harm: str) -> None:
    path = packed(tmp_path / "a.npz.bz2")
    data = bytearray(path.read_bytes())
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.npz\.bz2: its bzip2 data are damaged"):
        ptystore.open(path)


def test_a_change_of_the_packed_file_is_noticed(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.npz.bz2")
    scan = ptystore.open(path)
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(IntegrityError, match="changed while it was read"):
        ptystore.write(scan, tmp_path / "b.zarr")
