"""An opened scan of another tool's compared with the truth that lies beside its file."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptystore.formats.assemble import ReadOptions
from ptystore.formats.opening import open_dataset
from ptystore.model.dataset import Dataset

__all__ = [
    "assert_truth",
    "fixture",
    "moved",
    "opened",
    "plain_patches",
    "remarks",
    "residual",
]

#: The truth's name of a fact, and the geometry's.
_FACTS = {
    "energy_eV": "photon_energy_eV",
    "wavelength_m": "wavelength_m",
    "detector_distance_m": "detector_distance_m",
    "detector_pixel_size_m": "detector_pixel_size_m",
    "object_pixel_size_m": "object_pixel_size_m",
    "object_center_m": "object_center_m",
    "tomography_angle_deg": "tomography_angle_deg",
    "exposure_time_s": "exposure_s",
    "probe_photon_count": "probe_photon_count",
}


def opened(path: Path, **options: Any) -> Dataset:
    """A scan by members of `ReadOptions` as they are: eV, metres, pairs [y, x]."""
    return open_dataset(path, ReadOptions(**options))


def remarks(scan: Dataset) -> str:
    """What opening it told, a line each."""
    assert scan.source is not None
    return "\n".join(scan.source.remarks)


def moved(values: Any) -> Any:
    """Values from the first one on, where only their differences are known."""
    return values - values[0]


def fixture(data_dir: Path, name: str) -> Path:
    """The folder of one fixture; skips the test where it is absent."""
    folder = data_dir / "foreign" / name
    if not (folder / "truth.json").is_file():
        pytest.skip(f"no fixture at {folder}")
    return folder


def plain_patches(whole: Any, y: Any, x: Any, shape: tuple[int, int]) -> Any:
    """Bilinear windows, pixel N//2 of each at (y, x) of an object (H, W); zero outside of it."""
    height, width = shape
    out = np.zeros((len(y), height, width), np.complex128)
    padded = np.pad(np.asarray(whole, np.complex128), [(height + 1,) * 2, (width + 1,) * 2])
    for k, (row, column) in enumerate(zip(y, x, strict=True)):
        top, left = row - height // 2 + height + 1, column - width // 2 + width + 1
        i, j = int(np.floor(top)), int(np.floor(left))
        for a, own_y in ((0, 1 - (top - i)), (1, top - i)):
            for b, own_x in ((0, 1 - (left - j)), (1, left - j)):
                piece = padded[i + a : i + a + height, j + b : j + b + width]
                out[k] += own_y * own_x * piece
    return out


def residual(counts: Any, probes: Any, patches: Any, good: Any) -> float:
    """``Σ|A - √I| / Σ√I`` over the good pixels, with one free scale; probes (modes, N, N)."""
    shape = counts.shape[-2:]
    total = np.zeros(counts.shape)
    for probe in probes:
        waves = np.fft.fft2(probe * patches)
        total += np.fft.fftshift(np.abs(waves) ** 2, axes=(-2, -1)) / np.prod(shape)
    seen, told = np.sqrt(np.asarray(counts, float))[:, good], np.sqrt(total)[:, good]
    scale = float(np.sum(seen * told) / np.sum(told**2))
    return float(np.sum(np.abs(scale * told - seen)) / np.sum(seen))


def _parts(value: complex) -> list[float]:
    return [value.real, value.imag]


def assert_truth(
    scan: Dataset,
    folder: Path,
    *,
    knows: Collection[str],
    positions: float = 1e-5,
    own_frames: bool = False,
) -> None:
    """All that the file holds equals the truth beside it, also once its frames are amplitude.

    `knows` are the facts (by their names in the truth) that the file holds: others must be absent.
    Without an object, positions count from the first one. `positions` in pixels. `own_frames` are
    of the scene, but at other positions than its own.
    """
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    with np.load(folder.parent / "scene.npz") as scene:
        whole, probes = scene["object"], scene["probe"][None]
        counts, bad = scene["counts"], scene["bad"]
    _check_facts(scan, truth, knows)
    good = np.ones(bad.shape, bool)
    if "mask" in scan:
        assert scan["mask"].dtype == np.uint32
        found = np.argwhere(scan["mask"].values() != 0)
        assert found.tolist() == truth["bad_pixels_yx"]
        good = ~bad
    if any(name in scan for name in ("diffraction", "diff3d")):
        frames = _counts(scan)
        assert truth["signal"] == "counts"
        assert frames.shape == counts.shape
        if not own_frames:
            np.testing.assert_array_equal(frames[:, good], counts[:, good])
        if good.all():
            np.testing.assert_array_equal(frames.sum((1, 2), np.float64), truth["frame_sums"])
            np.testing.assert_allclose(_middles(frames), truth["frame_com_px"], rtol=0, atol=1e-6)
        counts = frames
    y, x = np.asarray(truth["ycoords_px"]), np.asarray(truth["xcoords_px"])
    for name, wanted in (("ycoords", y), ("xcoords", x)):
        found = scan[name].values()
        if "objectGuess" not in scan:
            found, wanted = found - found[0], wanted - wanted[0]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=positions)
    if "objectGuess" in scan:
        whole = scan["objectGuess"].values()
        assert list(whole.shape) == truth["object_shape"]
        np.testing.assert_allclose(_parts(whole.sum(dtype=complex)), truth["object_sum"], 1e-5)
    first = 0.0 if "objectGuess" in scan else scan["ycoords"].values()[0] - y[0]
    second = 0.0 if "objectGuess" in scan else scan["xcoords"].values()[0] - x[0]
    own_y, own_x = scan["ycoords"].values() - first, scan["xcoords"].values() - second
    patches = plain_patches(whole, own_y, own_x, counts.shape[1:])
    sums = [_parts(patch.sum()) for patch in patches]
    scale = np.abs(truth["patch_sums"]).max()
    np.testing.assert_allclose(sums, truth["patch_sums"], rtol=0, atol=1e-4 * scale)
    if "probeGuess" in scan:
        found = scan["probeGuess"].values()
        modes = truth.get("probe_modes", 1)
        assert found.shape[-2:] == tuple(truth["probe_shape"])
        found = found.reshape(-1, *found.shape[-2:])
        np.testing.assert_allclose(_parts(found[0].sum(dtype=complex)), truth["probe_sum"], 1e-5)
        assert len(found) >= modes
        if modes == 2:
            np.testing.assert_allclose(found[1], 0.2 * np.roll(found[0], 3, 1), atol=1e-4)
        probes = found[:1]  # by which the frames were made, without the other modes
    assert residual(counts, probes, patches, good) <= 0.108


def _counts(scan: Dataset) -> Any:
    """The frames as counts; of amplitude, which is their root in single precision exactly."""
    frames = scan.frames.values()
    if scan.frames.attrs["signal"] == "counts":
        return frames
    assert scan.frames.attrs["signal"] == "amplitude"
    counts = np.rint(frames.astype(np.float64) ** 2)
    np.testing.assert_array_equal(np.sqrt(counts).astype(np.float32), frames)
    return counts


def _middles(frames: Any) -> Any:
    """Centres of mass [y, x] of frames, in pixels: (n, 2)."""
    frames = frames.astype(np.float64)
    totals = frames.sum((1, 2))
    y = frames.sum(2) @ np.arange(frames.shape[1]) / totals
    x = frames.sum(1) @ np.arange(frames.shape[2]) / totals
    return np.stack([y, x], 1)


def _check_facts(scan: Dataset, truth: dict[str, Any], knows: Collection[str]) -> None:
    facts = scan.geometry
    for theirs, ours in _FACTS.items():
        if theirs in knows:
            assert ours in facts, f"{ours} is not known"
            np.testing.assert_allclose(facts[ours].value, truth[theirs], rtol=1e-6, atol=1e-15)
        elif theirs in truth:
            assert ours not in facts, f"{ours}: {facts.get(ours)}"
