"""A word where frames that are taken for the far field may be of the near field."""

from __future__ import annotations

import numpy as np

from ptystore.formats.dialects.scan import Scan
from ptystore.model.lazy_array import read_all

__all__ = ["warn_of_near_field"]

# A probe whose far field is sampled well is at most half as wide as its window: frames that are
# further apart have nothing in common.
_APART = 0.5

_MOST = 2000


def warn_of_near_field(scan: Scan) -> None:
    """Say it where, by the far field's pixel, neighbours don't overlap, and nothing tells of it.

    Of frames that are of no far field λz/(NΔ) is not the object's pixel, and only the caller knows
    what is.
    """
    frame = scan.frame_shape()
    is_known = scan.value("propagation") is not None or scan.context.options.pixel_size is not None
    if frame is None or is_known or "ycoords" not in scan.arrays:
        return
    at = [read_all(scan.arrays[name].build(0))[:_MOST] for name in ("ycoords", "xcoords")]
    if len(at[0]) < 3 or not np.isfinite(at).all():
        return
    apart = np.max(
        [np.abs(own[:, None] - own[None]) / n for own, n in zip(at, frame, strict=True)], axis=0
    )
    np.fill_diagonal(apart, np.inf)
    nearest = float(np.median(apart.min(1)))
    if nearest <= _APART:
        return
    pixel = scan.value("object_pixel_size_m")
    scan.remarks.append(
        f"by the far field an object's pixel is {pixel[0]:.4g} by {pixel[1]:.4g} m, and frames lie "
        f"{nearest:.2f} of their width from the nearest one, where no probe overlaps: the file "
        "does not say whether it is of the near field; --pixel-size says how large a pixel is then"
    )
