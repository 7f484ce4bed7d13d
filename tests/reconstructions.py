"""Small reconstructions (probe, object, positions) to simulate from, and slow physics."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import ptystore
from ptystore import Dataset, Metadata
from ptystore.physics.phantom import focused_probe, siemens_star, uniform_positions

Array = npt.NDArray[Any]


def reconstruction(
    frames: int = 32, width: int = 32, *, modes: int = 1, seed: int = 3
) -> dict[str, Array]:
    """As many frames as a frame has pixels across, unless asked: nothing may go by lengths."""
    shape = (3 * width, 3 * width + 4)
    x, y = uniform_positions(frames, shape, width, width / 2 + 3, seed)
    return {
        "probeGuess": focused_probe(width, modes=modes).astype(np.complex128) * 3,
        "objectGuess": siemens_star(shape).astype(np.complex128),
        "xcoords": x,
        "ycoords": y,
        "scan_index": np.arange(frames),
        "exposure": np.linspace(1, 2, frames).astype(np.float32),
        "detector_mask": np.eye(width, dtype=bool),
    }


def dataset(frames: int = 32, metadata: Metadata | None = None, **options: Any) -> Dataset:
    """The same in memory, `detector_mask` global although its first axis is as long as the scan."""
    made = ptystore.dataset_of(reconstruction(frames, **options), metadata)
    fields = dict(made.fields)
    mask = fields.pop("detector_mask").values()
    return Dataset({**fields, **ptystore.dataset_of({"detector_mask": mask}).fields}, metadata)


def slow_patch(obj: Array, x: float, y: float, shape: tuple[int, int]) -> Array:
    """One patch, pixel by pixel in float64, from a position that is rounded to float32."""
    x, y = float(np.float32(x)), float(np.float32(y))
    patch = np.zeros(shape, np.complex128)
    for i in range(shape[0]):
        for j in range(shape[1]):
            row, column = y - shape[0] // 2 + i, x - shape[1] // 2 + j
            r, c = int(np.floor(row)), int(np.floor(column))
            for a, b, weight in (
                (r, c, (1 - row + r) * (1 - column + c)),
                (r, c + 1, (1 - row + r) * (column - c)),
                (r + 1, c, (row - r) * (1 - column + c)),
                (r + 1, c + 1, (row - r) * (column - c)),
            ):
                if 0 <= a < obj.shape[0] and 0 <= b < obj.shape[1]:
                    patch[i, j] += weight * obj[a, b]
    return patch


def slow_amplitude(probe: Array, patch: Array) -> Array:
    """``sqrt(Σ_m fftshift(|FFT2(P_m Y)|²) / (Ny·Nx))`` in float64."""
    modes = probe.reshape(-1, *probe.shape[-2:]).astype(np.complex128)
    waves = [np.fft.fftshift(np.fft.fft2(mode * patch.astype(np.complex128))) for mode in modes]
    return np.sqrt(sum(np.abs(wave) ** 2 for wave in waves) / patch.size)
