"""Simulate: diffraction frames from a probe, an object and scan positions, with Poisson noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ptystore.compute.patch_windows import PatchWindows
from ptystore.compute.positions import warn_of_frames_outside
from ptystore.compute.shapes import object_image, position_lists, probe_images
from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import Signal
from ptystore.model.contract import DIFFRACTION_NAMES, POSITION_NAMES, standard_attrs
from ptystore.model.dataset import Dataset, Field, memory_field
from ptystore.model.deferred import DeferredAttrs
from ptystore.model.geometry import Geometry
from ptystore.model.lazy_array import Array, CachedArray, ComputedArray, Indices, LazyArray
from ptystore.model.metadata import Metadata
from ptystore.model.process_lock import ProcessLock
from ptystore.model.signal import with_signal
from ptystore.physics.forward import dose_scale, exit_energy, intensities, poisson_counts
from ptystore.physics.phantom import jittered_raster, uniform_positions
from ptystore.transforms.geometry_kept import OF_MEASURED_FRAMES, simulated

__all__ = ["simulate"]

_PASS_BYTES = 4 << 20

_REPLACED = (*DIFFRACTION_NAMES, *OF_MEASURED_FRAMES)


def simulate(
    dataset: Dataset,
    *,
    dose: float | None = None,
    noise: bool = True,
    seed: int = 42,
    signal: Signal = "amplitude",
    frames: int | None = None,
    buffer: float = 0.0,
    raster: bool = False,
    step: float | None = None,
    jitter: float = 0.2,
    slice: int | None = None,
) -> Dataset:
    """The scan with simulated `diffraction`, shape (n, Ny, Nx) of the probe, computed on reading.

    With exit waves ``ψ_k = P · Y_k`` (Y as `extract_patches` gives it, modes added
    incoherently) the amplitude is ``A = sqrt(fftshift(|FFT2 ψ|²) / (Ny·Nx))``, the dose scale
    ``s = sqrt(dose / mean_k Σ|ψ_k|²)`` and the observed amplitude
    ``A_obs = sqrt(Poisson((s·A)²)) / s``, computed in float64. Frame k's noise depends on
    (seed, k) alone: not on blocks, workers or the order of reading.

    Parameters
    ----------
    dose : photons a frame, on average. Without it there can be no noise.
    noise : False gives A itself.
    seed : 0 to 2^64 - 1, of the noise, and of new positions.
    signal : "amplitude", float32, sqrt(counts)/s; or "counts", Poisson counts, uint16 where ten
        standard deviations above the largest expected count fit it, else uint32.
    frames : number of new positions in place of the file's own: drawn uniformly at least
        `buffer` pixels inside the object's border, or in a `raster` with `step` and `jitter`
        (see `ptystore.physics.phantom`). Per-frame fields of the file's own positions are left out.
    slice : which slice of an object of several, from 0.

    s and the largest expected count come from a first pass over all frames, which runs when the
    frames are first read or written, or when the field's attribute `amplitude_scale` (s) or the
    dtype of counts is first asked for. Frames that are there are replaced; the metadata's
    `nphotons` becomes the dose, `N` the frame width. The mask, background and flat field of
    measured frames are left out, and geometry tells no more of a detector than its pixels.

    Raises `ParameterError` for arguments out of range or that contradict each other,
    `InputError` where probe, object or positions are missing or have other shapes; while
    reading, where positions are not finite or the exit waves have no energy.
    """
    _check_arguments(dose, noise, seed, signal, frames, raster)
    obj = object_image(dataset, "simulating", slice)
    probe = probe_images(dataset, "simulating")
    for field, allowed in ((obj, (2,)), (probe, (2, 3))):
        if field.ndim not in allowed or not field.nbytes:
            raise InputError(
                f"has shape {field.shape}: nothing can be simulated from it",
                file=dataset.file,
                member=field.name,
            )
    window = (probe.shape[-2], probe.shape[-1])
    object_shape = (obj.shape[0], obj.shape[1])
    source: dict[str, Any] = {"positions": "file"}
    if frames is None:
        kept = [field for field in dataset.values() if field.name not in _REPLACED]
    else:
        kept = [
            field
            for field in dataset.values()
            if field.role == "global" and field.name not in OF_MEASURED_FRAMES
        ]
        if raster:
            x, y = jittered_raster(
                frames, object_shape, max(window), step=step, jitter=jitter, seed=seed
            )
            source = {"positions": "raster", "step": step, "jitter": jitter}
        else:
            x, y = uniform_positions(frames, object_shape, max(window), buffer, seed)
            source = {"positions": "uniform", "buffer": buffer}
        kept += [
            memory_field(name, values, "per_frame", attrs=standard_attrs(name))
            for name, values in zip(POSITION_NAMES, (x, y), strict=True)
        ]
    fields = {field.name: field for field in kept}
    positions = _positions(Dataset(fields, None, dataset.source))
    diffraction = _diffraction(obj, probe, positions, dose, noise, seed, signal)
    left_out = [field.name for field in dataset.values() if field.name not in fields]
    geometry = simulated(dataset, window, dose, new_positions=frames is not None)
    result = dataset.transformed(
        [diffraction, *kept],
        "simulate",
        {
            "dose": dose,
            "noise": noise,
            "seed": seed,
            "signal": signal,
            "frames": len(positions[0]),
            **source,
            **({} if slice is None else {"slice": slice}),
            "left_out": left_out,
        },
        checks=(
            partial(_name_left_out, left_out),
            partial(warn_of_frames_outside, *positions, object_shape, window),
        ),
    )
    return _with_physics(result, dose, window[1], signal, geometry)


def _check_arguments(
    dose: float | None, noise: bool, seed: int, signal: str, frames: int | None, raster: bool
) -> None:
    if signal not in get_args(Signal):
        raise ParameterError(f"signal must be amplitude or counts, not {signal!r}")
    if dose is None and noise:
        raise ParameterError(
            "Poisson noise needs a dose",
            advice="say how many photons with --dose, or leave the noise out with --no-noise "
            "(dose= and noise=False in Python)",
        )
    if dose is not None and not (math.isfinite(dose) and dose > 0):
        raise ParameterError(f"a dose must be a positive number of photons, not {dose}")
    if signal == "counts" and not noise:
        raise ParameterError("counts without noise would not be whole numbers")
    if not 0 <= seed < 2**64:
        raise ParameterError(f"a seed must be from 0 to 2^64 - 1, not {seed}")
    if raster and frames is None:
        raise ParameterError("a raster needs a number of frames")


def _positions(dataset: Dataset) -> tuple[Field, Field]:
    x, y = position_lists(dataset, "simulating")
    for field in (x, y):
        if not len(field):
            raise InputError(
                f"has shape {field.shape}; there must be one position for each frame, and frames",
                file=dataset.file,
                member=field.name,
            )
    return x, y


def _name_left_out(names: list[str]) -> Iterable[str]:
    if names:
        yield f"left out, as they belong to other frames: {', '.join(names)}"


def _diffraction(
    obj: Field,
    probe: Field,
    positions: tuple[Field, Field],
    dose: float | None,
    noise: bool,
    seed: int,
    signal: Signal,
) -> Field:
    window = (probe.shape[-2], probe.shape[-1])
    windows = PatchWindows(CachedArray(obj.array), window, "bilinear")
    model = FarField(windows, CachedArray(probe.array))
    x, y = (CachedArray(field.array) for field in positions)
    first_pass = None if dose is None else DosePass(model, x, y, dose, signal == "counts")
    frames = SimulatedFrames(model, first_pass, seed if noise else None, signal)
    shape = (len(positions[0]), *window)
    dtype = np.uint32 if signal == "counts" else np.float32
    array: LazyArray = ComputedArray(frames, [x, y], shape, dtype)
    attrs: Mapping[str, Any] = standard_attrs("diffraction", signal)
    if first_pass is not None:
        attrs = DeferredAttrs(attrs, {"amplitude_scale": partial(getattr, first_pass, "scale")})
        if signal == "counts":
            array = NarrowCounts(array, first_pass)
    return Field("diffraction", array, "per_frame", attrs)


def _with_physics(
    dataset: Dataset, dose: float | None, width: int, signal: Signal, geometry: Geometry
) -> Dataset:
    """The metadata speak of the new frames; what else they say stays."""
    if dataset.metadata is None:  # `transformed` always makes one
        return dataset
    document = dataset.metadata.document
    physics = {"gridsize": 1, **dataset.metadata.physics, "N": width}
    if dose is not None:
        physics["nphotons"] = dose
    # Frames that no detector took lie on none.
    physics.pop("raw_frame", None)
    if geometry:
        physics["geometry"] = geometry.to_json()
    document["physics_parameters"] = physics
    # The new frames' scale is found by their first pass, and told when they are written.
    metadata = with_signal(Metadata(document), signal, None)
    return dataclasses.replace(dataset, metadata=metadata)


class FarField:
    """Exit energy and noiseless intensities of a block of frames, in float64."""

    def __init__(self, windows: PatchWindows, probe: CachedArray) -> None:
        self._windows = windows
        self._probe = probe

    @property
    def frame_pixels(self) -> int:
        """Pixels of one frame."""
        return self._probe.shape[-2] * self._probe.shape[-1]

    def energy(self, frames: Indices, x: Array, y: Array) -> Array:
        """``Σ|ψ|²``, float64 (b,)."""
        return exit_energy(self._wide_probe(), self._windows(frames, x, y))

    def intensities(self, frames: Indices, x: Array, y: Array) -> Array:
        """``A²``, float64 (b, Ny, Nx)."""
        return intensities(self._wide_probe(), self._windows(frames, x, y))

    def _wide_probe(self) -> Array:
        # Faint pixels of a frame are accurate only in double precision.
        return self._probe.values().astype(np.complex128)


class DosePass:
    """What a pass over all frames tells: the dose scale, and the largest expected count.

    The pass runs once, at the first question; another process that has no answer yet finds
    the same one by itself.
    """

    def __init__(
        self, model: FarField, x: CachedArray, y: CachedArray, dose: float, brightest: bool
    ) -> None:
        self._model = model
        self._positions = (x, y)
        self._dose = dose
        self._wants_brightest = brightest
        self._lock = ProcessLock()
        self._found: tuple[float, float] | None = None

    @property
    def scale(self) -> float:
        """``s = sqrt(dose / mean_k Σ|ψ_k|²)``."""
        return self._run()[0]

    @property
    def brightest(self) -> float:
        """The largest expected count ``(s·A)²`` of any pixel; 0 where it was not asked for."""
        return self._run()[1]

    @property
    def is_done(self) -> bool:
        """Whether the pass has been."""
        return self._found is not None

    def _run(self) -> tuple[float, float]:
        with self._lock:
            if self._found is None:
                self._found = self._over_all_frames()
            return self._found

    def _over_all_frames(self) -> tuple[float, float]:
        x, y = (field.values() for field in self._positions)
        energy = np.empty(len(x))
        brightest = 0.0
        rows = max(1, _PASS_BYTES // (16 * self._model.frame_pixels))
        for start in range(0, len(x), rows):
            frames = np.arange(start, min(start + rows, len(x)))
            block = frames, x[frames], y[frames]
            energy[frames] = self._model.energy(*block)
            if self._wants_brightest:
                brightest = max(brightest, float(self._model.intensities(*block).max()))
        # One mean over all frames: means of blocks would depend on how they are cut.
        scale = dose_scale(float(energy.mean()), self._dose)
        return scale, scale**2 * brightest


class SimulatedFrames:
    """Computes frames from their positions; no seed, no noise."""

    def __init__(
        self, model: FarField, first_pass: DosePass | None, seed: int | None, signal: Signal
    ) -> None:
        self._model = model
        self._pass = first_pass
        self._seed = seed
        self._counts = signal == "counts"

    def prepare(self, scratch: Path | None) -> None:
        """Runs the first pass, where there is one, before the workers would wait for it."""
        if self._pass is not None:
            _ = self._pass.scale

    def __call__(self, frames: Indices, x: Array, y: Array, /) -> Array:
        intensity = self._model.intensities(frames, x, y)
        if self._seed is None or self._pass is None:
            return np.sqrt(intensity).astype(np.float32)
        scale = self._pass.scale
        counts = poisson_counts(scale**2 * intensity, seed=self._seed, frame_indices=frames)
        if self._counts:
            return counts
        return np.asarray(np.sqrt(counts, dtype=np.float64) / scale).astype(np.float32)


class NarrowCounts:
    """Counts in the smaller of uint16 and uint32 that holds them: the first pass decides."""

    def __init__(self, counts: LazyArray, first_pass: DosePass) -> None:
        self._counts = counts
        self._pass = first_pass
        self.shape = counts.shape
        self.axis = counts.axis
        self.sequential = counts.sequential

    @property
    def possible_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """The two of them, until the first pass has been."""
        if self._pass.is_done:
            return (self.dtype,)
        return np.dtype(np.uint16), np.dtype(np.uint32)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Ten standard deviations above the largest expected count: no draw can wrap around."""
        brightest = self._pass.brightest
        fits = brightest + 10 * math.sqrt(brightest) + 10 <= np.iinfo(np.uint16).max
        return np.dtype(np.uint16 if fits else np.uint32)

    def read(self, start: int, stop: int) -> Array:
        return self.begin(start, stop)()

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        finish = self._counts.begin(start, stop)
        return lambda: finish().astype(self.dtype)

    def take(self, indices: Indices) -> Array:
        return self._counts.take(indices).astype(self.dtype)

    def prepare(self, scratch: Path | None) -> None:
        self._counts.prepare(scratch)
