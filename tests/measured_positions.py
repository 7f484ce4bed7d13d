"""Frames without positions, and positions in µm that belong to them, placed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import ptystore

N = 6
FRAME = (5, 8)  # odd and even
Y = np.array([0.0, 1.25, 2.5, -1.0, 0.5, 3.0])
X = np.array([4.0, 3.5, 0.0, 1.0, 7.75, 2.0])
PIXEL = (0.5e-6, 0.25e-6)


def frames(path: Path, count: int = N, **more: Any) -> Path:
    stack = np.arange(count * FRAME[0] * FRAME[1], dtype="u2").reshape(count, *FRAME)
    np.savez(path, diffraction=stack, **more)
    return path


def expected(y: Any = Y, x: Any = X) -> tuple[Any, Any]:
    """In pixels, µm given, the smallest at N//2: inside an object that holds all windows."""
    in_y, in_x = np.asarray(y) / 0.5, np.asarray(x) / 0.25
    return in_y - np.nanmin(in_y) + FRAME[0] // 2, in_x - np.nanmin(in_x) + FRAME[1] // 2


def check(scan: ptystore.Dataset, y: Any = Y, x: Any = X) -> None:
    in_y, in_x = expected(y, x)
    np.testing.assert_allclose(scan["ycoords"].values(), in_y, rtol=0, atol=1e-9)
    np.testing.assert_allclose(scan["xcoords"].values(), in_x, rtol=0, atol=1e-9)


def rows(y: Any = Y, x: Any = X) -> list[tuple[float, float]]:
    return list(zip(y, x, strict=True))


def opened(source: Path, place: Any, **said: Any) -> ptystore.Dataset:
    given = {"position_units": "um", "pixel_size": PIXEL, **said}
    return ptystore.open(source, positions=place, **given)
