"""The storages of a ptypy reconstruction: probe, object, and where positions lie in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import RawArray
from ptystore.formats.dialects.ptypy_nodes import is_array, node, node_pair
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree
from ptystore.formats.dialects.views import reshaped
from ptystore.model.lazy_array import Array

__all__ = ["OBJECTS", "PROBES", "Reconstruction", "positions_of", "reconstruction"]

PROBES, OBJECTS, _POSITIONS = "/content/probe", "/content/obj", "/content/positions"


@dataclass(frozen=True)
class Reconstruction:
    """Which pixel [y, x] of the object is at 0 m, and the positions in it.

    positions : (n, 2) metres, (row, column); None where there are none.
    """

    center: tuple[float, float]
    positions: Array | None

    def place(self, scan: Scan, positions: Array) -> None:
        """Positions (n, 2) in metres as object pixels, p / pixel + center, and as measured."""
        scan.positions_m(positions[:, 0], positions[:, 1])
        known = scan.value("object_pixel_size_m")
        if known is None:
            scan.remarks.append(
                "the positions are in metres, and no pixel size is known: --pixel-size tells"
            )
            return
        y, x = (positions[:, axis] / known[axis] + self.center[axis] for axis in (0, 1))
        scan.positions(y, x)


def reconstruction(scan: Scan, tree: Tree) -> Reconstruction:
    """Probe, object and pixel size of a `.ptyr` into `scan`; and how its positions count.

    Raises `InputError` where there are several storages and the caller named none.
    """
    entry = scan.context.entry
    within = {path: tree.children(path) for path in (OBJECTS, PROBES)}
    if entry is not None and not any(entry in names for names in within.values()):
        known = ", ".join(sorted({name for names in within.values() for name in names}))
        raise InputError(f"has no storage {entry}; it has {known}", file=tree.path)
    obj = _storage(tree, OBJECTS, entry)
    probe = _storage(tree, PROBES, entry)
    data = _layers(tree, f"{probe}/data")
    count, height, width = data.shape
    scan.arrays["probeGuess"] = data if count > 1 else reshaped(data, (height, width))
    data = _layers(tree, f"{obj}/data")
    count, height, width = data.shape
    if count == 1:
        scan.arrays["objectGuess"] = reshaped(data, (height, width))
    else:
        scan.arrays["object_modes"] = data
        scan.remarks.append(
            f"{obj}/data has {count} layers, modes of the object and not slices: "
            "kept as object_modes, there is no objectGuess"
        )
    scan.fact("object_pixel_size_m", node_pair(tree, f"{obj}/_psize"), f"{obj}/_psize")
    center = node_pair(tree, f"{obj}/_center") or [height // 2, width // 2]
    names = tree.children(_POSITIONS)
    own = [entry, obj.rpartition("/")[2], probe.rpartition("/")[2]]
    chosen = next((name for name in own if name in names), names[0] if len(names) == 1 else None)
    positions = None if chosen is None else positions_of(tree, f"{_POSITIONS}/{chosen}")
    return Reconstruction((center[0], center[1]), positions)


def positions_of(tree: Tree, path: str) -> Array | None:
    """Positions (n, 2) in metres, (row, column), float64; None where there are none.

    Raises `InputError` for anything else.
    """
    found = node(tree, path)
    if found is None or not found.size:
        return None
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iuf":
        raise InputError(
            f"has shape {found.shape} and dtype {found.dtype}, where (n, 2) positions should be",
            file=tree.path,
            member=path,
        )
    return found.astype(np.float64)


def _layers(tree: Tree, path: str) -> RawArray:
    """An array (layer, H, W) of complex numbers."""
    if not is_array(tree, path) or len(tree.shape(path)) != 3:
        raise InputError("is no array of layers", file=tree.path, member=path)
    return tree.array(path, path.rpartition("/")[2])


def _storage(tree: Tree, group: str, entry: str | None) -> str:
    """The path of the storage that is meant: the only one, or the one that the caller named."""
    names = tree.children(group)
    if entry is not None and entry in names:
        return f"{group}/{entry}"
    if len(names) == 1:
        return f"{group}/{names[0]}"
    if not names:
        raise InputError("holds no storage", file=tree.path, member=group)
    raise InputError(
        f"holds several storages: {', '.join(names)}",
        file=tree.path,
        member=group,
        advice=f"say which: --entry {names[0]}",
    )
