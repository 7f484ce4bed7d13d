"""Views against the plain greedy loop, and the overlap that is measured of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ptystore
from ptystore import InputError, Metadata, ParameterError, measure_overlap, select_view
from ptystore.survey.overlap import overlap_metrics, probe_fwhm
from reconstructions import reconstruction


def scan(n=500, width=16, extent=120.0, seed=0):
    """n random positions with small frames, the value of which is their index."""
    x, y = np.random.default_rng(seed).uniform(0, extent, (2, n))
    frames = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None], (n, 8, width)).copy()
    return ptystore.dataset_of(
        {
            "diffraction": frames,
            "xcoords": x,
            "ycoords": y,
            "probeGuess": reconstruction()["probeGuess"][:8, :width],
        }
    )


def slow_greedy(x, y, spacing):
    kept = []
    for k in range(len(x)):
        if all(math.hypot(x[k] - x[j], y[k] - y[j]) >= spacing for j in kept):
            kept.append(k)
    return kept


@pytest.mark.parametrize(
    ("choice", "overlap", "spacing"),
    [
        ({"name": "dense"}, 0.7, 4.8),
        ({"name": "sparse"}, 0.2, 12.8),
        ({"overlap": 0.5}, 0.5, 8.0),
        ({"overlap": 0}, 0, 16.0),
    ],
)
def test_a_view_is_the_greedy_loop_over_all_pairs(choice, overlap, spacing):
    whole = scan()
    view = select_view(whole, **choice)
    x, y = whole["xcoords"].values(), whole["ycoords"].values()
    expected = slow_greedy(x, y, spacing)
    assert 10 < len(expected) < 400
    assert view["diffraction"][:, 0, 0].tolist() == expected
    assert view["xcoords"].values().tolist() == x[expected].tolist()
    assert view["probeGuess"] is whole["probeGuess"]
    kept = np.stack([view["xcoords"].values(), view["ycoords"].values()], axis=1)
    gaps = np.linalg.norm(kept[:, None] - kept[None], axis=2)
    assert gaps[~np.eye(len(kept), dtype=bool)].min() >= spacing - 1e-12
    record = view.metadata.history[-1]
    assert (record["tool"], record["operation"]) == ("ptystore", "select_view")
    assert record["parameters"] == {
        "view": choice.get("name"),
        "overlap": overlap,
        "spacing": spacing,
        "frame_width": 16,
        "kept": len(expected),
        "of": 500,
    }


def test_a_fraction_is_a_reproducible_part():
    whole = scan()
    view = select_view(whole, fraction=0.25, seed=11)
    kept = view["diffraction"][:, 0, 0]
    assert len(kept) == 125
    assert (np.diff(kept) > 0).all()
    again = select_view(whole, fraction=0.25, seed=11)["diffraction"][:, 0, 0]
    assert np.array_equal(kept, again)
    other = select_view(whole, fraction=0.25, seed=12)["diffraction"][:, 0, 0]
    assert not np.array_equal(kept, other)
    assert view.metadata.history[-1]["parameters"] == {
        "view": None, "overlap": None, "fraction": 0.25, "seed": 11, "kept": 125, "of": 500,
    }  # fmt: skip


@pytest.mark.parametrize(("kept", "words"), [(1, "1 frame is left of 9"), (3, "3 frames"), (4, "")])
def test_fewer_than_four_frames_are_a_warning(kept, words, tmp_path):
    view = select_view(scan(9), fraction=kept / 9)
    warnings = ptystore.write(view, tmp_path / "view.zarr").warnings
    assert [words in line and "group" in line for line in warnings] == [True] * bool(words)
    assert ptystore.open(tmp_path / "view.zarr").frame_count == kept


def test_views_that_can_not_be_are_refused():
    with pytest.raises(InputError, match="no frame of 9 is left"):
        select_view(scan(9), fraction=0.01)
    with pytest.raises(InputError, match="no frame of 0 is left"):
        select_view(scan(0), name="dense")
    for choice in ({}, {"name": "dense", "overlap": 0.7}, {"overlap": 0.1, "fraction": 0.1}):
        with pytest.raises(ParameterError, match="one of"):
            select_view(scan(9), **choice)
    with pytest.raises(ParameterError, match="dense or sparse"):
        select_view(scan(9), name="medium")
    with pytest.raises(ParameterError, match="overlap"):
        select_view(scan(9), overlap=1.0)
    bad = ptystore.dataset_of(
        {"diffraction": np.zeros((2, 4, 4)), "xcoords": np.array([0, np.inf]), "ycoords": [0, 1.0]}
    )
    with pytest.raises(InputError, match="position 1 is not finite"):
        select_view(bad, overlap=0.5)


def test_the_diameter_is_given_or_the_probes():
    whole = scan()
    x, y = whole["xcoords"].values(), whole["ycoords"].values()
    given = measure_overlap(whole, 9.0)
    assert given.diameter_from == "given"
    assert given.metrics == overlap_metrics(x, y, 9.0)
    assert (given.spacing, given.frame_width, given.wide) == (None, None, None)
    measured = measure_overlap(whole)
    fwhm = probe_fwhm(whole["probeGuess"].values())
    assert measured.diameter_from == "probe FWHM"
    assert measured.metrics == overlap_metrics(x, y, fwhm)


def test_a_diameter_below_the_spacing_brings_a_wide_one():
    view = select_view(scan(), name="dense")
    x, y = view["xcoords"].values(), view["ycoords"].values()
    small = measure_overlap(view, 4.0)
    assert small.spacing == 4.8
    assert small.metrics.metric1 == small.metrics.metric2 == 0.0
    assert small.wide == overlap_metrics(x, y, 0.6 * 16)
    assert small.wide.metric1 > 0
    assert measure_overlap(view, 4.8).wide is None
    part = select_view(view, fraction=0.5)  # the spacing of what it was taken from still holds
    assert measure_overlap(part, 4.0).spacing == 4.8


def test_an_odd_history_is_no_spacing():
    record = {"operation": "select_view", "parameters": {"spacing": "wide", "frame_width": None}}
    document = Metadata.create().with_record(record)
    assert measure_overlap(ptystore.Dataset(scan(9).fields, document), 4.0).spacing is None
