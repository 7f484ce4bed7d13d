"""Whoever does the work, the result is the same; a caller's pool does all of it and stays open."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

import ptystore
import scans
from ptystore import Dataset, SerialPool, ThreadPool
from ptystore.pools.threads import borrowed


class CountingPool(SerialPool):
    """Tells how many tasks it was given, and whether other threads worked meanwhile."""

    def __init__(self) -> None:
        self.tasks = 0

    def submit(self, task):  # type: ignore[no-untyped-def]
        self.tasks += 1
        return super().submit(task)


def dataset() -> Dataset:
    arrays = scans.scan(300, 32, 40)
    large = {"Y": scans.values("c8", (300, 64, 64)), "names": scans.values("U5", (300,))}
    return ptystore.dataset_of(arrays | large, scans.document())


def files(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    found = path.rglob("*")
    return {str(file.relative_to(path)): file.read_bytes() for file in found if file.is_file()}


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_any_pool_writes_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    scan = dataset()
    pool = CountingPool()
    with ThreadPool(3) as threads:
        for name, given in (("none", None), ("serial", pool), ("threads", threads)):
            ptystore.write(scan, tmp_path / f"{name}{suffix}", pool=given)
    assert files(tmp_path / f"none{suffix}") == files(tmp_path / f"serial{suffix}")
    assert files(tmp_path / f"none{suffix}") == files(tmp_path / f"threads{suffix}")
    assert pool.tasks >= len(scan)


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_a_serial_pool_starts_no_thread(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = dataset()
    path = tmp_path / f"a{suffix}"
    expected = ptystore.write(scan, path)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread"))
    pool = CountingPool()
    assert ptystore.digest(path, pool=pool).fields == expected.digests
    assert ptystore.verify(path, pool=pool).ok
    copy = ptystore.canonicalize(ptystore.open(path))
    ptystore.write(ptystore.extract_patches(copy), tmp_path / f"b{suffix}", pool=pool)
    assert pool.tasks >= 3 * len(scan)


def test_repair_takes_a_pool(tmp_path: Path) -> None:
    scan = dataset()
    whole, damaged = tmp_path / "whole.zarr", tmp_path / "damaged.zarr"
    for path in (whole, damaged):
        ptystore.write(scan, path)
    shard = next((damaged / "Y").glob("c*"))
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    pool = CountingPool()
    assert ptystore.repair(damaged, whole, pool=pool).ok
    assert pool.tasks > len(scan)
    assert files(whole) == files(damaged)


def test_a_borrowed_pool_stays_open_and_an_own_one_ends() -> None:
    with ThreadPool(1) as mine:
        with borrowed(mine, 5) as pool:
            assert pool is mine
        assert mine.submit(lambda: 1).result() == 1
    with borrowed(None, 2) as own:
        assert own.workers == 2
    with pytest.raises(RuntimeError):
        own.submit(lambda: 1)


def test_a_serial_pool_keeps_errors_and_lets_ctrl_c_through() -> None:
    def fail() -> None:
        raise ValueError("no")

    future: Future[None] = SerialPool().submit(fail)
    with pytest.raises(ValueError, match="no"):
        future.result()

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialPool().submit(stop)


def test_fewer_workers_where_memory_is_short(tmp_path: Path) -> None:
    report = ptystore.write(dataset(), tmp_path / "a.zarr", max_memory=200 << 20, jobs=64)
    np.testing.assert_array_equal(ptystore.open(report.path)["Y"][:3], dataset()["Y"][:3])
    assert ptystore.plan(dataset(), tmp_path / "b.zarr", max_memory=200 << 20, jobs=64).jobs < 64
