"""Batches: every frame once, in an order that depends on what it should and nothing else."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import threading
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptystore
from chunk_places import chunk_places
from ptystore import Dataset, Field, IntegrityError, ParameterError
from ptystore.model.lazy_array import Array, Indices, MemoryArray
from ptystore.model.source import Storage
from scans import assert_same, bytes_read, flip, forked, put, spawned, values

SHUFFLES = ("none", "blocks", "full")
Batch = dict[str, Array]


def sharded(frames: int = 103, shard: int = 8, axis: int = 0) -> Dataset:
    """A scan in memory whose diffraction lies in shards of a few frames."""
    shape = [4, 6]
    shape.insert(axis, frames)
    # Too large to be kept in memory, so that it is taken batch by batch.
    stack = np.broadcast_to(np.arange(frames, dtype=np.int64).reshape(-1, 1, 1), (frames, 4, 6))
    array = MemoryArray(np.moveaxis(stack, 0, axis).copy(), axis)
    shard_shape = tuple(shard if d == axis else n for d, n in enumerate(shape))
    field = Field(
        "diffraction", array, "per_frame", storage=Storage("none", None, None, shard_shape)
    )
    positions = Field("xcoords", MemoryArray(np.arange(float(frames))), "per_frame")
    return Dataset({"diffraction": field, "xcoords": positions})


def order(batches: Iterable[Batch]) -> list[int]:
    return [int(one) for batch in batches for one in batch["index"]]


def assert_right(dataset: Dataset, batches: Iterable[Batch]) -> None:
    """Each batch holds what indexing by its own index gives, field by field."""
    for batch in batches:
        for name, field in dataset.items():
            if field.frame_axis is not None:
                assert_same(batch[name], np.take(field.values(), batch["index"], field.frame_axis))


# --- the order


@given(
    frames=st.integers(1, 90),
    batch_size=st.integers(1, 30),
    shuffle=st.sampled_from(SHUFFLES),
    world_size=st.integers(1, 5),
    shard=st.integers(1, 20),
    window=st.integers(1, 60),
    seed=st.integers(0, 2**70),
)
@settings(max_examples=80)
def test_ranks_share_all_frames_without_overlap(
    frames: int,
    batch_size: int,
    shuffle: Any,
    world_size: int,
    shard: int,
    window: int,
    seed: int,
) -> None:
    dataset = sharded(frames, shard)
    lengths, full, seen = [], [], []
    for rank in range(world_size):
        options: dict[str, Any] = {
            "shuffle": shuffle,
            "seed": seed,
            "rank": rank,
            "world_size": world_size,
            "buffer_bytes": window * (4 * 6 * 8 + 8),
            "prefetch": 0,
        }
        batches = list(dataset.batches(batch_size, **options))
        assert len(dataset.batches(batch_size, **options)) == len(batches)
        assert_right(dataset, batches)
        assert all(len(one["index"]) == batch_size for one in batches[:-1])
        mine = order(batches)
        lengths.append(len(mine))
        seen += mine
        dropped = dataset.batches(batch_size, **options, drop_last=True)
        full.append(len(dropped))
        assert order(dropped) == mine[: len(dropped) * batch_size]
        assert len(dropped) == frames // world_size // batch_size
    assert sorted(seen) == list(range(frames))
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_prefetch_parts_and_resuming_keep_the_order(shuffle: Any) -> None:
    dataset = sharded()
    options = {"shuffle": shuffle, "seed": 3, "epoch": 2, "buffer_bytes": 5000}
    plain = list(dataset.batches(7, **options, prefetch=0))
    assert order(plain) == order(dataset.batches(7, **options))
    assert_right(dataset, plain)
    for prefetch in (1, 3, 50):
        assert order(dataset.batches(7, **options, prefetch=prefetch)) == order(plain)
    for parts in (2, 3, 20):
        shares = [list(dataset.batches(7, **options).share(k, parts)) for k in range(parts)]
        for k, share in enumerate(shares):
            assert len(dataset.batches(7, **options).share(k, parts)) == len(share)
        in_turn = itertools.chain.from_iterable(itertools.zip_longest(*shares))
        assert order(one for one in in_turn if one is not None) == order(plain)
    for start in range(len(plain) + 2):
        rest = dataset.batches(7, **options, start=start)
        assert len(rest) == len(plain[start:])
        assert order(rest) == order(plain[start:])


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_an_iteration_goes_on_from_its_state(shuffle: Any) -> None:
    dataset = sharded()
    begun = dataset.batches(10, ["xcoords"], shuffle=shuffle, seed=5, rank=1, world_size=2)
    head = order(itertools.islice(begun, 2))
    state = json.loads(json.dumps(begun.state()))
    copied = copy.deepcopy(begun)
    rest = order(begun)
    assert len(head) == 20
    assert order(dataset.batches(**state)) == rest
    assert order(copied) == rest
    assert list(begun) == []


def test_seed_and_epoch_make_the_order() -> None:
    dataset = sharded()
    for shuffle in ("blocks", "full"):
        orders = {
            tuple(order(dataset.batches(10, shuffle=shuffle, seed=seed, epoch=epoch)))
            for seed in range(3)
            for epoch in range(3)
        }
        assert len(orders) == 9
    assert order(dataset.batches(10, seed=9, epoch=4)) == list(range(103))


def test_blocks_mix_whole_shards_within_windows() -> None:
    # Frames of 200 bytes: windows of 20 frames, which are two batches and two and a half shards.
    got = order(sharded(160, 8).batches(10, shuffle="blocks", seed=1, buffer_bytes=4000))
    windows = [got[at : at + 20] for at in range(0, 160, 20)]
    shards = [{frame // 8 for frame in window} for window in windows]
    assert all(len(one) in (3, 4) for one in shards)
    assert sum(len(one) for one in shards) <= 20 + 8
    assert [min(one) for one in shards] != sorted(min(one) for one in shards)
    assert all(window != sorted(window) for window in windows)


def test_the_orders_are_the_same_everywhere() -> None:
    """Golden: what any machine and any release of numpy must give."""
    dataset = sharded(16, 4)
    got = {
        shuffle: order(
            dataset.batches(4, shuffle=shuffle, seed=2**64 + 7, epoch=3, buffer_bytes=1600)
        )
        for shuffle in ("blocks", "full")
    }
    assert got == {
        "blocks": [2, 12, 3, 0, 14, 13, 15, 1, 10, 4, 11, 8, 9, 6, 5, 7],
        "full": [14, 15, 10, 1, 9, 12, 4, 7, 6, 5, 2, 3, 8, 13, 11, 0],
    }


# --- reading


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, npt.NDArray[Any]]:
    """Two shards of diffraction that are too large to be kept in memory."""
    frames = values("u2", (5000, 40, 41))
    positions = np.arange(5000.0)
    folder = tmp_path_factory.mktemp("stored")
    return put(folder, ".zarr", {"diffraction": frames, "xcoords": positions}), frames


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_store_in_batches(stored: tuple[Path, Array], shuffle: Any) -> None:
    path, frames = stored
    seen = []
    for batch in ptystore.open(path).batches(300, shuffle=shuffle, buffer_bytes=4 << 20):
        assert list(batch) == ["index", "diffraction", "xcoords"]
        assert_same(batch["diffraction"], frames[batch["index"]])
        assert_same(batch["xcoords"], batch["index"].astype(float))
        assert batch["diffraction"].flags.owndata
        seen += batch["index"].tolist()
    assert sorted(seen) == list(range(5000))


def test_blocks_read_every_byte_about_once(stored: tuple[Path, Array]) -> None:
    path, _ = stored
    size = sum(one.stat().st_size for one in path.rglob("c.*"))

    def asked(**options: Any) -> float:
        dataset = ptystore.open(path)
        before = bytes_read()
        for _ in dataset.batches(50, **options):
            pass
        return (bytes_read() - before) / size

    assert asked(shuffle="blocks", buffer_bytes=4 << 20) < 1.2
    assert asked(shuffle="full") > 2  # chunks hold four frames
    assert asked(start=95) < 0.2


def test_memory_does_not_grow_with_the_scan(stored: tuple[Path, Array]) -> None:
    path, _ = stored
    dataset = ptystore.open(path)
    batch = 64 * 40 * 41 * 2
    # Beside what is read ahead: one block being copied and the encoded run it comes from.
    for options, most in (
        ({"shuffle": "full", "prefetch": 2}, 5 * batch + (1 << 20)),
        ({"shuffle": "blocks", "buffer_bytes": 1 << 20}, (2 << 20) + 2 * batch + (4 << 20)),
    ):
        tracemalloc.start()
        for _ in dataset.batches(64, ["diffraction"], **options):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most < 5000 * 40 * 41 * 2 / 2


class Counting(MemoryArray):
    """Counts the frames that have been read of it, and tells of each read."""

    def __init__(self, values: Array) -> None:
        super().__init__(values)
        self.read_so_far = 0
        self.reads = threading.Semaphore(0)

    def take(self, indices: Indices) -> Array:
        self.read_so_far += len(indices)
        self.reads.release()
        return super().take(indices)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_no_more_is_read_ahead_than_was_asked_for(prefetch: int) -> None:
    array = Counting(np.zeros((1000, 2000)))  # 16 MB: not one that is kept
    dataset = Dataset({"diffraction": Field("diffraction", array, "per_frame")})
    batches = dataset.batches(10, prefetch=prefetch, shuffle="full")
    next(batches)
    for _ in range(1 + prefetch):
        assert array.reads.acquire(timeout=10)
    # Another read would come at once; this is how long a wrong one has to show itself.
    assert not array.reads.acquire(timeout=0.2)
    assert array.read_so_far == 10 * (1 + prefetch)


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_an_iteration_goes_on_in_a_forked_child(stored: tuple[Path, Array], shuffle: Any) -> None:
    dataset = ptystore.open(stored[0])
    batches = dataset.batches(300, shuffle=shuffle, buffer_bytes=2 << 20)
    begun = order(itertools.islice(batches, 3))
    wanted = order(dataset.batches(300, shuffle=shuffle, buffer_bytes=2 << 20))

    def work() -> None:
        assert begun + order(batches) == wanted

    forked(work)
    assert begun + order(batches) == wanted


def test_threads_end_with_the_iteration(stored: tuple[Path, Array]) -> None:
    dataset = ptystore.open(stored[0])
    before = threading.active_count()
    batches = dataset.batches(100, shuffle="full")
    first = order([next(batches)])
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before
    assert first + order(batches) == order(dataset.batches(100, shuffle="full"))
    assert threading.active_count() == before
    for _ in dataset.batches(100):
        break
    assert threading.active_count() == before


def test_damage_is_raised_where_it_is_met(stored: tuple[Path, Array], tmp_path: Path) -> None:
    path = Path(shutil.copytree(stored[0], tmp_path / "scan.zarr"))
    flip(chunk_places(path, "diffraction")[500])
    batches = ptystore.open(path).batches(1000)
    assert order(itertools.islice(batches, 2)) == list(range(2000))
    with pytest.raises(IntegrityError, match="diffraction: frames 2000 to 2003"):
        next(batches)


def test_a_deflated_member_is_read_forwards_only(tmp_path: Path) -> None:
    frames = values("u2", (3000, 40, 41))
    path = put(tmp_path, ".npz", {"diffraction": frames, "xcoords": np.arange(3000.0)})
    dataset = ptystore.open(path)
    assert dataset["diffraction"].array.sequential
    before = bytes_read()
    for batch in dataset.batches(200, prefetch=3):
        assert_same(batch["diffraction"], frames[batch["index"]])
    assert bytes_read() - before < 1.5 * path.stat().st_size
    for shuffle in ("blocks", "full"):
        with pytest.raises(ParameterError, match="diffraction: can only be read forwards"):
            dataset.batches(200, shuffle=shuffle)
    assert sorted(order(dataset.batches(200, ["xcoords"], shuffle="full"))) == list(range(3000))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_frames_along_any_axis(axis: int, shuffle: Any) -> None:
    dataset = sharded(axis=axis)
    assert_right(dataset, dataset.batches(10, shuffle=shuffle, buffer_bytes=8000))


def test_what_makes_no_sense_is_refused() -> None:
    dataset = sharded()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, r"batch_size is 2\.5"),
        ({"seed": -1}, "seed is -1"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"shuffle": "blok"}, "'blok', not one of none, blocks, full"),
        ({"fields": ["objectGuess"]}, "no per-frame field 'objectGuess'; there are diffraction"),
        ({"fields": []}, "no per-frame field to make batches of"),
    ]
    for options, message in wrong:
        with pytest.raises(ParameterError, match=message):
            dataset.batches(**({"batch_size": 10} | options))
    with pytest.raises(ParameterError, match="part 2 of 2"):
        dataset.batches(10).share(2, 2)
    named = Dataset({"index": Field("index", MemoryArray(np.arange(5)), "per_frame")})
    with pytest.raises(ParameterError, match="index: is what the frames' own indices"):
        named.batches(10)


def test_without_torch_its_extra_is_named() -> None:
    code = """
import sys
sys.modules["torch"] = None
try:
    import ptystore
    ptystore.torch.FrameDataset
except ImportError as error:
    print(error)
"""
    assert "pip install 'ptystore[torch]'" in spawned(code)
