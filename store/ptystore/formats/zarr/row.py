"""The row of Zarr in the table of formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptystore.formats.assemble import Contents, ReadOptions
    from ptystore.formats.zarr.tree import ZarrTree
    from ptystore.formats.zarr.writer import ZarrSink
    from ptystore.model.dataset import Dataset
    from ptystore.model.results import VerifyReport
    from ptystore.transfer.options import CheckOptions, WriteOptions

__all__ = ["Zarr"]

# A store's own documents: of Zarr 3, of Zarr 2, and the manifest of a store of ours.
_ROOTS = ("zarr.json", ".zgroup", ".zarray", "ptystore-manifest.json")


class Zarr:
    """A folder: a Zarr store, ours or another tool's."""

    name = "zarr"
    suffixes = (".zarr",)
    is_folder = True
    keeps_recipes = True
    write_options: frozenset[str] = frozenset()
    plan_columns = ("chunk", "shard")

    def recognises(self, path: Path, head: bytes) -> bool:
        if not path.is_dir():
            return False
        # Without any root it still is what is left of a store, by the arrays that lie in it.
        return any((path / name).exists() for name in _ROOTS) or any(path.glob("*/zarr.json"))

    def read(self, path: Path, options: ReadOptions) -> Contents | ZarrTree:
        from ptystore.formats.zarr.reader import read_zarr

        return read_zarr(path, options)

    def is_ours(self, path: Path) -> bool:
        from ptystore.formats.zarr.mark import is_only_ours

        return is_only_ours(path)

    def sink(self, staging: Path, dataset: Dataset, options: WriteOptions) -> ZarrSink:
        from ptystore.formats.zarr.writer import ZarrSink

        return ZarrSink(staging, dataset)

    def check(self, path: Path, options: CheckOptions) -> VerifyReport | None:
        from ptystore.formats.zarr.check import check_zarr

        return check_zarr(path, options)
