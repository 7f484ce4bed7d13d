"""ptychodus: products and the diffraction files that belong to them, in HDF5 and `.npz`."""

from __future__ import annotations

import dataclasses

import numpy as np

from ptystore.errors import InputError, located
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.ptychodus_pairing import partners
from ptystore.formats.dialects.ptychodus_parts import (
    add_mask,
    add_pixel,
    frame_numbers,
    frames_of,
)
from ptystore.formats.dialects.ptychodus_product import INDEXES, POSITIONS, add_product
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, has, numbers, text
from ptystore.formats.supplement_views import some_frames
from ptystore.model.lazy_array import Indices
from ptystore.model.metadata import Metadata

__all__ = ["PtychodusDiffraction", "PtychodusProduct"]

_PATTERNS, _INDEXES, _BAD = "/patterns", "/indexes", "/bad_pixels"
_DISTANCE, _WIDTH = "detector_object_distance_m", "/probe_pixel_width_m"


class PtychodusProduct:
    """Probe, object and positions in metres; the frames are in the diffraction file beside it."""

    name = "ptychodus-product"
    title = "ptychodus product, HDF5 or .npz"
    line = 51
    keys = (*POSITIONS, "/probe", "/object")

    def matches(self, tree: Tree) -> bool:
        return tree.container in ("hdf5", "npz") and _is_product(tree)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        beside = _partner(scan, "diffraction")
        return _read(scan, tree, beside)


class PtychodusDiffraction:
    """Frames with their numbers and bad pixels; the product beside it has the rest."""

    name = "ptychodus-diffraction"
    title = "ptychodus diffraction, HDF5 or .npz"
    line = 52
    keys = (_PATTERNS, _INDEXES, _BAD)

    def matches(self, tree: Tree) -> bool:
        also = (_BAD,) if tree.container == "npz" else (_INDEXES, _BAD)
        is_known = tree.container in ("hdf5", "npz")
        return is_known and _has_frames(tree) and any(has(tree, path) for path in also)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        return _read(scan, _partner(scan, "product"), tree)


def _is_product(tree: Tree) -> bool:
    """pty-chi's parameters have the same names in HDF5, but for this attribute."""
    told = _DISTANCE in tree.attrs() if tree.container == "hdf5" else has(tree, _WIDTH)
    return told and has(tree, *POSITIONS)


def _has_frames(tree: Tree) -> bool:
    return has(tree, _PATTERNS) and len(tree.shape(_PATTERNS)) == 3


def _partner(scan: Scan, stem: str) -> Tree | None:
    """The file beside it with frames or with a product, None where there is none.

    Raises `InputError` for one that the caller named and that is something else, or that has no
    numbers of frames.
    """
    own = scan.tree
    suffixes = dict.fromkeys((own.path.suffix, ".h5", ".npz"))
    found = scan.partner(*(f"{stem}{suffix}" for suffix in suffixes))
    if found is None:
        return None
    mine, theirs, is_right = INDEXES, _INDEXES, _has_frames(found)
    if stem == "product":
        mine, theirs, is_right = _INDEXES, INDEXES, has(found, *POSITIONS)
    reason = None
    if not is_right:
        lacks = "no patterns" if stem == "diffraction" else "no positions of a product"
        reason = f"holds {lacks}: it is no partner of {own.path.name}"
    elif not has(own, mine) or not has(found, theirs):
        lacking = own if not has(own, mine) else found
        path = mine if lacking is own else theirs
        reason = f"can't be paired: {lacking.path.name} has no {path.strip('/')}"
    if reason is None:
        return found
    if scan.context.options.partner is not None:
        raise InputError(reason, file=found.path)
    scan.remarks.append(f"{found.path.name} {reason}")
    return None


def _read(scan: Scan, product: Tree | None, frames: Tree | None) -> Contents:
    of_frames = rows = None
    may_lack = scan.context.may_lack or frames is scan.tree
    if product is not None and frames is not None:
        given, known = frame_numbers(product, INDEXES), frame_numbers(frames, _INDEXES)
        assert given is not None  # or they would be no partners
        assert known is not None
        with located(file=frames.path, member=_INDEXES):
            rows, of_frames, remarks = partners(given, known, may_lack=may_lack)
        scan.remarks.extend(remarks)
    if frames is not None:
        _frames(scan, frames, of_frames)
    if product is not None:
        add_product(scan, product, rows)
    if frames is None:
        scan.lacks_frames("the frames are in a file diffraction.h5 or .npz, which --with names")
    if product is None:
        scan.lacks_positions(
            "the positions are in a file product.h5 or .npz, which --with names; --positions takes "
            "others"
        )
    contents = scan.contents()
    told = {} if product is None else _told(product)
    if not told:
        return contents
    return dataclasses.replace(contents, metadata=Metadata.create(additional=told))


def _frames(scan: Scan, tree: Tree, rows: Indices | None) -> None:
    """Patterns at `rows`, or all, the mask and what is known of each frame."""
    raw = frames_of(tree, _PATTERNS)
    count, *frame = raw.shape
    taken = np.arange(count) if rows is None else rows
    is_all = np.array_equal(taken, np.arange(count))
    scan.counts(raw if is_all else some_frames(raw, 0, taken))
    add_mask(scan, tree, tuple(frame))
    add_pixel(
        scan,
        tree,
        "detector_pixel_size_m",
        *(f"{_PATTERNS}@detector_pixel_{{side}}_m", "/detector_pixel_{side}_m"),
    )
    indexes, photons = frame_numbers(tree, _INDEXES), numbers(tree, "/probe_photon_counts")
    per_frame = {
        "frame_index": indexes,
        "probe_photon_counts": None if photons is None else np.atleast_1d(photons[0]),
    }
    for name, found in per_frame.items():
        if found is None:
            continue
        if len(found) != count:
            reason = f"has {len(found)} entries for {count} frames"
            member = _INDEXES if name == "frame_index" else "/probe_photon_counts"
            raise InputError(reason, file=tree.path, member=member)
        scan.arrays[name] = memory_array(found[taken])


def _told(tree: Tree) -> dict[str, str]:
    """What the product's maker wrote of it."""
    found = {name: text(tree, f"/@{name}", f"/{name}") for name in ("name", "comments")}
    return {
        name: one[0].encode("utf-8", "replace").decode("utf-8")
        for name, one in found.items()
        if one is not None and one[0]
    }
