"""Arrays of a scan in memory, and what their file noted of them."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptystore.model.lazy_array import Array

__all__ = ["LoadedArrays"]


class LoadedArrays(dict[str, Array]):
    """A dict of arrays that knows the frame axis and the attributes that each was read with.

    What is noted is of those very arrays: one that is put in another's place has attributes
    of its own, and the same frame axis only if it has the same shape.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        frame_axes: Mapping[str, int | None],
        attrs: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__(arrays)
        self._frame_axes = {name: (arrays[name].shape, axis) for name, axis in frame_axes.items()}
        self._attrs = {name: (weakref.ref(arrays[name]), dict(own)) for name, own in attrs.items()}

    def frame_axes(self) -> dict[str, int | None]:
        """The frame axis of each noted array that is there in its shape, None for a global one."""
        return {
            name: axis
            for name, (shape, axis) in self._frame_axes.items()
            if name in self and np.shape(self[name]) == shape
        }

    def attrs(self) -> dict[str, dict[str, Any]]:
        """The attributes of each noted array that is there itself."""
        return {
            name: own for name, (array, own) in self._attrs.items() if array() is self.get(name)
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # Weak references can't be pickled.
        return LoadedArrays, (dict(self), self.frame_axes(), self.attrs())
