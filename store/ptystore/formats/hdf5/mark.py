"""By what an HDF5 file is known as ours: the note in it. No value of a field is read."""

from __future__ import annotations

import json
from pathlib import Path

from ptystore.errors import InputError
from ptystore.formats.hdf5.described import described
from ptystore.formats.hdf5.places import OWN_GROUP
from ptystore.formats.names import METADATA_MEMBER
from ptystore.storage.local import SourceFile
from ptystore.transfer.destination import require_no_strangers

__all__ = ["is_our_hdf5"]


def is_our_hdf5(path: Path) -> bool:
    """Whether a file holds our note.

    Raises `DestinationError` where others put datasets or groups of their own into it.
    """
    try:
        source = SourceFile(path)
        root = described(source)
        if not root.has(OWN_GROUP, "note"):
            return False
        names = set(root.members)
        known = set(json.loads(root.dataset(OWN_GROUP, "note").read_whole(source))["fields"])
    except InputError:  # no HDF5 file that can be opened: nothing says whose it is
        return False
    except (ValueError, TypeError, LookupError, RecursionError):  # damaged, and ours
        return True
    require_no_strangers(path, names - known - {OWN_GROUP, METADATA_MEMBER})
    return True
