"""What is told of how a file was taken: as which dialect, by which keys; or what it is near to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ptystore.formats.dialects.layouts.table import LAYOUTS
from ptystore.formats.dialects.table import DIALECTS, Dialect, lacks
from ptystore.formats.dialects.tree import Tree, is_there
from ptystore.model.source import Understood

__all__ = ["nearest_dialect", "told_of_arrays", "understood_as", "understood_as_arrays"]

# What layouts call the containers of trees.
_CONTAINERS = {
    "hdf5": {"HDF5", "MATLAB 7.3"},
    "npz": {"NPZ"},
    "zarr": {"Zarr"},
    "mat": {"MATLAB 5"},
}

# So many groups and arrays are looked at, links that go round in circles included.
_MOST = 500
# How many arrays are named.
_NAMED = 5


def understood_as(row: Dialect, name: str | None, tree: Tree, *, is_said: bool) -> Understood:
    """A file that was read by `row` as the dialect `name`: files of a pair tell more than one.

    `is_said` says that the caller named the dialect.
    """
    own = next((one for one in DIALECTS if one.name == name), row)
    layout = LAYOUTS.get(own.name)
    needed = () if layout is None else [item.path for item in layout.items if item.required]
    keys = [key for key in row.keys or needed if "<" not in key and is_there(tree, key)]
    known_by = "" if layout is None else layout.known_by
    return Understood(
        dialect=own.name,
        title=own.title,
        why="named by the caller" if is_said else f"known by {known_by}",
        keys=tuple(keys),
        pairs=layout is not None and layout.pairs,
        of_electrons=layout is not None and layout.of_electrons,
    )


def understood_as_arrays(tree: Tree, frames: str | None, *, is_mapped: bool) -> Understood:
    """A file that no dialect knows; what it is near to is told where no array is its `frames`."""
    if is_mapped:
        return Understood(title="arrays that --map names", why="no dialect has its keys")
    if frames is not None:
        return Understood(
            title="arrays under their own names", why=f"{frames} is what frames are called here"
        )
    return Understood(
        title="arrays under their own names, none of which is known as frames",
        why="no dialect has its keys",
        nearest=nearest_dialect(tree),
    )


def nearest_dialect(tree: Tree) -> str | None:
    """The dialect of such a container that a file is nearest to, and what it lacks of it."""
    names = _CONTAINERS.get(tree.container, set())
    fitting = [
        row
        for row in DIALECTS
        if row.name in LAYOUTS and names.intersection(LAYOUTS[row.name].containers)
    ]
    return lacks(tree, fitting)


def told_of_arrays(tree: Tree) -> str | None:
    """How an array in the groups of a file is taken, and the first few that may be frames."""
    found = [(path, tree.shape(path)) for path in _arrays(tree)]
    stacks = [(path, shape) for path, shape in found if len(shape) >= 3]
    if not found:
        return None
    named = (stacks or found)[:_NAMED]
    more = len(stacks or found) - len(named)
    told = ", ".join(f"{path} {shape}" for path, shape in named)
    return (
        f"--map diffraction={named[0][0]} takes an array by its path; there are {told}"
        f"{f' and {more} more' if more else ''}"
    )


def _arrays(tree: Tree) -> Iterator[str]:
    """The paths of arrays, those of outer groups first."""
    groups, seen = deque(["/"]), 0
    while groups:
        path = groups.popleft()
        for name in tree.children(path):
            inner = f"{path.rstrip('/')}/{name}"
            kind = tree.kind(inner)
            if kind in ("array", "outside"):
                yield inner
            elif kind == "group":
                groups.append(inner)
            seen += 1
            if seen == _MOST:
                return
