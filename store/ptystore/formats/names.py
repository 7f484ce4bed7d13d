"""Names that every format can hold, and those that a store keeps for itself."""

from __future__ import annotations

import re

__all__ = ["METADATA_MEMBER", "RESERVED_NAMES", "check_name"]

#: The member or dataset that holds the metadata document, where a format has no other place.
METADATA_MEMBER = "_metadata"

#: Names that a store needs for itself.
RESERVED_NAMES = frozenset({"zarr.json", "ptystore-manifest.json"})

_NAME = re.compile(r"[A-Za-z0-9_\-+][A-Za-z0-9_\-.+ ]{0,127}")


def check_name(name: str) -> str | None:
    """What is wrong with a field's name, None if nothing is.

    Names become file names and attributes: ASCII letters, digits, `_ - . +` and space
    inside, at most 128 characters, no leading dot or `__`, none that a store needs itself.
    """
    if not _NAME.fullmatch(name) or name.endswith(" "):
        return "is not an acceptable name: letters, digits, _ - . + and spaces inside, at most 128"
    if name.startswith("__") or name.lower() in RESERVED_NAMES:
        return "is a reserved name"
    return None
