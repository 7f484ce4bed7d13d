"""A synthetic scan to try things on: a test chart, a focused probe, scan positions.

Everything is deterministic: the same arguments give the same arrays. Positions follow the data
contract: pixel ``N//2`` of a frame's window sits at (y, x) of the object.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ptystore.errors import ParameterError

__all__ = ["focused_probe", "jittered_raster", "siemens_star", "uniform_positions"]


def siemens_star(
    shape: tuple[int, int],
    spokes: int = 36,
    *,
    transmission: float = 0.6,
    phase: float = 1.0,
    rings: int = 4,
) -> NDArray[np.complex64]:
    """Transmission of a Siemens-star test chart: a star, ring gaps, and bars in the corners.

    A binary pattern of one absorbing, phase-shifting material on a clear membrane, its edges
    anti-aliased over one pixel: ``O = (1 - (1 - transmission)·c) · exp(i·phase·c)`` with c, from
    0 to 1, the part of a pixel that the material covers.

    Parameters
    ----------
    shape : (H, W) in pixels.
    spokes : number of spokes, one period each.
    transmission : amplitude through the material, above 0 and at most 1.
    phase : phase shift of the material, rad.
    rings : number of ring-shaped gaps that interrupt the spokes, spaced geometrically.

    Returns
    -------
    complex64 (H, W); |O| lies between `transmission` and 1.

    Raises
    ------
    ParameterError : shape, spokes, rings or transmission out of range.
    """
    height, width = shape
    if min(height, width) < 1 or spokes < 1 or rings < 0 or not 0 < transmission <= 1:
        raise ParameterError(
            f"no test chart has shape {shape}, {spokes} spokes, {rings} rings "
            f"and a transmission of {transmission}"
        )
    y: NDArray[np.float64] = np.linspace(-0.5, 0.5, height)[:, np.newaxis] * (height - 1)
    x: NDArray[np.float64] = np.linspace(-0.5, 0.5, width)[np.newaxis, :] * (width - 1)
    outer = 0.47 * min(height, width)
    cover = np.maximum(_star(y, x, outer, spokes, rings), _corner_bars(y, x, outer, shape))
    chart = (1 - (1 - transmission) * cover) * np.exp(1j * phase * cover)
    return chart.astype(np.complex64)


def _star(
    y: NDArray[np.float64], x: NDArray[np.float64], outer: float, spokes: int, rings: int
) -> NDArray[np.float64]:
    """Cover of the spokes inside `outer`, cut by ring gaps, with a solid rim."""
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    # arcsin(cos) is a triangle wave, the angle to the nearest spoke edge; times r, a distance.
    spoke = _inside(radius * np.arcsin(np.cos(spokes * angle)) / spokes)
    rim = 0.03 * outer
    for k in range(1, rings + 1):
        gap = outer * 0.62**k
        spoke *= 1 - _inside(0.06 * gap - np.abs(radius - gap))
    spoke *= _inside(outer - 2 * rim - radius)
    return np.maximum(spoke, _inside(rim / 2 - np.abs(radius - outer + rim / 2)))


def _corner_bars(
    y: NDArray[np.float64], x: NDArray[np.float64], outer: float, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Cover of four bar gratings, one in each corner, from 12 pixels a period to 4."""
    half_height, half_width = shape[0] / 2, shape[1] / 2
    # The largest square that fits between a corner and the star, less a margin.
    side = 0.85 * (min(half_height, half_width) - outer / math.sqrt(2))
    margin = 0.1 * side
    cover = np.zeros(np.broadcast_shapes(y.shape, x.shape))
    for corner, period in enumerate((12.0, 8.0, 6.0, 4.0)):
        from_y = y + half_height if corner < 2 else half_height - y
        from_x = x + half_width if corner % 2 == 0 else half_width - x
        along = from_x if corner in (0, 3) else from_y
        bars = _inside(period / 4 - np.abs((along - margin) % period - period / 2))
        for edge in (from_y, from_x):
            bars = bars * _inside(edge - margin) * _inside(side - edge)
        cover = np.maximum(cover, bars)
    return cover


def _inside(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of a pixel inside an edge that lies `distance` pixels from the pixel's centre."""
    return np.clip(distance + 0.5, 0.0, 1.0)


def focused_probe(
    width: int, *, modes: int = 1, aperture: float = 11.0, defocus: float = 4.5
) -> NDArray[np.complex64]:
    """A focused, slightly defocused probe: the inverse transform of a lens's aperture.

    A round, soft-edged aperture with a quadratic phase is brought to the focus by an inverse
    FFT, centred at pixel (N//2, N//2), and tapered to exactly 0 beyond 0.42 N from there. With
    the default lens the FWHM is about N/6 for every N. Further modes are the same lens times
    polynomials of the aperture's coordinates, made orthogonal, each with 0.4 of the power of the
    one before.

    Parameters
    ----------
    width : N, pixels; at least 32.
    modes : number of incoherent modes, 1 to 6.
    aperture : radius of the aperture, in pixels of the diffraction plane.
    defocus : quadratic phase at the aperture's edge, rad.

    Returns
    -------
    complex64 (N, N), or (modes, N, N) where modes > 1, scaled so that the largest
    ``sqrt(Σ_m |P_m|²)`` is 1.

    Raises
    ------
    ParameterError : width, modes or aperture out of range.
    """
    if width < 32 or not 1 <= modes <= 6 or not 0 < aperture < width / 2:
        raise ParameterError(
            f"no probe of width {width} has {modes} modes and an aperture of {aperture} pixels: "
            "32 pixels or more, 1 to 6 modes, an aperture inside the frame"
        )
    q = np.arange(width) - width // 2
    v, u = q[:, np.newaxis] / aperture, q[np.newaxis, :] / aperture
    rho = np.hypot(v, u)
    lens = np.exp(1j * defocus * rho**2) / (1 + np.exp((rho - 1) * 12))
    shapes = np.stack([u**0 * v**0, u + 0 * v, v + 0 * u, u * v, u**2 - v**2, u**2 + v**2])
    waves = np.fft.ifft2(np.fft.ifftshift(lens * shapes[:modes], axes=(-2, -1)))
    radius = np.hypot(q[:, np.newaxis], q[np.newaxis, :]) / width
    taper = np.cos(np.pi / 2 * np.clip((radius - 0.30) / 0.12, 0.0, 1.0)) ** 2
    taper[radius >= 0.42] = 0.0  # the cosine leaves 1e-33
    waves = np.fft.fftshift(waves, axes=(-2, -1)) * taper
    basis, upper = np.linalg.qr(waves.reshape(modes, -1).T)
    signs = np.diag(upper) / np.abs(np.diag(upper))  # QR may turn the phase of a mode; undo it
    probe = (basis * signs * 0.4 ** (np.arange(modes) / 2)).T.reshape(modes, width, width)
    probe /= np.sqrt((np.abs(probe) ** 2).sum(axis=0).max())
    return (probe if modes > 1 else probe[0]).astype(np.complex64)


def jittered_raster(
    frames: int,
    object_shape: tuple[int, int],
    frame_width: int,
    *,
    step: float | None = None,
    jitter: float = 0.2,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions of a raster scan, row after row, each moved a little at random.

    Every window of `frame_width` lies wholly inside the object; the raster is centred in it. The
    last row may be shorter than the others.

    Parameters
    ----------
    frames : number of positions.
    object_shape : (H, W) in pixels.
    frame_width : N, pixels.
    step : distance of neighbours, object pixels; the largest that fits where not given.
    jitter : largest displacement along each axis, as a part of the step, 0 to 0.5.
    seed : of the random displacements.

    Returns
    -------
    (xcoords, ycoords), float64 (frames,) each, object pixels.

    Raises
    ------
    ParameterError : an argument out of range, or positions that do not fit into the object.
    """
    low, high = _limits(frames, object_shape, frame_width)
    generator = _generator(seed)
    if not 0 <= jitter <= 0.5 or (step is not None and not (math.isfinite(step) and step > 0)):
        raise ParameterError(f"a raster can not have a step of {step} and a jitter of {jitter}")
    span = high - low
    slack = np.where(span > 0, 2 * jitter, 0.0)  # no room on an axis: no jitter along it
    rows = np.arange(1, frames + 1)
    columns = -(-frames // rows)
    # The step that each number of rows leaves room for, the smaller of the two axes'.
    lengths = np.stack([rows - 1 + slack[0], columns - 1 + slack[1]])
    room = np.full(lengths.shape, np.inf)
    np.divide(span[:, np.newaxis], lengths, out=room, where=lengths > 0)
    largest = room.min(axis=0)
    if step is None:
        best = int(largest.argmax())
        step = float(largest[best]) if math.isfinite(largest[best]) else 0.0
    else:
        fits = np.flatnonzero(largest >= step)
        if not fits.size:
            raise ParameterError(
                f"{frames} positions {step} pixels apart, with frames {frame_width} wide, "
                f"do not fit into an object of shape {tuple(object_shape)}"
            )
        best = int(fits[np.abs(rows - columns)[fits].argmin()])
    per_row = int(columns[best])
    row, column = np.divmod(np.arange(frames), per_row)
    grid = np.stack([row - row[-1] / 2, column - (per_row - 1) / 2])
    moves = generator.uniform(-0.5, 0.5, (2, frames)) * slack[:, np.newaxis]
    centre = (low + high)[:, np.newaxis] / 2
    # The clip only removes what rounding may add.
    y, x = np.clip(centre + (grid + moves) * step, low[:, np.newaxis], high[:, np.newaxis])
    return x, y


def uniform_positions(
    frames: int,
    object_shape: tuple[int, int],
    frame_width: int,
    buffer: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions drawn uniformly, at least `buffer` pixels inside the object's border.

    A buffer smaller than half a frame is widened to it, so that every window of `frame_width`
    lies wholly inside the object.

    Returns
    -------
    (xcoords, ycoords), float64 (frames,) each, object pixels.

    Raises
    ------
    ParameterError : an argument out of range, or a buffer that leaves no room.
    """
    low, high = _limits(frames, object_shape, frame_width)
    generator = _generator(seed)
    if not (math.isfinite(buffer) and buffer >= 0):
        raise ParameterError(f"a buffer must be 0 or more pixels, not {buffer}")
    low = np.maximum(low, buffer)
    high = np.minimum(high, np.array(object_shape) - 1 - buffer)
    if np.any(high < low):
        raise ParameterError(
            f"a buffer of {buffer} pixels leaves no room in an object of shape "
            f"{tuple(object_shape)}"
        )
    drawn = generator.uniform(size=(2, frames))
    # Rounding could carry a draw past the upper limit.
    y, x = np.minimum(low[:, np.newaxis] + drawn * (high - low)[:, np.newaxis], high[:, np.newaxis])
    return x, y


def _limits(
    frames: int, object_shape: tuple[int, int], frame_width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest (y, x) whose window lies inside the object."""
    if frames < 1 or frame_width < 1:
        raise ParameterError(f"no scan has {frames} frames of width {frame_width}")
    low = np.full(2, frame_width // 2, dtype=np.float64)
    high = low + np.array(object_shape, dtype=np.float64) - frame_width
    if np.any(high < low):
        raise ParameterError(
            f"frames {frame_width} wide do not fit into an object of shape {tuple(object_shape)}"
        )
    return low, high


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise ParameterError(f"a seed must be 0 or more, not {seed}")
    return np.random.default_rng(seed)
