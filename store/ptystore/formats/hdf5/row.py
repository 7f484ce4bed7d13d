"""The row of HDF5 in the table of formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ptystore.formats.false_suffix import TAR, foreign_file

if TYPE_CHECKING:
    from ptystore.formats.assemble import Contents, ReadOptions
    from ptystore.formats.hdf5.tree import Hdf5Tree
    from ptystore.formats.hdf5.writer import Hdf5Sink
    from ptystore.model.dataset import Dataset
    from ptystore.model.results import VerifyReport
    from ptystore.transfer.options import CheckOptions, WriteOptions

__all__ = ["Hdf5"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: The smallest user block, which a file may begin with; others are twice as long, and so on.
_USER_BLOCK = 512


class Hdf5:
    """One HDF5 file, ours or another tool's."""

    name = "hdf5"
    suffixes = (".h5", ".hdf5", ".hdf")
    is_folder = False
    keeps_recipes = True
    write_options: frozenset[str] = frozenset()
    plan_columns = ("chunk",)

    def recognises(self, path: Path, head: bytes) -> bool:
        if head.startswith(_SIGNATURE):
            return True
        if not head or foreign_file(head) == TAR:  # whose first member may be an HDF5 file
            return False
        return _is_behind_user_block(path, head)

    def read(self, path: Path, options: ReadOptions) -> Contents | Hdf5Tree:
        from ptystore.formats.hdf5.asking import begin

        begin()  # it needs as long to be ready as what follows takes to be imported
        from ptystore.formats.hdf5.reader import read_hdf5

        return read_hdf5(path, options)

    def is_ours(self, path: Path) -> bool:
        from ptystore.formats.hdf5.mark import is_our_hdf5

        return is_our_hdf5(path)

    def sink(self, staging: Path, dataset: Dataset, options: WriteOptions) -> Hdf5Sink:
        from ptystore.formats.hdf5.writer import Hdf5Sink

        return Hdf5Sink(staging, dataset)

    def check(self, path: Path, options: CheckOptions) -> VerifyReport | None:
        from ptystore.formats.hdf5.check import check_hdf5

        return check_hdf5(self.name, path, options)


def _is_behind_user_block(path: Path, head: bytes) -> bool:
    """Whether the signature is at 512, 1024, 2048, …: what is before it is another program's."""
    at = _USER_BLOCK
    while at + len(_SIGNATURE) <= len(head):
        if head.startswith(_SIGNATURE, at):
            return True
        at *= 2
    from ptystore.storage.local import open_regular
    from ptystore.storage.system import read_at

    found = bytearray(len(_SIGNATURE))
    try:
        descriptor = open_regular(path)
        try:
            while read_at(descriptor, memoryview(found), at) == len(found):
                if found == _SIGNATURE:
                    return True
                at *= 2
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return False
