"""The suffixes that the help names, from the library's table of formats."""

from __future__ import annotations

from ptystore import FORMATS

__all__ = ["EXPORTED", "told_suffixes"]

# What `export` writes: the format whose compression a user chooses.
_BRIDGE = next(row for row in FORMATS if "compression" in row.write_options)

EXPORTED = _BRIDGE.suffixes[0]

# How many suffixes of one format are told; rarer ones are taken too.
_TOLD = 2


def told_suffixes() -> str:
    """Those of destinations, the bridge's first: ``.npz, .zarr, .h5, .hdf5``."""
    rows = [_BRIDGE, *(row for row in FORMATS if row is not _BRIDGE)]
    return ", ".join(suffix for row in rows for suffix in row.suffixes[:_TOLD])
