"""Positions of a file of their own and frames: which belongs to which, and which has no partner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from measured_positions import N, X, Y, check, frames, opened
from ptystore.errors import InputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return frames(tmp_path / "a.npz")


def numbered(path: Path, numbers: Any, header: str = "x,frame,y") -> Path:
    lines = [f"{X[k % N]},{n},{Y[k % N]}" for k, n in enumerate(numbers)]
    path.write_text("\n".join([header, *lines]), "utf-8")
    return path


@pytest.mark.parametrize(("numbers", "first"), [([3, 1, 0, 2, 5, 4], 0), ([4, 2, 1, 3, 6, 5], 1)])
def test_frame_numbers_pair_from_0_or_1_by_fit(
    tmp_path: Path, source: Path, numbers: list[int], first: int
) -> None:
    scan = opened(source, numbered(tmp_path / "p.csv", numbers))
    order = np.argsort(numbers)
    check(scan, Y[order], X[order])
    assert scan.source is not None
    assert f"count from {first}" in scan.source.remarks[-1]


def test_numbers_of_the_source_pair(tmp_path: Path) -> None:
    source = frames(tmp_path / "a.npz", frame_index=np.array([5, 7, 9, 11, 13, 15]))
    order = [5, 4, 3, 2, 1, 0]
    check(opened(source, numbered(tmp_path / "p.csv", [15, 13, 11, 9, 7, 5])), Y[order], X[order])
    # One less than the source's, all of them.
    scan = opened(source, numbered(tmp_path / "p.csv", [4, 6, 8, 10, 12, 14]))
    check(scan)
    assert scan.source is not None
    assert "-1 from the source's" in scan.source.remarks[-1]


def test_partial_numbers_must_be_said_from_where_they_count(tmp_path: Path, source: Path) -> None:
    path = numbered(tmp_path / "p.csv", [1, 2, 3, 5])
    with pytest.raises(InputError, match="may count from 0 or from 1") as caught:
        opened(source, path, unpaired="drop")
    assert "frame0" in str(caught.value.advice)
    scan = opened(source, path, unpaired="drop", position_columns="x,frame1,y")
    np.testing.assert_array_equal(scan["frame_index"].values(), [0, 1, 2, 4])
    check(scan, Y[:4], X[:4])
    scan = opened(source, path, unpaired="drop", position_columns="y=y,x=x,frame0=frame")
    np.testing.assert_array_equal(scan["frame_index"].values(), [1, 2, 3, 5])


def test_unpaired_by_number(tmp_path: Path, source: Path) -> None:
    path = numbered(tmp_path / "p.csv", [0, 1, 3, 5, 9])
    with pytest.raises(InputError) as caught:
        opened(source, path)
    assert (
        "6 frames, 5 positions: frames 2, 4 have no position and there are no frames for "
        in str(caught.value)
    )
    assert "--unpaired drop" in str(caught.value.advice)
    dropped = opened(source, path, unpaired="drop")
    np.testing.assert_array_equal(dropped["frame_index"].values(), [0, 1, 3, 5])
    assert dropped.frames.shape[0] == 4
    check(dropped, Y[:4], X[:4])
    kept = opened(source, path, unpaired="keep", allow_nonfinite=True)
    nan = np.nan
    check(kept, [Y[0], Y[1], nan, Y[2], nan, Y[3]], [X[0], X[1], nan, X[2], nan, X[3]])
    with pytest.raises(InputError, match="not finite"):
        ptystore.write(opened(source, path, unpaired="keep"), tmp_path / "out.zarr")
    chosen = opened(source, numbered(tmp_path / "q.csv", [0, 1, 2, 3, 4, 5]), frames="2:4")
    check(chosen, Y[2:4], X[2:4])


@pytest.mark.parametrize("many", [4, 9])
def test_another_number_of_positions(tmp_path: Path, source: Path, many: int) -> None:
    y, x = np.resize(Y, many), np.resize(X, many)
    np.savetxt(tmp_path / "p.txt", np.column_stack([y, x]))
    place = tmp_path / "p.txt"
    with pytest.raises(InputError, match=f"6 frames, but {many} positions") as caught:
        opened(source, place, position_columns="y,x")
    assert ("--skip-first 2" in str(caught.value.advice)) == (many == 4)
    scan = opened(source, place, position_columns="y,x", unpaired="drop")
    assert scan.frame_count == min(many, N)
    check(scan, y[:N], x[:N])
    if many == 4:
        scan = opened(source, place, position_columns="y,x", skip_first=2)
        np.testing.assert_array_equal(scan["frame_index"].values(), [2, 3, 4, 5])
        check(scan, y, x)
        kept = opened(source, place, position_columns="y,x", unpaired="keep", allow_nonfinite=True)
        assert np.isnan(kept["ycoords"].values()[4:]).all()
        assert kept.frame_count == N


def test_positions_of_all_frames_are_chosen_with_them(tmp_path: Path, source: Path) -> None:
    np.savetxt(tmp_path / "p.txt", np.column_stack([Y, X]))
    scan = opened(source, tmp_path / "p.txt", position_columns="y,x", frames="1::2")
    check(scan, Y[1::2], X[1::2])
    np.testing.assert_array_equal(scan.frames.values(), ptystore.open(source).frames.values()[1::2])


@pytest.mark.parametrize(
    "numbers", [[0, 1, 4, 5, 6, 7], [1, 2, 5, 6, 7, 8], [11, 12, 15, 16, 17, 18]]
)
def test_positions_of_frames_of_which_some_in_between_are_not_there(
    tmp_path: Path, numbers: list[int]
) -> None:
    # Taken in order, all frames behind the gap would have the positions of others.
    source = frames(tmp_path / "a.npz", frame_index=np.array(numbers))
    y, x = np.arange(8.0) ** 2, 3 - np.arange(8.0) ** 1.5
    np.savetxt(tmp_path / "p.txt", np.column_stack([y, x]))
    said = {"position_columns": "y,x"}
    with pytest.raises(InputError, match="there are no frames for positions"):
        opened(source, tmp_path / "p.txt", **said)
    scan = opened(source, tmp_path / "p.txt", unpaired="drop", **said)
    there = np.array(numbers) - numbers[0]
    check(scan, y[there], x[there])
    np.savetxt(tmp_path / "p.txt", np.column_stack([y, x])[there])
    check(opened(source, tmp_path / "p.txt", **said), y[there], x[there])
