"""Reading a few of many chunks: every quick way gives what the plain array gives."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptystore
from chunk_places import chunk_places
from ptystore import IntegrityError
from ptystore.formats.zarr.shard_index import IndexCache
from scans import Hammer, assert_same, flip, forked, overwrite, put, settle, spawned, values

FRAMES = values("u2", (5000, 40, 41))  # chunks of 4 frames, shards of 4096
LARGE = values("f4", (24, 256, 257), seed=1)  # 263 KB a frame and chunk: read in threads
SUFFIXES = (".zarr", ".h5")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    arrays = {"diffraction": FRAMES, "Y": values("c8", (5000, 3), seed=2)}
    folder = tmp_path_factory.mktemp("chunked")
    return {suffix: put(folder, suffix, arrays) for suffix in SUFFIXES}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("large")
    return {suffix: put(folder, suffix, {"diffraction": LARGE}) for suffix in SUFFIXES}


@pytest.fixture
def store(pristine: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine[".zarr"], tmp_path / "scan.zarr"))


# Runs of neighbours in order (whole chunks), repeats, single frames: what takes each way.
RUNS = st.tuples(st.integers(0, 4999), st.integers(1, 12), st.sampled_from([1, 1, -1, 0, 3]))


@given(st.lists(RUNS, max_size=8), st.sampled_from(SUFFIXES))
@settings(max_examples=60)
def test_take_is_numpys(
    pristine: dict[str, Path], runs: list[tuple[int, int, int]], suffix: str
) -> None:
    indices = [at + step * k for at, count, step in runs for k in range(count)]
    wanted = np.clip(np.array(indices, np.int64), 0, 4999)
    field = ptystore.open(pristine[suffix])["diffraction"]
    assert_same(field.array.take(wanted), FRAMES[wanted])
    assert_same(field[wanted], FRAMES[wanted])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(90, 40, 41), (40, 41, 90)])
def test_take_and_read_along_any_axis(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    axis = shape.index(90)
    stack = values("u2", shape)
    dataset = ptystore.dataset_of({"diffraction": stack, "xcoords": np.arange(90.0)})
    field = dataset["diffraction"].array
    assert field.axis == axis
    path = tmp_path / f"scan{suffix}"
    ptystore.write(dataset, path)
    stored = ptystore.open(path)["diffraction"].array
    wanted = np.array([89, 4, 5, 6, 7, 4, 88, 0, 40])
    assert_same(stored.take(wanted), np.take(stack, wanted, axis))
    assert_same(stored.read(3, 89), np.take(stack, np.arange(3, 89), axis))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cores", [1, 2, 5])
def test_threads_change_nothing(
    large: dict[str, Path], suffix: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    field = ptystore.open(large[suffix])["diffraction"]
    assert_same(field.values(), LARGE)
    wanted = np.array([*range(23, 0, -1), 5, 5, 6, 7, 8])
    assert_same(field.array.take(wanted), LARGE[wanted])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damage_found_by_a_thread_is_named(
    large: dict[str, Path], suffix: str, tmp_path: Path
) -> None:
    copied = tmp_path / f"scan{suffix}"
    (shutil.copytree if suffix == ".zarr" else shutil.copyfile)(large[suffix], copied)
    flip(chunk_places(copied, "diffraction")[17])
    field = ptystore.open(copied)["diffraction"]
    with pytest.raises(IntegrityError, match=r"diffraction: frames 17 to 17: the checksum"):
        field.values()
    with pytest.raises(IntegrityError, match=r"diffraction: frames 17 to 17: the checksum"):
        field.array.take(np.arange(23, -1, -1))
    assert_same(field.array.take(np.arange(16, -1, -1)), LARGE[16::-1])


def test_a_replaced_shard_is_not_read_by_the_old_index(store: Path, tmp_path: Path) -> None:
    field = ptystore.open(store)["diffraction"]
    assert_same(field[[3, 4090]], FRAMES[[3, 4090]])
    other = np.zeros_like(FRAMES)
    other[::7] = 3  # compresses to other lengths, so its index is another
    folder = tmp_path / "newer"
    folder.mkdir()
    replacement = put(folder, ".zarr", {"diffraction": other}) / "diffraction" / "c.0.0.0"
    os.replace(replacement, store / "diffraction" / "c.0.0.0")
    for _ in range(2):
        with pytest.raises(IntegrityError, match="changed while it was read"):
            field[[3, 14, 4090]]
    settle()
    # Whoever opens it now gets what is there now, however much of it fits the rest.
    assert_same(ptystore.open(store)["diffraction"][[3, 14, 4090]], other[[3, 14, 4090]])


def test_damage_after_the_index_was_read_is_found(store: Path) -> None:
    field = ptystore.open(store)["diffraction"]
    assert_same(field[[8]], FRAMES[[8]])
    shard = store / "diffraction" / "c.0.0.0"
    # In place and with the times put back: the index itself is what changes.
    overwrite((shard, shard.stat().st_size - 20, 8), b"\xff\xff\xff\xff")
    with pytest.raises(IntegrityError, match=r"diffraction: frames 0 to 4095: .*index is damaged"):
        field[[8]]
    shard.unlink()
    with pytest.raises(IntegrityError, match=r"frames 0 to 4095: the file c\.0\.0\.0 is missing"):
        field[[8]]
    assert_same(field[[4096]], FRAMES[[4096]])


def test_reading_works_in_copies_threads_and_children(pristine: dict[str, Path]) -> None:
    field = ptystore.open(pristine[".zarr"])["diffraction"]
    wanted = np.array([4999, 0, 4096, 17])

    def read(one: Any = field) -> None:
        assert_same(one.array.take(wanted), FRAMES[wanted])

    read()
    read(copy.deepcopy(field))
    with Hammer(read):
        for _ in range(5):
            forked(read)


def test_a_reader_that_has_read_can_be_sent_to_another_process(
    pristine: dict[str, Path], tmp_path: Path
) -> None:
    code = """
import concurrent.futures, multiprocessing, sys
import numpy as np, ptystore

def read(field):
    return field[[4999, 0, 4096]]

if __name__ == "__main__":
    field = ptystore.open(sys.argv[1])["diffraction"]
    here = read(field)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        print(np.array_equal(pool.submit(read, field).result(), here))
"""
    script = tmp_path / "script.py"
    script.write_text(code, "utf-8")
    runner = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    assert spawned(runner, script, pristine[".zarr"]).split() == ["True"]


def test_kept_indexes_are_bounded() -> None:
    cache = IndexCache()
    index = np.zeros((1 << 14, 2), np.uint64)  # 256 KiB
    identity = (1, 2, 3, 4, 5)
    for shard in range(100):
        cache.keep(shard, identity, index)
    kept = [shard for shard in range(100) if cache.get(shard, identity) is not None]
    assert kept == list(range(84, 100))
    assert cache.get(99, (1, 2, 3, 4, 6)) is None
