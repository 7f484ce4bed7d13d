"""Which windows reach outside the object, against counting their pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ptystore.compute.positions import frames_outside, warn_of_frames_outside
from ptystore.model.dataset import memory_field

QUARTERS = st.integers(-60, 60).map(lambda n: n / 4)


@given(
    st.lists(st.tuples(QUARTERS, QUARTERS), max_size=9),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
def test_against_every_pixel(
    positions: list[tuple[float, float]], shape: tuple[int, int], window: tuple[int, int]
) -> None:
    x = np.array([one[0] for one in positions])
    y = np.array([one[1] for one in positions])
    expected = []
    for frame in range(len(x)):
        rows = [y[frame] - window[0] // 2 + i for i in range(window[0])]
        columns = [x[frame] - window[1] // 2 + j for j in range(window[1])]
        inside = all(0 <= row <= shape[0] - 1 for row in rows) and all(
            0 <= column <= shape[1] - 1 for column in columns
        )
        if not inside:
            expected.append(frame)
    assert frames_outside(x, y, shape, window).tolist() == expected


def test_a_position_that_is_no_number_is_outside() -> None:
    x = np.array([5, np.nan, 5, np.inf])
    y = np.array([5, 5, -np.inf, 5])
    assert frames_outside(x, y, (10, 10), (2, 2)).tolist() == [1, 2, 3]


def test_the_warning_is_one_line_with_the_number_and_the_first() -> None:
    x = memory_field("xcoords", np.array([5.0, 5.0, 1.0, 0.0]), "per_frame")
    y = memory_field("ycoords", np.array([5.0, 5.0, 5.0, 5.0]), "per_frame")
    (line,) = warn_of_frames_outside(x, y, (10, 12), (4, 4))
    assert "2 of 4 frames" in line
    assert "frame 2" in line
    assert "10×12" in line
    assert not list(warn_of_frames_outside(x, y, (10, 12), (2, 1)))
