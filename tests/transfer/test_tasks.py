"""What a worker is handed: tasks that pickle, so that any process could do them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import ptystore
import scans
from ptystore.formats.table import FORMATS
from ptystore.model.dataset import Dataset
from ptystore.transfer.one_pass import ShardTask, _tasks
from ptystore.transfer.options import WriteOptions

RUN = """
import pickle, sys
from pathlib import Path
tasks, results = pickle.loads(Path(sys.argv[1]).read_bytes())
for task, expected in zip(tasks, results, strict=True):
    shard = task()
    assert (shard.leaves, shard.nbytes) == expected, task.field.name
print(len(tasks))
"""


def pipeline(folder: Path) -> Dataset:
    """A lazy pipeline over a store, so that nothing is in memory."""
    arrays = scans.scan(64, 40, 64) | {
        "names": scans.values("U5", (64,)),
        "empty": scans.values("f4", (64, 0)),
    }
    ptystore.write(ptystore.dataset_of(arrays, scans.document()), folder / "scan.zarr")
    scan = ptystore.open(folder / "scan.zarr")
    return ptystore.extract_patches(ptystore.canonicalize(scan))


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_tasks_do_the_same_in_another_process(tmp_path: Path, row: ptystore.Format) -> None:
    scan = pipeline(tmp_path)
    made: list[tuple[tuple[bytes, ...], int]] = []
    staging = tmp_path / "first"
    for place in (staging, tmp_path / "second"):
        if row.is_folder:
            place.mkdir()
        sink = row.sink(place, scan, WriteOptions())
        tasks: list[ShardTask[object]] = list(_tasks(scan, sink, None, 2))
        if place == staging:
            made = [(shard.leaves, shard.nbytes) for shard in (task() for task in tasks)]
        else:
            (tmp_path / "tasks").write_bytes(pickle.dumps((tasks, made)))
            assert len(tasks) >= len(scan)
            assert int(scans.spawned(RUN, tmp_path / "tasks")) == len(tasks)
        sink.abandon()


def test_a_task_carries_no_values(tmp_path: Path) -> None:
    """Its size does not grow with the scan: fields of a store are where to read them."""
    scan = pipeline(tmp_path)
    (tmp_path / "staging").mkdir()
    zarr = next(row for row in FORMATS if row.is_folder)
    tasks = list(_tasks(scan, zarr.sink(tmp_path / "staging", scan, WriteOptions()), None, 2))
    assert max(len(pickle.dumps(task)) for task in tasks) < 8192
