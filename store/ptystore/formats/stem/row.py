"""The row of 4D-STEM files of detectors and microscopes in the table of formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ptystore.formats.assemble import ReadOptions
    from ptystore.formats.stem.reader import StemTree
    from ptystore.model.results import VerifyReport
    from ptystore.transfer.options import CheckOptions

__all__ = ["StemFile"]

_MERLIN, _BLOCKFILE = b"MQ1,", b"IMGBLO"


class StemFile:
    """A file of a Merlin detector (`.mib`) or of NanoMegas (`.blo`), by its first bytes."""

    name = "stem"
    suffixes: tuple[str, ...] = ()

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith((_MERLIN, _BLOCKFILE))

    def read(self, path: Path, options: ReadOptions) -> StemTree:
        from ptystore.formats.stem.reader import read_blockfile, read_merlin
        from ptystore.storage.local import SourceFile

        source = SourceFile(path)
        if source.read(0, len(_MERLIN)) == _MERLIN:
            return read_merlin(source, options)
        return read_blockfile(source)

    def is_ours(self, path: Path) -> bool:
        return False

    def check(self, path: Path, options: CheckOptions) -> VerifyReport | None:
        return None
