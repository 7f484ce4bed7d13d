"""The row of HDF5 in the table of formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptystore.formats.assemble import Contents, ReadOptions
    from ptystore.formats.hdf5.writer import Hdf5Sink
    from ptystore.model.dataset import Dataset
    from ptystore.model.results import VerifyReport
    from ptystore.transfer.options import CheckOptions, WriteOptions

__all__ = ["Hdf5"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Hdf5:
    """One HDF5 file, ours or another tool's."""

    name = "hdf5"
    suffixes = (".h5", ".hdf5", ".hdf")
    is_folder = False
    keeps_recipes = True
    write_options: frozenset[str] = frozenset()
    plan_columns = ("chunk",)

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(_SIGNATURE)

    def read(self, path: Path, options: ReadOptions) -> Contents:
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

    def check(self, path: Path, options: CheckOptions) -> VerifyReport:
        from ptystore.formats.hdf5.check import check_hdf5

        return check_hdf5(self.name, path, options)
