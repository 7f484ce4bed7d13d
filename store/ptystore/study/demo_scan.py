"""A made-up scan, saved as legacy tools save theirs: something real enough to try things on."""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ptystore.errors import ParameterError
from ptystore.formats.in_memory import dataset_of
from ptystore.formats.npz.mark import archive_comment
from ptystore.model.anonymity import anonymous_document, wants_anonymity
from ptystore.model.dataset import Field
from ptystore.model.lazy_array import Array
from ptystore.model.metadata import Metadata
from ptystore.physics.forward import dose_scale, exit_energy, intensities, poisson_counts
from ptystore.physics.phantom import focused_probe, jittered_raster, siemens_star
from ptystore.transfer.destination import check_destination, os_errors_told
from ptystore.transfer.publish import stage_file
from ptystore.transforms.patches import extract_patches

__all__ = ["make_demo_scan"]

_WIDTH = 64
_STEP = 4.0  # object pixels: neighbouring illuminations overlap by some 60 %
_PHOTONS = 1e5  # a frame: a bright pixel then has some thousand counts, as at a good beamline
_BLOCK = 256

# The archive's comment: what replaces a demo's scan replaces nothing but one.
_MARK = b"ptystore demo"


def make_demo_scan(
    path: str | os.PathLike[str],
    frames: int = 2000,
    *,
    seed: int = 1,
    overwrite: bool = False,
    anonymous: bool | None = None,
) -> Path:
    """Write a raw scan as a legacy `.npz`: deflated, its metadata a pickled object array.

    A Siemens star seen through a focused, slightly defocused probe on a jittered raster, with
    1e5 photons a frame. The members are those of a legacy simulation: `diff3d` uint16 counts
    (frames, 64, 64), `probeGuess` and `objectGuess` complex128, `xcoords`, `ycoords` and the
    nominal `xcoords_start`, `ycoords_start` float64 in object pixels, `scan_index` int64, and
    `_metadata`. The same `frames` and `seed` give the same arrays. `overwrite` replaces what an
    earlier call wrote, nothing else; `anonymous` is as for `write`. Returns the path.

    Raises `ParameterError` for less than one frame, `DestinationError` where something is there
    that is not to be replaced or nothing can be written, `StorageError` where writing fails.
    """
    path = Path(path)
    if frames < 1:
        raise ParameterError(f"a scan has at least one frame, not {frames}")
    check_destination(path, source=None, overwrite=overwrite, is_ours=_is_demo)
    members: dict[str, Any] = _simulated(frames, seed)
    metadata = _metadata(frames, seed, members["objectGuess"].shape)
    if wants_anonymity(anonymous):
        metadata = anonymous_document(metadata)
    document = json.dumps(metadata, indent=2)
    # An object array is what makes numpy pickle it, as the legacy tools do.
    members["_metadata"] = np.array(document, dtype=object)
    with (
        stage_file(path, overwrite=overwrite, is_ours=_is_demo, warn=lambda _: None) as staged,
        os_errors_told(path),
    ):
        with open(staged, "xb") as file:
            np.savez_compressed(file, **members)
        # As legacy tools save it but for this, which no reader of arrays looks at.
        with zipfile.ZipFile(staged, "a") as archive:
            archive.comment = _MARK
    return path


def _is_demo(path: Path) -> bool:
    return path.is_file() and archive_comment(path) == _MARK


def _simulated(frames: int, seed: int) -> dict[str, Any]:
    side = _WIDTH + math.ceil(_STEP * (math.sqrt(frames) + 1))
    obj, probe = siemens_star((side, side)), focused_probe(_WIDTH)
    raster = (frames, (side, side), _WIDTH)
    x, y = jittered_raster(*raster, step=_STEP, seed=seed)
    x_start, y_start = jittered_raster(*raster, step=_STEP, jitter=0.0)
    scan = dataset_of({"objectGuess": obj, "probeGuess": probe, "xcoords": x, "ycoords": y})
    patches = extract_patches(scan, size=_WIDTH)["Y"]
    return {
        "diff3d": _counts(patches, probe, seed),
        "probeGuess": probe.astype(np.complex128),
        "objectGuess": obj.astype(np.complex128),
        "xcoords": x,
        "ycoords": y,
        "xcoords_start": x_start,
        "ycoords_start": y_start,
        "scan_index": np.zeros(frames, np.int64),
    }


def _counts(patches: Field, probe: Array, seed: int) -> Array:
    """Poisson counts of every frame, uint16, block by block so that only they take memory."""
    starts = range(0, len(patches), _BLOCK)
    energies = [exit_energy(probe, patches[at : at + _BLOCK]) for at in starts]
    scale = dose_scale(float(np.concatenate(energies).mean()), _PHOTONS)
    counts = np.empty(patches.shape, np.uint16)
    for at in starts:
        expected = scale**2 * intensities(probe, patches[at : at + _BLOCK])
        drawn = poisson_counts(expected, seed=seed, first_frame=at)
        # A detector of 16 bits saturates; at this dose nothing comes near it.
        counts[at : at + _BLOCK] = np.minimum(drawn, np.iinfo(np.uint16).max)
    return counts


def _metadata(frames: int, seed: int, object_shape: tuple[int, ...]) -> dict[str, Any]:
    return Metadata.create(
        {
            "nphotons": _PHOTONS,
            "gridsize": 1,
            "N": _WIDTH,
            "measurement_domain": "count_intensity",
        },
        training={"n_images": frames},
        additional={
            "object": "Siemens star",
            "object_shape": list(object_shape),
            "scan": {"kind": "jittered raster", "step_pixels": _STEP},
            "seed": seed,
        },
        script="ptystore demo",
    ).document
