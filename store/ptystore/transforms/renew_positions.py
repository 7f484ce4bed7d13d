"""Positions in object pixels once the pixel is another one, or is known at last.

They are of a scan without an object: all windows are brought inside one, whose shape is a fact.
"""

from __future__ import annotations

import numpy as np

from ptystore.compute.placing import Placed, object_pixel, placed
from ptystore.compute.positions import moved_by_probe
from ptystore.compute.shapes import position_lists
from ptystore.model.contract import COORDINATE_NAMES, POSITION_NAMES, standard_attrs
from ptystore.model.dataset import Dataset, Field, memory_field
from ptystore.model.geometry import Fact, Geometry
from ptystore.model.lazy_array import MemoryArray

__all__ = ["MEASURED", "positions_from_metres", "positions_rescaled"]

#: The positions as measured.
MEASURED = ("position_y_m", "position_x_m")

Renewed = tuple[dict[str, Field], Geometry]


def positions_from_metres(dataset: Dataset, geometry: Geometry, frame: tuple[int, int]) -> Renewed:
    """Positions of frames (H, W) that are known in metres alone, in pixels if these are known.

    Nothing where they are in pixels already.
    """
    pixel = object_pixel(geometry, frame)
    is_known = any(name in dataset for name in COORDINATE_NAMES)
    if is_known or pixel is None or not all(name in dataset for name in MEASURED):
        return {}, geometry
    y, x = (field.values() for field in position_lists(dataset, "placing frames", MEASURED))
    affine = dataset["position_y_m"].attrs.get("affine")
    if affine is not None:
        y, x = moved_by_probe(y, x, affine)
    inside = placed(y, x, frame, (pixel.value[0], pixel.value[1]))
    made = {
        name: memory_field(name, values, "per_frame", attrs=standard_attrs(name))
        for name, values in (("ycoords", inside.y), ("xcoords", inside.x))
    }
    return made, _noted(geometry.with_facts({"object_pixel_size_m": pixel}), inside)


def positions_rescaled(
    dataset: Dataset, geometry: Geometry, frame: tuple[int, int], ratio: tuple[float, float]
) -> Renewed:
    """Positions in pixels of frames that are (H, W) now, `ratio` [y, x] being old pixel over new.

    Nominal positions move with the others. Nothing where there are none in pixels.
    """
    known = [name for name in COORDINATE_NAMES if name in dataset]
    if not set(POSITION_NAMES) <= set(known):
        return {}, geometry
    lists = dict(zip(known, position_lists(dataset, "placing frames", known), strict=True))
    old = {name: field.values().astype(np.float64) for name, field in lists.items()}
    inside = placed(old["ycoords"], old["xcoords"], frame, (1 / ratio[0], 1 / ratio[1]))
    moved = {}
    for name, field in lists.items():
        by, new = (ratio[0], inside.y) if name[0] == "y" else (ratio[1], inside.x)
        base = old[f"{name[0]}coords"]
        values = new if name in POSITION_NAMES else new + (old[name] - base) * by
        moved[name] = field.with_array(MemoryArray(values))
    return moved, _noted(geometry, inside)


def _noted(geometry: Geometry, inside: Placed) -> Geometry:
    return geometry.with_facts({"object_shape": Fact(list(inside.shape), "derived")})
