"""Takes over the shard files of a stored array that would be written just as it is.

A transform leaves most fields alone. Their files are hard-linked into the new store, or
copied where links are impossible, instead of being decoded and encoded again. Nothing
writes to a file of a store after it was published, so two stores can share it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ptystore.errors import IntegrityError, PtystoreError
from ptystore.formats.zarr.manifest import Entry, entry_of_open
from ptystore.formats.zarr.shards import ShardedArray, shard_key
from ptystore.model.dataset import Field
from ptystore.model.layout import Layout
from ptystore.storage.system import pread
from ptystore.transfer.publish import storage_error

__all__ = ["Adopter"]

# No hard links here, or none to there, or the file has too many: a copy does as well.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


# Copied at a time.
_COPIED = 1 << 20


@dataclass(frozen=True)
class Adopter:
    """The files of one array of a store, to be taken into another store's folder."""

    array: ShardedArray
    name: str
    folder: Path
    files: Mapping[str, Entry]

    @classmethod
    def of(cls, field: Field, layout: Layout, folder: Path) -> Adopter | None:
        """An adopter of the field's files, None where it must be encoded anew."""
        array = field.array
        if not isinstance(array, ShardedArray) or not array.same_cuts(layout):
            return None
        if array.files is None:
            return None
        return cls(array, field.name, folder, array.files)

    def take(self, layout: Layout, start: int) -> tuple[str, Entry]:
        """Link or copy the shard at row `start`; its key in the new store, length and checksums.

        Raises `IntegrityError` naming the frames where the file is not the one that the
        source's manifest describes.
        """
        key = shard_key(layout, start)
        source = f"{self.array.name}/{key}"
        target = self.folder / self.name / key
        try:
            with self.array.folder.opened(source) as fd:
                entry = entry_of_open(fd)
                if entry != self.files.get(key):
                    raise self._damage(
                        layout, start, f"the file {key} is not what the manifest says"
                    )
                self._take(fd, source, target)
        except FileNotFoundError:
            raise self._damage(layout, start, f"the file {key} is missing") from None
        except PtystoreError:
            raise
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.EINVAL, errno.ENXIO):
                reason = f"the file {key} is not a regular file"
                raise self._damage(layout, start, reason) from None
            raise storage_error(error, target) from error
        return f"{self.name}/{key}", entry

    def _take(self, fd: int, source: str, target: Path) -> None:
        """Give the open file a second name, or make a copy of it."""
        target.parent.mkdir(exist_ok=True)
        try:
            self.array.folder.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            if os.path.samestat(os.fstat(fd), os.lstat(target)):
                return
            target.unlink()  # another file has that name by now
        self._copy(fd, target)

    def _copy(self, fd: int, target: Path) -> None:
        with open(target, "wb") as copy:
            at = 0
            while piece := pread(fd, _COPIED, at):
                copy.write(piece)
                at += len(piece)

    def _damage(self, layout: Layout, start: int, reason: str) -> IntegrityError:
        first = start // layout.chunk_rows
        return self.array.damage(reason, first, first + layout.chunks_per_shard)
