"""The data that benchmarks read, made once in a cache folder.

Counts come from the model of the demo: a test chart, a focused probe, a jittered raster,
Poisson noise. The lens fills more of the detector than the demo's, and the dose is such that
zlib packs the counts into 0.6 of their size, as it does those of a busy detector.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import ptystore
from benchmarks import eiger
from ptystore.physics.forward import intensities
from ptystore.physics.phantom import focused_probe, jittered_raster, siemens_star

__all__ = ["FRAMES", "folder_for", "forget_stores", "prepare", "simulate", "warm"]

#: 60,000 frames of 64×64 uint16 are 490 MB.
FRAMES = 60_000

_WIDTH = 64
_OBJECT = 512
_APERTURE, _DEFOCUS = 26.0, 15.0
_PHOTONS = 1e6  # a frame
_BLOCK = 2000
# Changed with the model above: data of another model are not taken for these.
_MODEL = 1


def folder_for(base: Path, frames: int) -> Path:
    """The folder of the data of a scan of so many frames, made if need be."""
    folder = base / f"scan-{_MODEL}-{frames}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def prepare(folder: Path, frames: int, sources: Iterable[str]) -> None:
    """Make those `sources` that are not there yet."""
    for name in sources:
        if not (folder / name).exists():
            print(f"making {name} of {frames} frames", flush=True)
            _MAKERS[name](folder, frames)


def forget_stores(base: Path) -> None:
    """Remove what ptystore itself wrote: a run measures stores of the present version."""
    for store in base.glob("scan-*/*.zarr"):
        shutil.rmtree(store)


def warm(folder: Path, sources: Iterable[str]) -> None:
    """Read sources once, so that every participant finds them in the page cache."""
    for name in sources:
        path = folder / name
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        for file in files:
            with open(file, "rb", buffering=0) as stream:
                while stream.read(1 << 22):
                    pass


def simulate(frames: int, width: int, object_width: int) -> dict[str, Any]:
    """The arrays of a raw scan, under the names and dtypes of the legacy format."""
    chart = siemens_star((object_width, object_width))
    scale = width / _WIDTH
    probe = focused_probe(width, aperture=_APERTURE * scale, defocus=_DEFOCUS)
    x, y = jittered_raster(frames, chart.shape, width, seed=1)
    scan = {"probeGuess": probe, "objectGuess": chart, "xcoords": x, "ycoords": y}
    patches = ptystore.extract_patches(ptystore.dataset_of(scan))["Y"]
    some = np.linspace(0, frames - 1, 64).astype(np.int64)
    power = intensities(probe, patches[some]).sum(axis=(1, 2)).mean()
    counts = np.empty((frames, width, width), np.uint16)
    block = max(1, int(_BLOCK / scale**2))

    def fill(start: int) -> None:
        rows = slice(start, min(start + block, frames))
        expected = intensities(probe, patches[rows]).astype(np.float64)
        generator = np.random.default_rng([0, start])
        counts[rows] = generator.poisson(expected * (_PHOTONS * scale**2 / power))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(fill, range(0, frames, block)))
    double = {name: scan[name].astype(np.complex128) for name in ("probeGuess", "objectGuess")}
    return {"diff3d": counts, **double, "xcoords": x, "ycoords": y}


def _counts(folder: Path, frames: int) -> None:
    arrays = simulate(frames, _WIDTH, _OBJECT)
    np.save(folder / "part.npy", arrays.pop("diff3d"))
    np.savez(folder / "rest.npz", **arrays)
    (folder / "part.npy").rename(folder / "counts.npy")


def _arrays(folder: Path, frames: int) -> dict[str, Any]:
    prepare(folder, frames, ["counts.npy"])
    with np.load(folder / "rest.npz") as rest:
        return {"diff3d": np.load(folder / "counts.npy"), **rest}


def _stored(folder: Path, frames: int) -> None:
    np.savez(folder / "part.npz", **_arrays(folder, frames))
    (folder / "part.npz").rename(folder / "stored.npz")


def _deflated(folder: Path, frames: int) -> None:
    np.savez_compressed(folder / "part.npz", **_arrays(folder, frames))
    (folder / "part.npz").rename(folder / "deflated.npz")


def _packed(folder: Path, frames: int) -> None:
    # For sizes at which zlib would take minutes: deflated by ptystore itself, with isal.
    prepare(folder, frames, ["stored.npz"])
    ptystore.write(ptystore.open(folder / "stored.npz"), folder / "packed.npz")


def _frames_h5(folder: Path, frames: int) -> None:
    from benchmarks.with_h5py import save

    save(folder / "part.h5", _arrays(folder, frames)["diff3d"], "bitshuffle-lz4")
    (folder / "part.h5").rename(folder / "frames.h5")


def _store(name: str, source: str, transform: Callable[[Any], Any]) -> Callable[..., None]:
    def make(folder: Path, frames: int) -> None:
        prepare(folder, frames, [source])
        ptystore.write(transform(ptystore.open(folder / source)), folder / name)

    return make


_MAKERS: dict[str, Callable[[Path, int], None]] = {
    "counts.npy": _counts,
    "stored.npz": _stored,
    "deflated.npz": _deflated,
    "packed.npz": _packed,
    "frames.h5": _frames_h5,
    eiger.FOLDER: eiger.make,
    "raw.zarr": _store("raw.zarr", "stored.npz", ptystore.ingest),
    "canonical.zarr": _store("canonical.zarr", "raw.zarr", ptystore.canonicalize),
    "patched.zarr": _store("patched.zarr", "canonical.zarr", ptystore.extract_patches),
}
