"""NeXus: by the classes of groups, as NXptycho, and as masters of Dectris detectors."""

from __future__ import annotations

from typing import Final

from ptystore.model.known_formats import Layout, maybe, needed

__all__ = ["DECTRIS", "DECTRIS_DATA", "NEXUS", "NXPTYCHO"]

_DETECTOR = "/entry/instrument/detector"
_MORE = f"{_DETECTOR}/detectorSpecific"
_BEAM = "/entry/instrument/beam"
_MADE_OF_METRES = ("ycoords", "xcoords", "position_y_m", "position_x_m")

_UNITS = "each number is converted by its attribute units; without one, an option must say it"

_SHARED: Final = (
    maybe(f"{_DETECTOR}/distance", "number @units", "detector_distance_m", unit="m"),
    maybe(f"{_DETECTOR}/y_pixel_size", "number @units", "detector_pixel_size_m", unit="m"),
    maybe(f"{_DETECTOR}/x_pixel_size", "number @units", "detector_pixel_size_m", unit="m"),
    maybe(f"{_DETECTOR}/beam_center_y", "number @units, 0 is unset", "center_px", unit="pixel"),
    maybe(f"{_DETECTOR}/beam_center_x", "number @units, 0 is unset", "center_px", unit="pixel"),
    maybe(f"{_DETECTOR}/count_time", "number, or (n,)", "exposure_s", "exposure", unit="s"),
    maybe(f"{_DETECTOR}/pixel_mask", "(H, W) u4 bits, 0 is good", "mask"),
)

NEXUS: Final = Layout(
    ("HDF5",),
    "a group of NX_class NXentry",
    (
        needed("/entry", "NXentry"),
        maybe("/entry@default", "name of an NXdata"),
        maybe("/entry/data", "NXdata"),
        maybe("/entry/data@signal", "name of the frames"),
        maybe("/entry/data/data", "(n, H, W) or (slow, fast, H, W)", "diffraction", "scan_shape"),
        maybe("/entry/instrument", "NXinstrument"),
        maybe(f"{_DETECTOR}/data", "the same, of an NXdetector", "diffraction", "scan_shape"),
        *_SHARED,
        maybe(f"{_DETECTOR}/flatfield", "(H, W)", "flatfield"),
        maybe(f"{_DETECTOR}/threshold_energy", "number", "threshold_energy_eV", unit="eV"),
        maybe(f"{_DETECTOR}/saturation_value", "number", "saturation_counts"),
        maybe(f"{_DETECTOR}/description", "text", "detector_name"),
        maybe(
            f"{_BEAM}/incident_energy",
            "number @units",
            "photon_energy_eV",
            "electron_energy_eV",
            unit="eV",
        ),
        maybe(f"{_BEAM}/incident_wavelength", "number @units", "wavelength_m", unit="m"),
        maybe(
            "/entry/instrument/monochromator/energy",
            "number @units",
            "photon_energy_eV",
            unit="eV",
        ),
        maybe("/entry/instrument/source/probe", "text", "radiation"),
        maybe("/entry/monitor/data", "(n,), of an NXmonitor", "monitor"),
    ),
    (
        "groups are known by their NX_class, whatever their names; NXsource's energy is not read",
        _UNITS,
        "which motors are x and y --positions FILE:/path/{y,x} says",
    ),
)

NXPTYCHO: Final = Layout(
    ("HDF5",),
    "an NXentry with definition = NXptycho",
    (
        needed("/entry/definition", "text, NXptycho"),
        maybe(f"{_BEAM}/energy", "number @units", "photon_energy_eV", unit="eV"),
        maybe(f"{_BEAM}/incident_wavelength", "number @units", "wavelength_m", unit="m"),
        needed(f"{_DETECTOR}/data", "(n, H, W) or (slow, fast, H, W)", "diffraction", "scan_shape"),
        *_SHARED,
        maybe(f"{_DETECTOR}/mask", "(H, W) u4 bits, 0 is good", "mask"),
        maybe(f"{_DETECTOR}/data_dark", "([m,] H, W)", "background", unit="counts"),
        maybe(f"{_DETECTOR}/qe_mask", "(H, W)", "flatfield"),
        needed("/entry/sample", "NXsample"),
        maybe(
            "/entry/sample/transformations/<axis>",
            "(n,) @vector @offset @depends_on @units",
            *_MADE_OF_METRES,
            unit="m",
        ),
        maybe("/entry/sample/positioner_<k>/name", "text ending in x or y"),
        maybe("/entry/sample/positioner_<k>/raw_value", "(n,) @units", *_MADE_OF_METRES, unit="m"),
    ),
    (
        _UNITS,
        "positions are those of the sample; its converter labels J as eV and m as um: not believed",
    ),
)

DECTRIS: Final = Layout(
    ("HDF5",),
    "entry/data/data_NNNNNN with entry/instrument/detector/detectorSpecific",
    (
        needed("/entry/data", "NXdata"),
        needed("/entry/data/data_000001", "(n, H, W) counts, mostly links to files", "diffraction"),
        needed(_MORE, "group"),
        maybe(
            f"{_DETECTOR}/detector_distance",
            "number @units, 0 is unset",
            "detector_distance_m",
            unit="m",
        ),
        *_SHARED[1:],
        maybe(f"{_DETECTOR}/description", "text", "detector_name"),
        maybe(f"{_DETECTOR}/threshold_energy", "number", "threshold_energy_eV", unit="eV"),
        maybe(f"{_DETECTOR}/saturation_value", "number", "saturation_counts"),
        maybe(f"{_DETECTOR}/bit_depth_image", "integer"),
        maybe(f"{_MORE}/pixel_mask", "(H, W) u4 bits, 0 is good", "mask"),
        maybe(f"{_MORE}/flatfield", "(H, W) f4", "flatfield"),
        maybe(
            f"{_MORE}/photon_energy",
            "number",
            "photon_energy_eV",
            "electron_energy_eV",
            "radiation",
            unit="eV",
        ),
        maybe(f"{_MORE}/nimages", "integer: frames of a trigger"),
        maybe(f"{_MORE}/ntrigger", "integer"),
        maybe(f"{_BEAM}/incident_wavelength", "number @units", "wavelength_m", unit="angstrom"),
    ),
    (
        "frames are in files below the master's folder, each of which is checked when it is opened",
        "gaps hold 2^bits-1, which is overflow too: the mask tells",
        "positions are apart: --positions FILE",
    ),
)

DECTRIS_DATA: Final = Layout(
    ("HDF5",),
    "entry/data/data with image_nr_low and image_nr_high, and no facts of the detector",
    (needed("/entry/data/data", "(n, H, W) counts @image_nr_low @image_nr_high"),),
    ("read through its master, which is named",),
)
