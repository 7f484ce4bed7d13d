"""4D-STEM scans: HyperSpy (`.hspy`, `.zspy`), EMD 1.0 as py4DSTEM writes it, files of detectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.stem4d_axes import Axis, add_scan
from ptystore.formats.dialects.tree import SMALL, Tree, number, reals, text, values
from ptystore.model.lazy_array import Array

__all__ = ["DetectorScan", "EmdScan", "HyperSpyScan"]

_FILE_FORMAT: Final = "@file_format"
# The word at that attribute, by container.
_NAMED: Final = {"hdf5": "HyperSpy", "zarr": "ZSpy"}
_EXPERIMENTS: Final = "/Experiments"
_MICROSCOPE: Final = "metadata/Acquisition_instrument/TEM"
_GROUP_TYPE: Final = "@emd_group_type"

# Groups in groups, so many at the most.
_DEEPEST: Final = 8


class HyperSpyScan:
    """A signal of HyperSpy's with two axes of the detector, and one or two of the scan."""

    name = "hyperspy"
    title = "4D-STEM by HyperSpy, .hspy or .zspy"
    line = 20
    keys = (_EXPERIMENTS,)

    def matches(self, tree: Tree) -> bool:
        found, named = text(tree, _FILE_FORMAT), _NAMED.get(tree.container)
        return found is not None and found[0] == named

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        signals = {
            name: f"{_EXPERIMENTS}/{name}"
            for name in tree.children(_EXPERIMENTS)
            if tree.kind(f"{_EXPERIMENTS}/{name}/data") == "array"
        }
        place = _one(tree, context, signals, "signals")
        _read_signal(scan, place, f"{place}/{_MICROSCOPE}@beam_energy")
        return scan.contents()


class DetectorScan:
    """What the extra `stem` reads: frames of a detector on the raster of a microscope."""

    name = "stem"
    title = "4D-STEM of a Merlin detector (.mib) or NanoMegas (.blo), by the extra stem"
    line = 20
    keys: tuple[str, ...] = ()

    def matches(self, tree: Tree) -> bool:
        return tree.container == "stem"

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        scan.remarks.extend(tree.attrs().get("remarks", ()))
        _read_signal(scan, "", "@beam_energy")
        return scan.contents()


class EmdScan:
    """An array of EMD 1.0's with four axes: the first two are those of the scan."""

    name = "emd"
    title = "4D-STEM in EMD 1.0 (py4DSTEM), .h5 or .emd"
    line = 20
    keys: tuple[str, ...] = ()

    def matches(self, tree: Tree) -> bool:
        groups = ["", *(f"/{name}" for name in tree.children())]
        return (
            tree.container == "hdf5" and text(tree, *(g + _GROUP_TYPE for g in groups)) is not None
        )

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        arrays = {path.strip("/"): path for path in _emd_arrays(tree, "/", _DEEPEST)}
        rasters = {
            name: path for name, path in arrays.items() if len(tree.shape(f"{path}/data")) == 4
        }
        entry = context.entry
        place = _one(tree, context, arrays if entry is not None else rasters, "arrays of 4 axes")
        _electrons(scan, None)
        shape = _shape(tree, place)
        axes = [_emd_axis(tree, f"{place}/dim{at}", size) for at, size in enumerate(shape)]
        add_scan(scan, tree.array(f"{place}/data", "diffraction"), axes)
        return scan.contents()


def _read_signal(scan: Scan, place: str, energy: str) -> None:
    """A signal of HyperSpy's kind. Raises `InputError` for other axes than those."""
    tree = scan.tree
    _electrons(scan, number(tree, energy))
    shape = _shape(tree, place)
    axes = [_hyperspy_axis(tree, place, at, size) for at, size in enumerate(shape)]
    behind = [len(shape) - 2, len(shape) - 1]
    scanned = [tree.attrs(axis.source).get("navigate") for axis in axes]
    is_told = all(one is not None for one in scanned)
    if is_told and [at for at, one in enumerate(scanned) if not np.any(one)] != behind:
        raise InputError(
            "has other axes than those of a scan and, behind them, the two of a detector",
            file=tree.path,
            member=place,
        )
    add_scan(scan, tree.array(f"{place}/data", "diffraction"), axes)


def _one(tree: Tree, context: Context, found: Mapping[str, str], what: str) -> str:
    """The path of the only one, or of the one that the caller named."""
    named, names = context.entry, ", ".join(found)
    if named is not None:
        if named.strip("/") not in found:
            reason = f"has no entry {named}" + (f"; it has {names}" if names else "")
            raise InputError(reason, file=tree.path)
        return found[named.strip("/")]
    if not found:
        raise InputError(f"holds no {what}", file=tree.path)
    if len(found) > 1:
        raise InputError(
            f"holds several {what}: {names}",
            file=tree.path,
            advice=f"say which: --entry {next(iter(found))}",
        )
    return next(iter(found.values()))


def _electrons(scan: Scan, energy: tuple[float, str] | None) -> None:
    """The energy in keV, and that it is of electrons, unless the caller said something else."""
    scan.positive("electron_energy_eV", energy, 1e3)
    if energy is not None and scan.value("electron_energy_eV") is not None:
        scan.fact("radiation", "electron", energy[1])


def _shape(tree: Tree, place: str) -> tuple[int, ...]:
    """The shape of the data, whose axes can be held in memory. Raises `InputError`."""
    shape = tree.shape(f"{place}/data")
    if max(math.prod(shape[:2]), *shape, 0) > SMALL:
        reason = f"has shape {shape}: a scan of so many frames, or frames of such a size"
        raise InputError(reason, file=tree.path, member=place)
    return shape


def _hyperspy_axis(tree: Tree, place: str, at: int, size: int) -> Axis:
    """The axis at a place of the data's shape: even by scale and offset, or a list of points."""
    path = f"{place}/axis-{at}"
    units = text(tree, f"{path}@units")
    offset, scale = (number(tree, f"{path}@{name}") for name in ("offset", "scale"))
    points = None
    if scale is not None:
        points = (0.0 if offset is None else offset[0]) + scale[0] * np.arange(size)
    elif tree.kind(f"{path}/axis") == "array":
        points = _points(tree, f"{path}/axis", size)
    return Axis(points, "" if units is None else units[0], path)


def _emd_axis(tree: Tree, path: str, size: int) -> Axis:
    """A list of points, or the first two of even ones."""
    units = text(tree, f"{path}@units")
    points = None
    if tree.kind(path) == "array":
        shape = tree.shape(path)
        if shape == (2,) and size != 2:
            first, second = (float(value) for value in reals(tree, path))
            points = first + (second - first) * np.arange(size)
        else:
            points = _points(tree, path, size)
    return Axis(points, "" if units is None else units[0], path)


def _points(tree: Tree, path: str, size: int) -> Array:
    found = values(tree, path)
    if found.shape != (size,) or found.dtype.kind not in "iuf":
        raise InputError(f"has shape {found.shape}, where {size} points should be", member=path)
    return found


def _emd_arrays(tree: Tree, path: str, deepest: int) -> Iterator[str]:
    """The paths of all arrays of EMD's below a group."""
    names: Sequence[str] = tree.children(path) if deepest else ()
    for name in names:
        inner = f"{path.rstrip('/')}/{name}"
        if tree.kind(inner) != "group":
            continue
        found = text(tree, inner + _GROUP_TYPE)
        if found is not None and found[0] == "array" and tree.kind(f"{inner}/data") == "array":
            yield inner
        yield from _emd_arrays(tree, inner, deepest - 1)
