"""Reads that fail, and reads that the system cuts short: an error or the values, nothing else."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

import ptystore
import scans
from faults.calls import READS, FaultAt, watched
from faults.outcomes import FULL
from ptystore.errors import PtystoreError, StorageError

STEP = 1 if FULL else 5
FRAMES = 300


def arrays() -> dict[str, np.ndarray]:
    """A scan whose frames no compressor makes smaller, so that they take several reads."""
    frames = np.frombuffer(np.random.default_rng(4).bytes(FRAMES * 64 * 64 * 2), np.uint16)
    given = scans.scan(FRAMES, 24, 24) | {"labels": np.array(["a", "bé", ""])}
    return given | {"diff3d": frames.reshape(FRAMES, 64, 64)}


def numbers() -> dict[str, np.ndarray]:
    return {name: values for name, values in arrays().items() if values.dtype.kind != "U"}


def ours(path: Path) -> None:
    ptystore.write(ptystore.dataset_of(arrays(), scans.document()), path)


def stored(path: Path) -> None:
    ptystore.write(ptystore.dataset_of(arrays()), path, compression="store")


def fortran(path: Path) -> None:
    """Deflated and in Fortran order: spooled before it is read."""
    given = arrays()
    np.savez_compressed(path, **given | {"diff3d": np.asfortranarray(given["diff3d"])})


def other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in numbers().items():
            chunks = (16, *values.shape[1:]) if values.ndim == 3 else None
            file.create_dataset(name, data=values, chunks=chunks, compression=chunks and "gzip")


def other_zarr(path: Path) -> None:
    group = zarr.open_group(path, mode="w")
    for name, values in numbers().items():
        group.create_array(name, data=values, chunks=(16, *values.shape[1:]))


MAKERS: dict[str, Callable[[Path], None]] = {
    "ours.zarr": ours,
    "ours.h5": ours,
    "ours.npz": ours,
    "stored.npz": stored,
    "fortran.npz": fortran,
    "other.h5": other_hdf5,
    "other.zarr": other_zarr,
}
#: Those of which every byte is read where the test can see it.
SEEN = [name for name in MAKERS if not name.startswith("other")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, make in MAKERS.items():
        make(folder / name)
    return folder


@pytest.fixture(scope="module")
def digests(made: Path) -> dict[str, str]:
    return {name: ptystore.digest(made / name)[1] for name in MAKERS}


def broken() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def values(path: Path) -> dict[str, bytes]:
    return {name: field.values().tobytes() for name, field in ptystore.open(path).fields.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_a_read_that_fails_is_an_error(
    made: Path, digests: dict[str, str], name: str, tmp_path: Path, count: Callable[..., None]
) -> None:
    path, outcomes, at = made / name, Counter[str](), 0
    right = values(path)
    while True:
        fault = FaultAt(at, broken)
        with watched(made, fault, READS):
            try:
                found = values(path)
            except PtystoreError as error:
                assert str(path) in str(error)  # noqa: PT017
                assert error.exit_code in (3, 5, 6)  # noqa: PT017
                outcomes["refused"] += 1
            else:
                assert found == right
                # Of a store of another tool's it is only asked whether it is ours.
                assert not fault.met or name == "other.zarr"
                if not fault.met:
                    break
        at += STEP
    copies = 0
    for at in range(0, 100 * STEP, STEP):
        fault, copy = FaultAt(at, broken), tmp_path / "copy.zarr"
        with watched(made, fault, READS):
            try:
                ptystore.write(ptystore.open(path), copy, jobs=1)
            except PtystoreError:
                assert os.listdir(tmp_path) == []
                copies += 1
                continue
        if fault.met:
            assert name == "other.zarr"
            shutil.rmtree(copy)
            continue
        assert ptystore.digest(copy)[1] == digests[name]
        break
    count(f"reads failed, {name}", refused=outcomes["refused"] + copies, wrong=0)
    if name in SEEN:
        assert min(outcomes["refused"], copies) > 1


@pytest.mark.parametrize("name", [*sorted({*SEEN} - {"fortran.npz"}), "other.h5"])
def test_it_names_the_frames(made: Path, name: str) -> None:
    scan = ptystore.open(made / name)
    field = scan["diff3d"]
    field.array.prepare(None)
    field[3]  # what leads to the values is known by now
    at = FRAMES - 1
    with watched(made, FaultAt(0, broken), READS), pytest.raises(StorageError) as caught:
        field[at]
    assert caught.value.member == "diff3d"
    assert caught.value.file == str(made / name)
    first, last = named(caught.value.reason)
    assert first <= at <= last < FRAMES


def named(reason: str) -> tuple[int, int]:
    """The frames in ``frames 16 to 31: read failed: …`` or ``frame 7: …``."""
    words = reason.partition(":")[0].split()
    assert words[0] in ("frame", "frames")
    return int(words[1]), int(words[-1])


@pytest.mark.parametrize("name", MAKERS)
def test_what_failed_once_is_right_the_next_time(made: Path, name: str) -> None:
    """In the same open scan: a read that failed half-way leaves nothing behind."""
    right = ptystore.open(made / name)["diff3d"].values()
    scan = ptystore.open(made / name)
    field, at, met = scan["diff3d"], 0, True
    while met:
        fault = FaultAt(at, broken)
        with watched(made, fault, READS):
            try:
                found = [field[0:100], field[100:200], field[200:FRAMES]]
                assert np.array_equal(np.concatenate(found), right)
            except PtystoreError:
                pass
        met = fault.met
        assert np.array_equal(field[100:200], right[100:200]), f"read {at}"
        assert np.array_equal(field[10:20], right[10:20]), f"read {at}"
        at += 1


@pytest.mark.parametrize("name", SEEN)
def test_verify_tells_it(made: Path, name: str) -> None:
    at, found = 0, Counter[str]()
    while True:
        fault = FaultAt(at, broken)
        with watched(made, fault, READS):
            try:
                ok = ptystore.verify(made / name, jobs=1).ok
            except PtystoreError as error:
                assert error.exit_code in (3, 6), repr(error)  # noqa: PT017
                ok = False
        if not fault.met:
            assert ok
            break
        assert not ok, f"read {at}"
        found["told"] += 1
        at += STEP
    assert found["told"] > 1


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("cut", [lambda n: 1, lambda n: n - 1, lambda n: n // 2])
def test_reads_that_are_cut_short_are_gone_on_with(
    made: Path, digests: dict[str, str], name: str, cut: Callable[[int], int]
) -> None:
    """A system may give less than was asked for; network filesystems do."""
    pread, preadv, turn = os.pread, os.preadv, [0]

    def less(length: int) -> int:
        turn[0] += 1
        return max(1, cut(length)) if length > 1 and turn[0] % 3 == 0 else length

    def short_pread(fd: int, length: int, offset: int) -> bytes:
        return pread(fd, less(length), offset)

    def short_preadv(fd: int, buffers: list[Any], offset: int) -> int:
        (buffer,) = buffers
        return preadv(fd, [buffer[: less(len(buffer))]], offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", short_pread)
        patch.setattr(os, "preadv", short_preadv)
        assert ptystore.digest(made / name)[1] == digests[name]
        assert ptystore.verify(made / name).ok
    assert turn[0] > 3
