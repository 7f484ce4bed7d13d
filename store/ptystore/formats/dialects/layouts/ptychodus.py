"""ptychodus: products, diffraction files, files with positions in pixels."""

from __future__ import annotations

from typing import Final

from ptystore.model.known_formats import Item, Layout, maybe, needed

__all__ = ["DIFFRACTION", "FOR_PTYCHOPINN", "PRODUCT", "TRAINING"]

_MODES = "([[opr,] mode,] N, N) complex"
_SLICES = "([layer,] H, W) complex"

_PIXEL_FILES = "positions count from the middle (N-1)/2 of a window: an even N adds half a pixel"
_FILLED = "bad pixels are filled in the frames themselves"

_PER_POSITION: Final = (
    maybe("/probe_position_indexes", "(n,) integer, numbers of frames", "frame_index"),
    maybe("/opr_weights", "(n, opr) f8, or an attribute of the probe", "opr_weights"),
    maybe("/probe_photon_counts", "(n,) f8", "probe_photon_counts"),
    maybe("/object_layer_spacing_m", "(layers-1,) f8", "slice_spacing_m", unit="m"),
    maybe("/loss_values", "(epochs,) f8; costs in older files", "loss"),
    maybe("/loss_epochs", "(epochs,) integer"),
)

_FACTS: Final[tuple[Item, ...]] = (
    needed("/@detector_object_distance_m", "f8", "detector_distance_m", unit="m"),
    maybe("/@photon_energy_eV", "f8; probe_energy_eV up to 2025", "photon_energy_eV", unit="eV"),
    maybe("/@exposure_time_s", "f8, 0 is unset", "exposure_s", unit="s"),
    maybe("/@probe_photon_count", "f8, 0 is unset", "probe_photon_count"),
    maybe("/@mass_attenuation_m2_kg", "f8", "mass_attenuation_m2_kg", unit="m2/kg"),
    maybe("/@tomography_angle_deg", "f8, 0 is unset", "tomography_angle_deg", unit="deg"),
    maybe("/@focus_object_distance_m", "f8", "focus_distance_m", unit="m"),
    maybe("/@tilt_angle_deg", "f8", "tilt_angle_deg", unit="deg"),
    maybe("/@far_field", "bool", "propagation"),
    maybe("/@polarization", "text", "polarization"),
    maybe("/@name", "text"),
    maybe("/@comments", "text"),
)

PRODUCT: Final = Layout(
    ("HDF5", "NPZ"),
    "probe_position_x_m and _y_m with the attribute detector_object_distance_m (HDF5) or with "
    "probe_pixel_width_m (NPZ)",
    (
        *_FACTS,
        needed("/probe_position_y_m", "(n,) f8", "ycoords", "position_y_m", unit="m"),
        needed("/probe_position_x_m", "(n,) f8", "xcoords", "position_x_m", unit="m"),
        needed("/probe", _MODES, "probeGuess"),
        maybe("/probe@pixel_height_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/probe@pixel_width_m", "f8", "object_pixel_size_m", unit="m"),
        needed("/object", _SLICES, "objectGuess"),
        maybe("/object@pixel_height_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/object@pixel_width_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/object@center_y_m", "f8", "object_center_m", unit="m"),
        maybe("/object@center_x_m", "f8", "object_center_m", unit="m"),
        *_PER_POSITION,
    ),
    (
        "NPZ has attributes as members: object_pixel_height_m, object_center_y_m, …",
        "the frames are in a file diffraction.h5 or .npz beside it, paired by their numbers",
    ),
    pairs=True,
)

DIFFRACTION: Final = Layout(
    ("HDF5", "NPZ"),
    "patterns (n, H, W) with indexes or bad_pixels (NPZ: with bad_pixels)",
    (
        needed("/patterns", "(n, H, W) integer counts", "diffraction"),
        maybe("/patterns@detector_pixel_height_m", "f8", "detector_pixel_size_m", unit="m"),
        maybe("/patterns@detector_pixel_width_m", "f8", "detector_pixel_size_m", unit="m"),
        maybe("/indexes", "(n,) integer, numbers of frames", "frame_index"),
        maybe("/bad_pixels", "(H, W) bool, True is bad", "mask"),
        maybe("/probe_photon_counts", "(n,) f8", "probe_photon_counts"),
    ),
    ("all else is in a file product.h5 or .npz beside it, paired by the numbers of frames",),
    pairs=True,
)

TRAINING: Final = Layout(
    ("HDF5",),
    "patterns with probe_position_x_px and _y_px",
    (
        needed("/patterns", "(n, N, N) counts", "diffraction"),
        needed("/probe_position_y_px", "(n,) f8", "ycoords", unit="pixel"),
        needed("/probe_position_x_px", "(n,) f8", "xcoords", unit="pixel"),
        maybe("/bad_pixels", "(N, N) bool, True is bad", "mask"),
        maybe("/probe", "(mode, N, N) complex", "probeGuess"),
        maybe("/object", "(H, W) complex", "objectGuess"),
        maybe("/object_pixel_height_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/object_pixel_width_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/detector_object_distance_m", "f8", "detector_distance_m", unit="m"),
        maybe("/photon_energy_eV", "f8", "photon_energy_eV", unit="eV"),
    ),
    (_PIXEL_FILES, _FILLED),
)

FOR_PTYCHOPINN: Final = Layout(
    ("NPZ",),
    "diff3d, bad_pixels, a probe of three axes, and no document",
    (
        needed("/diff3d", "(n, N, N) counts", "diffraction"),
        needed("/xcoords", "(n,) f8", "xcoords", unit="pixel"),
        needed("/ycoords", "(n,) f8", "ycoords", unit="pixel"),
        maybe("/xcoords_start", "(n,) f8, as xcoords", "xcoords_start", unit="pixel"),
        maybe("/ycoords_start", "(n,) f8, as ycoords", "ycoords_start", unit="pixel"),
        needed("/bad_pixels", "(N, N) bool, True is bad", "mask"),
        needed("/probeGuess", "(mode, N, N) complex", "probeGuess"),
        maybe("/objectGuess", "(H, W) complex", "objectGuess"),
        maybe("/scan_index", "(n,) integer, zeros", "scan_index"),
    ),
    (_PIXEL_FILES, _FILLED),
)
