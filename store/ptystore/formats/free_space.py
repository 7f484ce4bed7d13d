"""Whether a scan may need more of a disk than is free: a guess, that only warns.

What compresses well needs far less than its values take, and nobody knows before it is written.
A disk that does fill up fails cleanly.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ptystore.model.dataset import Dataset, Field

__all__ = ["shortage_of_space"]


def shortage_of_space(dataset: Dataset, folder: Path) -> tuple[str, ...]:
    """A line where the disk of `folder` has less room than `dataset` is likely to take there."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ()
    likely = sum(map(_likely_bytes, dataset.values()))
    if likely <= free:
        return ()
    return (
        f"may need {likely} bytes, and {free} are free at {folder}: "
        "if the disk fills up, the write fails and leaves nothing",
    )


def _likely_bytes(field: Field) -> int:
    """What the field takes in its source, where that is known, else its values uncompressed."""
    stored = field.storage.stored_bytes if field.storage is not None else None
    # Nothing is stored of a field that is computed.
    return min(stored, field.largest_nbytes) if stored else field.largest_nbytes
