"""What a virtual dataset is put together from, as plain values: which pieces of which files.

Runs the HDF5 library; what it makes of a damaged file is for whoever calls.
"""

from __future__ import annotations

from typing import Any

import h5py

from ptystore.formats.hdf5.attrs import text

__all__ = ["mappings"]

#: More pieces than this, and each would be a file to open, are no scan.
MOST_PIECES = 100_000

_UNLIMITED = (h5py.h5s.UNLIMITED, -1)


class _Refused(Exception):
    """The mapping is of a kind that is not followed."""


def mappings(plist: Any) -> dict[str, Any]:
    """``{"pieces": [[file, path, place, from], …]}``, or ``{"refused": why}``.

    `place` and `from` are ``[start, stride, count, block]``, each a list with an entry an axis, or
    None for the whole. Nothing is asked of the dataset itself: where it has no end, HDF5 would look
    for its files.
    """
    count = plist.get_virtual_count()
    if count > MOST_PIECES:
        return {"refused": f"is virtual, of {count} pieces: more than the {MOST_PIECES} allowed"}
    try:
        return {"pieces": [_piece(plist, at) for at in range(count)]}
    except _Refused as refused:
        return {"refused": str(refused)}


def _piece(plist: Any, at: int) -> list[Any]:
    name, path = (
        text(found) for found in (plist.get_virtual_filename(at), plist.get_virtual_dsetname(at))
    )
    place, source = (
        _region(space) for space in (plist.get_virtual_vspace(at), plist.get_virtual_srcspace(at))
    )
    return [name, path, place, source]


def _region(space: Any) -> list[list[int]] | None:
    kind = space.get_select_type()
    if kind == h5py.h5s.SEL_ALL:
        return None
    if kind != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        raise _Refused("is virtual, of pieces that are no regular blocks")
    start, stride, count, block = space.get_regular_hyperslab()
    if any(n in _UNLIMITED for n in (*count, *block)):
        raise _Refused("is virtual, of as many pieces as there are: it has no end of its own")
    return [[int(n) for n in part] for part in (start, stride, count, block)]
