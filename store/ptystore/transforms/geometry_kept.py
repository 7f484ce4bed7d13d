"""What transforms do to geometry, so that it stays true of the scan that they make."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ptystore.compute.shapes import frame_shape
from ptystore.errors import InputError
from ptystore.model.choices import MergeStrategy
from ptystore.model.dataset import Dataset
from ptystore.model.geometry import Fact, Geometry, RawFrame, with_geometry

__all__ = [
    "OF_MEASURED_FRAMES",
    "flipped",
    "merged",
    "of_part",
    "said_of_differences",
    "simulated",
]

_MEASURED = ("position_y_m", "position_x_m")
_AFFINE = "affine"

# Of each scan that is put after another it may be another one, and none is wrong.
_OF_POSITIONS = frozenset({"object_shape", "scan_shape"})

#: Fields that tell of a detector's frames as they were measured, and of no others.
OF_MEASURED_FRAMES = ("mask", "background", "flatfield", "probe_photon_counts")
_FACTS_OF_MEASURED = (
    *("flux_per_s", "probe_photon_count", "saturation_counts"),
    *("gain_adu_per_count", "threshold_energy_eV"),
)


def flipped(dataset: Dataset, *, x: bool, y: bool) -> Dataset:
    """The scan whose positions in pixels get the other sign along x, y or both elsewhere.

    Positions as measured stay as they were measured: their attribute ``affine`` takes the sign.
    So does the world centre of the object. Windows are no longer inside of the same object.
    """
    if not (x or y):
        return dataset
    signs = [-1.0 if y else 1.0, -1.0 if x else 1.0]
    fields = dict(dataset.fields)
    for name in _MEASURED:
        if name in fields:
            known = np.asarray(fields[name].attrs.get(_AFFINE, np.eye(2, 3)), np.float64)
            # Adding zero makes of -0.0 the zero that it is.
            turned = (known * np.array(signs)[:, None] + 0.0).tolist()
            attrs = {**fields[name].attrs, _AFFINE: turned}
            fields[name] = dataclasses.replace(fields[name], attrs=attrs)
    metadata, geometry = dataset.metadata, dataset.geometry
    center = geometry.pair("object_center_m")
    if center is not None:
        moved = [one * sign + 0.0 for one, sign in zip(center, signs, strict=True)]
        source = geometry["object_center_m"].source
        geometry = geometry.with_facts({"object_center_m": Fact(moved, source)})
    if geometry:
        metadata = with_geometry(metadata, geometry.without("object_shape"))
    return dataclasses.replace(dataset, fields=fields, metadata=metadata)


def of_part(dataset: Dataset, count: int) -> Dataset:
    """The scan as it is to be told of `count` of its frames: part of a raster is none."""
    try:
        geometry = dataset.geometry
    except InputError:  # nonsense stays what it is, and tells of no raster
        return dataset
    if count == dataset.frame_count or "scan_shape" not in geometry:
        return dataset
    metadata = with_geometry(dataset.metadata, geometry.without("scan_shape"))
    return dataclasses.replace(dataset, metadata=metadata)


def _differences(scans: Sequence[Dataset]) -> list[str]:
    """The facts, and ``raw_frame``, in which scans differ from the first."""
    first = scans[0].geometry
    names = {
        name
        for scan in scans
        for name in {*first, *scan.geometry} - _OF_POSITIONS
        if not _agree(first.get(name), scan.geometry.get(name))
    }
    frames = [RawFrame.of(scan.metadata) for scan in scans]
    differing = ["raw_frame"] if any(frame != frames[0] for frame in frames) else []
    return [*sorted(names), *differing]


def _agree(one: Fact | None, other: Fact | None) -> bool:
    """Whether two facts have the same value, wherever they are from."""
    if one is None or other is None:
        return one is other
    pairs = zip(_listed(one.value), _listed(other.value), strict=True)
    return all(
        a == b if isinstance(a, str) or isinstance(b, str) else math.isclose(a, b, rel_tol=1e-9)
        for a, b in pairs
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def merged(scans: Sequence[Dataset], strategy: MergeStrategy) -> Geometry:
    """The geometry of scans after one another: the first one's, in an object that holds them all.

    A raster is none any more. Raises `InputError` under ``"validate_consistent"`` where they
    differ.
    """
    different = _differences(scans)
    if different and strategy == "validate_consistent":
        raise InputError(f"the scans disagree on their geometry: {', '.join(different)}")
    geometry = scans[0].geometry
    if len(scans) == 1:
        return geometry
    shapes = [scan.geometry.pair("object_shape") for scan in scans]
    known = [shape for shape in shapes if shape is not None]
    geometry = geometry.without(*_OF_POSITIONS)
    if len(known) < len(shapes):
        return geometry
    largest = [max(sizes) for sizes in zip(*known, strict=True)]
    return geometry.with_facts({"object_shape": Fact(largest, "derived")})


def said_of_differences(scans: Sequence[Dataset]) -> Iterable[str]:
    """A line that names what differs, none where nothing does."""
    different = _differences(scans)
    if different:
        yield f"the scans differ in {', '.join(different)}: what the first says stands"


def simulated(
    dataset: Dataset, window: tuple[int, int], dose: float | None, *, new_positions: bool
) -> Geometry:
    """The geometry of frames (Ny, Nx) that are simulated in place of the scan's.

    Object and its pixel stay, so a detector of other frames has other pixels: N Δ is the same.
    """
    geometry = dataset.geometry.without(*_FACTS_OF_MEASURED)
    detector, old = geometry.pair("detector_pixel_size_m"), frame_shape(dataset)
    if detector is not None and old is not None and old != window:
        sizes = [size * n / m for size, n, m in zip(detector, old, window, strict=True)]
        geometry = geometry.with_facts({"detector_pixel_size_m": Fact(sizes, "derived")})
    if dose is not None and geometry:
        geometry = geometry.with_facts({"probe_photon_count": Fact(dose, "derived")})
    return geometry.without("scan_shape") if new_positions else geometry
