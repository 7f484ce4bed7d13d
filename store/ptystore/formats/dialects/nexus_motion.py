"""Where motors put a sample, by the transformations of NeXus."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.nexus_tree import below
from ptystore.formats.dialects.nexus_units import Units
from ptystore.formats.dialects.tree import Tree, text, values
from ptystore.model.lazy_array import Array
from ptystore.model.quantities import factor

__all__ = ["spread", "translation_by_motion"]

_OPTION = "--positions with --position-units"


def translation_by_motion(
    units: Units, sample: str, count: int, grid: tuple[int, int] | None
) -> Array | None:
    """The sample's translations (n, 3) in metres: ``Σ vector · value + offset`` over the axes.

    Those are on the chain of `depends_on`, from where the sample says, or all that it has. None
    where it has none. Raises `InputError` where one of them can't be understood.
    """
    tree = units.tree
    axes = _axes(tree, sample)
    total = np.zeros((count, 3))
    for path in axes:
        attrs = tree.attrs(path)
        kind = text(tree, f"{path}@transformation_type")
        found = values(tree, path)
        if found.dtype.kind not in "iuf":
            raise InputError(f"is {found.dtype}, not numbers", file=tree.path, member=path)
        if kind is not None and kind[0].strip() == "rotation":
            if found.any():
                units.scan.remarks.append(f"{path} turns the sample, which is left out")
            continue
        vector = _numbers(attrs.get("vector", ()))
        if vector.shape != (3,) or not np.isfinite(vector).all():
            raise InputError("has no vector of three numbers", file=tree.path, member=path)
        largest = float(np.abs(found).max()) if found.size else 0.0
        times = units.times("length", path, largest, _OPTION)
        assert times is not None
        along = spread(tree, path, found.astype(np.float64) * times, count, grid)
        total += along[:, None] * vector + _offset(units, path, times)
    return total if axes else None


def spread(tree: Tree, path: str, found: Array, count: int, grid: tuple[int, int] | None) -> Array:
    """Values for `count` frames (n,): one for all, one for each, or one for each line of a grid.

    Raises `InputError` for other shapes.
    """
    if found.size == 1:
        return np.full(count, found.reshape(-1)[0])
    if found.size == count:
        return found.reshape(-1)
    if grid is not None:
        slow, fast = grid
        flat = np.squeeze(found)
        if found.shape == (slow, 1) or (flat.shape == (slow,) and slow != fast):
            return np.repeat(flat, fast)
        if found.shape == (1, fast) or (flat.shape == (fast,) and slow != fast):
            return np.tile(flat, slow)
    raise InputError(
        f"has shape {found.shape} for {count} frames",
        file=tree.path,
        member=path,
        advice="--positions names others",
    )


def _axes(tree: Tree, sample: str) -> list[str]:
    """The paths of the axes that move the sample."""
    groups = [*below(tree, sample, "NXtransformations"), f"{sample}/transformations"]
    own = dict.fromkeys(
        f"{group}/{name}"
        for group in groups
        for name in tree.children(group)
        if tree.kind(f"{group}/{name}") == "array"
    )
    start = text(tree, f"{sample}/depends_on", f"{sample}@depends_on")
    if start is not None and start[0].strip() not in ("", "."):
        return _chain(tree, _resolved(tree, start[0], sample, *groups))
    found: dict[str, None] = {}
    for path in own:
        if "vector" in tree.attrs(path):
            found.update(dict.fromkeys(_chain(tree, path)))
    return list(found)


def _chain(tree: Tree, path: str) -> list[str]:
    """An axis and all that it depends on."""
    found: list[str] = []
    while path not in found:
        found.append(path)
        told = text(tree, f"{path}@depends_on")
        if told is None or told[0].strip() in ("", "."):
            return found
        group = path.rpartition("/")[0]
        path = _resolved(tree, told[0], group, group.rpartition("/")[0])
    raise InputError("depends on itself", file=tree.path, member=path)


def _resolved(tree: Tree, told: str, *groups: str) -> str:
    """The axis of a name, absolute or in one of the groups."""
    name = told.strip()
    paths = [name] if name.startswith("/") else [f"{group}/{name}" for group in groups]
    for path in paths:
        if tree.kind(path) == "array":
            return path
    raise InputError(f"depends on {name}, which is not there", file=tree.path, member=groups[0])


def _numbers(attribute: Any) -> Array:
    """An attribute of real numbers as (n,); () of another."""
    found = np.asarray(attribute)
    return found.astype(np.float64).reshape(-1) if found.dtype.kind in "iuf" else np.zeros(0)


def _offset(units: Units, path: str, times: float) -> Array:
    """The offset in metres, in units of its own or in those of the values."""
    found = _numbers(units.tree.attrs(path).get("offset", np.zeros(3)))
    if found.shape != (3,) or not np.isfinite(found).all():
        reason = "has an offset that is not three numbers"
        raise InputError(reason, file=units.tree.path, member=path)
    told = text(units.tree, f"{path}@offset_units")
    if told is None or not found.any():
        return found * times
    own = factor(told[0], "length")
    if own is None:
        reason = f"has an offset in {told[0]!r}, which is no length"
        raise InputError(reason, file=units.tree.path, member=path)
    return found * own
