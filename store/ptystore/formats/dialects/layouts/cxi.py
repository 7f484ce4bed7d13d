"""CXI, as any program and as ptychodus writes it, and NXcxi_ptycho, which has its tree."""

from __future__ import annotations

from typing import Final

from ptystore.model.known_formats import Layout, maybe, needed

__all__ = ["CXI", "NXCXI_PTYCHO", "PTYCHODUS_CXI"]

_INSTRUMENT = "/entry_1/instrument_1"
_DETECTOR = f"{_INSTRUMENT}/detector_1"
_OWN = "/entry_1/ptychodus"

_POSITIONS = ("ycoords", "xcoords", "position_y_m", "position_x_m")
_BY_BASIS = (
    "positions are those of the sample; their sign is that of basis_vectors (3, 2), whose columns "
    "are the steps of a detector's row and column; without it, rows go along -y, columns along -x"
)

_VERSION = maybe("/cxi_version", "integer")

_DETECTOR_ITEMS: Final = (
    needed(_DETECTOR, "group"),
    maybe(f"{_DETECTOR}/data", "(n, H, W) counts", "diffraction"),
    maybe(f"{_DETECTOR}/distance", "number", "detector_distance_m", unit="m"),
    maybe(f"{_DETECTOR}/y_pixel_size", "number", "detector_pixel_size_m", unit="m"),
    maybe(f"{_DETECTOR}/x_pixel_size", "number", "detector_pixel_size_m", unit="m"),
    maybe(f"{_DETECTOR}/basis_vectors", "(3, 2) f8", "detector_pixel_size_m", unit="m"),
    maybe(f"{_DETECTOR}/corner_position", "(3,) f8", unit="m"),
    maybe(f"{_DETECTOR}/mask", "(H, W) u4 bits, 0 is good", "mask"),
    maybe(f"{_DETECTOR}/data_dark", "([m,] H, W)", "background", unit="counts"),
    maybe(f"{_DETECTOR}/qe_mask", "(H, W)", "flatfield"),
)

_SAMPLE: Final = (
    maybe("/entry_1/sample_1/name", "text"),
    maybe("/entry_1/sample_1/geometry_1/translation", "(n, 3), x y z", *_POSITIONS, unit="m"),
    maybe("/entry_1/sample_1/geometry_1/intensities", "(n,)", "monitor"),
)

_DATA: Final = (
    maybe("/entry_1/data_1/data", "(n, H, W) counts, or a link to those", "diffraction"),
    maybe("/entry_1/data_1/translation", "(n, 3), x y z, or a link", *_POSITIONS, unit="m"),
    maybe("/entry_1/data_1/intensities", "(n,), or a link", "monitor"),
)

CXI: Final = Layout(
    ("HDF5",),
    "cxi_version, or entry_1/instrument_1/detector_1",
    (
        _VERSION,
        maybe("/entry_1/title", "text"),
        maybe("/entry_1/experiment_description", "text"),
        maybe(
            f"{_INSTRUMENT}/source_1/energy",
            "number; eV if 1e-12 or more",
            "photon_energy_eV",
            unit="J",
        ),
        maybe(f"{_INSTRUMENT}/source_1/wavelength", "number", "wavelength_m", unit="m"),
        maybe(f"{_INSTRUMENT}/source_1/illumination", "([[opr,] mode,] N, N)", "probeGuess"),
        *_DETECTOR_ITEMS,
        *_SAMPLE,
        needed("/entry_1/data_1", "group"),
        *_DATA,
        maybe("/entry_1/image_1/data", "([[opr,] mode,] N, N) complex", "probeGuess"),
    ),
    (_BY_BASIS,),
    pairs=True,
)

PTYCHODUS_CXI: Final = Layout(
    ("HDF5",),
    "CXI with a group ptychodus or process_1/program = Ptychodus",
    (
        needed("/cxi_version", "integer"),
        maybe(f"{_INSTRUMENT}/source_1/energy", "number", "photon_energy_eV", unit="J"),
        maybe(f"{_INSTRUMENT}/source_1/wavelength", "number", "wavelength_m", unit="m"),
        *(maybe(item.path, item.what, *item.gives, unit=item.unit) for item in _DETECTOR_ITEMS),
        *_SAMPLE,
        *_DATA,
        needed("/entry_1/image_1/data", "(opr, mode, N, N) complex", "probeGuess"),
        maybe("/entry_1/image_1/image_size", "(3,)", "object_pixel_size_m", unit="m"),
        needed("/entry_1/image_2/data", "(layer, H, W) complex", "objectGuess"),
        maybe("/entry_1/image_2/image_size", "(3,)", "object_pixel_size_m", unit="m"),
        maybe("/entry_1/process_1/program", "text, Ptychodus"),
        needed(_OWN, "group"),
        maybe(f"{_OWN}/probe_position_indexes", "(n,) integer", "frame_index"),
        maybe(f"{_OWN}/probe_photon_counts", "(n,) f8", "probe_photon_counts"),
        maybe(f"{_OWN}/opr_weights", "(n, opr) f8", "opr_weights"),
        maybe(f"{_OWN}/object_center_y_m", "number", "object_center_m", unit="m"),
        maybe(f"{_OWN}/object_center_x_m", "number", "object_center_m", unit="m"),
        maybe(f"{_OWN}/object_pixel_height_m", "number", "object_pixel_size_m", unit="m"),
        maybe(f"{_OWN}/object_pixel_width_m", "number", "object_pixel_size_m", unit="m"),
        maybe(f"{_OWN}/object_layer_spacing_m", "(layers-1,)", "slice_spacing_m", unit="m"),
        maybe(f"{_OWN}/loss_values", "(epochs,) f8", "loss"),
        maybe(f"{_OWN}/exposure_time_s", "number, 0 is unset", "exposure_s", unit="s"),
        maybe(f"{_OWN}/probe_photon_count", "number, 0 is unset", "probe_photon_count"),
        maybe(f"{_OWN}/mass_attenuation_m2_kg", "number", "mass_attenuation_m2_kg", unit="m2/kg"),
        maybe(f"{_OWN}/tomography_angle_deg", "number", "tomography_angle_deg", unit="deg"),
        maybe(f"{_OWN}/focus_object_distance_m", "number", "focus_distance_m", unit="m"),
        maybe(f"{_OWN}/tilt_angle_deg", "number", "tilt_angle_deg", unit="deg"),
        maybe(f"{_OWN}/far_field", "bool", "propagation"),
        maybe(f"{_OWN}/polarization", "text", "polarization"),
    ),
    (
        "positions are those of the probe, whatever the basis says",
        "diffraction.cxi has the frames, product.cxi all else; either finds the other",
    ),
    pairs=True,
)

NXCXI_PTYCHO: Final = Layout(
    ("HDF5",),
    "an NXentry with definition = NXcxi_ptycho",
    (
        needed("/entry_1/definition", "text, NXcxi_ptycho"),
        maybe("/entry_1/title", "text"),
        maybe(f"{_INSTRUMENT}/source_1/energy", "number: the storage ring's, not read"),
        maybe(f"{_INSTRUMENT}/source_1/wavelength", "number", "wavelength_m", unit="m"),
        maybe(f"{_INSTRUMENT}/beam_1/energy", "number @units", "photon_energy_eV", unit="J"),
        *_DETECTOR_ITEMS,
        maybe(f"{_DETECTOR}/translation", "(n, 3), x y z", *_POSITIONS, unit="m"),
        maybe(f"{_DETECTOR}/beam_center_y", "number @units", "center_px", unit="pixel"),
        maybe(f"{_DETECTOR}/beam_center_x", "number @units", "center_px", unit="pixel"),
        maybe(f"{_DETECTOR}/count_time", "number, or (n,)", "exposure_s", "exposure", unit="s"),
        *_SAMPLE,
        needed("/entry_1/data_1", "group"),
        *_DATA,
        maybe("/entry_1/image_1/data", "([[opr,] mode,] N, N) complex", "probeGuess"),
    ),
    (
        _BY_BASIS,
        "frames (slow, fast, H, W) are put in a row, scan_shape is kept",
    ),
)
