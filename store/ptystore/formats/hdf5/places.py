"""Where things of ours lie in an HDF5 file, and numbers that both sides of the helper know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptystore.formats.text import TEXT_LIMIT

__all__ = [
    "BUILT_IN_FILTERS",
    "NOTE_VERSION",
    "OWN_GROUP",
    "TEXT_ENTRIES",
    "is_whole",
    "said_text",
]

#: The version of our note in an HDF5 file. The second has a checksum of attributes for each
#: dataset; the first, which has no number, has none.
NOTE_VERSION = 2

#: The group of all that is ours and that no HDF5 reader needs.
OWN_GROUP = "__ptystore__"

#: Text of another tool with more entries is not read.
TEXT_ENTRIES = TEXT_LIMIT // 4

#: The filters of the HDF5 library itself and of h5py; others come with hdf5plugin.
BUILT_IN_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})


def is_whole(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array of ours is written in one piece: HDF5 can't chunk a 0-d or an empty one."""
    return not shape or 0 in shape or dtype.kind == "U"


# The words of `attrs.said`.
_SAID = ("attrs", "dims", "scale", "used_by", "damaged")


def said_text(found: Mapping[str, Any]) -> bytes:
    """What a dataset says of itself, always in the same words, for a checksum."""
    return json.dumps(
        {name: found[name] for name in _SAID if name in found}, sort_keys=True
    ).encode("ascii")
