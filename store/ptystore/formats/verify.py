"""Verify: everything that a store or file records of itself, compared with what is there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ptystore.errors import located
from ptystore.formats.table import format_of_source
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
        report = format_of_source(path).check(path, options)
    remarks = tuple(
        f"a run that was cut short left {name} beside it, which the next write or repair removes"
        for name in left_behind(path)
    )
    return dataclasses.replace(report, remarks=report.remarks + remarks)
