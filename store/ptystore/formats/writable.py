"""What can be written: refused before anything is staged, alike for every format."""

from __future__ import annotations

from ptystore.errors import InputError
from ptystore.formats.names import METADATA_MEMBER, check_name
from ptystore.formats.text import TEXT_LIMIT
from ptystore.model.contract import FIELDS
from ptystore.model.dataset import Dataset

__all__ = ["check_writable"]

_MAX_DIMENSIONS = 32
# Longer ones are `longdouble` and its complex: 80 bits on one machine, 128 on another.
_LONGEST_ITEM = {"f": 8, "c": 16}


def check_writable(dataset: Dataset) -> None:
    """Raise `InputError`, naming the field, for what one of the formats could not hold.

    So that what was written in one format can be written in any other.
    """
    _check_frames(dataset)
    if not dataset.fields:
        raise InputError("there are no arrays to write", file=dataset.file)
    seen: dict[str, str] = {}
    for name, field in dataset.fields.items():
        problem = check_name(name)
        dtype = field.possible_dtypes[-1]
        if name.lower() == METADATA_MEMBER:
            problem = "is the name of the metadata document, not of an array"
        elif name.lower() in seen:
            problem = f"differs from {seen[name.lower()]} only in case"
        elif dtype.kind not in "biufcU" or dtype.itemsize > _LONGEST_ITEM.get(dtype.kind, 1 << 30):
            problem = f"has dtype {dtype}, which is not supported"
        elif dtype.kind == "U" and field.largest_nbytes > TEXT_LIMIT:
            problem = f"is text of {field.nbytes} bytes, allowed are {TEXT_LIMIT}"
        elif field.ndim > _MAX_DIMENSIONS:
            problem = f"has {field.ndim} dimensions, allowed are {_MAX_DIMENSIONS}"
        if problem:
            raise InputError(problem, file=dataset.file, member=name)
        seen[name.lower()] = name


def _check_frames(dataset: Dataset) -> None:
    """What no reader would take: fields that disagree on n, per-frame fields of no frame."""
    lengths = {}
    for name, field in dataset.fields.items():
        if field.frame_axis is not None:
            lengths[name] = field.shape[field.frame_axis]
        elif name in FIELDS and FIELDS[name].role == "per_frame":
            reason = "has one entry for each frame: it can't be global"
            raise InputError(reason, file=dataset.file, member=name)
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(
            f"the fields disagree on the number of frames: {listed}", file=dataset.file
        )
