"""Patches: the object as seen from each scan position, by strided windows."""

from __future__ import annotations

from functools import partial

from ptystore.compute.positions import warn_of_frames_outside
from ptystore.compute.recipes import patches
from ptystore.compute.shapes import object_image, position_lists, probe_images
from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import Interpolation
from ptystore.model.contract import standard_attrs
from ptystore.model.dataset import Dataset, Field, Recipe
from ptystore.physics.spacing import require_neighbors

__all__ = ["extract_patches"]


def extract_patches(
    dataset: Dataset,
    *,
    size: int | None = None,
    k_neighbors: int = 7,
    interpolation: Interpolation = "bilinear",
    slice: int | None = None,
    virtual: bool = False,
) -> Dataset:
    """The scan with `Y`: one object patch for every frame, in scan order, computed on reading.

    ``Y[k, i, j] = O(y - N//2 + i, x - N//2 + j)``, complex64, shape (n, N, N), for the
    position (x, y) of frame k, rounded to float32 first; bilinear between pixels, zero
    outside the object. N is `size`, by default the probe's height and width. A `Y` that is
    there is replaced. `k_neighbors` is for consumers that group frames: it is checked
    against the metadata's gridsize and recorded. Of an object of several slices, `slice` (from 0)
    is the one that is seen. With `virtual` a store keeps how to compute `Y`, not its values.

    Raises `ParameterError` for a size below one, `k_neighbors < gridsize²` or a slice that is
    not there, `InputError` where the object or positions are missing or have other shapes, or
    several slices are there and none is chosen; while reading, for positions that are not finite.
    """
    if interpolation not in ("bilinear", "nearest"):
        raise ParameterError(f"interpolation must be bilinear or nearest, not {interpolation!r}")
    gridsize = dataset.metadata.gridsize if dataset.metadata is not None else 1
    require_neighbors(k_neighbors, gridsize)
    obj = object_image(dataset, "extracting patches", slice)
    xcoords, ycoords = position_lists(dataset, "extracting patches")
    window = _window(dataset, size)
    frames = xcoords.shape[0]
    how = {"window": list(window), "interpolation": interpolation}
    inputs = (obj, xcoords, ycoords)
    array = patches([source.array for source in inputs], how)
    recipe = Recipe("patches", inputs, how) if virtual else None
    fields = dict(dataset.fields)
    fields["Y"] = Field("Y", array, "per_frame", standard_attrs("Y"), recipe=recipe)
    object_shape = (obj.shape[0], obj.shape[1])
    return dataset.transformed(
        fields.values(),
        "patch",
        {
            "patch_size": window[0] if window[0] == window[1] else list(window),
            "k_neighbors": k_neighbors,
            "nsamples": frames,
            "interpolation": interpolation,
            **({} if slice is None else {"slice": slice}),
            "replaced_Y": "Y" in dataset,
        },
        checks=(partial(warn_of_frames_outside, xcoords, ycoords, object_shape, window),),
    )


def _window(dataset: Dataset, size: int | None) -> tuple[int, int]:
    if size is not None:
        if size < 1:
            raise ParameterError(f"a patch must have at least one pixel, not {size}")
        return size, size
    probe = probe_images(dataset, "choosing the patch size")
    if probe.ndim < 2:
        raise InputError(
            f"has shape {probe.shape}, which is no probe's",
            file=dataset.file,
            member=probe.name,
            advice="give the size of the patches with --size",
        )
    return probe.shape[-2], probe.shape[-1]
