"""ptypy: the frames that it prepared (`.ptyd`), and its reconstructions (`.ptyr`)."""

from __future__ import annotations

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.ptypy_chunks import CHUNKS, META, prepared
from ptystore.formats.dialects.ptypy_storages import OBJECTS, PROBES, reconstruction
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree, has

__all__ = ["PtypyPart", "PtypyReconstruction", "PtypyScan"]


class PtypyScan:
    """Prepared frames: counts, weights, positions in metres (row, column) of the probe.

    A reconstruction that the caller names as partner gives probe and object.
    """

    name = "ptyd"
    title = "ptypy prepared scan (.ptyd)"
    line = 30
    keys = (CHUNKS, META)

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and all(tree.kind(key) == "group" for key in self.keys)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        positions = prepared(scan, tree)
        partner = scan.partner()
        if partner is not None:
            _require(partner, PtypyReconstruction.keys, "reconstruction of ptypy")
            placing = reconstruction(scan, partner)
            if positions is not None:
                placing.place(scan, positions)
        elif positions is not None:
            frame = scan.frame_shape()
            scan.relative_positions_m(positions[:, 0], positions[:, 1], frame)
        return scan.contents()


class PtypyReconstruction:
    """Probe, object and positions of a reconstruction; a `.ptyd` as partner gives frames."""

    name = "ptyr"
    title = "ptypy reconstruction (.ptyr)"
    line = 30
    keys = (OBJECTS, PROBES)

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and has(tree, *self.keys)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        placing = reconstruction(scan, tree)
        positions, partner = placing.positions, scan.partner()
        if partner is not None:
            _require(partner, PtypyScan.keys, "scan that ptypy prepared")
            measured = prepared(scan, partner)
            positions = measured if positions is None else positions
        if positions is not None:
            placing.place(scan, positions)
        return scan.contents()


class PtypyPart:
    """One chunk of a scan whose master links to it: not a scan by itself."""

    name = "ptyd-part"
    title = "part of a ptypy scan, read through its master"
    line = 31
    keys = ("/data", "/indices", "/positions", "/weights")

    def matches(self, tree: Tree) -> bool:
        typed = tree.attrs("/data").get("type") == "array" and "h5rw_version" in tree.attrs()
        return tree.container == "hdf5" and typed and has(tree, *self.keys)

    def read(self, tree: Tree, context: Context) -> Contents:
        master = tree.path.name.partition(".part")[0]
        raise InputError(
            "is one part of a scan that ptypy prepared",
            file=tree.path,
            advice=f"open the master, which links to it: {master}",
        )


def _require(tree: Tree, keys: tuple[str, ...], what: str) -> None:
    missing = [key for key in keys if not has(tree, key)]
    if missing:
        raise InputError(f"is no {what}: it lacks {', '.join(missing)}", file=tree.path)
