"""Roles: which arrays are per frame, along which axis, and what is said where it is unclear."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ptystore.errors import InputError, ParameterError
from ptystore.model.roles import RoleOverrides, decide_frame_axes, override_frame_axes

Shape = tuple[int, ...]


def scan(frames: Shape, count: int, probe: Shape = (64, 64), **more: Shape) -> dict[str, Shape]:
    base = {"diff3d": frames, "probeGuess": probe, "objectGuess": (200, 210)}
    return {**base, "xcoords": (count,), "ycoords": (count,), **more}


def axis_of(name: str, shapes: Mapping[str, Shape], **overrides: object) -> int | None:
    return decide_frame_axes(shapes, RoleOverrides(**overrides))[name]  # type: ignore[arg-type]


def test_known_names_have_the_contract_s_roles() -> None:
    shapes = scan((9, 64, 64), 9, Y=(9, 64, 64), xcoords_start=(9,), ycoords_start=(9,),
                  scan_index=(9,))  # fmt: skip
    assert decide_frame_axes(shapes) == {
        "diff3d": 0, "probeGuess": None, "objectGuess": None, "xcoords": 0, "ycoords": 0,
        "Y": 0, "xcoords_start": 0, "ycoords_start": 0, "scan_index": 0,
    }  # fmt: skip


def test_64_frames_of_64_pixels_do_not_cut_the_probe() -> None:
    shapes = scan(
        (64, 64, 64), 64, objectGuess=(64, 300), Y=(64, 64, 64, 1),
        ground_truth_patches=(64, 64, 64), mask=(64, 64), background=(64, 300), dose=(64,),
    )  # fmt: skip
    axes = decide_frame_axes(shapes)
    assert axes["probeGuess"] is None
    assert axes["objectGuess"] is None
    assert axes["mask"] is None  # the frame's shape
    assert axes["background"] is None  # the object's shape
    assert axes["dose"] == 0
    assert axes["ground_truth_patches"] == 0
    assert axes["diff3d"] == axes["Y"] == 0


@pytest.mark.parametrize("modes", [(), (64,)])
def test_a_probe_with_as_many_modes_as_frames_stays_whole(modes: Shape) -> None:
    assert axis_of("probeGuess", scan((64, 64, 64), 64, (*modes, 64, 64))) is None


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((9,), 0), ((9, 3), 0), ((9, 64, 64, 2), 0),
        ((8,), None), ((3, 9), None), ((), None), ((64, 64), None), ((200, 210), None),
    ],
)  # fmt: skip
def test_unknown_arrays(shape: Shape, axis: int | None) -> None:
    assert axis_of("extra", scan((9, 64, 64), 9, extra=shape)) == axis


def test_a_frame_shaped_array_is_global_even_when_n_is_h() -> None:
    shapes = scan((48, 48, 32), 48, (48, 32), mask=(48, 32), flat=(32, 48), gain=(48, 3))
    axes = decide_frame_axes(shapes)
    assert (axes["diff3d"], axes["mask"], axes["flat"], axes["gain"]) == (0, None, None, 0)


@pytest.mark.parametrize(
    ("frames", "count", "probe", "axis"),
    [
        ((9, 64, 64), 9, (64, 64), 0),
        ((64, 64, 9), 9, (64, 64), 2),
        ((64, 32, 9), 9, (64, 32), 2),
        ((9, 64, 32), 9, (64, 32), 0),
        ((64, 64, 64), 64, (64, 64), 0),
        ((64, 64, 64), 64, (3, 64, 64), 0),
        # Frames that are not square, one of whose sides is n: the probe decides.
        ((48, 48, 32), 48, (48, 32), 0),
        ((32, 48, 48), 48, (32, 48), 2),
        ((48, 32, 48), 48, (32, 48), 0),
        ((48, 32, 48), 48, (48, 32), 2),
        # Only one end is as long as the scan: no probe is asked.
        ((9, 64, 64), 9, (128, 128), 0),
        ((64, 64, 9), 9, (128, 128), 2),
    ],
)
def test_the_frame_axis(frames: Shape, count: int, probe: Shape, axis: int) -> None:
    assert axis_of("diff3d", scan(frames, count, probe)) == axis


def test_without_positions_frames_come_first() -> None:
    assert decide_frame_axes({"diffraction": (5, 8, 8), "extra": (5, 2), "other": (8,)}) == {
        "diffraction": 0, "extra": 0, "other": None,
    }  # fmt: skip


def test_without_a_probe_frames_come_first_where_both_ends_fit() -> None:
    assert decide_frame_axes({"diff3d": (9, 7, 9), "xcoords": (9,)})["diff3d"] == 0


def test_the_positions_count_where_there_are_no_frames() -> None:
    shapes = {"objectGuess": (20, 20), "xcoords": (7,), "ycoords": (7,), "dose": (7,), "z": (8,)}
    axes = decide_frame_axes(shapes)
    assert axes["dose"] == 0
    assert axes["z"] is None


def test_legacy_patches_in_a_hwn_stack() -> None:
    shapes = scan((64, 64, 9), 9, Y=(64, 64, 9))
    axes = decide_frame_axes(shapes)
    assert (axes["diff3d"], axes["Y"]) == (2, 2)


@pytest.mark.parametrize("order", ["nhw", "hwn"])
@pytest.mark.parametrize("frames", [(64, 64, 64), (64, 32, 64)])
def test_axis_order_overrides(frames: Shape, order: str) -> None:
    shapes = scan(frames, 64, (32, 32), Y=frames)
    axes = decide_frame_axes(shapes, RoleOverrides(axis_order=order))  # type: ignore[arg-type]
    assert axes["diff3d"] == axes["Y"] == (0 if order == "nhw" else 2)


def test_an_undecidable_stack_names_the_shapes() -> None:
    for frames in ((64, 64, 64), (64, 32, 64), (50, 50, 50)):
        with pytest.raises(InputError) as caught:
            decide_frame_axes(scan(frames, 64, (16, 16)))
        error = caught.value
        assert error.member == "diff3d"
        for named in (str(frames), "64 scan positions", "(16, 16)"):
            assert named in error.reason
        assert error.advice
        assert "--axis-order" in error.advice


def test_a_length_that_is_only_in_the_middle_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(64, 9, 64\)"):
        decide_frame_axes(scan((64, 9, 64), 9))


def test_all_lengths_are_listed_where_they_disagree() -> None:
    with pytest.raises(InputError) as caught:
        decide_frame_axes(scan((9, 64, 64), 9, Y=(8, 64, 64, 1), scan_index=(7,)))
    assert "diff3d 9, xcoords 9, ycoords 9, Y 8, scan_index 7" in caught.value.reason


def test_one_frame_too_few_is_no_other_axis_order() -> None:
    # 63 whole frames of 64×64 and 64 positions: a missing frame, not a (64, 64, n) stack.
    with pytest.raises(InputError, match="diff3d 63, xcoords 64"):
        decide_frame_axes(scan((63, 64, 64), 64))


def test_role_overrides() -> None:
    shapes = scan((9, 64, 64), 9, gain=(9,), table=(9, 4))
    axes = decide_frame_axes(shapes, RoleOverrides(global_=("gain", "table")))
    assert axes["gain"] is None
    assert axes["table"] is None
    mask = scan((64, 64, 64), 64, mask=(64, 64))
    assert axis_of("mask", mask, per_frame=("mask",)) == 0
    longer = scan((9, 64, 64), 9, extra=(12,))
    with pytest.raises(InputError, match="extra 12"):
        axis_of("extra", longer, per_frame=("extra",))


@pytest.mark.parametrize(
    "name",
    ["diff3d", "xcoords", "ycoords", "xcoords_start", "ycoords_start", "scan_index", "Y"],
)
def test_per_frame_fields_of_the_contract_can_not_be_global(name: str) -> None:
    shapes = scan((9, 64, 64), 9, Y=(9, 64, 64), xcoords_start=(9,), ycoords_start=(9,),
                  scan_index=(9,))  # fmt: skip
    stored = decide_frame_axes(shapes)
    overrides = RoleOverrides(global_=("probeGuess", name))
    for decide in (
        lambda: decide_frame_axes(shapes, overrides),
        lambda: override_frame_axes(stored, shapes, overrides),
    ):
        with pytest.raises(ParameterError, match="can't be declared global") as caught:
            decide()
        assert caught.value.member == name


ADVICE = {
    "frames without positions": (scan((15, 64, 64), 12), "one position for each frame"),
    "a position too many": (scan((9, 64, 64), 9, xcoords=(10,)), "one position for each frame"),
    "an optional field": (scan((9, 64, 64), 9, scan_index=(1,)), "--skip scan_index leaves"),
    "patches of another scan": (scan((9, 64, 64), 9, Y=(8, 64, 64)), "--skip Y leaves"),
    "patches in another order": (
        scan((9, 64, 48), 9, (64, 48), Y=(64, 48, 9)), "--axis-order hwn",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shapes", "words"), ADVICE.values(), ids=ADVICE)
def test_the_advice_names_only_what_helps(shapes: Mapping[str, Shape], words: str) -> None:
    with pytest.raises(InputError, match="disagree") as caught:
        decide_frame_axes(shapes, RoleOverrides(axis_order="nhw"))
    assert caught.value.advice
    assert words in caught.value.advice
    assert "--global" not in caught.value.advice


def test_the_advice_for_an_unknown_array_is_to_declare_it_global() -> None:
    shapes = scan((9, 64, 64), 9, gain=(8,))
    with pytest.raises(InputError) as caught:
        decide_frame_axes(shapes, RoleOverrides(per_frame=("gain",)))
    assert caught.value.advice == "--global gain if it is not per frame"


COLUMNS = [((9,), 0), ((9, 1), 0), ((1, 9), 1), ((9, 1, 1), 0), ((1, 1, 9), 2), ((1, 9, 1), 1)]


@pytest.mark.parametrize(("shape", "axis"), COLUMNS)
def test_positions_in_columns_and_rows_count_frames(shape: Shape, axis: int) -> None:
    shapes = scan((64, 64, 9), 9, xcoords=shape, ycoords=shape, scan_index=shape, gain=(9,))
    axes = decide_frame_axes(shapes)
    assert [axes[name] for name in ("xcoords", "ycoords", "scan_index")] == [axis] * 3
    assert (axes["diff3d"], axes["gain"]) == (2, 0)
    # To say what is so anyway changes nothing.
    assert decide_frame_axes(shapes, RoleOverrides(per_frame=("xcoords", "diff3d"))) == axes


@pytest.mark.parametrize(
    ("frames", "probe", "axis"),
    [
        ((16, 16, 40), (16, 16), 2), ((40, 16, 16), (16, 16), 0), ((16, 16, 16), (16, 16), 0),
        ((12, 16, 40), (12, 16), 2), ((12, 16, 40), (16, 40), 0), ((16, 16, 40), (16, 16, 1), 2),
        ((16, 16, 40), (3, 16, 16), 2), ((40, 16, 16), (64, 64), 0), ((1, 40, 16, 16), (16, 16), 1),
    ],
)  # fmt: skip
def test_without_positions_the_probe_says_which_axis(
    frames: Shape, probe: Shape, axis: int
) -> None:
    assert axis_of("diff3d", {"diff3d": frames, "probeGuess": probe}) == axis


@pytest.mark.parametrize(
    "shapes",
    [
        {"diffraction": (16, 16, 40)},
        {"diffraction": (16, 16, 40), "probeGuess": (64, 64)},
        {"diffraction": (12, 16, 40), "probeGuess": (64, 64)},
    ],
)
def test_without_positions_and_a_probe_that_fits_it_must_be_said(
    shapes: Mapping[str, Shape],
) -> None:
    with pytest.raises(InputError, match="no scan positions") as caught:
        decide_frame_axes(shapes)
    assert caught.value.advice
    assert "--axis-order" in caught.value.advice
    for order, axis in (("nhw", 0), ("hwn", 2)):
        assert axis_of("diffraction", shapes, axis_order=order) == axis


def test_nominal_positions_count_where_there_are_no_others() -> None:
    shapes = {"diffraction": (16, 16, 40), "xcoords_start": (40,)}
    assert axis_of("diffraction", shapes) == 2


def test_a_frame_stays_global_with_axes_of_length_1_about() -> None:
    shapes = scan(
        (48, 48, 32, 1), 48, (48, 32, 1), objectGuess=(1, 48, 90), mask=(48, 32), back=(48, 90),
        gain=(48, 3),
    )  # fmt: skip
    axes = decide_frame_axes(shapes)
    assert (axes["mask"], axes["back"], axes["gain"]) == (None, None, 0)
    assert axis_of("diff3d", scan((1, 9, 64, 64), 9)) == 1
    assert axis_of("Y", scan((1, 64, 64), 1, Y=(1, 64, 64, 1))) == 0


def test_overrides_that_make_no_sense() -> None:
    shapes = scan((9, 64, 64), 9, energy=())
    with pytest.raises(ParameterError, match="can't be both"):
        axis_of("diff3d", shapes, per_frame=("xcoords",), global_=("xcoords",))
    with pytest.raises(ParameterError, match="no such array") as caught:
        axis_of("diff3d", shapes, global_=("nothing",))
    assert caught.value.member == "nothing"
    assert caught.value.advice
    assert "diff3d, probeGuess" in caught.value.advice
    with pytest.raises(ParameterError, match="can't be per frame"):
        axis_of("diff3d", shapes, per_frame=("energy",))


def test_a_single_value_for_a_per_frame_field() -> None:
    with pytest.raises(InputError, match="one for each frame") as caught:
        decide_frame_axes({"diffraction": (3, 4, 4), "ycoords": ()})
    assert caught.value.member == "ycoords"
    with pytest.raises(InputError, match="one for each frame"):
        decide_frame_axes({"diffraction": ()})


def test_order_is_the_source_s() -> None:
    shapes = dict(reversed(scan((9, 64, 64), 9).items()))
    assert list(decide_frame_axes(shapes)) == list(shapes)
