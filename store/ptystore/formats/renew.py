"""A new version of a scan in its own place, for what changes documents and leaves frames alone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from ptystore.errors import DestinationError, located
from ptystore.formats.assemble import ReadOptions, assemble
from ptystore.formats.opening import open_contents
from ptystore.formats.table import format_of_source
from ptystore.formats.virtual import restored
from ptystore.formats.write import Warn, write_dataset
from ptystore.model.dataset import Dataset
from ptystore.model.results import WriteReport
from ptystore.storage.base import Snapshot, changed
from ptystore.storage.local import SourceFolder
from ptystore.transfer.options import WriteOptions

__all__ = ["renew"]


def renew(
    path: Path, change: Callable[[Dataset], Dataset], options: WriteOptions, warn: Warn | None
) -> WriteReport:
    """Write what `change` makes of the scan at `path` in its place, once it is complete.

    Of a Zarr store the files of fields that it leaves alone are shared; who has the old version
    open keeps it. Raises `DestinationError` for what ptystore did not write, `IntegrityError`
    where another one is there by the time that the new one is complete, and as opening and
    `write_dataset` do.
    """
    with located(file=path):
        if not format_of_source(path).is_ours(path):
            raise DestinationError(
                "was not written by ptystore, and is not changed",
                advice="ptystore ingest SRC DST takes facts too, such as --energy and --distance",
            )
        status = os.stat(path)
        contents = open_contents(path, ReadOptions())
        dataset = restored(assemble(contents, ReadOptions(), path.absolute()), contents.virtual)

        def let_go() -> None:
            _require_still_there(path, status, contents.snapshot)

        codecs = {field.storage.codec for field in dataset.values() if field.storage is not None}
        changed_one = change(dataset)
        return write_dataset(
            dataclasses.replace(changed_one, proofs=(*changed_one.proofs, let_go)),
            path,
            dataclasses.replace(
                options,
                overwrite=True,
                renews=True,
                compression="store" if codecs == {"stored"} else options.compression,
            ),
            warn,
        )


def _require_still_there(path: Path, status: os.stat_result, held: Snapshot | None) -> None:
    """All was read: nobody put another version there, and nothing holds this one any more."""
    try:
        now = os.stat(path)
    except OSError:
        raise changed(path) from None
    if not os.path.samestat(status, now):
        raise changed(path)
    if isinstance(held, SourceFolder):
        held.close()
