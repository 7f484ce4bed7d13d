"""Reads 4D-STEM files by rosettasciio, which is asked for the frames as they are needed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.dialects.flat import FlatTree
from ptystore.model.lazy_array import Array, LazyArray, LazyBase
from ptystore.model.source import Storage
from ptystore.storage.local import SourceFile

__all__ = ["StemTree", "read_blockfile", "read_merlin"]

_SCAN_SHAPE = "--scan-shape SLOW,FAST says it"

# What a `.hdr` says of the raster, as `Name:\tNUMBER` a line; there is no need for more of it.
_HEADER_BYTES = 1 << 16
_FRAMES = re.compile(rb"^Frames in Acquisition \(Number\):\s*(\d+)\s*$", re.MULTILINE)
_PER_LINE = re.compile(rb"^Frames per Trigger \(Number\):\s*(\d+)\s*$", re.MULTILINE)


class StemTree(FlatTree):
    """The frames at ``/data``; ``/axis-0`` and on have the attributes of HyperSpy's axes."""

    def __init__(
        self, source: SourceFile, frames: RawArray, attrs: Mapping[str, Mapping[str, Any]]
    ) -> None:
        super().__init__(source.path, "stem", Contents({"data": frames}, snapshot=source))
        self._attrs = attrs

    def attrs(self, path: str = "/") -> Mapping[str, Any]:
        return self._attrs.get(path, {})


def read_merlin(source: SourceFile, options: ReadOptions) -> StemTree:
    """A `.mib`; the raster is the caller's, else that of the `.hdr` beside it.

    Raises `InputError` where neither tells it, and where rosettasciio is not installed.
    """
    grid = options.scan_shape or _raster_of_header(source)
    signal = _Signal(source, grid)
    data = signal.read()["data"]
    remark = "rows come as they lie in the file; HyperSpy shows them upside down: --orientation 2"
    return _tree(signal, data, [], {"remarks": [remark]})


def _raster_of_header(source: SourceFile) -> tuple[int, int]:
    """[slow, fast] as the `.hdr` beside a `.mib` tells it, where the scan triggers every line."""
    beside = source.path.with_suffix(".hdr")
    found = []
    if beside.is_file() and beside != source.path:
        header = SourceFile(beside)
        told = header.read(0, min(header.size, _HEADER_BYTES))
        found = [int(one[1]) for pattern in (_FRAMES, _PER_LINE) if (one := pattern.search(told))]
    if len(found) != 2 or found[1] < 2 or not found[0] or found[0] % found[1]:
        reason = f"no {beside.name} beside it says what raster the frames lie on"
        raise InputError(reason, file=source.path, advice=_SCAN_SHAPE)
    return found[0] // found[1], found[1]


def read_blockfile(source: SourceFile) -> StemTree:
    """A `.blo`. Raises `InputError` where rosettasciio is not installed."""
    signal = _Signal(source, None)
    told = signal.read()
    header, axes = told["original_metadata"]["blockfile_header"], told["axes"]
    if not header["SDP"]:  # for which rosettasciio puts 1 cm
        axes = [{**axis, "units": axis["units"] if axis["navigate"] else ""} for axis in axes]
    return _tree(signal, told["data"], axes, {"beam_energy": float(header["Beam_energy"]) / 1e3})


def _tree(
    signal: _Signal, data: Any, axes: list[dict[str, Any]], root: Mapping[str, Any]
) -> StemTree:
    dtype = np.dtype(data.dtype).newbyteorder("=")
    shape = tuple(int(size) for size in data.shape)
    storage = Storage("rosettasciio", math.prod(shape) * dtype.itemsize)
    frames = RawArray(shape, dtype, partial(_built, signal, shape, dtype), storage)
    attrs = {f"/axis-{at}": axis for at, axis in enumerate(axes)}
    return StemTree(signal.source, frames, {"/": root, **attrs})


class _Signal:
    """What rosettasciio makes of a file; asked again in each process that needs it.

    `grid` is [slow, fast] of a `.mib`, None for a blockfile, which says it.
    """

    def __init__(self, source: SourceFile, grid: tuple[int, int] | None) -> None:
        self.source = source
        self._grid = grid

    def read(self) -> dict[str, Any]:
        """``data`` as a dask array, and what else there is.

        Raises `InputError` for whatever the library raises: damage makes it raise anything.
        """
        path = str(self.source.path.absolute())
        try:
            told = self._told(path)
        except ImportError as error:
            raise InputError(
                f"needs rosettasciio to be read, which is not installed ({error})",
                file=path,
                advice="pip install 'ptystore[stem]'",
            ) from None
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"can't be read by rosettasciio: {error}", file=path) from None
        self.source.check()
        return told

    def _told(self, path: str) -> dict[str, Any]:
        if self._grid is None:
            from rsciio.blockfile import file_reader

            return dict(file_reader(path, lazy=True)[0])
        # Not `file_reader`, which turns frames upside down and guesses a raster from their times.
        from rsciio.quantumdetector import load_mib_data

        data = load_mib_data(path, lazy=True, return_mmap=False)
        height, width = data.shape[-2:]
        count = data.size // (height * width)
        if count != math.prod(self._grid):
            reason = f"holds {count} frames, which are not on a raster of {self._grid}"
            raise InputError(reason, file=path, advice=_SCAN_SHAPE)
        return {"data": data.reshape(*self._grid, height, width)}


def _built(signal: _Signal, shape: tuple[int, ...], dtype: np.dtype[Any], axis: int) -> LazyArray:
    return _StemArray(signal, shape, dtype, axis)


class _StemArray(LazyBase):
    """The data of a signal, computed by dask in the thread that asks."""

    def __init__(
        self, signal: _Signal, shape: tuple[int, ...], dtype: np.dtype[Any], axis: int
    ) -> None:
        self._signal = signal
        self.shape = shape
        self.dtype = dtype
        self.axis = axis
        self._data: Any = None

    def read(self, start: int, stop: int) -> Array:
        data = self._data if self._data is not None else self._signal.read()["data"]
        self._data = data
        part = data[(slice(None),) * self.axis + (slice(start, stop),)]
        try:
            found = part.compute(scheduler="synchronous")
        except (ValueError, OSError) as error:
            path = self._signal.source.path
            raise InputError(f"can't be read by rosettasciio: {error}", file=path) from None
        self._signal.source.check()
        return np.ascontiguousarray(found, self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_data": None}
