"""The distance to the detector, by the object's pixel and the detector's."""

from __future__ import annotations

from ptystore.formats.dialects.scan import Scan
from ptystore.physics.sampling import far_field_distance

__all__ = ["with_distance"]


def with_distance(scan: Scan) -> tuple[int, int] | None:
    """The frames' shape; with the detector's pixel from the caller, the distance is known too."""
    frame = scan.frame_shape()
    wavelength, own = scan.value("wavelength_m"), scan.value("object_pixel_size_m")
    detector = scan.value("detector_pixel_size_m")
    known = scan.value("detector_distance_m") is not None
    if frame and wavelength and own and detector and not known:
        distance = far_field_distance(wavelength, own[0], frame[0], detector[0])
        scan.fact("detector_distance_m", distance, "derived")
    return frame
