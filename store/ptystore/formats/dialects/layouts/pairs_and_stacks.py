"""Formats with few keys: pairs of files, tike, SLAC, PtyLab, MATLAB."""

from __future__ import annotations

from typing import Final

from ptystore.model.known_formats import Layout, maybe, needed

__all__ = [
    "DP",
    "FOLD_SLICE",
    "PTYCHOSHELVES",
    "PTYLAB",
    "PTYLAB_RESULT",
    "PTY_CHI",
    "SLAC",
    "TIKE",
]

_Y, _X = ("ycoords", "position_y_m"), ("xcoords", "position_x_m")
_FRAMES_BESIDE = "the frames are in NAME_dp.hdf5 beside NAME_para.hdf5; either finds the other"

PTY_CHI: Final = Layout(
    ("HDF5",),
    "probe_position_x_m and object, without the attribute of a ptychodus product",
    (
        needed("/probe_position_y_m", "(n,) f8", *_Y, unit="m"),
        needed("/probe_position_x_m", "(n,) f8", *_X, unit="m"),
        maybe("/probe", "([opr,] mode, N, N) c8", "probeGuess"),
        maybe("/probe@pixel_height_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/probe@pixel_width_m", "f8", "object_pixel_size_m", unit="m"),
        needed("/object", "(slice, H, W) c8", "objectGuess"),
        maybe("/object@pixel_height_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/object@pixel_width_m", "f8", "object_pixel_size_m", unit="m"),
        maybe("/dp", "(n, N, N) counts, in NAME_dp.hdf5", "diffraction"),
    ),
    (_FRAMES_BESIDE, "there is neither energy nor distance"),
    pairs=True,
)

FOLD_SLICE: Final = Layout(
    ("HDF5",),
    "ppX and ppY",
    (
        needed("/ppX", "(n, 1), 0 is the middle", *_X, unit="m"),
        needed("/ppY", "(n, 1), 0 is the middle", *_Y, unit="m"),
        maybe("/lambda", "(1, 1)", "wavelength_m", unit="m"),
        maybe("/dx", "(1, 1)", "object_pixel_size_m", unit="m"),
        maybe("/angle", "(1, 1)", "tomography_angle_deg", unit="deg"),
        maybe("/dp", "(n, N, N) counts, in NAME_dp.hdf5", "diffraction"),
    ),
    (_FRAMES_BESIDE, "--detector-pixel gives the distance"),
    pairs=True,
)

DP: Final = Layout(
    ("HDF5",),
    "dp of three axes",
    (needed("/dp", "(n, N, N) counts, often f4", "diffraction"),),
    ("NAME_para.hdf5 beside it, of pty-chi or of fold_slice, has all else",),
    pairs=True,
)

TIKE: Final = Layout(
    ("NPZ", "HDF5"),
    "data with scan, whose last axis has two",
    (
        needed("/data", "([1,] n, N, N) counts, zero frequency in the corner", "diffraction"),
        needed(
            "/scan",
            "([1,] n, 2) f4, row column of the first corner",
            "ycoords",
            "xcoords",
            unit="pixel",
        ),
        maybe("/probe", "(1, 1, 1, mode, N, N) c8", "probeGuess"),
        maybe("/psi", "([slice,] H, W) c8", "objectGuess"),
        maybe("/eigen_probe", "(1, eigen, mode, N, N) c8", "probeGuess"),
        maybe("/eigen_weights", "(n, eigen, mode) f4", "opr_weights"),
    ),
    ("may be wrapped in bz2 (.npz.bz2)", "of several scans --entry names one"),
)

SLAC: Final = Layout(
    ("NPZ",),
    "diffraction whose last axis alone is as long as xcoords_start, and no document",
    (
        needed("/diffraction", "(H, W, n) counts, often f4", "diffraction"),
        needed(
            "/ycoords_start", "(n,); metres if at most 1e-3", "ycoords_start", *_Y, unit="pixel"
        ),
        needed(
            "/xcoords_start", "(n,); metres if at most 1e-3", "xcoords_start", *_X, unit="pixel"
        ),
        maybe("/ycoords", "(n,), refined", *_Y, unit="pixel"),
        maybe("/xcoords", "(n,), refined", *_X, unit="pixel"),
        maybe("/probeGuess", "(N, N) complex", "probeGuess"),
        maybe("/objectGuess", "(H, W) complex", "objectGuess"),
        maybe("/detector_distance_m", "number", "detector_distance_m", unit="m"),
        maybe("/photon_energy_eV", "number; or probe_energy_ev", "photon_energy_eV", unit="eV"),
        maybe("/detector_pixel_size_m", "number", "detector_pixel_size_m", unit="m"),
    ),
)

PTYLAB: Final = Layout(
    ("HDF5",),
    "ptychogram and encoder",
    (
        needed("/ptychogram", "(n, N, N) counts, f4", "diffraction"),
        needed("/encoder", "(n, 2), row column", *_Y, *_X, unit="m"),
        maybe("/wavelength", "number", "wavelength_m", unit="m"),
        maybe("/dxd", "number: the detector's pixel", "detector_pixel_size_m", unit="m"),
        maybe("/zo", "number", "detector_distance_m", unit="m"),
        maybe("/theta", "number", "tilt_angle_deg", unit="deg"),
        maybe("/orientation", "0 to 7: 4 transposes, then 2 flips rows, then 1 columns"),
        maybe("/entrancePupilDiameter", "number, kept", unit="m"),
        maybe("/emptyBeam", "(N, N), kept"),
    ),
    ("--with a result gives probe and object",),
    pairs=True,
)

PTYLAB_RESULT: Final = Layout(
    ("HDF5",),
    "an object of six axes, probe and zo",
    (
        needed("/object", "(1, 1, 1, slice, H, W) complex", "objectGuess"),
        needed("/probe", "(1, 1, mode, slice, N, N) complex", "probeGuess"),
        needed("/zo", "number", "detector_distance_m", unit="m"),
        maybe("/wavelength", "number", "wavelength_m", unit="m"),
        maybe("/dxp", "number: the object's pixel", "object_pixel_size_m", unit="m"),
        maybe("/dxd", "number: the detector's pixel", "detector_pixel_size_m", unit="m"),
        maybe("/encoder", "(n, 2), row column", *_Y, *_X, unit="m"),
        maybe("/encoder_corrected", "(n, 2), row column", "ycoords", "xcoords", unit="m"),
        maybe("/error", "(epochs,)", "loss"),
    ),
    ("--with a scan gives frames",),
    pairs=True,
)

PTYCHOSHELVES: Final = Layout(
    ("MATLAB 5", "MATLAB 7.3"),
    "probe and object, or one of them with outputs.probe_positions, p.positions or p.lambda",
    (
        needed("/probe", "(N, N[, mode[, opr]]) complex", "probeGuess"),
        needed("/object", "(H, W[, layer]) complex", "objectGuess"),
        needed(
            "/outputs/probe_positions",
            "(n, 2), x y about the object's middle",
            "ycoords",
            "xcoords",
            unit="pixel",
        ),
        maybe("/outputs/fourier_error_out", "(epochs,)", "loss"),
        maybe(
            "/p/positions",
            "(n, 2), row column of the first corner, from 1",
            "ycoords",
            "xcoords",
            unit="pixel",
        ),
        maybe("/p/lambda", "number", "wavelength_m", unit="m"),
        maybe("/p/dx_spec", "(2,), width height", "object_pixel_size_m", unit="m"),
        maybe("/p/angle", "number", "tomography_angle_deg", unit="deg"),
        maybe("/p/multi_slice_param/z_distance", "(layers-1,)", "slice_spacing_m", unit="m"),
    ),
    (
        "shapes are as MATLAB shows them; in 7.3, which is HDF5, all axes are the other way round",
        "there are no frames; --detector-pixel gives the distance",
    ),
)
