"""How virtual fields are computed: the functions that a store may name in place of values.

A recipe is its name, the fields it is computed from, and JSON parameters.
`docs/format.md` defines each for readers that are not ptystore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ptystore.compute.conversions import (
    AmplitudeToCounts,
    CountsToAmplitude,
    KeepAmplitude,
    KeepCounts,
)
from ptystore.compute.frame_tally import FrameTally
from ptystore.compute.negative_counts import RefuseNegative, Screen, ZeroNegative
from ptystore.compute.patch_windows import PatchWindows
from ptystore.model.buffered_array import BufferedArray
from ptystore.model.lazy_array import (
    BlockFunction,
    CachedArray,
    ComputedArray,
    FramesFirst,
    LazyArray,
)

__all__ = ["build", "canonical_frames", "patches"]

# By the parameter `negative` of a recipe.
_SCREENS: Mapping[str, Callable[[], Screen]] = {"refuse": RefuseNegative, "zero": ZeroNegative}


def build(
    compute: str, inputs: Sequence[LazyArray], parameters: Mapping[str, Any]
) -> ComputedArray:
    """The array of a recipe; raises `ValueError` for one that this release does not know."""
    if compute == "patches" and len(inputs) == 3:
        return patches(inputs, parameters)
    if compute == "canonical_frames" and len(inputs) == 1:
        return canonical_frames(inputs[0], parameters, FrameTally())
    raise ValueError(f"unknown recipe {compute!r} of {len(inputs)} fields")


def patches(inputs: Sequence[LazyArray], parameters: Mapping[str, Any]) -> ComputedArray:
    """Object patches, complex64 (n, Ny, Nx), from the object and the x and y positions."""
    obj, x, y = inputs
    height, width = (int(size) for size in parameters["window"])
    interpolation = parameters["interpolation"]
    if interpolation not in ("bilinear", "nearest") or min(height, width) < 1:
        raise ValueError("impossible patches")
    if len(obj.shape) != 2 or len(x.shape) != 1 or x.shape != y.shape:
        raise ValueError(f"patches of shapes {obj.shape}, {x.shape}, {y.shape}")
    windows = PatchWindows(CachedArray(obj), (height, width), interpolation)
    positions = [BufferedArray(x), BufferedArray(y)]
    return ComputedArray(windows, positions, (x.shape[0], height, width), np.complex64)


def canonical_frames(
    frames: LazyArray,
    parameters: Mapping[str, Any],
    tally: FrameTally,
    screen: Screen | None = None,
) -> ComputedArray:
    """Frames as float32, frame axis first, of the signal ``parameters["to"]``.

    `screen` is what is done with negative counts, by default what the parameters say.
    """
    known, wanted = parameters["from"], parameters["to"]
    scale = float(parameters["scale"])
    screen = screen or _SCREENS[parameters.get("negative", "refuse")]()
    function: BlockFunction
    if known == "amplitude":
        to_counts = wanted == "counts"
        function = AmplitudeToCounts(scale, tally) if to_counts else KeepAmplitude(tally)
    elif wanted == "amplitude":
        function = CountsToAmplitude(scale, tally, screen)
    else:
        function = KeepCounts(tally, screen)
    source = frames if frames.axis == 0 else FramesFirst(frames)
    return ComputedArray(function, [source], source.shape, np.float32)
