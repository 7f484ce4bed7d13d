"""One image of a detector, a mask, a dark or a flat field, in a file of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptystore.errors import InputError, InputMissingError, located
from ptystore.formats.dialects.tree import values
from ptystore.formats.frame_files_kinds import kind_of
from ptystore.formats.opening import open_any_tree
from ptystore.formats.supplement_files import Place
from ptystore.model.lazy_array import Array
from ptystore.storage.many_files import ManyFiles

__all__ = ["read_image"]

_HEAD_BYTES = 4096


def read_image(place: str) -> tuple[Array, str]:
    """The image (H, W) in ``FILE[:KEY]``, any dtype of numbers, and the file's name for a record.

    A file is `.npy`, TIFF, EDF, CBF, or one of named arrays (HDF5, `.npz`, a Zarr store), which is
    ptystore's or another tool's; a key may be left out where it holds one array. Raises
    `InputError` for what is no image, `InputMissingError` where there is no file.
    """
    found = Place.of(place)
    path = found.file
    if path is None:
        raise InputMissingError("there is no such file", file=place)
    with located(file=path):
        image = _alone(path) if found.key is None and path.is_file() else None
        if image is None:
            image = _in_tree(path, found.key)
        while image.ndim > 2 and image.shape[0] == 1:
            image = image[0]
        if image.ndim != 2 or image.dtype.kind not in "biuf":
            raise InputError(f"is {image.dtype} {image.shape}, where an image should be")
    return image, path.name


def _alone(path: Path) -> Array | None:
    """The image of a file that holds nothing else; None for another kind of file."""
    files = ManyFiles(path.parent, [path.name])
    kind = kind_of(files.read(0, 0, min(files.size(0), _HEAD_BYTES)).tobytes())
    if kind is None:
        return None
    shape = kind.shape(files, 0)
    if shape.count != 1:
        raise InputError(f"holds {shape.count} images, where one should be")
    (image,) = kind.read(files, 0, shape, 0, 1)
    return np.asarray(image)


def _in_tree(path: Path, key: str | None) -> Array:
    tree = open_any_tree(path)
    if key is None:
        names = [name for name in tree.children() if tree.kind(f"/{name}") == "array"]
        if len(names) != 1:
            raise InputError(
                "holds several arrays, or none", advice=f"{path}:KEY says which is the image"
            )
        key = names[0]
    at = f"/{key.strip('/')}"
    if tree.kind(at) != "array":
        raise InputError("there is no such array", member=at)
    return values(tree, at)
