"""Which array of a NeXus entry has the frames, and which could be their positions."""

from __future__ import annotations

import math

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.nexus_tree import below, class_of
from ptystore.formats.dialects.tree import Tree, text

__all__ = ["positions_named", "signal_of_entry"]

_NAMED = 8


def signal_of_entry(tree: Tree, entry: str) -> str | None:
    """The path of the frames: the default plot's signal, else the only stack of an NXdetector.

    None where there is none. Raises `InputError` naming them where there are several.
    """
    plots = below(tree, entry, "NXdata")
    default = text(tree, f"{entry}@default")
    if default is not None:
        first = f"{entry}/{default[0].strip('/')}"
        if class_of(tree, first) == "NXdata":
            path = _signal(tree, first)
            if path is not None:
                return path
    stacks = [f"{group}/data" for group in below(tree, entry, "NXdetector")]
    stacks = [path for path in stacks if _is_stack(tree, path)]
    signals = [path for plot in plots if (path := _signal(tree, plot)) is not None]
    found = signals or stacks
    shapes = {tree.shape(path) for path in found}
    of_detector = [path for path in stacks if {tree.shape(path)} == shapes]
    # Several plots of the one detector's frames are links to them.
    if len(found) == 1 or (signals and len(of_detector) == 1):
        return found[0]
    if found:
        raise InputError(
            f"has several stacks of frames: {', '.join(found[:_NAMED])}",
            file=tree.path,
            advice=f"--map diffraction={found[0]} says which",
        )
    return None


def _signal(tree: Tree, plot: str) -> str | None:
    """The signal of an NXdata, if it is a stack; also as files had it before 2014."""
    told = text(tree, f"{plot}@signal")
    names = [told[0].strip()] if told is not None else _legacy(tree, plot)
    path = f"{plot}/{names[0]}" if names else ""
    return path if names and _is_stack(tree, path) else None


def _legacy(tree: Tree, plot: str) -> list[str]:
    found = []
    for name in tree.children(plot):
        if tree.kind(f"{plot}/{name}") in ("array", "outside"):
            mark = tree.attrs(f"{plot}/{name}").get("signal")
            if mark is not None and str(mark).strip() == "1":
                found.append(name)
    return found


def _is_stack(tree: Tree, path: str) -> bool:
    """Frames of three axes or four; of what lies in another file that may not be known yet."""
    kind, axes = tree.kind(path), len(tree.shape(path))
    return (kind == "array" and axes in (3, 4)) or (kind == "outside" and axes in (0, 3, 4))


def positions_named(tree: Tree, entry: str) -> list[str]:
    """Some arrays that may be positions: of positioners, and axes of plots."""
    found = [f"{group}/value" for group in below(tree, entry, "NXpositioner")]
    for plot in below(tree, entry, "NXdata"):
        axes = tree.attrs(plot).get("axes", "")
        names = axes.split(":") if isinstance(axes, str) else np.ravel(axes).tolist()
        found += [f"{plot}/{name}" for name in names if isinstance(name, str) and name != "."]
    is_list = (path for path in dict.fromkeys(found) if _is_list(tree, path))
    return list(is_list)[:_NAMED]


def _is_list(tree: Tree, path: str) -> bool:
    shape = tree.shape(path)
    return tree.kind(path) == "array" and math.prod(shape) > 1 and max(shape) > 1
