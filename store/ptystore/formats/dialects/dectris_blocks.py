"""The frames of a Dectris master, in blocks of which each mostly is a file of its own."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ptystore.errors import InputError, InputMissingError
from ptystore.formats.assemble import RawArray
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, number
from ptystore.formats.dialects.views import in_order
from ptystore.model.lazy_array import Indices

__all__ = ["blocks_of", "frames_of"]

_MORE = "/entry/instrument/detector/detectorSpecific"
_WHOLE = "/entry/data/data"
_BLOCK = re.compile(r"data_(\d{1,9})")
_MOST_TOLD = 100
_PARTIAL = "--partial takes the frames that are there"


@dataclass(frozen=True)
class _Block:
    """A block of frames, and the numbers of its images, from 1, where it has them.

    `lost` is how many frames are not there right before it, of a block that does not number them.
    """

    path: str
    raw: RawArray
    images: tuple[int, int] | None
    lost: int = 0


def blocks_of(tree: Tree) -> dict[int, str]:
    """The paths of all blocks by their numbers, in order; early firmware has them at the entry.

    A virtual dataset over the blocks is one, where there are no links to them.
    """
    for group in ("/entry/data", "/entry"):
        found = {
            int(match[1]): f"{group}/{name}"
            for name in tree.children(group)
            if (match := _BLOCK.fullmatch(name)) is not None
        }
        if found:
            return dict(sorted(found.items()))
    return {1: _WHOLE} if len(tree.shape(_WHOLE)) == 3 else {}


def frames_of(scan: Scan) -> RawArray:
    """All frames (n, H, W), one block after another.

    Where some are missing and the caller takes those that are there, `frame_index` says which
    they are. Raises `InputError` naming the frames that are not there, `InputMissingError` where
    their file is not, and for blocks that do not fit together.
    """
    partial = scan.context.options.partial
    expected = _expected(scan.tree)
    blocks, missing = _found(scan, expected)
    if not blocks:
        raise missing[0] if missing else InputError("holds no frames", file=scan.tree.path)
    _require_alike(scan.tree, blocks)
    numbers = _numbers(scan.tree, blocks, partial=partial)
    there = len(numbers)
    if expected is not None and there < expected:
        if not partial:
            raise InputError(
                f"holds {there} of the {expected} frames that were asked for (nimages × ntrigger)",
                file=scan.tree.path,
                member=blocks[-1].path,
                advice=_PARTIAL,
            )
        scan.remarks.append(f"{there} of the {expected} frames that were asked for are there")
    elif expected is not None and there > expected:
        scan.remarks.append(f"holds {there} frames, and {expected} were asked for")
    for error in missing:
        scan.remarks.append(f"left out: {error.reason}")
    if not np.array_equal(numbers, np.arange(there)):
        scan.arrays["frame_index"] = memory_array(numbers)
    return in_order([block.raw for block in blocks], np.arange(there))


def _expected(tree: Tree) -> int | None:
    """How many frames were asked for; None where that is not told."""
    found = [number(tree, f"{_MORE}/{name}") for name in ("nimages", "ntrigger")]
    if found[0] is None or not 1 <= found[0][0] < math.inf:
        return None
    triggers = 1.0 if found[1] is None or not 1 <= found[1][0] < math.inf else found[1][0]
    return round(found[0][0] * triggers)


def _found(scan: Scan, expected: int | None) -> tuple[list[_Block], list[InputError]]:
    """The blocks that are there, and errors for those that are not, which are told or raised."""
    tree, partial = scan.tree, scan.context.options.partial
    paths = blocks_of(tree)
    first = 0 if 0 in paths else 1
    absent = (at for at in range(first, max(paths)) if at not in paths)
    blocks: dict[int, _Block] = {}
    errors: dict[int, InputError] = {
        at: InputError(f"there is no data_{at:06d}") for at in islice(absent, _MOST_TOLD)
    }
    for at, path in paths.items():
        try:
            raw = tree.array(path, "diffraction")
        except InputMissingError as error:
            if path == _WHOLE:  # it names the frames itself, and can't be taken in part
                raise
            errors[at] = error
            continue
        if len(raw.shape) != 3:
            reason = f"has shape {raw.shape}, where (n, H, W) frames should be"
            raise InputError(reason, file=tree.path, member=path)
        low, high = (number(tree, f"{path}@image_nr_{end}") for end in ("low", "high"))
        images = None if low is None or high is None else (int(low[0]), int(high[0]))
        blocks[at] = _Block(path, raw, images)
    for at, told in sorted(errors.items()):
        told.reason = f"{_frames_in(at, blocks, errors, expected)}: {told.reason}"
        if not partial:
            told.advice = "; ".join(filter(None, (told.advice, _PARTIAL)))
            raise told.located(file=tree.path, member=paths.get(at, "/entry/data"))
    whole = max((block.raw.shape[0] for block in blocks.values()), default=0)
    in_order, lost = [], 0
    for at in range(first, max({*blocks, *errors}, default=first - 1) + 1):
        if at in blocks:
            in_order.append(dataclasses.replace(blocks[at], lost=lost))
        lost = 0 if at in blocks else lost + whole
    return in_order, [errors[at] for at in sorted(errors)]


def _frames_in(
    at: int, blocks: dict[int, _Block], errors: dict[int, InputError], expected: int | None
) -> str:
    """Which frames block `at` has, as far as the others tell."""
    lengths = {k: block.raw.shape[0] for k, block in blocks.items()}
    first, each = min({*blocks, *errors}), max(lengths.values(), default=0)
    begin = sum(lengths.get(k, each) for k in range(first, at))
    if at < max({*blocks, *errors}):
        end = begin + each - 1
    else:
        end = -1 if expected is None else expected - 1
    return f"frames {begin} to {end}" if end >= begin else f"frames from {begin} on"


def _require_alike(tree: Tree, blocks: list[_Block]) -> None:
    """Raise `InputError` for a block of other frames than the first one's."""
    first = blocks[0]
    for block in blocks[1:]:
        own, wanted = (
            f"{one.raw.dtype} of {one.raw.shape[1]} by {one.raw.shape[2]}" for one in (block, first)
        )
        if own != wanted:
            reason = f"has frames of {own}, those of {first.path} are {wanted}"
            raise InputError(reason, file=tree.path, member=block.path)


def _numbers(tree: Tree, blocks: list[_Block], *, partial: bool) -> Indices:
    """The number of each frame, from 0. Raises `InputError` for images that are not in order."""
    numbers, begin = [], 0
    for block in blocks:
        count = block.raw.shape[0]
        if block.images is not None:
            low, high = block.images
            whole = high - low + 1 == count or (partial and high - low + 1 > count)
            if not whole or (low - 1 != begin and not (partial and low - 1 > begin)):
                raise InputError(
                    f"says that it has images {low} to {high}, where {begin + 1} to "
                    f"{begin + count} should be: another file may have its name",
                    file=tree.path,
                    member=block.path,
                )
            begin = low - 1
        else:
            begin += block.lost
        numbers.append(np.arange(begin, begin + count))
        begin += count
    return np.concatenate(numbers)
