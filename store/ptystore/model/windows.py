"""Some rows of pixels of every frame, where a file can be read so without the others."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ptystore.model.lazy_array import LazyArray

__all__ = ["HasWindow", "window_of"]


@runtime_checkable
class HasWindow(Protocol):
    """A lazy array of frames (n, H, W) of which single rows of pixels may cost less than all."""

    def window(self, first: int, last: int) -> LazyArray | None:
        """The frames (n, last - first, W) with the rows of pixels `first` up to `last` alone.

        None where they cost as much as whole frames.
        """
        ...


def window_of(frames: LazyArray, first: int, last: int) -> LazyArray | None:
    """The rows of pixels `first` up to `last` of all frames, None where that saves nothing."""
    return frames.window(first, last) if isinstance(frames, HasWindow) else None
