"""4D-STEM: HyperSpy, EMD, and files of detectors."""

from __future__ import annotations

from typing import Final

from ptystore.model.known_formats import Item, Layout, maybe, needed

__all__ = ["EMD", "HYPERSPY", "STEM"]

_MADE_OF_METRES = ("ycoords", "xcoords", "position_y_m", "position_x_m")
_SIGNAL = "/Experiments/<title>"
_PIXELS = ("detector_pixel_size_m", "object_pixel_size_m")
_ORDER = (
    "frames (Ry, Rx, Qy, Qx) are put in a row, the first axis is the slow one whatever its name; "
    "scales in nm give positions, in mrad or 1/nm the object's pixel"
)


def _axes(first: str, second: str) -> tuple[Item, ...]:
    """The four axes, the first two those of the scan."""
    return (
        maybe(first, "axis of the scan @scale @offset @units", *_MADE_OF_METRES, "scan_shape"),
        maybe(second, "axis of the detector @scale @offset @units", *_PIXELS),
    )


HYPERSPY: Final = Layout(
    ("HDF5", "Zarr"),
    "the attribute file_format = HyperSpy (HDF5) or ZSpy (Zarr)",
    (
        needed("/@file_format", "text, HyperSpy or ZSpy"),
        needed("/Experiments", "group of signals"),
        needed(f"{_SIGNAL}/data", "(Ry, Rx, Qy, Qx) or (n, Qy, Qx) counts", "diffraction"),
        *_axes(f"{_SIGNAL}/axis-0", f"{_SIGNAL}/axis-2"),
        maybe(
            f"{_SIGNAL}/metadata/Acquisition_instrument/TEM@beam_energy",
            "number",
            "electron_energy_eV",
            "radiation",
            unit="keV",
        ),
    ),
    (_ORDER, "of several signals --entry names one"),
    of_electrons=True,
)

EMD: Final = Layout(
    ("HDF5",),
    "a group with the attribute emd_group_type",
    (
        needed("/<group>@emd_group_type", "text, array"),
        needed("/<group>/data", "(Ry, Rx, Qy, Qx) counts", "diffraction"),
        maybe(
            "/<group>/dim0", "(Ry,), or the first two, @name @units", *_MADE_OF_METRES, "scan_shape"
        ),
        maybe("/<group>/dim2", "(Qy,), or the first two, @name @units", *_PIXELS),
    ),
    (_ORDER, "the energy is not in it: --electron-energy; of several arrays --entry names one"),
    of_electrons=True,
)

STEM: Final = Layout(
    ("MIB", "BLO"),
    "its first bytes, MQ1 or IMGBLO",
    (
        needed("/data", "(Ry, Rx, Qy, Qx) or (n, Qy, Qx) counts", "diffraction"),
        *_axes("/axis-0", "/axis-2"),
        maybe("/@beam_energy", "number", "electron_energy_eV", "radiation", unit="keV"),
    ),
    (
        _ORDER,
        "by the extra stem; the raster of a .mib is in the .hdr beside it, or --scan-shape says it",
    ),
    of_electrons=True,
)
