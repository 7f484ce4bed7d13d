"""A scan being put together from another tool's file: arrays, facts, remarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptystore.compute.placing import derived_facts, object_pixel, placed
from ptystore.errors import InputError, ParameterError
from ptystore.formats.assemble import Contents, RawArray
from ptystore.formats.dialects.coordinates import from_center
from ptystore.formats.dialects.facts import Context, caller_facts
from ptystore.formats.dialects.tree import Tree
from ptystore.model.contract import DIFFRACTION_NAMES
from ptystore.model.geometry import Fact, Geometry, RawFrame
from ptystore.model.lazy_array import Array, MemoryArray
from ptystore.storage.base import Several, Snapshot

__all__ = ["Scan", "memory_array"]


def memory_array(values: Any, attrs: Mapping[str, Any] | None = None) -> RawArray:
    """Values in memory as an array that was found in a file."""
    array = np.ascontiguousarray(values)
    return RawArray(
        array.shape, array.dtype, lambda axis: MemoryArray(array, axis), None, dict(attrs or {})
    )


_ABOVE_ZERO = frozenset(
    {
        *("photon_energy_eV", "electron_energy_eV", "wavelength_m"),
        *("detector_distance_m", "detector_pixel_size_m", "object_pixel_size_m"),
    }
)


class Scan:
    """Collects what a dialect finds; what the caller said counts more than what the file says.

    Fields are named as the contract has them, positions are brought to object pixels. `contents`
    gives all of it; a fact that is not known is left out, never guessed.
    """

    def __init__(self, tree: Tree, context: Context, dialect: str) -> None:
        self.tree = tree
        self.context = context
        self.dialect = dialect
        self.arrays: dict[str, RawArray] = {}
        self.raw_frame: RawFrame | None = None
        self.remarks: list[str] = []
        #: What ceases to be true once frames are cut around their centre.
        self.raw_remarks: list[str] = []
        self._said = caller_facts(context.options)
        self._facts: dict[str, Fact] = {}
        self._snapshots: list[Snapshot] = []
        self._note(tree)

    def _note(self, tree: Tree) -> None:
        if tree.snapshot is not None:
            self._snapshots.append(tree.snapshot)

    def partner(self, *candidates: str) -> Tree | None:
        """The file that belongs to this one, held as it is from now on; see `Context.partner`."""
        found = self.context.partner(self.tree, candidates)
        if found is not None:
            self._note(found)
        return found

    def hold(self, tree: Tree) -> None:
        """Hold another file that values are read from as it is now."""
        self._note(tree)

    # What is not there

    def lacks_frames(self, remark: str) -> None:
        """Say that the file holds no frames, unless the caller brings some."""
        if self.context.options.mapped.keys().isdisjoint(DIFFRACTION_NAMES):
            self.remarks.append(remark)

    def lacks_positions(self, remark: str) -> None:
        """Say that the file holds no positions, or not in pixels, unless the caller brings some."""
        options = self.context.options
        if options.positions.place is None and not {"ycoords", "xcoords"} <= options.mapped.keys():
            self.remarks.append(remark)

    # Facts

    def fact(self, name: str, value: Any, source: str) -> None:
        """A fact as the file has it; None is one that it does not have.

        Sizes and energies that are not above zero are left out, which is said.
        """
        if value is None:
            return
        if name in _ABOVE_ZERO and not np.all(np.greater(value, 0) & np.isfinite(value)):
            remark = f"{source} is {value}: no {name}, it is left out"
            self.remarks.extend([remark] if remark not in self.remarks else [])
            return
        self._facts[name] = Fact(value, source)

    def found(self, name: str, found: tuple[float, str] | None, times: float = 1.0) -> None:
        """A fact as `tree.number` or `tree.text` finds it."""
        if found is not None:
            value, source = found
            self.fact(name, value * times if times != 1.0 else value, source)

    def positive(self, name: str, found: tuple[float, str] | None, times: float = 1.0) -> None:
        """A fact of which 0 stands for unset."""
        if found is not None and found[0] != 0:
            self.found(name, found, times)

    def value(self, name: str) -> Any:
        """What is known of a fact so far, derived ones too; None where it is not known."""
        facts = self._derived()
        return facts[name].value if name in facts else None

    def pixel(self, frame: tuple[int, int]) -> tuple[float, float] | None:
        """The object's pixel [y, x] in metres for frames of that size, None if not known."""
        known = object_pixel(self._derived(), frame)
        if known is None:
            return None
        if known.source == "derived":
            self.fact("object_pixel_size_m", known.value, known.source)
        y, x = known.value
        return y, x

    def _derived(self) -> dict[str, Fact]:
        return derived_facts(self._facts, self._said)

    # Frames

    def counts(self, raw: RawArray, name: str = "diffraction") -> None:
        """Frames that this dialect has as counts, whatever their dtype."""
        attrs = {**raw.attrs, "signal": "counts", "units": "counts"}
        if raw.dtype.kind == "f":
            attrs["signal_said"] = "counts"
        self.arrays[name] = dataclasses.replace(raw, attrs=attrs)

    def warn_of_center(self) -> None:
        """Say it where zero frequency is not at N//2 of the raw frames."""
        lies = self.raw_frame
        if lies is None or lies.center_px is None or lies.detector_shape is None:
            return
        (y, x), (height, width) = lies.center_px, lies.detector_shape
        if abs(y - height // 2) > 1 or abs(x - width // 2) > 1:
            self.raw_remarks.append(
                f"zero frequency is at pixel {y:g}, {x:g} of {height} by {width}: cropping around "
                "the centre puts it to N//2"
            )

    # Positions

    def positions(self, y: Array, x: Array) -> None:
        """Scan positions in object pixels, anchor N//2: (n,) each."""
        for name, values in (("ycoords", y), ("xcoords", x)):
            self.arrays[name] = memory_array(np.asarray(values, np.float64))

    def positions_m(self, y: Array, x: Array) -> None:
        """The probe's positions in metres, kept beside those in pixels."""
        attrs = {"moves": "probe"}
        for name, values in (("position_y_m", y), ("position_x_m", x)):
            self.arrays[name] = memory_array(np.asarray(values, np.float64), attrs)

    def positions_from_center(
        self,
        y: Array,
        x: Array,
        frame: tuple[int, int],
        pixel: tuple[float, float],
        center: tuple[float, float],
    ) -> None:
        """Positions in metres, of which `center` [y, x] is the middle of the object, in pixels."""
        extents = self.arrays["objectGuess"].shape[-2:]
        in_object = [
            from_center(values, middle, own, extent, size)
            for values, middle, own, extent, size in zip(
                (y, x), center, pixel, extents, frame, strict=True
            )
        ]
        self.positions(in_object[0], in_object[1])

    def relative_positions_m(self, y: Array, x: Array, frame: tuple[int, int] | None) -> None:
        """Positions in metres of which only differences are known, of frames of that size.

        They are moved so that all windows lie inside one object, whose shape is noted. Without a
        pixel size they stay in metres alone, and that is said.
        """
        self.positions_m(y, x)
        pixel = self.pixel(frame) if frame is not None else None
        if frame is None or pixel is None:
            self.lacks_positions(
                "the positions are in metres, and nothing says how large an object's pixel is: "
                "--energy, --distance and --detector-pixel, or --pixel-size, tell"
            )
            return
        inside = placed(y, x, frame, pixel)
        self.positions(inside.y, inside.x)
        self.fact("object_shape", list(inside.shape), "derived")

    def _check_raster(self) -> None:
        """Raise `ParameterError` where the caller's raster has not as many points as frames."""
        said = self.context.options.scan_shape
        lists = (self.arrays[name] for name in ("ycoords", "diffraction") if name in self.arrays)
        count = next((raw.shape[0] for raw in lists if raw.shape), None)
        if said is not None and count is not None and said[0] * said[1] != count:
            reason = f"{said[0]} by {said[1]} is no raster of {count} frames"
            raise ParameterError(reason, member="--scan-shape")

    # The end

    def frame_shape(self) -> tuple[int, int] | None:
        """(H, W) of the frames, or of the probe where there are none; None if neither is known."""
        for name, axes in (("diffraction", slice(-2, None)), ("probeGuess", slice(-2, None))):
            if name in self.arrays and len(self.arrays[name].shape) >= 2:
                height, width = self.arrays[name].shape[axes]
                return height, width
        return None

    def contents(self) -> Contents:
        """All that was found."""
        if not self.arrays and not self.context.options.mapped:
            raise InputError(f"holds nothing of a scan, though it looks like {self.dialect}")
        frame = self.frame_shape()
        if frame is not None:
            self.pixel(frame)
        self._check_raster()
        facts = self._derived()
        return Contents(
            self.arrays,
            snapshot=Several(tuple(self._snapshots)),
            remarks=tuple(self.remarks),
            raw_remarks=tuple(self.raw_remarks),
            geometry=Geometry(facts),
            raw_frame=self.raw_frame,
            dialect=self.dialect,
        )
