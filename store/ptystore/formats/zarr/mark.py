"""By what a store is known as ours: its root document, and that nothing of others' lies in it."""

from __future__ import annotations

from pathlib import Path

from ptystore.errors import DestinationError, IntegrityError
from ptystore.formats.litter import is_litter
from ptystore.formats.zarr.manifest import files_in, read_manifest
from ptystore.formats.zarr.reader import is_our_zarr
from ptystore.storage.local import SourceFolder
from ptystore.transfer.destination import require_no_strangers

__all__ = ["is_only_ours"]


def is_only_ours(path: Path) -> bool:
    """Whether a folder is a store of ptystore's.

    Raises `DestinationError` where files of others lie in it, or nothing tells which are ours.
    """
    if not is_our_zarr(path):
        return False
    try:
        known = read_manifest(SourceFolder(path))
    except IntegrityError as error:
        raise DestinationError(
            f"its manifest is damaged or missing ({error.reason}), so that others' files in it "
            "can't be told from its own",
            file=path,
            advice="remove it yourself, or write under another name",
        ) from error
    strangers = [
        key
        for key, problem in files_in(path)
        if problem is not None or (key not in known and not is_litter(key))
    ]
    require_no_strangers(path, strangers)
    return True
