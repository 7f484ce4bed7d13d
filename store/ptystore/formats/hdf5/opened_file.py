"""Opens the very file that a descriptor is of with the HDF5 library.

Runs in the helper process, or in this one where that is switched off.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import Any

import h5py

from ptystore.storage.system import read_at

__all__ = ["opened"]


class _Positioned(io.RawIOBase):
    """An open file read at a position of its own: others read through the same descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._position = 0

    def readinto(self, buffer: Any) -> int:
        got = read_at(self._descriptor, memoryview(buffer).cast("B"), self._position)
        self._position += got
        return got

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}
        begin = begins[whence] if whence in begins else os.fstat(self._descriptor).st_size
        self._position = begin + offset
        return self._position

    def tell(self) -> int:
        return self._position


def opened(descriptor: int, *, growing: bool = False) -> h5py.File:
    """The very file that `descriptor` is of, for reading, whatever has its name by now.

    One that is `growing` may have a writer, if that lets others read.
    """
    try:
        return _opened(descriptor, swmr=False)
    except OSError as error:
        if not growing or "already open for write" not in str(error):
            raise
        with suppress(OSError):
            return _opened(descriptor, swmr=True)
        raise


def _opened(descriptor: int, *, swmr: bool) -> h5py.File:
    for name in (f"/proc/self/fd/{descriptor}", f"/dev/fd/{descriptor}"):
        if os.path.exists(name):
            try:
                return h5py.File(name, "r", locking="best-effort", swmr=swmr)
            except OSError as error:
                # HDF5 asks for the name of a file, and one that was replaced has none.
                if "real path" not in str(error):
                    raise
    return h5py.File(_Positioned(descriptor), "r", swmr=swmr)
