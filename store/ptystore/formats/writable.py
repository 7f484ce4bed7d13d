"""What can be written: refused before anything is staged, alike for every format."""

from __future__ import annotations

from ptystore.errors import InputError
from ptystore.formats.names import METADATA_MEMBER, check_name
from ptystore.formats.text import TEXT_LIMIT
from ptystore.model.dataset import Dataset

__all__ = ["check_writable"]

_MAX_DIMENSIONS = 32
# Longer ones are `longdouble` and its complex: 80 bits on one machine, 128 on another.
_LONGEST_ITEM = {"f": 8, "c": 16}


def check_writable(dataset: Dataset) -> None:
    """Raise `InputError`, naming the field, for what one of the formats could not hold.

    So that what was written in one format can be written in any other.
    """
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
