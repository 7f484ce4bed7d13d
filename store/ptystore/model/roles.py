"""Which arrays have one entry for each frame, and along which axis: decided once, at opening.

Known names have the role that the contract gives them. An unknown array is per frame when
its first axis has the length of the scan, except where its shape is the frame's or the
object's own. What the caller says overrides both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ptystore.errors import InputError, ParameterError
from ptystore.model.choices import AxisOrder
from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS, POSITION_NAMES

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
    override names an array that is not there or contradicts itself.
    """
    overrides = overrides or RoleOverrides()
    _check_overrides(shapes, overrides)
    count = _count_from_positions(shapes)
    stack_axis: int | None = None
    stack = next((name for name in DIFFRACTION_NAMES if name in shapes), None)
    if stack is not None and stack not in overrides.global_:
        stack_axis = _stack_axis(stack, shapes, count, overrides.axis_order)
        if count is None:
            count = shapes[stack][stack_axis]
    frame_shape = _without(shapes[stack], stack_axis) if stack and stack_axis is not None else None

    axes: dict[str, int | None] = {}
    for name, shape in shapes.items():
        if name in overrides.global_:
            axes[name] = None
        elif name in overrides.per_frame:
            axes[name] = 0
        elif name in FIELDS:
            axes[name] = _known_axis(name, shapes, count, overrides.axis_order)
        else:
            per_frame = (
                len(shape) > 0
                and shape[0] == count
                and shape != frame_shape
                and shape != shapes.get("objectGuess")
            )
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
        elif name in overrides.per_frame:
            axes[name] = 0
        elif overrides.axis_order and axes[name] is not None and name in FIELDS and len(shape) > 2:
            axes[name] = 0 if overrides.axis_order == "nhw" else len(shape) - 1
    _check_lengths(shapes, axes)
    return axes


def _known_axis(
    name: str,
    shapes: Mapping[str, Shape],
    count: int | None,
    axis_order: AxisOrder | None,
) -> int | None:
    if FIELDS[name].role == "global":
        return None
    if not shapes[name]:
        raise InputError("is a single value, but there must be one for each frame", member=name)
    if len(shapes[name]) < 3:
        return 0
    return _stack_axis(name, shapes, count, axis_order)


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
    for name in overrides.per_frame:
        if not shapes[name]:
            raise ParameterError("is a single value and can't be per frame", member=name)


def _count_from_positions(shapes: Mapping[str, Shape]) -> int | None:
    for name in (*POSITION_NAMES, "scan_index"):
        if len(shapes.get(name, ())) == 1:
            return shapes[name][0]
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
    if count is None:
        return 0
    if len(shape) > 3:
        # Legacy patches (n, H, W, 1); no known layout of more axes has frames last.
        return 0
    probe = shapes.get("probeGuess", ())[-2:]
    candidates = [axis for axis in (0, last) if shape[axis] == count]
    whole = [axis for axis in (0, last) if _without(shape, axis) == probe]
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
    reason = f"shape {shape} does not say which axis counts the frames: "
    reason += f"there are {count} scan positions"
    if len(probe) == 2:
        reason += f" and the probe is {probe}"
    raise InputError(
        reason,
        member=name,
        advice="say which it is with --axis-order nhw or --axis-order hwn",
    )


def _check_lengths(shapes: Mapping[str, Shape], axes: Mapping[str, int | None]) -> None:
    lengths = {name: shapes[name][axis] for name, axis in axes.items() if axis is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(
            f"the arrays disagree on the number of frames: {listed}",
            advice="give --global NAME for an array that is not per frame, "
            "or --axis-order for a stack whose frames are counted by another axis",
        )
