"""The row of MATLAB 5 files in the table of formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptystore.formats.assemble import ReadOptions
    from ptystore.formats.mat5.tree import MatTree
    from ptystore.model.results import VerifyReport
    from ptystore.transfer.options import CheckOptions

__all__ = ["Mat5"]

_SIGNATURE = b"MATLAB 5.0"


class Mat5:
    """A MATLAB file of version 5 to 7, by its first bytes; those of 7.3 are HDF5."""

    name = "mat"
    suffixes: tuple[str, ...] = ()

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(_SIGNATURE)

    def read(self, path: Path, options: ReadOptions) -> MatTree:
        from ptystore.formats.mat5.reader import read_mat5

        return read_mat5(path)

    def is_ours(self, path: Path) -> bool:
        return False

    def check(self, path: Path, options: CheckOptions) -> VerifyReport | None:
        return None
