"""By what a `.npz` is known as ours: the comment at its end. No member is looked at."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ptystore.formats.names import METADATA_MEMBER
from ptystore.formats.npz.comment import is_comment_of_ours, noted_names
from ptystore.storage.local import SourceFile
from ptystore.transfer.destination import require_no_strangers

__all__ = ["archive_comment", "is_our_npz"]

# How a zip archive ends: this record, the comment's length last in it, and the comment.
_END, _END_SIZE = b"PK\x05\x06", 22
_MOST = _END_SIZE + 0xFFFF


def archive_comment(path: Path) -> bytes | None:
    """The comment that a zip archive ends with; None for a file that ends as no archive does.

    Raises `InputMissingError` where it can't be read.
    """
    file = SourceFile(path)
    length = min(file.size, _MOST)
    tail = file.read(file.size - length, length)
    at = tail.rfind(_END)
    while at >= 0:
        start = at + _END_SIZE
        # A comment may hold the signature too.
        if tail[start - 2 : start] == len(tail[start:]).to_bytes(2, "little"):
            return tail[start:]
        at = tail.rfind(_END, 0, at)
    return None


def is_our_npz(path: Path) -> bool:
    """Whether a file carries our comment.

    Raises `DestinationError` where others put members of their own into it.
    """
    comment = archive_comment(path)
    if comment is None or not is_comment_of_ours(comment):
        return False
    names = noted_names(comment)
    if names is not None:
        known = {f"{name}.npy" for name in (*names, METADATA_MEMBER)}
        require_no_strangers(path, [name for name in _member_names(path) if name not in known])
    return True


def _member_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(SourceFile(path).stream()) as archive:
            return archive.namelist()
    except Exception:  # zipfile raises a dozen types on damaged directories; it still is ours
        return []
