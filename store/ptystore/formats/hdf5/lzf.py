"""LZF, which no dependency offers but h5py, inside the module that registers it as a filter."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ptystore.formats.chunk_codec import DamagedChunk
from ptystore.model.lazy_array import Array

__all__ = ["has_lzf", "unlzf"]


@functools.cache
def _function() -> Any:
    """liblzf's ``lzf_decompress(in, length, out, room)``, which stays within both; None without."""
    import ctypes

    import h5py.h5z

    try:
        found = ctypes.CDLL(h5py.h5z.__file__).lzf_decompress
    except (OSError, AttributeError):
        return None
    found.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_uint]
    found.restype = ctypes.c_uint
    return found


def has_lzf() -> bool:
    """Whether this h5py lets us have it; where not, HDF5 decodes in the helper."""
    return _function() is not None


def unlzf(data: memoryview, out: Array) -> None:
    """Decode into `out`, bytes of just the size; `DamagedChunk` where it is another."""
    packed = np.frombuffer(data, np.uint8)
    # 0 for what is no LZF, or longer than there is room for.
    got = _function()(packed.ctypes.data, packed.nbytes, out.ctypes.data, out.nbytes)
    if got != out.nbytes:
        raise DamagedChunk(f"it can't be decompressed ({got} of {out.nbytes} bytes)")
