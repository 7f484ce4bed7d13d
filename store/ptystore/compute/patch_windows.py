"""Windows of the object at scan positions: the arithmetic behind patches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ptystore.errors import InputError
from ptystore.model.choices import Interpolation
from ptystore.model.lazy_array import Array, CachedArray, Indices

__all__ = ["PatchWindows"]


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
