"""What ptypy's HDF5 writer stores as a node: its attribute `type` says what was in Python.

Types by ptypy/io/h5rw.py, version 0.1.
"""

from __future__ import annotations

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.tree import Tree, values
from ptystore.model.lazy_array import Array

__all__ = ["is_array", "node", "node_number", "node_pair"]

_PICKLED = ("record_array", "pickle")


def _type(tree: Tree, path: str) -> str | None:
    found = tree.attrs(path).get("type")
    name = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
    if name in _PICKLED:
        raise InputError(
            "is a pickled object, which could run anything: it is never loaded",
            file=tree.path,
            member=path,
            advice="write the file again with plain arrays in its place",
        )
    return str(name) if name is not None else None


def is_array(tree: Tree, path: str) -> bool:
    """Whether a node is an array with something in it.

    None, which is stored as one zero, is no array. Raises `InputError` for what is pickled.
    """
    if tree.kind(path) is None or _type(tree, path) == "None":
        return False
    kind = tree.kind(path)
    return kind == "outside" or (kind == "array" and 0 not in tree.shape(path))


def node(tree: Tree, path: str) -> Array | None:
    """A small array, number, list or tuple, read now; None for None, a text and what is not there.

    Lists of numbers are arrays, lists of such lists too. Raises `InputError` for what is pickled,
    for a group of named things, and for lists whose entries differ in shape.
    """
    kind = tree.kind(path)
    if kind is None:
        return None
    stored = _type(tree, path)
    if stored == "None" or kind == "text":
        return None
    if kind != "group":
        return values(tree, path)
    names = sorted(tree.children(path))
    if not names:
        return None
    if stored not in ("list", "tuple"):
        raise InputError("is a group, not an array", file=tree.path, member=path)
    entries = [node(tree, f"{path}/{name}") for name in names]
    present = [entry for entry in entries if entry is not None]
    if len(present) < len(entries):
        return None
    if len({entry.shape for entry in present}) != 1:
        raise InputError("is a list of various shapes", file=tree.path, member=path)
    return np.stack(present)


def node_number(tree: Tree, path: str) -> tuple[float, str] | None:
    """One number, and its path; None where there is none. Raises `InputError` for several."""
    found = _numbers(tree, path)
    if found is None:
        return None
    if found.size != 1:
        raise InputError(f"has shape {found.shape}, where one number should be", member=path)
    return float(found[0]), path


def node_pair(tree: Tree, path: str) -> list[float] | None:
    """Two numbers [y, x], twice the same where one is stored. Raises `InputError` for others."""
    found = _numbers(tree, path)
    if found is None:
        return None
    if found.size not in (1, 2):
        raise InputError(f"has shape {found.shape}, where a pair should be", member=path)
    return [float(found[0]), float(found[-1])]


def _numbers(tree: Tree, path: str) -> Array | None:
    found = node(tree, path)
    if found is None or not found.size:
        return None
    if found.dtype.kind not in "iuf":
        raise InputError(f"has dtype {found.dtype}, not real numbers", member=path)
    return found.astype(np.float64).reshape(-1)
