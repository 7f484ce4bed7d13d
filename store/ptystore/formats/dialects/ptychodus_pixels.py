"""ptychodus 1.7's files with positions in pixels: training HDF5 and `.npz` for PtychoPINN.

Both count from the middle (N - 1)/2 of a window, and have their bad pixels filled in place.
"""

from __future__ import annotations

from ptystore.formats.assemble import Contents, ReadOptions
from ptystore.formats.dialects.coordinates import half_pixel
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.ptychodus_parts import (
    add_fact,
    add_mask,
    add_pixel,
    add_probe_and_object,
    frames_of,
    positions_of,
)
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, has
from ptystore.model.geometry import RawFrame
from ptystore.model.lazy_array import Array

__all__ = ["PtychodusForPtychoPinn", "PtychodusTraining"]

_FILLED = RawFrame(filled="inpaint")


class PtychodusTraining:
    """Frames, positions, probe and object of a product, for training a network."""

    name = "ptychodus-training"
    title = "ptychodus 1.7 training file, HDF5"
    line = 50
    keys = ("/patterns", "/probe_position_x_px", "/probe_position_y_px")

    def matches(self, tree: Tree) -> bool:
        return tree.container == "hdf5" and has(tree, *self.keys)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        frames = frames_of(tree, "/patterns")
        scan.counts(frames)
        add_fact(scan, tree, "photon_energy_eV", "photon_energy_eV", zero_is_unset=True)
        distance = "detector_object_distance_m"
        add_fact(scan, tree, "detector_distance_m", distance, zero_is_unset=True)
        add_pixel(
            scan,
            tree,
            "object_pixel_size_m",
            *("/object_pixel_{side}_m", "/@object_pixel_{side}_m", "/object@pixel_{side}_m"),
        )
        add_probe_and_object(scan, tree)
        _mask(scan, tree, frames.shape)
        _, height, width = frames.shape
        y = _moved(tree, "/probe_position_y_px", height)
        scan.positions(y, _moved(tree, "/probe_position_x_px", width))
        return scan.contents()


class PtychodusForPtychoPinn:
    """What ptychodus 1.7 writes for PtychoPINN, half a pixel off; PtychoPINN's own are no dialect.

    It has bad pixels and no document, and its probe has an axis of modes.
    """

    name = "ptychodus-ptychopinn"
    title = "ptychodus 1.7 for PtychoPINN, .npz"
    line = 63
    keys = ("/diff3d", "/bad_pixels", "/probeGuess", "/xcoords", "/ycoords")

    def matches(self, tree: Tree) -> bool:
        return (
            tree.container == "npz"
            and has(tree, *self.keys)
            and len(tree.shape("/diff3d")) == len(tree.shape("/probeGuess")) == 3
            and tree.plain(ReadOptions()).metadata is None
        )

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        plain = tree.plain(context.options)
        scan.arrays.update(plain.arrays)
        scan.remarks.extend(plain.remarks)
        for name in ("diff3d", "bad_pixels"):
            scan.arrays.pop(name, None)
        frames = frames_of(tree, "/diff3d")
        if frames.dtype.kind in "iu":
            scan.counts(frames)
        else:
            scan.arrays["diffraction"] = frames
        _, height, width = frames.shape
        for axis, size in (("y", height), ("x", width)):
            for name in (f"{axis}coords", f"{axis}coords_start"):
                if name in scan.arrays:
                    scan.arrays[name] = memory_array(_moved(tree, f"/{name}", size))
        add_probe_and_object(scan, tree, "/probeGuess", "/objectGuess")
        _mask(scan, tree, frames.shape)
        return scan.contents()


def _mask(scan: Scan, tree: Tree, shape: tuple[int, ...]) -> None:
    add_mask(scan, tree, shape[1:])
    scan.raw_frame = _FILLED


def _moved(tree: Tree, path: str, size: int) -> Array:
    """Positions (n,) from the anchor (N - 1)/2 to N//2."""
    return positions_of(tree, path) + half_pixel(size)
