"""ptypy: prepared scans and reconstructions."""

from __future__ import annotations

from typing import Final

from ptystore.model.known_formats import Layout, maybe, needed

__all__ = ["PTYD", "PTYD_PART", "PTYR"]

_MADE_OF_METRES = ("ycoords", "xcoords", "position_y_m", "position_x_m")

PTYD: Final = Layout(
    ("HDF5",),
    "groups chunks and meta",
    (
        needed("/meta", "group"),
        maybe("/meta/energy", "number", "photon_energy_eV", unit="keV"),
        maybe("/meta/distance", "number", "detector_distance_m", unit="m"),
        maybe("/meta/psize", "number or (2,)", "detector_pixel_size_m", unit="m"),
        maybe("/meta/center", "(2,)", "center_px", unit="pixel"),
        maybe("/meta/num_frames", "integer"),
        maybe("/meta/weight2d", "(N, N), > 0 is good", "mask"),
        needed("/chunks", "group of chunks by number, in the file or linked (.part000)"),
        maybe("/chunks/0", "group"),
        maybe("/chunks/0/data", "(m, N, N) counts", "diffraction"),
        maybe("/chunks/0/indices", "(m,) integer", "frame_index"),
        maybe("/chunks/0/positions", "(m, 2), row column", *_MADE_OF_METRES, unit="m"),
        maybe("/chunks/0/weights", "(m, N, N) f8, > 0 is good", "mask"),
    ),
    (
        "every node has an attribute type; frames are in the order of their indices",
        "parts are looked for beside the master, by their names",
        "--with a .ptyr gives probe and object",
    ),
    pairs=True,
)

PTYR: Final = Layout(
    ("HDF5",),
    "content/obj and content/probe",
    (
        needed("/content/probe", "group of storages"),
        maybe("/content/probe/<S>/data", "(mode, N, N) complex", "probeGuess"),
        needed("/content/obj", "group of storages"),
        maybe("/content/obj/<S>/data", "(layer, H, W) complex", "objectGuess"),
        maybe("/content/obj/<S>/_psize", "(2,)", "object_pixel_size_m", unit="m"),
        maybe("/content/obj/<S>/_center", "(2,)", unit="pixel"),
        maybe("/content/positions/<S>", "(n, 2), row column", *_MADE_OF_METRES, unit="m"),
    ),
    (
        "of several storages --entry names one",
        "several layers of the object are modes of it, kept as object_modes",
        "--with a .ptyd gives frames",
    ),
    pairs=True,
)

PTYD_PART: Final = Layout(
    ("HDF5",),
    "data, indices, positions and weights with ptypy's attributes",
    (
        needed("/data", "(m, N, N) counts"),
        needed("/indices", "(m,) integer"),
        needed("/positions", "(m, 2)", unit="m"),
        needed("/weights", "(m, N, N) f8"),
    ),
    ("not read by itself: its master links to it",),
)
