"""View: the frames of a scan that lie some distance apart, or a random part of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ptystore.compute.shapes import frame_shape, position_lists
from ptystore.errors import InputError, ParameterError, located
from ptystore.model.dataset import Dataset
from ptystore.physics.spacing import VIEW_OVERLAP, fraction_indices, spaced_indices, view_spacing
from ptystore.transforms.geometry_kept import of_part
from ptystore.transforms.selection import select_frames

__all__ = ["select_view"]

_GROUP_FRAMES = 4  # gridsize 2


def select_view(
    dataset: Dataset,
    *,
    overlap: float | None = None,
    name: str | None = None,
    fraction: float | None = None,
    seed: int = 42,
) -> Dataset:
    """The scan's frames at least ``(1 - overlap) · N`` object pixels apart, or a part of them.

    Exactly one of three says which frames stay: `overlap`, 0 or more and below 1; `name`,
    "dense" (overlap 0.7) or "sparse" (0.2); or `fraction`, a random subsample reproducible by
    `seed`. Frames stay greedily in scan order: each that is far enough from all kept before.
    N is the frame width, along kx. The positions are read here. Where fewer than 4 frames are
    left, too few for a group of gridsize 2, a warning is given when the view is written.

    Raises `ParameterError` for values out of range or not exactly one choice, `InputError`
    where positions are missing or not finite, or where no frame is left.
    """
    if sum(choice is not None for choice in (overlap, name, fraction)) != 1:
        raise ParameterError("a view is asked for by one of: a name, an overlap, a fraction")
    if name is not None:
        if name not in VIEW_OVERLAP:
            raise ParameterError(f"a view is called {' or '.join(VIEW_OVERLAP)}, not {name!r}")
        overlap = VIEW_OVERLAP[name]
    parameters: dict[str, Any] = {"view": name, "overlap": overlap}
    x, y = position_lists(dataset, "selecting a view")
    if overlap is not None:
        width = _frame_width(dataset)
        spacing = view_spacing(overlap, width)
        with located(file=dataset.file):
            frames = spaced_indices(x.values(), y.values(), spacing)
        parameters |= {"spacing": spacing, "frame_width": width}
    elif fraction is not None:
        frames = fraction_indices(len(x), fraction, seed)
        parameters |= {"fraction": fraction, "seed": seed}
    kept, of = len(frames), len(x)
    if not kept:
        raise InputError(
            f"no frame of {of} is left in the view",
            file=dataset.file,
            advice="choose a larger fraction" if fraction is not None else None,
        )
    return of_part(dataset, kept).transformed(
        select_frames(dataset, frames),
        "view",
        {**parameters, "kept": kept, "of": of},
        checks=(partial(_warn_of_few, kept, of),),
    )


def _frame_width(dataset: Dataset) -> int:
    frames = dataset.frames
    shape = frame_shape(dataset)
    if shape is None:
        raise InputError(
            f"has shape {frames.shape}: it holds no frames", file=dataset.file, member=frames.name
        )
    return shape[1]


def _warn_of_few(kept: int, of: int) -> Iterable[str]:
    if kept < _GROUP_FRAMES:
        frames = "frame is" if kept == 1 else "frames are"
        yield f"{kept} {frames} left of {of}: a group of gridsize 2 needs {_GROUP_FRAMES}"
