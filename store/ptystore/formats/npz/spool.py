"""Brings an array whose frames are scattered over its file into frame order, once.

A legacy (H, W, n) stack, or one in Fortran order, has each frame's values spread over the
whole member. It is read once in storage order, slab after slab; each slab is turned
round in memory and appended to a scratch file, so that the frames `start` to `stop` are one
contiguous piece of every slab. Memory holds one slab, whatever the size of the array.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ptystore.errors import StorageError
from ptystore.formats.npz.member import MemberBytes, read_data
from ptystore.model.lazy_array import Array
from ptystore.model.process_lock import ProcessLock
from ptystore.storage.system import read_at

__all__ = ["IN_MEMORY", "Spool", "StorageOrder"]

#: Arrays up to this size are turned round in memory, without a scratch file.
IN_MEMORY = 16 << 20
_SLAB = 16 << 20


@dataclass(frozen=True)
class StorageOrder:
    """How an array lies in its file: `shape` slowest axis first, frames along `position`."""

    shape: tuple[int, ...]
    position: int
    fortran: bool

    @classmethod
    def of(cls, shape: tuple[int, ...], axis: int, fortran: bool) -> StorageOrder:
        """The storage order of an array of logical `shape` that is cut along `axis`."""
        if fortran and len(shape) > 1:
            return cls(shape[::-1], len(shape) - 1 - axis, True)
        return cls(shape, axis, False)

    @property
    def frames_contiguous(self) -> bool:
        """Whether each frame is one piece of the file."""
        return math.prod(self.shape[: self.position]) == 1

    def logical(self, rows: Array, axis: int) -> Array:
        """A block in storage order, frames first, as a view with the logical axes."""
        if not self.shape:
            return rows.reshape(())
        rest = [n for d, n in enumerate(self.shape) if d != self.position]
        block = rows.reshape(rows.shape[0], *rest)
        if self.fortran:
            block = block.transpose(0, *range(block.ndim - 1, 0, -1))
        return np.moveaxis(block, 0, axis)


def _item(size: int) -> str:
    """A dtype of `size` bytes, one that numpy copies at full speed where there is one."""
    return {1: "u1", 2: "u2", 4: "u4", 8: "u8", 16: "c16"}.get(size, f"V{size}")


class Spool:
    """The frames of one scattered member, each contiguous: built at first use, then read.

    Given a scratch folder in time it spools there, else to the temporary folder.
    """

    def __init__(
        self, source: MemberBytes, data_offset: int, order: StorageOrder, itemsize: int
    ) -> None:
        self._source = source
        self._offset = data_offset
        self._itemsize = itemsize
        self._leading = math.prod(order.shape[: order.position])
        self._frames = order.shape[order.position]
        self._trailing = math.prod(order.shape[order.position + 1 :]) * itemsize
        self._reset()

    def _reset(self) -> None:
        self._lock = ProcessLock()
        self._file: IO[bytes] | None = None
        self._memory: Array | None = None

    @property
    def _slab_rows(self) -> int:
        return max(1, _SLAB // max(1, self._frames * self._trailing))

    def read(self, start: int, stop: int) -> Array:
        """The bytes of the frames `start` to `stop`: uint8, shape (frames, bytes of a frame)."""
        self.prepare(None)
        if self._memory is not None:
            return self._memory[start:stop].copy()
        assert self._file is not None
        out = np.empty((stop - start, self._leading, self._trailing), np.uint8)
        for first, last in self._slabs():
            rows = last - first
            at = (first * self._frames + start * rows) * self._trailing
            piece = np.empty((stop - start, rows, self._trailing), np.uint8)
            self._file_read(at, piece)
            out[:, first:last] = piece
        return out.reshape(stop - start, -1)

    def _file_read(self, offset: int, piece: Array) -> None:
        assert self._file is not None
        view = piece.reshape(-1).data
        if read_at(self._file.fileno(), view, offset) < len(view):
            raise StorageError("the scratch file ended early")

    def prepare(self, scratch: Path | None) -> None:
        """Spool now, into the folder `scratch` where one is given."""
        with self._lock:
            if self._file is not None or self._memory is not None:
                return
            total = self._leading * self._frames * self._trailing
            if total <= IN_MEMORY:
                room = np.empty(total, np.uint8)
                self._memory = self._turned(0, self._leading, room).reshape(self._frames, -1)
                return
            folder = str(scratch) if scratch else tempfile.gettempdir()
            free = shutil.disk_usage(folder).free
            if total > free:
                raise StorageError(
                    f"needs {total} bytes of scratch space in {folder}, {free} are free",
                    advice="free some space, or set TMPDIR to a folder on a larger disk",
                )
            self._file = self._spooled(folder)
            weakref.finalize(self, self._file.close)

    def _spooled(self, folder: str) -> IO[bytes]:
        # Unnamed: it is gone with the last descriptor, whatever happens to the process.
        file = tempfile.TemporaryFile(dir=folder, prefix="ptystore-")  # noqa: SIM115
        try:
            # One buffer for all slabs: freeing and taking it anew each time fragments the heap.
            room = np.empty(self._slab_rows * self._frames * self._trailing, np.uint8)
            for first, last in self._slabs():
                file.write(self._turned(first, last, room).reshape(-1).data)
            file.flush()
        except OSError as error:
            file.close()
            reason = f"writing scratch data to {folder} failed: {error.strerror}"
            raise StorageError(reason) from error
        except BaseException:
            file.close()
            raise
        return file

    def _slabs(self) -> list[tuple[int, int]]:
        step = self._slab_rows
        return [(at, min(at + step, self._leading)) for at in range(0, self._leading, step)]

    def _turned(self, first: int, last: int, room: Array) -> Array:
        """The slab of leading rows `first` to `last` as (frames, rows, trailing bytes)."""
        row = self._frames * self._trailing
        data = read_data(self._source, self._offset, first * row, last * row)
        # Moving whole items, not bytes, is what makes the turn fast.
        items = data.view(_item(self._itemsize)).reshape(last - first, self._frames, -1)
        turned = room[: data.size].view(items.dtype).reshape(self._frames, last - first, -1)
        turned[...] = items.transpose(1, 0, 2)
        return turned.view(np.uint8).reshape(self._frames, last - first, self._trailing)

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        for name in ("_lock", "_file", "_memory"):
            del kept[name]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
