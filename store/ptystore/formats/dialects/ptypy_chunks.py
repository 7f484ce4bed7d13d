"""The chunks of a scan that ptypy prepared, in its file or beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ptystore.errors import InputError, InputMissingError
from ptystore.formats.assemble import RawArray
from ptystore.formats.dialects.ptypy_nodes import is_array, node, node_number, node_pair
from ptystore.formats.dialects.ptypy_storages import positions_of
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree
from ptystore.formats.dialects.views import in_order
from ptystore.model.geometry import RawFrame
from ptystore.model.lazy_array import Array, CachedArray, LazyArray, LazyBase

__all__ = ["CHUNKS", "META", "prepared"]

CHUNKS, META = "/chunks", "/meta"

#: Of CXI's bits, the one of a pixel whose value means nothing.
_INVALID = 1
_BLOCK = 32 << 20

# Beyond this, floating point does not count frames one by one.
_MOST_FRAMES = 2**53


@dataclass(frozen=True)
class _Chunk:
    """One chunk: the frames (m, ky, kx), their numbers (m,), positions (m, 2) m, weights."""

    frames: RawArray
    indices: Array
    positions: Array | None
    weights: RawArray | None


def prepared(scan: Scan, tree: Tree) -> Array | None:
    """Frames, mask and facts of a `.ptyd` into `scan`; the positions (n, 2) in metres are returned.

    Frames are in the order of their indices, which are kept as `frame_index`. A pixel is bad where
    its weight is not above zero, in any frame. Raises `InputError` for parts that are not there.
    """
    energy = node_number(tree, f"{META}/energy")
    scan.positive("photon_energy_eV", energy, 1e3)  # keV
    scan.positive("detector_distance_m", node_number(tree, f"{META}/distance"))
    scan.fact("detector_pixel_size_m", node_pair(tree, f"{META}/psize"), f"{META}/psize")
    chunks = [_chunk(scan, tree, name) for name in _numbered(tree)]
    shapes = {chunk.frames.shape[1:] for chunk in chunks}
    if len(shapes) != 1:
        told = ", ".join(sorted(map(str, shapes)))
        raise InputError(f"has frames of various shapes: {told}", file=tree.path, member=CHUNKS)
    indices = np.concatenate([chunk.indices for chunk in chunks])
    twice = [str(number) for number, count in Counter(indices.tolist()).items() if count > 1]
    if twice:
        told = ", ".join(twice[:5])
        raise InputError(f"has frames twice, of indices {told}", file=tree.path, member=CHUNKS)
    scan.counts(in_order([chunk.frames for chunk in chunks], indices))
    order = np.argsort(indices, kind="stable")
    scan.arrays["frame_index"] = memory_array(indices[order])
    shape = next(iter(shapes))
    _mask(scan, tree, chunks, shape)
    center = _center(tree)
    scan.raw_frame = RawFrame(detector_shape=(shape[0], shape[1]), center_px=center)
    scan.warn_of_center()
    announced = node_number(tree, f"{META}/num_frames")
    if announced is not None and len(indices) < announced[0]:
        scan.remarks.append(f"holds {len(indices)} of the {announced[0]:.0f} frames it announces")
    found = [chunk.positions for chunk in chunks if chunk.positions is not None]
    if len(found) not in (0, len(chunks)):
        raise InputError("has positions for some chunks only", file=tree.path, member=CHUNKS)
    if not found:
        scan.lacks_positions("holds no positions: --positions names a file of them")
        return None
    positions: Array = np.concatenate(found)[order]
    return positions


def _numbered(tree: Tree) -> list[str]:
    """The names of the chunks by their numbers."""
    names = list(tree.children(CHUNKS))
    if not names:
        raise InputError("holds no chunk", file=tree.path, member=CHUNKS)
    odd = [name for name in names if not (name.isascii() and name.isdecimal())]
    if odd:
        raise InputError("is no number of a chunk", file=tree.path, member=f"{CHUNKS}/{odd[0]}")
    return sorted(names, key=int)


def _chunk(scan: Scan, master: Tree, name: str) -> _Chunk:
    tree, path = master, f"{CHUNKS}/{name}"
    outside = master.outside(path)
    if outside is not None:
        tree, path = _part(scan, master, path, outside)
    indices = node(tree, f"{path}/indices")
    if not is_array(tree, f"{path}/data") or indices is None:
        raise InputError("lacks data or indices", file=tree.path, member=path or "/")
    is_real = indices.dtype.kind in "iuf" and np.abs(indices).max(initial=0) < _MOST_FRAMES
    if not is_real or not np.array_equal(indices, np.round(indices)):
        raise InputError("has no whole numbers", file=tree.path, member=f"{path}/indices")
    frames = tree.array(f"{path}/data", "diffraction")
    weights = f"{path}/weights"
    chunk = _Chunk(
        frames,
        indices.reshape(-1).astype(np.int64),
        positions_of(tree, f"{path}/positions"),
        tree.array(weights, "mask") if is_array(tree, weights) else None,
    )
    counts = {"data": frames.shape[:1], "indices": chunk.indices.shape}
    if chunk.positions is not None:
        counts["positions"] = chunk.positions.shape[:1]
    if len(frames.shape) != 3 or indices.dtype.kind not in "iu" or len({*counts.values()}) != 1:
        told = ", ".join(f"{key} {shape}" for key, shape in counts.items())
        raise InputError(
            f"does not fit together: {told}, frames of shape {frames.shape}",
            file=tree.path,
            member=path or "/",
        )
    if chunk.weights is not None and chunk.weights.shape not in (frames.shape, frames.shape[1:]):
        raise InputError(
            f"has shape {chunk.weights.shape}, the frames {frames.shape}",
            file=tree.path,
            member=weights,
        )
    return chunk


def _part(scan: Scan, master: Tree, path: str, outside: tuple[str, str]) -> tuple[Tree, str]:
    """A chunk in a file of its own, which lies beside the master wherever its link leads.

    ptypy stores the path as the user typed it. A file of that name outside of the master's
    folder, reached by a symbolic link, is not opened.
    """
    name = PurePosixPath(outside[0].replace("\\", "/")).name
    beside = master.path.with_name(name) if name not in ("", ".", "..") else master.path
    if beside == master.path:
        raise InputError(f"leads to {outside[0]!r}, which is no part", member=path)
    folder = master.path.parent.resolve()
    if not beside.exists():
        raise InputMissingError(
            f"its frames are in {name}, which is not beside it",
            file=master.path,
            member=path,
            advice=f"put {name} into {folder}",
        )
    if beside.resolve().parent != folder:
        raise InputError(
            f"its frames are in {name}, which leads out of the folder: it is not opened",
            file=master.path,
            member=path,
            advice=f"put {name} itself into {folder}",
        )
    tree = scan.context.open_tree(beside)
    scan.hold(tree)
    return tree, outside[1].rstrip("/")


def _center(tree: Tree) -> tuple[float, float] | None:
    center = node_pair(tree, f"{META}/center")
    return None if center is None else (center[0], center[1])


def _mask(scan: Scan, tree: Tree, chunks: list[_Chunk], shape: tuple[int, ...]) -> None:
    weights = [chunk.weights for chunk in chunks if chunk.weights is not None]
    if not weights:
        common = (f"{place}/weight2d" for place in (META, "/info"))
        found = [path for path in common if is_array(tree, path) and tree.shape(path) == shape]
        weights = [tree.array(path, "mask") for path in found[:1]]
    if weights:
        build = partial(_built_mask, tuple(weights), shape)
        scan.arrays["mask"] = RawArray(shape, np.dtype(np.uint32), build)


def _built_mask(weights: tuple[RawArray, ...], shape: tuple[int, ...], axis: int) -> LazyArray:
    return CachedArray(_Mask([raw.build(0) for raw in weights], shape, axis))


class _Mask(LazyBase):
    """Bad pixels, from the weights of all frames: read block by block, when they are needed."""

    dtype: np.dtype[Any] = np.dtype(np.uint32)

    def __init__(self, weights: list[LazyArray], shape: tuple[int, ...], axis: int) -> None:
        self._weights = weights
        self.shape = shape
        self.axis = axis

    def read(self, start: int, stop: int) -> Array:
        bad = np.zeros(self.shape, bool)
        for weights in self._weights:
            if len(weights.shape) == 2:
                bad |= ~(weights.read(0, weights.shape[0]) > 0)
                continue
            row_bytes = int(np.prod(weights.shape[1:])) * weights.dtype.itemsize
            step = max(1, _BLOCK // max(1, row_bytes))
            for first in range(0, weights.shape[0], step):
                block = weights.read(first, min(first + step, weights.shape[0]))
                bad |= ~(block > 0).all(0)
        mask = np.where(bad, np.uint32(_INVALID), np.uint32(0))
        return mask[(slice(None),) * self.axis + (slice(start, stop),)]
