"""Arrays in memory as a dataset: what a file would say of them is decided in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ptystore.model.choices import Role
from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS, standard_attrs
from ptystore.model.dataset import Dataset, memory_field
from ptystore.model.loaded_arrays import LoadedArrays
from ptystore.model.metadata import Metadata
from ptystore.model.roles import RoleOverrides, decide_frame_axes, override_frame_axes
from ptystore.model.signal import signal_of, stated_scale
from ptystore.model.strict_json import normalise

__all__ = ["dataset_of"]


def dataset_of(
    arrays: Mapping[str, Any],
    metadata: Metadata | None = None,
    *,
    attrs: Mapping[str, Mapping[str, Any]] | None = None,
) -> Dataset:
    """A dataset of arrays in memory; roles, and what frames are, are decided as for a file.

    `attrs` are attributes by field, such as ``{"diffraction": {"signal": "counts"}}``;
    they must be JSON, numpy's numbers accepted. Raises `InputError`.
    """
    values = {name: np.asarray(given) for name, given in arrays.items()}
    noted = arrays if isinstance(arrays, LoadedArrays) else LoadedArrays({}, {}, {})
    axes = _frame_axes({name: array.shape for name, array in values.items()}, noted.frame_axes())
    noted_attrs = noted.attrs()
    fields = {}
    for name, array in values.items():
        role: Role = "global" if axes[name] is None else "per_frame"
        said = normalise((attrs or {}).get(name, {}))
        own = {**noted_attrs.get(name, {}), **said}
        signal = None
        if name in DIFFRACTION_NAMES:
            signal = own.get("signal") or signal_of(array.dtype, metadata)
            if "signal" in said and array.dtype.kind == "f":
                own["signal_said"] = signal
            scale = None if "amplitude_scale" in own else stated_scale(metadata)
            own |= {} if scale is None else {"amplitude_scale": scale}
        if name not in noted_attrs:
            own = standard_attrs(name, signal) | own
        fields[name] = memory_field(name, array, role, axis=axes[name] or 0, attrs=own)
    return Dataset(fields, metadata)


def _frame_axes(
    shapes: Mapping[str, tuple[int, ...]], noted: Mapping[str, int | None]
) -> dict[str, int | None]:
    """The frame axes, as noted where they are; what is not noted is decided as for a file."""
    axes = dict(noted)
    if axes.keys() != shapes.keys():
        per_frame = [name for name, axis in noted.items() if axis == 0]
        global_ = [name for name, axis in noted.items() if axis is None and name not in FIELDS]
        axes = decide_frame_axes(shapes, RoleOverrides(per_frame=per_frame, global_=global_)) | axes
    return override_frame_axes(axes, shapes, RoleOverrides())
