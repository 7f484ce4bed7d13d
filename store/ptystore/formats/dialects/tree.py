"""A file of another tool's as names and arrays, whatever container it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.model.choices import NodeKind
from ptystore.model.lazy_array import Array, read_all
from ptystore.storage.base import Snapshot

__all__ = ["Tree", "has", "is_there", "number", "numbers", "reals", "text", "values"]

#: Of an array that is read whole while a file is opened, so many entries at the most.
SMALL = 16 << 20


@runtime_checkable
class Tree(Protocol):
    """Groups and arrays by paths such as ``/entry/data``; flat containers have all at ``/``.

    Links within the file are followed. Nothing but headers and texts has been read.
    """

    @property
    def path(self) -> Path:
        """The file, absolute."""
        ...

    @property
    def container(self) -> str:
        """``npz``, ``hdf5``, ``zarr`` or ``mat``."""
        ...

    @property
    def snapshot(self) -> Snapshot | None:
        """What holds the file as it was when it was opened."""
        ...

    def children(self, path: str = "/") -> Sequence[str]:
        """The names in a group, () where there is none."""
        ...

    def kind(self, path: str) -> NodeKind | None:
        """group, array, text (a single one) or outside (its values are in other files).

        None where nothing is.
        """
        ...

    def shape(self, path: str) -> tuple[int, ...]:
        """The shape of an array; () of anything else."""
        ...

    def attrs(self, path: str = "/") -> Mapping[str, Any]:
        """Attributes as texts, numbers, lists and numpy arrays; {} where there are none."""
        ...

    def text(self, path: str) -> str | None:
        """A single text that is stored as an array; None for anything else."""
        ...

    def array(self, path: str, name: str) -> RawArray:
        """An array, to be taken as the field `name`. Raises `InputError` where it can't be."""
        ...

    def outside(self, path: str) -> tuple[str, str] | None:
        """The file and the path in it that a link leads to; None for what is in this file."""
        ...

    def is_same(self, path: str, other: str) -> bool:
        """Whether links lead from both paths to the same group or array."""
        ...

    def plain(self, options: ReadOptions) -> Contents:
        """The arrays at the root under their own names: a scan that no dialect knows.

        Raises `InputError` where there is something else at the root.
        """
        ...


def has(tree: Tree, *paths: str) -> bool:
    """Whether there is something at each of the paths."""
    return all(tree.kind(path) is not None for path in paths)


def is_there(tree: Tree, path: str) -> bool:
    """Whether there is something at a path, or an attribute, as ``path@attribute``."""
    place, _, attribute = path.partition("@")
    return attribute in tree.attrs(place or "/") if attribute else has(tree, place)


def values(tree: Tree, path: str) -> Array:
    """A small array, read now. Raises `InputError` where it is none or too large."""
    raw = tree.array(path, path.rpartition("/")[2])
    if int(np.prod(raw.shape, dtype=object)) > SMALL:
        raise InputError(f"has shape {raw.shape}: too large for what it should hold", member=path)
    return read_all(raw.build(0))


def reals(tree: Tree, path: str) -> Array:
    """A small array of real numbers in its own shape, as float64, read now.

    Raises `InputError` for other values, and as `values` does.
    """
    found = values(tree, path)
    if found.dtype.kind not in "biuf":
        raise InputError(f"has dtype {found.dtype}, not real numbers", file=tree.path, member=path)
    return found.astype(np.float64)


def numbers(tree: Tree, *paths: str) -> tuple[Array, str] | None:
    """The first of the paths that is there, as float64 without axes of length 1; and which.

    None where there is none. Raises `InputError` for what is no real numbers.
    """
    for path in paths:
        if tree.kind(path) == "array":
            return np.squeeze(reals(tree, path)), path
    return None


def number(tree: Tree, *paths: str) -> tuple[float, str] | None:
    """The first of the paths that is there as one number, and which; also of ``path@attribute``.

    A scalar may have any number of axes of length 1, and be a text in digits. None where there is
    none, or where it is no number at all. Raises `InputError` for several numbers.
    """
    for path in paths:
        place, _, attribute = path.partition("@")
        if attribute:
            found: Any = tree.attrs(place or "/").get(attribute)
        elif tree.kind(place) == "text":
            found = tree.text(place)
        else:
            found = values(tree, place) if tree.kind(place) == "array" else None
        if found is None:
            continue
        array = np.asarray(found)
        if array.size != 1:
            raise InputError(f"has shape {array.shape}, where one number should be", member=path)
        if array.dtype.kind == "c":
            continue
        try:
            return float(array.reshape(-1)[0]), path
        except (TypeError, ValueError):
            continue
    return None


def text(tree: Tree, *paths: str) -> tuple[str, str] | None:
    """The first of the paths (or ``path@attribute``) that is a single text, and which."""
    for path in paths:
        place, _, attribute = path.partition("@")
        found = tree.attrs(place or "/").get(attribute) if attribute else tree.text(place)
        if isinstance(found, (list, np.ndarray)) and np.size(found) == 1:
            found = np.asarray(found, object).reshape(-1)[0]
        if isinstance(found, bytes):
            found = found.decode("utf-8", "replace")
        if isinstance(found, str):
            return found, path
    return None
