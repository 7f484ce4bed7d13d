"""Verify: everything that a store or file records of itself, compared with what is there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ptystore.errors import located
from ptystore.formats.assemble import ReadOptions
from ptystore.formats.checking import check_contents, unreadable
from ptystore.formats.opening import open_contents
from ptystore.formats.table import format_of_source
from ptystore.formats.value_check import DAMAGE
from ptystore.model.results import VerifyReport
from ptystore.transfer.options import CheckOptions
from ptystore.transfer.publish import left_behind

__all__ = ["verify_path"]


def verify_path(path: Path, options: CheckOptions) -> VerifyReport:
    """Check every file, every chunk and every recorded digest, as the format's row knows how.

    Damage is in the report; raises `InputError` for what is no scan, `StorageError` where the
    system can't read.
    """
    with located(file=path):
        row = format_of_source(path)
        report = row.check(path, options) or _check_foreign(row.name, path, options)
    remarks = tuple(
        f"a run that was cut short left {name} beside it, which the next write or repair removes"
        for name in left_behind(path)
    )
    return dataclasses.replace(report, remarks=report.remarks + remarks)


def _check_foreign(kind: str, path: Path, options: CheckOptions) -> VerifyReport:
    """Whether all values of another tool's file can be read, and what leads to them."""
    try:
        contents = open_contents(path, ReadOptions())
        return check_contents(kind, contents, path, options, tables=True)
    except DAMAGE as error:
        return unreadable(kind, path, error)
