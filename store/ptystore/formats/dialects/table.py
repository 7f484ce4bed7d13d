"""The table of dialects: one row each, and how the row of a file is found.

By keys only, never by a suffix. Rows of a lower `line` are more specific and asked first; two rows
of one line that both match are an error that names both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ptystore.errors import InputError, ParameterError
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.cxi import CxiScan, PtychodusCxi
from ptystore.formats.dialects.dectris import DectrisData, DectrisMaster
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.matlab import MatlabReconstruction
from ptystore.formats.dialects.nexus import Nexus
from ptystore.formats.dialects.nexus_cxi import NexusCxiPtycho
from ptystore.formats.dialects.nexus_ptycho import NexusPtycho
from ptystore.formats.dialects.paired import FoldSlicePair, FramesOfPair, PtyChiPair
from ptystore.formats.dialects.ptychodus import PtychodusDiffraction, PtychodusProduct
from ptystore.formats.dialects.ptychodus_pixels import PtychodusForPtychoPinn, PtychodusTraining
from ptystore.formats.dialects.ptylab import PtyLabResult, PtyLabScan
from ptystore.formats.dialects.ptypy import PtypyPart, PtypyReconstruction, PtypyScan
from ptystore.formats.dialects.slac import SlacScan
from ptystore.formats.dialects.stem4d import DetectorScan, EmdScan, HyperSpyScan
from ptystore.formats.dialects.tike import TikeScan
from ptystore.formats.dialects.tree import Tree, has

__all__ = ["DIALECTS", "Dialect", "dialect_of", "lacks"]


class Dialect(Protocol):
    """One way of laying out a scan, as everything outside its file knows it.

    name : what `--dialect` and reports call it.
    title : what it is, in a few words.
    line : how specific it is; lower ones are asked first.
    keys : the paths that make a file one, for saying what another file lacks.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def keys(self) -> tuple[str, ...]: ...

    def matches(self, tree: Tree) -> bool:
        """Whether a file is laid out so, by its keys and shapes alone."""
        ...

    def read(self, tree: Tree, context: Context) -> Contents:
        """The scan in it. Raises `InputError` naming the option that supplies what is missing."""
        ...


#: In any order: `line` says who is asked first.
DIALECTS: list[Dialect] = [
    PtyLabScan(),
    PtyLabResult(),
    PtypyScan(),
    PtypyReconstruction(),
    PtypyPart(),
    PtyChiPair(),
    FoldSlicePair(),
    FramesOfPair(),
    MatlabReconstruction(),
    HyperSpyScan(),
    EmdScan(),
    DetectorScan(),
    TikeScan(),
    PtychodusTraining(),
    PtychodusProduct(),
    PtychodusDiffraction(),
    PtychodusForPtychoPinn(),
    SlacScan(),
    CxiScan(),
    PtychodusCxi(),
    NexusCxiPtycho(),
    NexusPtycho(),
    DectrisMaster(),
    DectrisData(),
    Nexus(),
]


def dialect_of(tree: Tree, name: str | None) -> Dialect | None:
    """The row that a file is laid out by, or the one that the caller named; None for none.

    Raises `ParameterError` for a name that is not there, `InputError` where two match alike.
    """
    if name is not None:
        named = [row for row in DIALECTS if row.name == name]
        if not named:
            known = ", ".join(sorted(row.name for row in DIALECTS))
            raise ParameterError(f"there is no dialect {name!r}; known are none, {known}")
        return named[0]
    matching = sorted((row for row in DIALECTS if row.matches(tree)), key=lambda row: row.line)
    alike = [row for row in matching if row.line == matching[0].line]
    if len(alike) > 1:
        names = " and ".join(row.name for row in alike)
        raise InputError(
            f"could be {names}",
            file=tree.path,
            advice=f"say which: --dialect {alike[0].name} or --dialect {alike[1].name}",
        )
    return matching[0] if matching else None


def lacks(tree: Tree, rows: Iterable[Dialect]) -> str | None:
    """Which of `rows` a file is nearest to and what it has not, in words; None if none is near."""
    near = []
    for row in rows:
        missing = [key for key in row.keys if not has(tree, key)]
        if missing and len(missing) < len(row.keys):
            near.append((len(missing) / len(row.keys), row.name, missing))
    if not near:
        return None
    _, name, missing = min(near)
    return f"nearest is {name}, of which it lacks {', '.join(missing)}"
