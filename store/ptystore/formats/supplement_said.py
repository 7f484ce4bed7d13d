"""What a caller says of scan positions in a file of their own, and of which frames are taken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ptystore.errors import ParameterError
from ptystore.model.choices import Mover, Unpaired
from ptystore.model.lazy_array import Array, Indices

__all__ = ["FramesSaid", "PositionsSaid"]

_SLICE = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(\d+)?\s*)?", re.ASCII)


@dataclass(frozen=True)
class PositionsSaid:
    """Where positions are (``FILE[:KEY]``), and how they count.

    Measured (y, x) become the probe's by ``[y', x'] = M · [y, x, 1]``: signs and order of the axes
    first (`moves`, `flipx`, `flipy`, `swap_xy`), then `affine`, the rows of a 2×3 matrix, whose
    last column is in metres, or in object pixels where the positions are.
    """

    place: str | None = None
    columns: str | None = None
    units: str | None = None
    moves: Mover = "probe"
    flipx: bool = False
    flipy: bool = False
    swap_xy: bool = False
    affine: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.affine is not None:
            given = np.asarray(self.affine, np.float64)
            if given.shape != (6,) or not np.isfinite(given).all():
                raise ParameterError(
                    f"{self.affine} are not the six numbers a,b,c,d,e,f", member="--affine"
                )
            if given[0] * given[4] == given[1] * given[3]:
                raise ParameterError("has no inverse: all on one line", member="--affine")
        meant = {
            "--position-columns": self.columns is not None,
            "--positions-move": self.moves != "probe",
            "--flipx": self.flipx,
            "--flipy": self.flipy,
            "--swap-xy": self.swap_xy,
            "--affine": self.affine is not None,
        }
        alone = [option for option, is_given in meant.items() if is_given]
        if alone and self.place is None:
            raise ParameterError("is for --positions, which is not given", member=alone[0])

    def matrix(self) -> Array:
        """M, (2, 3) float64."""
        sign = -1.0 if self.moves == "sample" else 1.0
        linear = np.diag([-sign if self.flipy else sign, -sign if self.flipx else sign])
        if self.swap_xy:
            linear = linear[::-1]
        own = np.eye(2, 3) if self.affine is None else np.reshape(self.affine, (2, 3))
        return np.column_stack([own[:, :2] @ linear, own[:, 2]])


@dataclass(frozen=True)
class FramesSaid:
    """Which frames are taken: `choice` such as ``10:500:2`` or ``0,3,7:9``, the first `skip` not.

    `unpaired` says what becomes of frames and positions that have no partner.
    """

    choice: str | None = None
    skip: int = 0
    unpaired: Unpaired = "refuse"

    def __post_init__(self) -> None:
        if self.skip < 0:
            raise ParameterError(f"{self.skip} is less than none", member="--skip-first")
        if self.choice is not None:
            for part in self.choice.split(","):
                if not (re.fullmatch(r"\s*-?\d+\s*", part, re.ASCII) or _SLICE.fullmatch(part)):
                    reason = f"{part!r} is neither a frame nor a range such as 10:500:2"
                    raise ParameterError(reason, member="--frames")

    @property
    def is_all(self) -> bool:
        return self.choice is None and not self.skip

    def of(self, count: int) -> Indices:
        """The frames of `count`, ascending, each once, int64. Raises `ParameterError` for none."""
        found: set[int] = set(range(count)) if self.choice is None else set()
        for part in (self.choice or "").split(",") if self.choice is not None else ():
            found.update(_indices(part, count))
        chosen = np.array(sorted(one for one in found if one >= self.skip), np.int64)
        if count and not chosen.size:
            raise ParameterError(f"none of the {count} frames is left", member="--frames")
        return chosen


def _indices(part: str, count: int) -> Iterable[int]:
    ranged = _SLICE.fullmatch(part)
    if ranged is None:
        at = int(part)
        if not -count <= at < count:
            raise ParameterError(f"there is no frame {at} of {count}", member="--frames")
        return (at % count,)
    start, stop, step = (None if text is None else int(text) for text in ranged.groups())
    if step == 0:
        raise ParameterError(f"{part!r} has a step of 0", member="--frames")
    return range(*slice(start, stop, step).indices(count))
