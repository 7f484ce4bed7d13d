"""Patches: the object as seen from each scan position, by strided windows."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ptystore.buffered_array import BufferedArray
from ptystore.contract import standard_attrs
from ptystore.dataset import Dataset, Field
from ptystore.errors import InputError, ParameterError
from ptystore.lazy_array import Array, CachedArray, ComputedArray, Indices
from ptystore.positions import warn_of_frames_outside

__all__ = ["extract_patches"]

Interpolation = Literal["bilinear", "nearest"]


def extract_patches(
    dataset: Dataset,
    *,
    size: int | None = None,
    k_neighbors: int = 7,
    interpolation: Interpolation = "bilinear",
) -> Dataset:
    """The scan with `Y`: one object patch for every frame, in scan order, computed on reading.

    ``Y[k, i, j] = O(y - N//2 + i, x - N//2 + j)``, complex64, shape (n, N, N), for the
    position (x, y) of frame k, rounded to float32 first; bilinear between pixels, zero
    outside the object. N is `size`, by default the probe's height and width. A `Y` that is
    there is replaced. `k_neighbors` is for consumers that group frames: it is checked
    against the metadata's gridsize and recorded.

    Raises `ParameterError` for a size below one or `k_neighbors < gridsize²`, `InputError`
    where the object or positions are missing or have other shapes; while reading, for
    positions that are not finite.
    """
    if interpolation not in ("bilinear", "nearest"):
        raise ParameterError(f"interpolation must be bilinear or nearest, not {interpolation!r}")
    gridsize = dataset.metadata.gridsize if dataset.metadata is not None else 1
    if k_neighbors < gridsize**2:
        raise ParameterError(
            f"k_neighbors {k_neighbors} is less than gridsize² = {gridsize**2}: a group of "
            f"gridsize {gridsize} needs that many frames"
        )
    obj = dataset.require("objectGuess", "extracting patches")
    xcoords = dataset.require("xcoords", "extracting patches")
    ycoords = dataset.require("ycoords", "extracting patches")
    if obj.ndim != 2:
        raise InputError(
            f"has shape {obj.shape}; patches need one object of two dimensions",
            file=dataset.file,
            member=obj.name,
        )
    window = _window(dataset, size)
    frames = xcoords.shape[0]
    patches = ComputedArray(
        PatchWindows(CachedArray(obj.array), window, interpolation),
        [BufferedArray(xcoords.array), BufferedArray(ycoords.array)],
        (frames, *window),
        np.complex64,
    )
    fields = dict(dataset.fields)
    fields["Y"] = Field("Y", patches, "per_frame", standard_attrs("Y"))
    object_shape = (obj.shape[0], obj.shape[1])
    return dataset.transformed(
        fields.values(),
        tool="generate_patches_tool.py",
        operation="generate_patches",
        parameters={
            "patch_size": window[0] if window[0] == window[1] else list(window),
            "k_neighbors": k_neighbors,
            "nsamples": frames,
            "interpolation": interpolation,
            "replaced_Y": "Y" in dataset,
        },
        checks=(partial(warn_of_frames_outside, xcoords, ycoords, object_shape, window),),
    )


def _window(dataset: Dataset, size: int | None) -> tuple[int, int]:
    if size is not None:
        if size < 1:
            raise ParameterError(f"a patch must have at least one pixel, not {size}")
        return size, size
    probe = dataset.require("probeGuess", "choosing the patch size")
    if probe.ndim < 2:
        raise InputError(
            f"has shape {probe.shape}, which is no probe's",
            file=dataset.file,
            member=probe.name,
            advice="give the size of the patches with --size",
        )
    return probe.shape[-2], probe.shape[-1]


class PatchWindows:
    """Cuts the windows of a block of frames out of the zero-padded object, all at once."""

    def __init__(
        self, obj: CachedArray, window: tuple[int, int], interpolation: Interpolation
    ) -> None:
        self._object = obj
        self._window = window
        self._nearest = interpolation == "nearest"
        self._padded: Array | None = None

    def __call__(self, frames: Indices, x: Array, y: Array, /) -> Array:
        windows, (fy, fx) = self._windows(frames, x, y)
        if self._nearest:
            return np.ascontiguousarray(windows[:, :-1, :-1])
        # Separable: first between rows, then between columns, as (1 - f)·a + f·b in float32.
        # Seen as pairs of floats, because numpy would multiply complex by complex.
        pairs = windows.view(np.float32)
        rows = pairs[:, :-1] * (1 - fy)
        rows += pairs[:, 1:] * fy
        patches = rows[:, :, :-2] * (1 - fx)
        patches += rows[:, :, 2:] * fx
        return np.asarray(patches.view(np.complex64))

    def _windows(self, frames: Indices, x: Array, y: Array) -> tuple[Array, tuple[Array, Array]]:
        """Windows one pixel larger than the patches, and the fractions (y, x) between pixels."""
        padded = self._padded_object()
        corners, fractions = [], []
        for position, width, length in zip((y, x), self._window, self._object.shape, strict=True):
            rounded = position.astype(np.float32)
            if not np.isfinite(rounded).all():
                first = frames[~np.isfinite(rounded)][0]
                raise InputError(f"the scan position of frame {first} is not finite")
            whole = np.floor(rounded + np.float32(0.5) if self._nearest else rounded)
            fractions.append((rounded - whole)[:, None, None])
            # Beyond this range a window holds nothing but zeros, wherever it is.
            corner = np.clip(whole - width // 2, -(width + 1), length).astype(np.int64)
            corners.append(corner + width + 1)
        shape = (self._window[0] + 1, self._window[1] + 1)
        windows = sliding_window_view(padded, shape)[corners[0], corners[1]]
        return windows, (fractions[0], fractions[1])

    def _padded_object(self) -> Array:
        # Two workers may both make it at first; either is as good.
        if self._padded is None:
            values = self._object.values().astype(np.complex64)
            self._padded = np.pad(values, [(width + 1, width + 1) for width in self._window])
        return self._padded

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_padded": None}
