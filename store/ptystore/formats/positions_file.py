"""Scan positions in a file of their own: arrays and tables there as columns, and those meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ptystore.errors import InputError, located
from ptystore.formats.dialects.tree import Tree, numbers, text
from ptystore.formats.position_units import to_metres
from ptystore.formats.positions_columns import Column, chosen_columns, units_in
from ptystore.formats.supplement_files import FilesBeside, Place
from ptystore.formats.supplement_said import PositionsSaid
from ptystore.formats.supplement_table import TextTable
from ptystore.model.lazy_array import Array

__all__ = ["MeasuredPositions", "read_positions"]

_BRACES = re.compile(r"(.*)\{([^{},]+),([^{},]+)\}(.*)")


@dataclass(frozen=True)
class MeasuredPositions:
    """Positions as a file has them: (m,) float64 each, in metres or, `in_pixels`, object pixels.

    frame_numbers : (m,) int64, which frame each is of; None for one after another. `first` is
    where they count from, None where nobody says.
    """

    y: Array
    x: Array
    in_pixels: bool
    frame_numbers: Array | None = None
    first: int | None = None

    def __len__(self) -> int:
        return len(self.y)


def read_positions(
    said: PositionsSaid, own: Tree | None, files: FilesBeside, grid: tuple[int, int] | None
) -> MeasuredPositions:
    """The positions that `said.place` names, in a file beside the scan or in its `own`.

    Two lists along the axes of a raster of shape `grid`, [slow, fast], are all of its points.
    Raises `InputError` naming the option that says what the file does not.
    """
    assert said.place is not None
    place = Place.of(said.place)
    if place.file is None and own is None:
        raise InputError("there is no such file", file=said.place)
    tree = own if place.file is None else files.tree(place.file)
    assert tree is not None
    with located(file=tree.path):
        table = files.tables.get(place.file) if place.file is not None else None
        if table is not None and place.key is None:
            columns = _columns_of_table(table)
        else:
            columns = _columns_of(tree, place.key, grid)
        chosen, first = chosen_columns(columns, said.columns)
        y, x = (np.ravel(chosen[axis].values()) for axis in ("y", "x"))
        if len(y) != len(x):
            raise InputError(f"has {len(y)} positions in y and {len(x)} in x")
        times = [to_metres(said.units, chosen[axis].units) for axis in ("y", "x")]
        if (times[0] is None) != (times[1] is None):
            raise InputError("has one of y and x in pixels and the other not")
        frame_numbers = None
        if "frame" in chosen:
            given = np.ravel(chosen["frame"].values())
            if not np.array_equal(given, np.round(given)):
                raise InputError("has frame numbers that are no whole numbers")
            frame_numbers = given.astype(np.int64)
        if times[0] is None or times[1] is None:
            return MeasuredPositions(y, x, True, frame_numbers, first)
        return MeasuredPositions(y * times[0], x * times[1], False, frame_numbers, first)


def _columns_of_table(table: TextTable) -> list[Column]:
    names = table.names or (None,) * table.width
    return [
        Column(name, name and units_in(name), partial(table.column, at))
        for at, name in enumerate(names)
    ]


def _columns_of(tree: Tree, key: str | None, grid: tuple[int, int] | None) -> list[Column]:
    if key is None:
        return _all_columns(tree)
    braces = _BRACES.fullmatch(key)
    if braces is not None:
        before, one, other, after = braces.groups()
        names = (one.strip(), other.strip())
        return _pair_of_arrays(tree, names, [f"{before}{name}{after}" for name in names], grid)
    values = _numbers(tree, key)
    units = _attribute(tree, key) or units_in(key)
    if values.ndim == 3 and values.shape[-1] == 2:  # of a raster, slow axis first
        values = values.reshape(-1, 2)
    if values.ndim != 2:
        raise InputError(
            f"has shape {values.shape}, where a list of positions has two columns",
            member=key,
            advice="two arrays are named in braces: --positions FILE:/path/{y,x}",
        )
    if values.shape[0] in (2, 3) and values.shape[1] > 3:
        values = values.T
    return [Column(None, units, _of(values[:, at])) for at in range(values.shape[1])]


def _all_columns(tree: Tree) -> list[Column]:
    """The columns of the one array of a file, or all its lists of one length."""
    names = [name for name in tree.children() if tree.kind(f"/{name}") in ("array", "text")]
    lists = [name for name in names if _is_list(tree.shape(f"/{name}"))]
    wide = [name for name in names if name not in lists and len(tree.shape(f"/{name}")) == 2]
    if tree.container == "npy" or (len(names) == 1 and wide):
        return _columns_of(tree, f"/{names[0]}", None)
    counts = {int(np.prod(tree.shape(f"/{name}"))) for name in lists}
    if len(lists) < 2 or len(counts) != 1:
        raise InputError(
            f"does not say where its positions are: it has {', '.join(tree.children()) or 'none'}",
            advice="--positions FILE:KEY names an array, FILE:/path/{y,x} two of them",
        )
    return [
        Column(name, _attribute(tree, name) or units_in(name), partial(_numbers, tree, name))
        for name in lists
    ]


def _is_list(shape: tuple[int, ...]) -> bool:
    """(n,), or (n, 1) and (1, n) as MATLAB has lists."""
    return len(shape) == 1 or (len(shape) == 2 and 1 in shape and max(shape) > 1)


def _pair_of_arrays(
    tree: Tree, names: Sequence[str], keys: Sequence[str], grid: tuple[int, int] | None
) -> list[Column]:
    found = [_numbers(tree, key, squeezed=False) for key in keys]
    units = [_attribute(tree, key) or units_in(key) for key in keys]
    flat = [np.squeeze(values) for values in found]
    if all(values.ndim <= 1 for values in flat):
        if grid is not None and {flat[0].size, flat[1].size} == set(grid) and grid != (1, 1):
            slow = _slow_of(tree, keys) if grid[0] == grid[1] else int(flat[0].size != grid[0])
            axes = [flat[slow][:, None], flat[1 - slow][None, :]]
            both = np.broadcast_arrays(*axes)
            flat = [both[0], both[1]] if slow == 0 else [both[1], both[0]]
        elif found[0].ndim > 1 and found[0].ndim == found[1].ndim:
            flat = _broadcast(found, keys)
    elif flat[0].shape != flat[1].shape:
        flat = _broadcast(found, keys)
    return [
        Column(name, unit, _of(np.ravel(values)))
        for name, unit, values in zip(names, units, flat, strict=True)
    ]


def _slow_of(tree: Tree, keys: Sequence[str]) -> int:
    """Which of two lists along the axes of a square raster is the slow one: the first, 0, if the
    NXdata that they are in does not say."""
    groups = [f"/{key.strip('/')}".rpartition("/") for key in keys]
    places: list[int | None] = []
    for group, _, name in groups:
        attrs = tree.attrs(group or "/")
        axes: Any = attrs.get("axes", ())
        told = axes.split(":") if isinstance(axes, str) else list(np.ravel(axes))
        at = attrs.get(f"{name}_indices")
        if at is not None and np.size(at) == 1:
            places.append(int(np.ravel(at)[0]))
        else:
            places.append(told.index(name) if name in told else None)
    one, other = places
    return 1 if one is not None and other is not None and other < one else 0


def _broadcast(found: Sequence[Array], keys: Sequence[str]) -> list[Array]:
    """(slow, 1) and (1, fast) as all points of the raster; (n, 1, 1) stay n."""
    try:
        return list(np.broadcast_arrays(*found))
    except ValueError:
        shapes = " and ".join(str(values.shape) for values in found)
        raise InputError(f"{keys[0]} and {keys[1]} have shapes {shapes}") from None


def _of(values: Array) -> Callable[[], Array]:
    return lambda: values


def _numbers(tree: Tree, key: str, *, squeezed: bool = True) -> Array:
    path = f"/{key.strip('/')}"
    found = numbers(tree, path)
    if found is None:
        near = ", ".join(tree.children(path.rpartition("/")[0] or "/")[:20])
        raise InputError(
            "there is no such array", member=path, advice=f"there are {near}" if near else None
        )
    return found[0] if squeezed else found[0].reshape(tree.shape(path))


def _attribute(tree: Tree, key: str) -> str | None:
    path = f"/{key.strip('/')}"
    found = text(tree, f"{path}@units", f"{path}@unit")
    return found[0] if found is not None and found[0].strip() else None
