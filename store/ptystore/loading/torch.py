"""Frames for PyTorch: `FrameDataset` by index, `BatchDataset` in batches. Needs torch ≥ 2.2.

Both pickle, and work in loader workers that are forked as in those that are spawned, also
when the parent has read before: each process opens the files anew.

    loader = torch.utils.data.DataLoader(
        ptystore.torch.BatchDataset(scan, 256, shuffle="blocks"), batch_size=None, num_workers=2
    )
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ptystore.errors import InputError, ParameterError
from ptystore.loading.batches import INDEX, Batches, kept_if_small
from ptystore.model.choices import Shuffle
from ptystore.model.dataset import Dataset
from ptystore.model.lazy_array import Array, rows_first

try:
    # Untyped on purpose: the types of this file hold with and without torch.
    torch: Any = import_module("torch")
    torch_data: Any = import_module("torch.utils.data")
except ImportError as error:
    raise ImportError("torch is not installed: pip install 'ptystore[torch]'") from error

__all__ = ["BatchDataset", "FrameDataset"]

# Torch can hardly compute with unsigned integers of more than 8 bits, and before 2.3 not at all.
_WIDER = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}


class FrameDataset(torch_data.Dataset):  # type: ignore[misc]
    """A map-style dataset: entry `k` is frame `k`, a dict of tensors without a frame axis.

    Holds the per-frame `fields` (all numeric ones by default), and the frame's own number
    under ``"index"``. uint16 becomes int32, uint32 and uint64 int64; other dtypes stay.
    Loaders that ask for a batch's entries together (``__getitems__``) get them by one read.

    Raises `ParameterError` for a field that isn't there, isn't per frame or is text.
    """

    def __init__(self, dataset: Dataset, fields: Iterable[str] | None = None) -> None:
        self._fields = _numeric_fields(dataset, fields)
        self._count = dataset.frame_count or 0
        self._axes = {name: dataset[name].array.axis for name in self._fields}
        chosen = [dataset[name] for name in self._fields]
        self._chosen = Dataset(
            {field.name: field.with_array(kept_if_small(field.array)) for field in chosen}
        )

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Frame `index`; a negative one counts from the end."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The frames at `indices`, in that order, repeats allowed, by one concurrent read."""
        wanted = np.asarray(indices, np.int64)
        columns = {
            name: _tensor(name, rows_first(values, self._axes[name]))
            for name, values in self._chosen.take(wanted).items()
        }
        columns[INDEX] = torch.from_numpy(np.where(wanted < 0, wanted + self._count, wanted))
        return [
            {name: column[place] for name, column in columns.items()}
            for place in range(len(wanted))
        ]


class BatchDataset(torch_data.IterableDataset):  # type: ignore[misc]
    """An iterable dataset over `Dataset.batches`, as dicts of tensors.

    Give it to a ``DataLoader`` with ``batch_size=None``. The loader's workers share the
    batches, none is read twice, and they come in the same order for any number of workers.
    The ranks of `torch.distributed`, where it is initialised, share the frames; `rank` and
    `world_size` override it. Fields and dtypes are as in `FrameDataset`, the frame axis of a
    batch where the field has it; the other arguments are those of `Dataset.batches`.

    Call `set_epoch` before each epoch, for another order.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        fields: Iterable[str] | None = None,
        *,
        shuffle: Shuffle = "none",
        seed: int = 0,
        epoch: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        prefetch: int = 2,
        start: int = 0,
        buffer_bytes: int = 32 << 20,
    ) -> None:
        if (rank is None) != (world_size is None):
            raise ParameterError("rank and world_size are given together or not at all")
        self._dataset = dataset
        self._ranks = None if rank is None or world_size is None else (rank, world_size)
        self._options: dict[str, Any] = {
            "batch_size": batch_size,
            "fields": _numeric_fields(dataset, fields),
            "shuffle": shuffle,
            "seed": seed,
            "drop_last": drop_last,
            "prefetch": prefetch,
            "start": start,
            "buffer_bytes": buffer_bytes,
        }
        # Shared with the workers, so that those a loader keeps alive see a new epoch too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.set_epoch(epoch)
        self._batches()

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration is of; it is part of what seeds the order."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """The number of batches of this rank."""
        return len(self._batches())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        batches = self._batches()
        worker = torch_data.get_worker_info()
        if worker is not None:
            batches = batches.share(worker.id, worker.num_workers)
        for batch in batches:
            yield {name: _tensor(name, values) for name, values in batch.items()}

    def _batches(self) -> Batches:
        rank, world_size = self._ranks or _distributed()
        return self._dataset.batches(
            **self._options, epoch=int(self._epoch), rank=rank, world_size=world_size
        )


def _distributed() -> tuple[int, int]:
    """This process's rank and the number of them, as `torch.distributed` has it."""
    group = import_module("torch.distributed")
    if group.is_available() and group.is_initialized():
        return group.get_rank(), group.get_world_size()
    return 0, 1


def _numeric_fields(dataset: Dataset, fields: Iterable[str] | None) -> tuple[str, ...]:
    usable = [
        field.name
        for field in dataset.values()
        if field.role == "per_frame" and field.dtype.kind in "biufc" and field.name != INDEX
    ]
    names = tuple(usable) if fields is None else tuple(fields)
    for name in names:
        if name not in usable:
            raise ParameterError(
                f"no numeric per-frame field {name!r}; there are {', '.join(usable)}"
            )
    return names


def _tensor(name: str, values: Array) -> Any:
    """The values as a tensor, sharing memory where the dtype stays."""
    wider = _WIDER.get(values.dtype.name)
    if wider is not None:
        if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
            raise InputError("holds values that no dtype of torch can", member=name)
        values = values.astype(wider)
    return torch.from_numpy(np.ascontiguousarray(values))
