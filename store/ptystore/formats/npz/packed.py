"""A `.npz` that is compressed once more, as a whole: `.npz.bz2`."""

from __future__ import annotations

from pathlib import Path

from ptystore.formats.assemble import ReadOptions
from ptystore.storage.local import SourceFile
from ptystore.storage.unpacked import UnpackedFile

__all__ = ["BZIP2", "npz_source"]

#: How a file begins that is compressed by bzip2.
BZIP2 = b"BZh"

# How many bytes may come out of one, and out of any file, without the caller having said so.
_RATIO, _LEAST = 256, 64 << 20
# Beside the arrays that the caller's limit counts, an archive holds headers and its directory.
_HEADERS = 1 << 20


def npz_source(path: Path, options: ReadOptions) -> SourceFile:
    """The archive at `path`, unpacked into scratch where it is compressed by bzip2.

    No more than `options.max_bytes` come out of it; without that, 256 times its size or 64 MiB,
    whichever is more. Raises as `UnpackedFile` does.
    """
    file = SourceFile(path)
    if file.size < len(BZIP2) or file.read(0, len(BZIP2)) != BZIP2:
        return file
    if options.max_bytes is not None:
        most = options.max_bytes + _HEADERS
    else:
        most = max(_LEAST, _RATIO * file.size)
    return UnpackedFile(file, most, b"PK", ".npz")
