"""Frames for PyTorch: the same values, in loaders with and without workers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from scans import LIBRARY, document, put, scan, spawned, values

try:
    import torch
    from torch.utils.data import DataLoader
except ImportError:
    pytest.skip("torch is not installed", allow_module_level=True)

from ptystore.torch import BatchDataset, FrameDataset

# Three workers on two cores are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

FRAMES = values("u2", (900, 20, 21))
POSITIONS = np.arange(900.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arrays = scan() | {
        "diff3d": FRAMES,
        "Y": values("c8", (900, 4, 5), seed=1),
        "xcoords": POSITIONS,
        "ycoords": -POSITIONS,
        "scan_index": np.zeros(900, np.int64),
        "names": values("U7", (900,)),
    }
    return put(tmp_path_factory.mktemp("torch"), ".zarr", arrays, document())


def assert_right(batch: dict[str, torch.Tensor]) -> None:
    index = batch["index"].numpy()
    assert batch["diff3d"].dtype == torch.int32
    assert batch["Y"].dtype == torch.complex64
    np.testing.assert_array_equal(batch["diff3d"].numpy(), FRAMES[index])
    np.testing.assert_array_equal(batch["xcoords"].numpy(), POSITIONS[index])


def order(loader: Any) -> list[int]:
    seen: list[int] = []
    for batch in loader:
        assert_right(batch)
        seen += batch["index"].tolist()
    return seen


def test_frames_one_by_one_and_together(path: Path) -> None:
    frames = FrameDataset(ptystore.open(path))
    assert len(frames) == 900
    assert set(frames[0]) == {"index", "diff3d", "Y", "xcoords", "ycoords", "scan_index"}
    wanted = [5, 899, 5, -1, 0]
    together = frames.__getitems__(wanted)
    for index, entry in zip(wanted, together, strict=True):
        alone = frames[index]
        assert int(entry["index"]) == index % 900
        np.testing.assert_array_equal(entry["diff3d"].numpy(), FRAMES[index])
        assert set(alone) == set(entry)
        # The bits, for values that are NaN.
        assert all(alone[name].numpy().tobytes() == entry[name].numpy().tobytes() for name in alone)
    with pytest.raises(IndexError, match="index 900 is out of bounds"):
        frames[900]
    assert set(FrameDataset(ptystore.open(path), ["xcoords"])[3]) == {"xcoords", "index"}


def test_frames_of_a_stack_along_its_last_axis() -> None:
    stack = np.arange(4 * 5 * 7, dtype=np.float32).reshape(4, 5, 7)
    dataset = ptystore.dataset_of({"diff3d": stack, "xcoords": np.arange(7.0)})
    assert dataset["diff3d"].frame_axis == 2
    np.testing.assert_array_equal(FrameDataset(dataset)[3]["diff3d"].numpy(), stack[:, :, 3])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i8", "f2", "f8", "c16", "?"])
def test_dtypes_keep_their_values(dtype: str) -> None:
    made = values(dtype, (6, 3))
    if dtype == "u8":
        made >>= np.uint64(1)
    dataset = ptystore.dataset_of({"extra": made, "xcoords": np.arange(6.0)})
    (batch,) = BatchDataset(dataset, 6)
    np.testing.assert_array_equal(batch["extra"].numpy(), made)


def test_what_torch_can_not_hold_is_refused(path: Path) -> None:
    dataset = ptystore.dataset_of({"extra": np.full(3, 2**63, "u8"), "xcoords": np.arange(3.0)})
    with pytest.raises(ptystore.InputError, match="extra: holds values that no dtype of torch can"):
        FrameDataset(dataset)[0]
    for make in (FrameDataset, lambda one, fields: BatchDataset(one, 2, fields)):
        with pytest.raises(ptystore.ParameterError, match="no numeric per-frame field 'names'"):
            make(ptystore.open(path), ["names"])
    with pytest.raises(ptystore.ParameterError, match="rank and world_size are given together"):
        BatchDataset(dataset, 2, rank=1)
    with pytest.raises(ptystore.ParameterError, match="batch_size is 0"):
        BatchDataset(dataset, 0)


@pytest.mark.parametrize("shuffle", ["none", "blocks", "full"])
def test_workers_share_the_batches_in_one_order(path: Path, shuffle: Any) -> None:
    dataset = ptystore.open(path)
    dataset.take([3])  # the parent has read before it forks
    batches = BatchDataset(dataset, 64, shuffle=shuffle, seed=4, buffer_bytes=1 << 19)
    plain = order(batches)
    assert sorted(plain) == list(range(900))
    assert len(batches) == 15
    for workers in (0, 1, 2, 3):
        loader = DataLoader(
            batches,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
        )
        assert len(loader) == 15
        assert order(loader) == plain


def test_frames_in_forked_workers_after_the_parent_has_read(path: Path) -> None:
    frames = FrameDataset(ptystore.open(path))
    first = frames[0]
    loader = DataLoader(
        frames, batch_size=50, shuffle=True, num_workers=2, multiprocessing_context="fork"
    )
    assert sorted(order(loader)) == list(range(900))
    assert torch.equal(frames[0]["diff3d"], first["diff3d"])


SPAWN = """
import sys
sys.path.insert(0, sys.argv[1])
import ptystore, ptystore.torch
from torch.utils.data import DataLoader

if __name__ == "__main__":
    scan = ptystore.open(sys.argv[2])
    scan.take([1, 2])
    frames = ptystore.torch.FrameDataset(scan)
    frames[7]
    context = {"num_workers": 2, "multiprocessing_context": "spawn"}
    seen = []
    for batch in DataLoader(frames, batch_size=100, **context):
        seen += batch["index"].tolist()
    assert seen == list(range(900)), seen
    batches = ptystore.torch.BatchDataset(scan, 64, shuffle="full", seed=1)
    plain = [batch["index"].tolist() for batch in batches]
    loader = DataLoader(batches, batch_size=None, persistent_workers=True, **context)
    assert [batch["index"].tolist() for batch in loader] == plain
    batches.set_epoch(1)
    again = [batch["index"].tolist() for batch in loader]
    assert again == [batch["index"].tolist() for batch in batches]
    assert again != plain
    print("right")
"""


def test_spawned_workers_after_the_parent_has_read(path: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SPAWN, "utf-8")
    code = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    assert spawned(code, script, LIBRARY, path).split() == ["right"]


def test_ranks_and_workers_share_the_frames(path: Path) -> None:
    dataset = ptystore.open(path)
    seen: list[int] = []
    for rank in range(3):
        batches = BatchDataset(dataset, 70, shuffle="full", seed=2, rank=rank, world_size=3)
        loader = DataLoader(batches, batch_size=None, num_workers=2, multiprocessing_context="fork")
        mine = order(loader)
        assert mine == order(batches)
        seen += mine
    assert sorted(seen) == list(range(900))


def test_epochs_differ_and_copies_agree(path: Path) -> None:
    batches = BatchDataset(ptystore.open(path), 64, ["xcoords", "diff3d", "Y"], shuffle="full")
    first = order(batches)
    assert order(batches) == first
    batches.set_epoch(1)
    second = order(batches)
    assert second != first
    assert order(copy.deepcopy(batches)) == second
    batches.set_epoch(0)
    assert order(batches) == first


def test_a_broken_off_epoch_goes_on(path: Path) -> None:
    dataset = ptystore.open(path)
    whole = order(BatchDataset(dataset, 64, shuffle="blocks", seed=3))
    rest = order(BatchDataset(dataset, 64, shuffle="blocks", seed=3, start=5))
    assert rest == whole[5 * 64 :]
