"""Takes over the shard files of a stored array that would be written just as it is.

A transform leaves most fields alone. Their files are hard-linked into the new store, or
copied where links are impossible, instead of being decoded and encoded again. Nothing
writes to a file of a store after it was published, so two stores can share it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ptystore.errors import IntegrityError, PtystoreError
from ptystore.formats.zarr.manifest import Entry, entry_of, read_manifest
from ptystore.formats.zarr.shards import ShardedArray, shard_key
from ptystore.model.dataset import Field
from ptystore.model.layout import Layout
from ptystore.transfer.publish import storage_error

__all__ = ["Adopter"]

# No hard links here, or none to there, or the file has too many: a copy does as well.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


@dataclass(frozen=True)
class Adopter:
    """The files of one array of a store, to be taken into another store's folder."""

    array: ShardedArray
    name: str
    folder: Path
    manifest: Mapping[str, Entry]

    @classmethod
    def of(cls, field: Field, layout: Layout, folder: Path) -> Adopter | None:
        """An adopter of the field's files, None where it must be encoded anew."""
        array = field.array
        if not isinstance(array, ShardedArray) or not array.same_cuts(layout):
            return None
        try:
            return cls(array, field.name, folder, read_manifest(array.store))
        except PtystoreError:
            return None

    def take(self, layout: Layout, start: int) -> tuple[str, Entry]:
        """Link or copy the shard at row `start`; its key in the new store, length and checksums.

        Raises `IntegrityError` naming the frames where the file is not the one that the
        source's manifest describes.
        """
        key = shard_key(layout, start)
        source = self.array.store / self.array.name / key
        target = self.folder / self.name / key
        try:
            target.parent.mkdir(exist_ok=True)
            try:
                os.link(source, target)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                shutil.copyfile(source, target)
        except FileNotFoundError:
            raise self._damage(layout, start, f"the file {key} is missing") from None
        except OSError as error:
            raise storage_error(error, target) from error
        entry = entry_of(target)
        if entry != self.manifest.get(f"{self.array.name}/{key}"):
            raise self._damage(layout, start, f"the file {key} is not what the manifest says")
        return f"{self.name}/{key}", entry

    def _damage(self, layout: Layout, start: int, reason: str) -> IntegrityError:
        first = start // layout.chunk_rows
        return self.array.damage(reason, first, first + layout.chunks_per_shard)
