"""Verify: everything that a store or file records of itself, compared with what is there."""

from __future__ import annotations

from pathlib import Path

from ptystore.errors import located
from ptystore.formats.table import format_of_source
from ptystore.model.results import VerifyReport
from ptystore.transfer.options import CheckOptions

__all__ = ["verify_path"]


def verify_path(path: Path, options: CheckOptions) -> VerifyReport:
    """Check every file, every chunk and every recorded digest, as the format's row knows how.

    Damage is in the report; raises `InputError` for what is no scan, `StorageError` where the
    system can't read.
    """
    with located(file=path):
        return format_of_source(path).check(path, options)
