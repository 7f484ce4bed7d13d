"""The shard indexes that an array has read, kept for its next read."""

from __future__ import annotations

from typing import Any

from ptystore.model.lazy_array import Array
from ptystore.model.process_lock import ProcessLock

__all__ = ["FileIdentity", "IndexCache"]

#: Device, inode, length, and the times of the last change of content and of inode.
FileIdentity = tuple[int, int, int, int, int]

_LIMIT_BYTES = 4 << 20


class IndexCache:
    """Indexes by shard, at most 4 MiB of them, the oldest dropped first.

    An index is given out only for the very file that it was read from, as it was then: the
    caller opens the file and tells its identity. So a file that was replaced or rewritten
    has its index read anew. No descriptor is kept. Pickles as an empty cache.
    """

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._kept: dict[int, tuple[FileIdentity, Array]] = {}

    def get(self, shard: int, identity: FileIdentity) -> Array | None:
        """The index of `shard`, None where it must be read."""
        kept = self._kept.get(shard)
        return kept[1] if kept is not None and kept[0] == identity else None

    def keep(self, shard: int, identity: FileIdentity, index: Array) -> None:
        """Remember the index that was read from the file of this identity."""
        with self._lock:
            self._kept.pop(shard, None)
            self._kept[shard] = (identity, index)
            while len(self._kept) > max(1, _LIMIT_BYTES // index.nbytes):
                del self._kept[next(iter(self._kept))]

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
