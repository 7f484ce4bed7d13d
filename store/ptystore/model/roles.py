"""Which arrays have one entry for each frame, and along which axis: decided once, at opening.

Known names have the role that the contract gives them. An unknown array is per frame when
its first axis has the length of the scan, except where its shape is the frame's or the
object's own. What the caller says overrides both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import AxisOrder
from ptystore.model.contract import COORDINATE_NAMES, DIFFRACTION_NAMES, FIELDS

__all__ = ["RoleOverrides", "decide_frame_axes", "override_frame_axes"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class RoleOverrides:
    """What the caller knows better: the axis order of stacks, and roles by name."""

    axis_order: AxisOrder | None = None
    per_frame: Collection[str] = ()
    global_: Collection[str] = ()


def decide_frame_axes(
    shapes: Mapping[str, Shape], overrides: RoleOverrides | None = None
) -> dict[str, int | None]:
    """The frame axis of each array, None for a global one.

    Raises `InputError` where the arrays disagree on the number of frames (all lengths are
    listed) or where no axis of the frames can be it, and `ParameterError` where an
    override names an array that is not there, contradicts itself, or declares a per-frame
    field of the contract global.
    """
    overrides = overrides or RoleOverrides()
    _check_overrides(shapes, overrides)
    count = _count_from_positions(shapes)
    images: list[Shape] = []
    stack = next((name for name in DIFFRACTION_NAMES if name in shapes), None)
    if stack is not None:
        stack_axis = _per_frame_axis(stack, shapes, count, overrides.axis_order)
        if count is None:
            count = shapes[stack][stack_axis]
        images.append(_image(_without(shapes[stack], stack_axis)))
    if "objectGuess" in shapes:
        images += [shapes["objectGuess"], _image(shapes["objectGuess"])]

    axes: dict[str, int | None] = {}
    for name, shape in shapes.items():
        if name in FIELDS and FIELDS[name].role == "per_frame":
            axes[name] = _per_frame_axis(name, shapes, count, overrides.axis_order)
        elif name in overrides.global_:
            axes[name] = None
        elif name in overrides.per_frame:
            axes[name] = 0
        elif name in FIELDS:
            axes[name] = None
        else:
            per_frame = len(shape) > 0 and shape[0] == count and shape not in images
            axes[name] = 0 if per_frame else None
    _check_lengths(shapes, axes)
    return axes


def override_frame_axes(
    stored: Mapping[str, int | None], shapes: Mapping[str, Shape], overrides: RoleOverrides
) -> dict[str, int | None]:
    """The recorded frame axes, changed only where the caller says so; nothing is guessed again.

    Raises as `decide_frame_axes` does.
    """
    _check_overrides(shapes, overrides)
    axes = dict(stored)
    for name, shape in shapes.items():
        if name in overrides.global_:
            axes[name] = None
        elif name in overrides.per_frame and axes[name] is None:
            axes[name] = 0
        elif overrides.axis_order and axes[name] is not None and name in FIELDS and len(shape) > 2:
            axes[name] = 0 if overrides.axis_order == "nhw" else len(shape) - 1
    _check_lengths(shapes, axes)
    return axes


def _per_frame_axis(
    name: str,
    shapes: Mapping[str, Shape],
    count: int | None,
    axis_order: AxisOrder | None,
) -> int:
    """The frame axis of an array that the contract has per frame."""
    if not shapes[name]:
        raise InputError("is a single value, but there must be one for each frame", member=name)
    if FIELDS[name].dims == ("scan",):
        return _list_axis(shapes[name])
    return _stack_axis(name, shapes, count, axis_order)


def _list_axis(shape: Shape) -> int:
    """The axis of a list that other tools write as a column (n, 1) or a row (1, n): the long one.

    The first where there are several; what takes such an array refuses it.
    """
    long = [axis for axis, size in enumerate(shape) if size != 1]
    return long[0] if len(long) == 1 else 0


def _check_overrides(shapes: Mapping[str, Shape], overrides: RoleOverrides) -> None:
    both = set(overrides.per_frame) & set(overrides.global_)
    if both:
        raise ParameterError(f"{', '.join(sorted(both))}: can't be both per frame and global")
    for name in (*overrides.per_frame, *overrides.global_):
        if name not in shapes:
            raise ParameterError(
                "a role was given for it, but there is no such array",
                member=name,
                advice=f"the file has {', '.join(shapes)}",
            )
    for name in overrides.global_:
        if name in FIELDS and FIELDS[name].role == "per_frame":
            reason = "has one entry for each frame: it can't be declared global"
            raise ParameterError(reason, member=name)
    for name in overrides.per_frame:
        if not shapes[name]:
            raise ParameterError("is a single value and can't be per frame", member=name)


def _count_from_positions(shapes: Mapping[str, Shape]) -> int | None:
    for name in (*COORDINATE_NAMES, "scan_index"):
        shape = shapes.get(name, ())
        if shape and sum(size != 1 for size in shape) <= 1:
            return shape[_list_axis(shape)]
    return None


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def _stack_axis(
    name: str,
    shapes: Mapping[str, Shape],
    count: int | None,
    axis_order: AxisOrder | None,
) -> int:
    """The frame axis of a stack of images: the first or the last."""
    shape = shapes[name]
    last = len(shape) - 1
    if len(shape) < 3:
        return 0
    if axis_order is not None:
        return 0 if axis_order == "nhw" else last
    if len(shape) > 3:
        return _axis_of_many(shape, count)
    probe = _image(shapes.get("probeGuess", ()))
    whole = [axis for axis in (0, last) if _without(shape, axis) == probe]
    if count is None:
        if whole:
            return whole[0]
        # Square frames that come last, or a probe that fits neither: nothing tells. Without
        # either, frames come first as in the contract.
        if shape[1] == shape[2] or not (len(probe) == 2 or shape[0] == shape[1]):
            return 0
        raise _undecided(name, shape, count, probe)
    candidates = [axis for axis in (0, last) if shape[axis] == count]
    if whole and (not candidates or (candidates == [last] and whole == [0])):
        # Whole frames of the probe's shape, too few or too many: a mismatch of lengths,
        # which must not pass for another axis order because n happens to be N.
        return whole[0]
    if len(candidates) == 1:
        return candidates[0]
    if candidates and len(probe) < 2:
        return 0
    # Both ends are as long as the scan: the layout whose frames have the probe's shape
    # wins, and frames first where both have.
    fitting = [axis for axis in candidates if axis in whole]
    if fitting:
        return fitting[0]
    raise _undecided(name, shape, count, probe)


def _axis_of_many(shape: Shape, count: int | None) -> int:
    """The frame axis of more than three: the first, as in legacy patches (n, H, W, 1).

    The second of (1, n, H, W), which is how some tools write a single scan.
    """
    single = shape[0] == 1 and 1 not in shape[1:] and len(shape) == 4
    return 1 if single and count in (None, shape[1]) else 0


def _image(shape: Shape) -> Shape:
    """Height and width of a frame, a probe or an object; (N, N, 1) is one of N × N.

    All axes of what has fewer than two.
    """
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape[-2:]


def _undecided(name: str, shape: Shape, count: int | None, probe: Shape) -> InputError:
    reason = f"shape {shape} does not say which axis counts the frames: "
    reason += (
        "there are no scan positions" if count is None else f"there are {count} scan positions"
    )
    if len(probe) == 2:
        reason += f" and the probe is {probe}"
    return InputError(
        reason,
        member=name,
        advice="say which it is with --axis-order nhw or --axis-order hwn",
    )


def _check_lengths(shapes: Mapping[str, Shape], axes: Mapping[str, int | None]) -> None:
    lengths = {name: shapes[name][axis] for name, axis in axes.items() if axis is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        count, _ = Counter(lengths.values()).most_common(1)[0]
        odd = [name for name, length in lengths.items() if length != count]
        grid = _grid(shapes, set(lengths.values()))
        raise InputError(
            f"the arrays disagree on the number of frames: {listed}",
            advice=f"--scan-shape {grid[0]},{grid[1]} puts the grid of positions in a row"
            if grid
            else "; ".join(_ways_out(odd, shapes, axes, count)),
        )


def _grid(shapes: Mapping[str, Shape], lengths: Collection[int]) -> tuple[int, int] | None:
    """The shape of positions that are a grid, if as many as one of the lengths lie on it."""
    for name in COORDINATE_NAMES:
        shape = shapes.get(name, ())
        if len(shape) == 2 and min(shape) > 1 and math.prod(shape) in lengths:
            return shape[0], shape[1]
    return None


def _ways_out(
    odd: Iterable[str], shapes: Mapping[str, Shape], axes: Mapping[str, int | None], count: int
) -> list[str]:
    """What to do about arrays that are not `count` long: no option is named that can't help."""
    ways = []
    for name in odd:
        shape, axis = shapes[name], axes[name]
        if len(shape) == 3 and shape[2 if axis == 0 else 0] == count:
            ways.append(f"--axis-order {'hwn' if axis == 0 else 'nhw'} if that counts its frames")
        elif name not in FIELDS:
            ways.append(f"--global {name} if it is not per frame")
        elif FIELDS[name].presence == "optional":
            ways.append(f"--skip {name} leaves it out")
        else:
            return ["there must be one position for each frame: correct the file"]
    return ways
