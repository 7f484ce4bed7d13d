"""The name of the frames, as different consumers know it."""

from __future__ import annotations

import dataclasses

from ptystore.errors import ParameterError
from ptystore.model.choices import DiffractionKey
from ptystore.model.contract import DIFFRACTION_NAMES
from ptystore.model.dataset import Dataset

__all__ = ["with_diffraction_key"]


def with_diffraction_key(dataset: Dataset, key: DiffractionKey) -> Dataset:
    """The same dataset with its frames under the name `key`, or under both names.

    It changes no values and leaves no record. Raises `InputError` where there are no frames.
    """
    if key == "as-is":
        return dataset
    if key not in (*DIFFRACTION_NAMES, "both"):
        raise ParameterError(f"the diffraction key is as-is, diffraction, diff3d or both: {key!r}")
    names = DIFFRACTION_NAMES if key == "both" else (key,)
    frames = dataset.frames
    fields = {}
    for field in dataset.values():
        if field.name not in DIFFRACTION_NAMES:
            fields[field.name] = field
        elif field.name == frames.name:
            for name in names:
                digest = frames.digest if name == frames.name else None
                fields[name] = dataclasses.replace(frames, name=name, digest=digest)
    return dataclasses.replace(dataset, fields=fields)
