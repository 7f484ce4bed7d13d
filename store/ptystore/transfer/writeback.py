"""Asks the kernel to start writing a file to disk, so that the fsync at the end waits less."""

from __future__ import annotations

import ctypes

from ptystore.storage.system import libc_function

__all__ = ["start_writeback"]

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h

_sync_file_range = libc_function("sync_file_range")
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def start_writeback(descriptor: int) -> None:
    """Begin, without waiting, where the kernel can.

    A hint: what fails here is told by the fsync that follows.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, 0, 0, _SYNC_FILE_RANGE_WRITE)
