"""How every tool counts scan positions, and what that is in object pixels of ptystore's.

Here pixel N//2 of a frame's patch is at (y, x) of the object: rows are y. Each function treats one
axis: `size` is the frame's N along it, `extent` the object's H or W, `pixel` the object's pixel in
metres. Measured against the tools' own code: the anchors differ by whole and by half pixels.
"""

from __future__ import annotations

from ptystore.model.lazy_array import Array

__all__ = [
    "about_middle",
    "corner",
    "from_center",
    "from_rounded_middle",
    "half_pixel",
    "middle",
]


def middle(extent: int, size: int) -> float:
    """Where a window is whose middle is the object's: a(D) = (D - N)/2 + N//2."""
    return (extent - size) / 2 + size // 2


def half_pixel(size: int) -> float:
    """From the anchor (N - 1)/2 of a window to N//2: ½ for even N, 0 for odd."""
    return size // 2 - (size - 1) / 2


def from_center(position_m: Array, center_m: float, pixel: float, extent: int, size: int) -> Array:
    """Metres from a world centre that is the object's middle: y = (p - c)/d + a(D)."""
    return (position_m - center_m) / pixel + middle(extent, size)


def from_rounded_middle(position_m: Array, pixel: float, extent: int, size: int) -> Array:
    """Metres as pty-chi 2.2 counts them: y = p/h + round(D/2) - ½ + c, halves to the even side."""
    return position_m / pixel + round(extent / 2) - 0.5 + half_pixel(size)


def about_middle(position_m: Array, pixel: float, extent: int) -> Array:
    """Metres from pixel D//2 of the object: y = p/d + D//2."""
    return position_m / pixel + extent // 2


def corner(pixels: Array, size: int) -> Array:
    """Pixels of the window's first corner: y = s + N//2."""
    return pixels + size // 2
