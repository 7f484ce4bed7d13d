"""What lies in an HDF5 file itself, and could be what it announces.

HDF5 has links into other files, datasets whose values lie in other files, and datasets made
up of pieces of others. From a file that is not to be trusted each would be a path to open.
"""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np

from ptystore.errors import InputError
from ptystore.formats.chunk_codec import BLOSC_RATIO
from ptystore.formats.text import TEXT_LIMIT

__all__ = ["check_size", "has_node", "own_dataset", "own_node", "require_readable"]

_CHUNK_LIMIT = (1 << 31) - 1  # what Blosc can hold


def has_node(group: h5py.Group, *names: str) -> bool:
    """Whether there is a member of that path, whatever it is; no link is followed."""
    node: h5py.Group | h5py.Dataset | h5py.Datatype = group
    for name in names:
        if not isinstance(node, h5py.Group) or node.get(name, getlink=True) is None:
            return False
        if not _is_plain(node, name):
            return True
        node = node[name]
    return True


def own_node(group: h5py.Group, *names: str) -> h5py.Group | h5py.Dataset:
    """The group or dataset at a path of names, which lies in this very file.

    Raises `InputError` for what lies in another file, for a link, and where there is nothing;
    TypeError for a named datatype, which is neither, and for a path through what is no group.
    """
    node: h5py.Group | h5py.Dataset | h5py.Datatype = group
    for name in names:
        if not isinstance(node, h5py.Group):
            raise TypeError(f"{node.name}: not a group")
        if not _is_plain(node, name):
            raise InputError(
                "is a link, which could lead to any other file: it is never followed",
                member=name,
                advice="copy the values themselves into one file",
            )
        node = node[name]
    if isinstance(node, h5py.Datatype):
        raise TypeError(f"{node.name}: a named datatype, not an array")
    if isinstance(node, h5py.Dataset) and (
        node.is_virtual or node.id.get_create_plist().get_external_count()
    ):
        raise InputError(
            "has its values in other files, which are never opened",
            member=names[-1],
            advice="copy the values themselves into one file",
        )
    return node


def own_dataset(group: h5py.Group, *names: str) -> h5py.Dataset:
    """The dataset at a path of names, of any shape and dtype, which lies in this very file.

    Raises what `own_node` raises, and TypeError for a group: as h5py does for a group that is
    read as an array, so that each caller tells it as it tells what h5py says.
    """
    node = own_node(group, *names)
    if not isinstance(node, h5py.Dataset):
        raise TypeError(f"{node.name}: a group, not an array")
    return node


def _is_plain(group: h5py.Group, name: str) -> bool:
    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def require_readable(stored: h5py.Dataset) -> None:
    """Raise `InputError` where a filter is needed that the library has not, or text is too much.

    Text of another tool is read as soon as the file is opened, to know the longest.
    """
    if stored.dtype.kind in "OS" and stored.size > TEXT_LIMIT // 4:
        raise InputError(f"is text of {stored.size} entries, more than can be held in memory")
    pipeline = stored.id.get_create_plist()
    for place in range(pipeline.get_nfilters()):
        code, _, _, label = pipeline.get_filter(place)
        if not h5py.h5z.filter_avail(code):
            called = f" ({label.decode('utf-8', 'replace')})" if label else ""
            raise InputError(
                f"needs the HDF5 filter {code}{called}, which is not installed",
                advice="install its plugin and name the plugin's folder in HDF5_PLUGIN_PATH",
            )


def check_size(stored: h5py.Dataset, dtype: np.dtype[Any]) -> None:
    """Raise ValueError where a dataset of ours can't hold what it announces as `dtype`.

    Before anything is allocated: an HDF5 header of a few bytes may announce any size.
    """
    shape = tuple(int(n) for n in stored.shape)
    count, size = math.prod(shape), int(stored.id.get_storage_size())
    if dtype.kind == "U":
        if count * max(4, dtype.itemsize) > TEXT_LIMIT:
            raise ValueError(f"{stored.name}: more text than can be")
    elif stored.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{stored.name}: two dtypes, {stored.dtype} and {dtype}")
    if stored.chunks is None:
        if size != count * stored.dtype.itemsize:
            raise ValueError(f"{stored.name}: {size} bytes can't hold an array of {shape}")
        return
    if math.prod(stored.chunks) * dtype.itemsize > _CHUNK_LIMIT:
        raise ValueError(f"{stored.name}: impossible chunk sizes")
    if count * dtype.itemsize > BLOSC_RATIO * size:
        raise ValueError(f"{stored.name}: {size} bytes can't hold an array of {shape}")
