"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# From glibc's malloc.h. 32 MiB is the largest threshold that it accepts.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_BYTES, _TRIM_BYTES = 32 << 20, 256 << 20


def keep_freed_memory() -> None:
    """Let glibc reuse the blocks that are freed, instead of giving each back to the system.

    Blocks of a few MiB come and go all the time, and a fresh page costs as much as filling
    it. Measured on `patch`: 22 thousand page faults in place of 305 thousand, and a tenth
    less processor time. A library must not set this for its host; a command may.
    """
    try:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    except (OSError, TypeError):  # TypeError on Windows, where a library has to be named
        return
    if mallopt is not None:  # macOS has none
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
