"""What file managers and network filesystems leave in any folder, and nobody asked for."""

from __future__ import annotations

import re

__all__ = ["is_litter"]

# macOS, macOS on other filesystems, NFS clients (of files removed while open), Windows.
_LITTER = re.compile(r"\.DS_Store|\._.+|\.nfs[0-9A-Fa-f]+|Thumbs\.db|desktop\.ini")


def is_litter(key: str) -> bool:
    """Whether a file, by the last part of its path, is known to hold nothing of anybody's."""
    return _LITTER.fullmatch(key.rpartition("/")[2]) is not None
