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


def only(count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the system give `count` more threads; the names of those it gave, as they come."""
    given: list[str] = []
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if len(given) >= count:
            raise RuntimeError("can't start new thread")
        given.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    return given


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_threads_than_asked_for_do_the_work(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = only(count, monkeypatch)
    many = threading.Barrier(count + 1)
    done: list[str] = []

    def meet() -> None:
        # The caller is one of those at work where the system has no thread left for it.
        many.wait(timeout=60)
        done.append(threading.current_thread().name)

    with ThreadPool(count + 2) as pool:
        futures = [pool.submit(meet) for _ in range(count + 1)]
        assert [future.result() for future in futures] == [None] * (count + 1)
        assert list(pool.map(str, range(50))) == [str(n) for n in range(50)]
    assert sorted(done) == sorted([*given, threading.current_thread().name])
    assert len(given) == count


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_a_limit_on_threads_changes_no_result(
    tmp_path: Path, suffix: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = dataset()
    ptystore.write(scan, tmp_path / f"a{suffix}", jobs=4)
    given = only(count, monkeypatch)
    ptystore.write(scan, tmp_path / f"b{suffix}", jobs=4)
    assert files(tmp_path / f"a{suffix}") == files(tmp_path / f"b{suffix}")
    read = ptystore.open(tmp_path / f"b{suffix}")
    assert ptystore.verify(read.source.path, jobs=4).ok
    taken = read.take([5, 1, 299])
    np.testing.assert_array_equal(taken["Y"], scan["Y"][[5, 1, 299]])
    seen = np.concatenate([batch["Y"] for batch in read.batches(7)])
    np.testing.assert_array_equal(seen, scan["Y"].values())
    assert len(given) == count


@pytest.mark.parametrize("count", [0, 2])
def test_errors_and_ctrl_c_pass_whoever_works(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    only(count, monkeypatch)

    def fail() -> None:
        raise ValueError("no")

    def stop() -> None:
        raise KeyboardInterrupt

    with ThreadPool(4) as pool:
        with pytest.raises(ValueError, match="no"):
            pool.submit(fail).result()
        with pytest.raises(ValueError, match="invalid literal"):
            list(pool.map(int, ["1", "x", "3"]))
        with pytest.raises(KeyboardInterrupt):
            pool.submit(stop).result()
        assert pool.submit(lambda: 7).result() == 7


def test_what_is_cancelled_never_begins() -> None:
    begun: list[int] = []
    go_on = threading.Event()
    pool = ThreadPool(1)
    running = pool.submit(lambda: begun.append(0) or go_on.wait(60))
    later = [pool.submit(lambda: begun.append(1)) for _ in range(5)]
    threading.Timer(0.05, go_on.set).start()
    pool.close(cancel=True)
    assert running.result()
    assert all(future.cancelled() for future in later)
    assert begun == [0]
    with pytest.raises(RuntimeError):
        pool.submit(lambda: 1)
