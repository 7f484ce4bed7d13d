"""The far-field forward model: exit waves, diffraction intensities, dose and Poisson counts.

Pure functions on blocks of frames. With exit waves ``ψ_k = P · Y_k`` the noiseless amplitude is
``A = sqrt(fftshift(|FFT2 ψ|²) / (Ny·Nx))``; by Parseval's theorem ``Σ A² = Σ |ψ|²`` for every
frame, so a dose of ``nphotons`` a frame on average asks for
``s = sqrt(nphotons / mean_k Σ|ψ_k|²)``, and the observed amplitude is
``A_obs = sqrt(Poisson((s·A)²)) / s``. Modes of the probe add incoherently.

Nothing here depends on how frames are cut into blocks: each frame's result is the same bit for
bit in any block.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from ptystore.errors import InputError, ParameterError

__all__ = ["dose_scale", "exit_energy", "intensities", "poisson_counts"]

_UINT32_MAX: Final = 2**32 - 1
# Ten standard deviations below the largest uint32: no draw can wrap around.
_MAX_EXPECTED: Final = float(_UINT32_MAX - 10 * 2**16)


def intensities(probe: ArrayLike, patches: ArrayLike) -> NDArray[np.floating[Any]]:
    """Noiseless diffraction intensities ``Σ_m fftshift(|FFT2(P_m · Y)|²) / (Ny·Nx)``.

    Parameters
    ----------
    probe : complex (Ny, Nx), or (modes, Ny, Nx) for an incoherent sum of modes.
    patches : complex (b, Ny, Nx), the object patch of each frame of a block.

    Returns
    -------
    (b, Ny, Nx), the square of the amplitude, zero frequency at pixel (Ny//2, Nx//2). float32 if
    both inputs are in single precision, otherwise float64. In single precision errors are some
    1e-7 of a frame's brightest amplitude; where its faintest pixels must be accurate too, pass
    a complex128 probe.

    Raises
    ------
    InputError : the shapes of probe and patches do not fit each other.
    """
    modes, block = _checked(probe, patches)
    ny, nx = block.shape[1:]
    total = _diffracted(modes[0], block)
    for mode in modes[1:]:
        total += _diffracted(mode, block)
    total /= ny * nx
    shifted: NDArray[np.floating[Any]] = scipy.fft.fftshift(total, axes=(-2, -1))
    return shifted


def exit_energy(probe: ArrayLike, patches: ArrayLike) -> NDArray[np.float64]:
    """Energy ``Σ |ψ_k|²`` of each frame's exit wave, over modes and pixels.

    Parameters are those of `intensities`; returns float64 (b,), equal to the sum of the frame's
    intensities (Parseval), without a transform. For a result that does not depend on the block
    size, average the energies of all frames in scan order, not the means of blocks.

    Raises
    ------
    InputError : the shapes of probe and patches do not fit each other.
    """
    modes, block = _checked(probe, patches)
    # Σ_m |P_m Y|² = |Y|² Σ_m |P_m|²: one pass over the patches, however many modes.
    illumination = _abs2(modes, np.float64).sum(axis=0).reshape(-1)
    energy = _abs2(block, np.float64).reshape(len(block), illumination.size)
    energy *= illumination
    # A row sum, not a matrix product: BLAS may add in another order for another block size.
    total: NDArray[np.float64] = energy.sum(axis=1)
    return total


def dose_scale(mean_energy: float, nphotons: float) -> float:
    """The factor ``s = sqrt(nphotons / mean_energy)`` from model amplitude to sqrt(counts).

    Parameters
    ----------
    mean_energy : mean over all frames of `exit_energy`.
    nphotons : photons a frame, on average.

    Raises
    ------
    ParameterError : `nphotons` is not a positive finite number.
    InputError : `mean_energy` is not: probe or patches are empty, or not finite.
    """
    if not (math.isfinite(nphotons) and nphotons > 0):
        raise ParameterError(f"a dose must be a positive number of photons, not {nphotons}")
    if not (math.isfinite(mean_energy) and mean_energy > 0):
        raise InputError(
            f"the exit waves' mean energy is {mean_energy}: no dose can be given to them",
            advice="look for zeros or NaN in the probe and the object, or positions outside it",
        )
    return math.sqrt(nphotons / mean_energy)


def poisson_counts(
    expected: ArrayLike,
    *,
    seed: int,
    first_frame: int = 0,
    frame_indices: ArrayLike | None = None,
) -> NDArray[np.uint32]:
    """Poisson counts of a block of frames, reproducible frame by frame.

    Each frame has a counter-based generator of its own (Philox-4x64, Salmon et al. 2011,
    doi:10.1145/2063384.2063405) whose key is the pair (seed, frame index): a frame's counts are
    the same in any block, order, process or thread. Another version of numpy may draw others.

    Parameters
    ----------
    expected : real (b, Ny, Nx), mean counts in each pixel, ``(s·A)²``.
    seed : 0 to 2^64 - 1.
    first_frame : index in the scan of the block's first frame; the others follow it.
    frame_indices : integer (b,), the frames' indices in the scan, instead of `first_frame`.

    Returns
    -------
    uint32 (b, Ny, Nx).

    Raises
    ------
    ParameterError : seed or indices out of range, or counts that uint32 can not hold.
    InputError : negative or undefined (NaN) means.
    """
    means = np.asarray(expected)
    if means.ndim != 3:
        raise InputError(f"expected counts must be (frames, ky, kx), not of shape {means.shape}")
    indices = _frame_keys(len(means), first_frame, frame_indices)
    if not 0 <= seed < 2**64:
        raise ParameterError(f"a seed must be from 0 to 2^64 - 1, not {seed}")
    if not means.size:
        return np.empty(means.shape, np.uint32)
    lowest, highest = float(means.min()), float(means.max())
    if math.isnan(lowest) or lowest < 0:  # min() of an array with a NaN is NaN
        raise InputError(f"expected counts must be 0 or more, but the smallest is {lowest}")
    if highest > _MAX_EXPECTED:
        raise ParameterError(
            f"{highest:.4g} expected counts in a pixel are more than uint32 can hold",
            advice="ask for a lower dose",
        )
    counts = np.empty(means.shape, np.uint32)
    # A loop over frames, because every frame draws from its own generator.
    for k, index in enumerate(indices):
        key = np.array([seed, index], dtype=np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key))
        counts[k] = generator.poisson(means[k].astype(np.float64))
    return counts


def _frame_keys(count: int, first_frame: int, frame_indices: ArrayLike | None) -> list[int]:
    """The scan index of each of a block's `count` frames."""
    if frame_indices is None:
        indices = list(range(first_frame, first_frame + count))
    else:
        given = np.asarray(frame_indices)
        if given.shape != (count,) or (count and given.dtype.kind not in "iu"):
            raise ParameterError(
                f"{count} frames need {count} integer indices, "
                f"not {given.dtype} of shape {given.shape}"
            )
        indices = given.tolist()
    if indices and min(indices) < 0:
        raise ParameterError(f"a frame index must be 0 or more, not {min(indices)}")
    return indices


def _checked(
    probe: ArrayLike, patches: ArrayLike
) -> tuple[NDArray[np.complexfloating[Any]], NDArray[np.complexfloating[Any]]]:
    """Probe as (modes, Ny, Nx) and patches as (b, Ny, Nx), both complex, or an InputError."""
    modes, block = _as_complex(probe), _as_complex(patches)
    if modes.ndim == 2:
        modes = modes[np.newaxis]
    if modes.ndim != 3 or block.ndim != 3 or modes.shape[1:] != block.shape[1:] or not modes.size:
        raise InputError(
            f"a probe of shape {np.shape(probe)} does not fit patches of shape {np.shape(patches)}",
            advice="they must be (Ny, Nx) or (modes, Ny, Nx), and (frames, Ny, Nx)",
        )
    return modes, block


def _as_complex(values: ArrayLike) -> NDArray[np.complexfloating[Any]]:
    """`values` as complex64 where that loses nothing, otherwise as complex128."""
    array = np.asarray(values)
    single = np.can_cast(array.dtype, np.complex64)
    return array.astype(np.complex64 if single else np.complex128, copy=False)


def _diffracted(
    mode: NDArray[np.complexfloating[Any]], block: NDArray[np.complexfloating[Any]]
) -> NDArray[np.floating[Any]]:
    """|FFT2(mode · block)|², zero frequency at pixel (0, 0)."""
    return _abs2(scipy.fft.fft2(mode * block, overwrite_x=True))


def _abs2(
    wave: NDArray[np.complexfloating[Any]], dtype: type[np.float64] | None = None
) -> NDArray[np.floating[Any]]:
    """|wave|², without the square root that abs() would take; in the precision of `dtype`."""
    power: NDArray[np.floating[Any]] = np.square(wave.real, dtype=dtype)
    power += np.square(wave.imag, dtype=dtype)
    return power
