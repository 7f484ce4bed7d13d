"""Which frame belongs to which position: in order, or by the numbers of the frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.never_written import in_words
from ptystore.formats.positions_file import MeasuredPositions
from ptystore.formats.supplement_said import FramesSaid
from ptystore.model.lazy_array import Array, Indices

__all__ = ["Pairing", "paired", "ranges_of"]


class Pairing(NamedTuple):
    """The frames that are taken (m,), the position of each (m,), -1 for none, and a remark."""

    frames: Indices
    rows: Indices
    remark: str | None = None


def paired(
    positions: MeasuredPositions, count: int, numbers: Array | None, said: FramesSaid
) -> Pairing:
    """The positions of the frames that `said` chooses of `count`; `numbers` (n,) are the source's.

    Positions without frame numbers are of all frames, or of the chosen ones, in order; where the
    source's numbers tell that frames between others are not there, of all that there were. Those
    with numbers are of the frames that the source calls so, else they count from 0 or 1, whichever
    fits. Raises `InputError` naming both numbers and the options where some have no partner.
    """
    chosen = said.of(count)
    if positions.frame_numbers is None:
        first = _first_with_gaps(len(positions), count, len(chosen), numbers)
        if first is None:
            return _in_order(positions, count, chosen, said)
        counted = np.arange(first, first + len(positions))
        positions = dataclasses.replace(positions, frame_numbers=counted)
    return _by_number(positions, count, numbers, chosen, said)


def _first_with_gaps(many: int, count: int, wanted: int, numbers: Array | None) -> int | None:
    """The number of the first position where they are of frames that are not all there.

    None where nothing tells that: for as many positions as frames, and for frames without gaps.
    """
    if numbers is None or many in (count, wanted) or not len(numbers):
        return None
    low, high = int(np.min(numbers)), int(np.max(numbers))
    span = high - low + 1
    if span == count:
        return None
    if many == span:
        return low
    return low if low in (0, 1) and many > span else None


def _in_order(
    positions: MeasuredPositions, count: int, chosen: Indices, said: FramesSaid
) -> Pairing:
    many = len(positions)
    if many == count:
        return Pairing(chosen, chosen)
    if many == len(chosen):
        return Pairing(chosen, np.arange(many))
    if said.unpaired == "refuse":
        of = f"{count} frames" if said.is_all else f"{len(chosen)} of {count} frames"
        ways = ["--unpaired drop takes them in order and leaves out what remains"]
        if many < count:
            ways[:0] = [
                f"--skip-first {count - many} where the first frames have no positions",
                f"--frames 0:{many} where the last ones have none",
            ]
            ways.append("--unpaired keep takes frames without a position too")
        raise InputError(f"{of}, but {many} positions", advice="; ".join(ways))
    both = min(many, len(chosen))
    told = f"{many} positions for {len(chosen)} frames are paired in order"
    if said.unpaired == "keep" and many < len(chosen):
        rows = np.where(np.arange(len(chosen)) < both, np.arange(len(chosen)), -1)
        return Pairing(chosen, rows, f"{told}: the last {len(chosen) - both} frames have none")
    return Pairing(chosen[:both], np.arange(both), f"{told}: what remains is left out")


def _by_number(
    positions: MeasuredPositions,
    count: int,
    numbers: Array | None,
    chosen: Indices,
    said: FramesSaid,
) -> Pairing:
    given = positions.frame_numbers
    assert given is not None
    unique, first_rows = np.unique(given, return_index=True)
    if len(unique) != len(given):
        twice = int(unique[np.bincount(np.searchsorted(unique, given)) > 1][0])
        raise InputError(f"has two positions of frame {twice}")
    own = np.arange(count) if numbers is None else np.asarray(numbers, np.int64)
    shift, told = _shift(unique, own, positions.first, numbers is not None)
    wanted = own[chosen] + shift
    at = np.clip(np.searchsorted(unique, wanted), 0, len(unique) - 1)
    found = unique[at] == wanted
    rows = np.where(found, first_rows[at], -1)
    without = chosen[~found]
    strangers = unique[~np.isin(unique, own + shift)]
    if (len(without) or len(strangers)) and said.unpaired == "refuse":
        raise _unpaired(len(chosen), len(given), without, strangers)
    if len(without) and said.unpaired == "drop":
        chosen, rows = chosen[found], rows[found]
    remarks = [told] if told else []
    if len(without):
        done = "are left out" if said.unpaired == "drop" else "have no position"
        remarks.append(f"frames {in_words(ranges_of(without))} {done}")
    if len(strangers):
        remarks.append(f"there are no frames for positions {in_words(ranges_of(strangers))}")
    if not len(chosen):
        raise InputError("none of its positions is of a frame that is there")
    return Pairing(chosen, rows, "; ".join(remarks) or None)


def _shift(
    given: Array, own: Array, first: int | None, are_numbered: bool
) -> tuple[int, str | None]:
    """What is added to a frame's own number to have that of its position, and how that was found.

    Frames that the source does not number count from 0.
    """
    if first is not None and not are_numbered:
        return first, None
    shifts = (0, 1, -1) if are_numbered else (0, 1)
    hits = {shift: int(np.isin(given, own + shift).sum()) for shift in shifts}
    best = max(hits.values())
    fitting = [shift for shift in shifts if hits[shift] == best]
    whole = [shift for shift in fitting if best == len(own) == len(given)]
    if len(whole) == 1 or (are_numbered and 0 in fitting):
        fitting = [0] if 0 in fitting else whole
    if len(fitting) > 1:
        raise InputError(
            f"has frame numbers {int(given[0])} to {int(given[-1])} for {len(own)} frames: they "
            "may count from 0 or from 1",
            advice="say which: --position-columns with frame0 or frame1 in place of frame",
        )
    if are_numbered:
        differs = f"the frame numbers of the positions are {fitting[0]:+d} from the source's"
        return fitting[0], differs if fitting[0] else None
    return fitting[0], f"the frame numbers of the positions count from {fitting[0]}"


def _unpaired(frames: int, many: int, without: Indices, strangers: Array) -> InputError:
    told = []
    if len(without):
        told.append(f"frames {in_words(ranges_of(without))} have no position")
    if len(strangers):
        told.append(f"there are no frames for positions {in_words(ranges_of(strangers))}")
    return InputError(
        f"{frames} frames, {many} positions: {' and '.join(told)}",
        advice="--unpaired drop leaves out what has no partner, --unpaired keep only positions; "
        "frames are chosen by --frames, --skip-first",
    )


def ranges_of(numbers: Sequence[int] | Array) -> list[tuple[int, int]]:
    """Ascending whole numbers as ranges, first and last."""
    values = np.asarray(numbers, np.int64)
    if not values.size:
        return []
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return [(int(run[0]), int(run[-1])) for run in runs]
