"""The row of `.npz` in the table of formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ptystore.formats.false_suffix import foreign_file

if TYPE_CHECKING:
    from ptystore.formats.assemble import Contents, ReadOptions
    from ptystore.formats.npz.writer import NpzSink
    from ptystore.model.dataset import Dataset
    from ptystore.model.results import VerifyReport
    from ptystore.transfer.options import CheckOptions, WriteOptions

__all__ = ["Npz"]


class Npz:
    """A zip archive of `.npy` members."""

    name = "npz"
    suffixes = (".npz",)
    is_folder = False
    keeps_recipes = False
    write_options = frozenset({"compression", "level"})
    plan_columns: tuple[str, ...] = ()

    def recognises(self, path: Path, head: bytes) -> bool:
        if head.startswith((b"PK", b"BZh")):  # a whole one may be compressed by bzip2
            return True
        # One that is damaged at its start is told by its suffix; what is another thing is not.
        known = head.startswith(b"\x89HDF") or foreign_file(head) is not None
        return path.suffix == ".npz" and not known and not path.is_dir()

    def read(self, path: Path, options: ReadOptions) -> Contents:
        from ptystore.formats.npz.reader import read_npz

        return read_npz(path, options)

    def is_ours(self, path: Path) -> bool:
        from ptystore.formats.npz.mark import is_our_npz

        return is_our_npz(path)

    def sink(self, staging: Path, dataset: Dataset, options: WriteOptions) -> NpzSink:
        from ptystore.formats.npz.writer import NpzSink

        return NpzSink(staging, dataset, options.compression, options.level)

    def check(self, path: Path, options: CheckOptions) -> VerifyReport | None:
        from ptystore.formats.assemble import ReadOptions
        from ptystore.formats.checking import check_contents, unreadable
        from ptystore.formats.value_check import DAMAGE

        try:
            contents = self.read(path, ReadOptions())
            if contents.notes is None:
                return None
            return check_contents(self.name, contents, path, options)
        except DAMAGE as error:
            return unreadable(self.name, path, error)
