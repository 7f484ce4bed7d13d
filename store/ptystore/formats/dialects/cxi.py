"""CXI 1.6: frames and translations of the sample, also as ptychodus writes it, in two files."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ptystore.errors import InputError, located
from ptystore.formats.assemble import Contents
from ptystore.formats.dialects.cxi_basis import (
    add_detector_pixel_of_basis,
    basis_of,
    probe_positions,
)
from ptystore.formats.dialects.cxi_parts import (
    add_detector_maps,
    add_frames,
    add_monitor,
    add_probe,
    check_corner,
    entry_of,
    frames_path,
    translation_of,
    with_told,
)
from ptystore.formats.dialects.cxi_ptychodus import (
    add_facts,
    add_product,
    is_ptychodus,
    position_numbers,
)
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.near_field import warn_of_near_field
from ptystore.formats.dialects.nexus_units import Units, add_pixel_sizes, add_radiation
from ptystore.formats.dialects.ptychodus_pairing import partners
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree, has
from ptystore.formats.supplement_views import some_frames
from ptystore.model.lazy_array import Indices

__all__ = ["CxiScan", "PtychodusCxi", "add_translations", "cxi_entries"]

_VERSION = "/cxi_version"
_DETECTOR = "instrument_1/detector_1"


class Part(NamedTuple):
    """An entry of a file."""

    tree: Tree
    entry: str

    @property
    def detector(self) -> str:
        return f"{self.entry}/{_DETECTOR}"


class CxiScan:
    """Whatever program wrote it: the sign of positions by the detector's basis."""

    name = "cxi"
    title = "CXI 1.6"
    line = 42
    keys: tuple[str, ...] = (_VERSION, f"/entry_1/{_DETECTOR}", "/entry_1/data_1")

    def matches(self, tree: Tree) -> bool:
        entries = cxi_entries(tree)
        return tree.container == "hdf5" and bool(entries) and _is_cxi(tree, entries)

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        entry = entry_of(tree, cxi_entries(tree) or _none(tree), context.entry)
        return _read(scan, Part(tree, entry))


class PtychodusCxi(CxiScan):
    """ptychodus 1.7: diffraction.cxi has the frames, product.cxi all else; or both in one."""

    name = "ptychodus-cxi"
    title = "ptychodus, CXI"
    line = 41
    keys = (_VERSION, "/entry_1/ptychodus", "/entry_1/image_1/data", "/entry_1/image_2/data")

    def matches(self, tree: Tree) -> bool:
        own = [entry for entry in cxi_entries(tree) if is_ptychodus(tree, f"/{entry}")]
        return super().matches(tree) and bool(own)


def cxi_entries(tree: Tree) -> list[str]:
    """The entries that may hold a scan."""
    parts = ("data_1", _DETECTOR, "image_1", "sample_1", "ptychodus")
    return [
        name
        for name in tree.children()
        if tree.kind(f"/{name}") == "group"
        and name.startswith("entry")
        and any(has(tree, f"/{name}/{part}") for part in parts)
    ]


def _is_cxi(tree: Tree, entries: list[str]) -> bool:
    return has(tree, _VERSION) or any(has(tree, f"/{name}/{_DETECTOR}") for name in entries)


def _none(tree: Tree) -> list[str]:
    raise InputError("has no entry of CXI, such as entry_1", file=tree.path)


def _read(scan: Scan, own: Part) -> Contents:
    frames = own if frames_path(own.tree, own.entry) is not None else None
    is_product = is_ptychodus(own.tree, own.entry) and has(own.tree, f"{own.entry}/image_1/data")
    product = own if translation_of(scan, *own) is not None or is_product else None
    if frames is None:
        frames = _partner(scan, "diffraction")
    elif product is None:
        product = _partner(scan, "product")
    parts = [part for part in (frames, product) if part is not None]
    for part in parts if frames != product else parts[:1]:
        _facts(scan, part)
    rows = None
    found = None if product is None else translation_of(scan, *product)
    if frames is not None:
        path = frames_path(*frames)
        assert path is not None
        # Other stacks of four axes are modules of a detector.
        is_raster = found is not None and math.prod(frames.tree.shape(path)[:2]) == len(found[0])
        add_frames(scan, frames.tree, path, may_be_raster=is_raster)
        add_monitor(scan, *frames)
        add_detector_maps(scan, frames.tree, frames.detector)
        basis = basis_of(frames.tree, frames.detector)
        check_corner(scan, frames.tree, frames.detector, basis)
    if frames is not None and product is not None and frames != product:
        rows = _paired(scan, frames, product)
    _rest(scan, frames, product, rows)
    return with_told(scan.contents(), *(product or own))


def _partner(scan: Scan, stem: str) -> Part | None:
    """The other one of the two files, None where there is none.

    Raises `InputError` for one that the caller named and that is no such file.
    """
    suffix = scan.tree.path.suffix
    found = scan.partner(*dict.fromkeys((f"{stem}{suffix}", f"{stem}.cxi")))
    if found is None:
        return None
    entries = cxi_entries(found)
    part = Part(found, entry_of(found, entries, None)) if entries else None
    if part is not None:
        wants_frames = stem == "diffraction"
        is_right = (frames_path(*part) if wants_frames else translation_of(scan, *part)) is not None
        if is_right:
            return part
    lacks = "frames" if stem == "diffraction" else "translations"
    reason = f"holds no {lacks} of CXI: it is no partner of {scan.tree.path.name}"
    if scan.context.options.partner is not None:
        raise InputError(reason, file=found.path)
    scan.remarks.append(f"{found.path.name} {reason}")
    return None


def _facts(scan: Scan, part: Part) -> None:
    units = Units(scan, part.tree, is_si=True)
    source = f"{part.entry}/instrument_1/source_1"
    add_radiation(units, (f"{source}/wavelength",), (f"{source}/energy",))
    units.add("detector_distance_m", "length", f"{part.detector}/distance")
    add_pixel_sizes(units, part.detector)
    add_detector_pixel_of_basis(scan, basis_of(part.tree, part.detector), part.detector)
    add_facts(scan, part.tree, part.entry)


def _paired(scan: Scan, frames: Part, product: Part) -> Indices | None:
    """The positions that have a frame, which are the only frames then; None for all in order.

    The file of frames has no numbers: its own rows are counted, as ptychodus counts them.
    """
    numbers = position_numbers(*product)
    count = scan.arrays["diffraction"].shape[0]
    if numbers is None:
        return None
    own = np.arange(count)
    in_rows = bool(len(numbers) and numbers.min() >= 0 and numbers.max() < count)
    if not in_rows and len(numbers) == count and bool((np.diff(numbers) > 0).all()):
        scan.remarks.append(
            f"{frames.tree.path.name} has no numbers of its frames, and as many as there are "
            f"positions, whose numbers are {numbers[0]} to {numbers[-1]}: paired in order"
        )
        return None
    with located(file=product.tree.path):
        may_lack = scan.context.may_lack or frames.tree is scan.tree
        rows, taken, remarks = partners(numbers, own, may_lack=may_lack)
    scan.remarks.extend(remarks)
    if not np.array_equal(taken, own):
        for name in ("diffraction", "monitor"):
            if name in scan.arrays:
                scan.arrays[name] = some_frames(scan.arrays[name], 0, taken)
    return rows


def _rest(scan: Scan, frames: Part | None, product: Part | None, rows: Indices | None) -> None:
    """Probe, object, positions, and a word on what is not there."""
    if frames is None:
        scan.lacks_frames("holds no frames: --with names a file diffraction.cxi that has them")
    if product is None:
        scan.lacks_positions(
            "holds no positions: --positions names a file of them, --with a product.cxi"
        )
    elif is_ptychodus(*product):
        add_product(scan, *product, rows)
        return
    part = product or frames
    assert part is not None
    add_probe(scan, *part, is_surely=False)
    if product is not None:
        add_translations(scan, *product, product.detector)


def add_translations(scan: Scan, tree: Tree, entry: str, detector: str) -> None:
    """Positions in metres and, where it is known how large an object's pixel is, in pixels.

    Raises `InputError` where there are not as many as frames.
    """
    found = translation_of(scan, tree, entry)
    if found is None:
        scan.lacks_positions("holds no positions: --positions names a file of them")
        return
    translation, path = found
    count = scan.arrays["diffraction"].shape[0] if "diffraction" in scan.arrays else None
    if count is not None and len(translation) != count:
        if scan.context.options.positions.place is not None:
            return
        raise InputError(
            f"has {len(translation)} translations for {count} frames",
            file=tree.path,
            member=path,
            advice="--positions names a file of others",
        )
    option = "--positions with --position-units"
    times = Units(scan, tree, is_si=True).times("length", path, 0.0, option)
    assert times is not None
    y, x = probe_positions(translation * times, basis_of(tree, detector))
    scan.relative_positions_m(y, x, scan.frame_shape())
    warn_of_near_field(scan)
