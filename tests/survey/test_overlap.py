"""Overlap, spacing views and groups against plain loops over all pairs."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from ptystore.errors import InputError, ParameterError
from ptystore.physics.spacing import (
    VIEW_OVERLAP,
    fraction_indices,
    require_neighbors,
    spaced_indices,
    view_spacing,
)
from ptystore.survey.overlap import disc_overlap, groups, overlap_metrics, probe_fwhm


def scatter(kind, n=500, seed=0):
    """Random positions of several kinds, with ties, repeats and clusters among them."""
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return rng.uniform(0, 200, (2, n))
    if kind == "lattice":  # distances tie everywhere
        return np.stack([np.arange(n) % 25, np.arange(n) // 25]) * 8.0
    if kind == "shuffled lattice":
        return scatter("lattice", n)[:, rng.permutation(n)]
    if kind == "repeats":  # few places, many frames at each
        return rng.integers(0, 7, (2, n)).astype(float) * 10
    if kind == "two crowds":
        return rng.normal(0, 3, (2, n)) + 1e4 * rng.integers(0, 2, n)
    if kind == "line":
        return np.stack([rng.uniform(-300, 300, n), np.full(n, -70.0)])
    assert kind == "negative"
    return rng.uniform(-1000, -900, (2, n))


KINDS = ["uniform", "lattice", "shuffled lattice", "repeats", "two crowds", "line", "negative"]


def distance(a, b):
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)


def slow_disc_overlap(d, diameter):
    r = diameter / 2
    if d >= 2 * r:
        return 0.0
    lens = 2 * r**2 * math.acos(d / (2 * r)) - (d / 2) * math.sqrt(4 * r**2 - d**2)
    return lens / (math.pi * r**2)


def slow_spaced(x, y, spacing):
    points, kept = list(zip(x.tolist(), y.tolist(), strict=True)), []
    for i, point in enumerate(points):
        if all(distance(point, points[j]) >= spacing for j in kept):
            kept.append(i)
    return kept


def slow_groups(x, y, neighbors):
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    return [
        [
            i,
            *sorted(
                (j for j in range(len(points)) if j != i),
                key=lambda j: (distance(points[i], points[j]), j),
            )[:neighbors],
        ]
        for i in range(len(points))
    ]


def slow_metrics(x, y, diameter):
    points = list(zip(x.tolist(), y.tolist(), strict=True))

    def f(a, b):
        return slow_disc_overlap(distance(a, b), diameter)

    members = slow_groups(x, y, 3)
    first = np.mean([[f(points[g[0]], points[j]) for j in g[1:]] for g in members])
    unique = sorted(set(points))
    k = min(6, len(unique) - 1)
    second = np.mean(
        [np.mean(sorted((f(a, b) for b in unique if b != a), reverse=True)[:k]) for a in unique]
    )
    centres = [tuple(np.mean([points[j] for j in g], axis=0)) for g in members]
    third = []
    for i, a in enumerate(centres):
        near = [b for j, b in enumerate(centres) if j != i and distance(a, b) < diameter]
        third.append(np.mean([f(a, b) for b in near]) if near else 0.0)
    return first, second, float(np.mean(third))


def test_disc_overlap_is_the_formula():
    d = np.linspace(0, 30, 301)
    expected = [slow_disc_overlap(v, 20.0) for v in d]
    np.testing.assert_allclose(disc_overlap(d, 20.0), expected, atol=1e-12)
    assert float(disc_overlap(0.0, 20.0)) == 1.0
    assert float(disc_overlap(10.0, 20.0)) == pytest.approx(0.391, abs=5e-4)
    assert not disc_overlap([20.0, 20.1, 1e9], 20.0).any()
    assert disc_overlap(np.ones((2, 3)), 20.0).shape == (2, 3)


def test_disc_overlap_is_the_area_shared_by_two_discs():
    grid = np.mgrid[-30:30:0.02, -20:20:0.02]
    here = np.hypot(grid[0] - 4, grid[1]) < 15
    there = np.hypot(grid[0] + 4, grid[1]) < 15
    assert float(disc_overlap(8.0, 30.0)) == pytest.approx((here & there).sum() / here.sum(), 1e-3)


@pytest.mark.parametrize("diameter", [0.0, -1.0, float("nan"), float("inf")])
def test_a_diameter_must_be_positive(diameter):
    with pytest.raises(ParameterError, match="diameter"):
        disc_overlap(1.0, diameter)
    with pytest.raises(ParameterError, match="diameter"):
        overlap_metrics([0.0], [0.0], diameter)


@pytest.mark.parametrize("fwhm", [10.5, 33.3])
def test_fwhm_of_a_gaussian_probe(fwhm):
    i, j = np.mgrid[:128, :128] - 64
    # |P|² falls to a half at a radius of fwhm / 2.
    amplitude = 2.0 ** (-2 * (i**2 + j**2) / fwhm**2)
    probe = (3.0 * amplitude * np.exp(0.01j * i * j)).astype(np.complex64)
    assert probe_fwhm(probe) == pytest.approx(fwhm, rel=0.03)
    area = np.count_nonzero(np.abs(probe) ** 2 > 4.5)
    assert probe_fwhm(probe) == pytest.approx(2 * math.sqrt(area / math.pi))


def test_fwhm_adds_the_intensities_of_modes():
    modes = np.zeros((2, 20, 20), complex)
    modes[0, 5:9, 5:9] = 1j
    modes[1, 5:9, 5:13] = -(0.6**0.5)
    # Together 1.6 where both are and 0.6 beside, which is below the half.
    assert probe_fwhm(modes) == pytest.approx(2 * math.sqrt(16 / math.pi))
    assert probe_fwhm(modes[1]) == pytest.approx(2 * math.sqrt(32 / math.pi))


def test_fwhm_of_nothing_is_refused():
    for probe in (np.zeros((4, 4)), np.full((4, 4), np.nan), np.ones(4), np.ones((0, 4, 4))):
        with pytest.raises(InputError, match="probe"):
            probe_fwhm(probe)


def test_view_spacing_is_the_rest_of_the_overlap():
    assert VIEW_OVERLAP == {"dense": 0.7, "sparse": 0.2}
    assert view_spacing(0.7, 64) == pytest.approx(19.2)
    assert view_spacing(0.2, 64) == pytest.approx(51.2)
    # A raster with exactly this step keeps all its positions.
    for width in (10, 20, 60, 110, 170):
        step = 3 * width // 10
        assert view_spacing(0.7, width) == step
        positions = np.arange(5) * float(step)
        assert len(spaced_indices(positions, np.zeros(5), view_spacing(0.7, width))) == 5
    for overlap in (-0.1, 1.0, float("nan")):
        with pytest.raises(ParameterError, match="overlap"):
            view_spacing(overlap, 64)
    with pytest.raises(ParameterError, match="width"):
        view_spacing(0.5, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spacing", [0.5, 8.0, 11.4, 19.2, 51.2, 1e5, float("inf")])
def test_spaced_frames_are_those_of_the_greedy_loop(kind, spacing):
    x, y = scatter(kind)
    kept = spaced_indices(x, y, spacing)
    assert kept.dtype == np.int64
    assert kept.tolist() == slow_spaced(x, y, spacing)


def test_spacing_equals_the_loop_at_the_very_limit():
    """Steps that are the spacing but for the last bit, far from zero: cells must not miss any."""
    for step in (0.1, 19.2, 1 / 3, math.nextafter(19.2, 0)):
        x = 1e4 + np.arange(60) * step
        y = -3.0 + np.arange(60) % 4 * step
        for spacing in (step, math.nextafter(step, 0), math.nextafter(step, 99)):
            assert spaced_indices(x, y, spacing).tolist() == slow_spaced(x, y, spacing)


def test_a_pair_hardly_too_near_is_seen_across_a_whole_cell():
    first = 19.2 * (1 - 1.05e-6)
    x = np.array([0.0, first, first + 19.2 * (1 - 1e-9)])
    y = np.array([500.0, 0.0, 0.0])
    assert spaced_indices(x, y, 19.2).tolist() == [0, 1]
    assert spaced_indices(y, x, 19.2).tolist() == [0, 1]


@pytest.mark.parametrize("spacing", [1e-8, 1e-300])
def test_spacing_far_below_the_extent_still_finds_the_close_pair(spacing):
    x = np.array([0.0, spacing / 2, 1e6, 1e6, 5.0])
    assert spaced_indices(x, np.zeros(5), spacing).tolist() == [0, 2, 4]


def test_spacing_of_zero_keeps_all_and_repeats_go_otherwise():
    x = np.array([1.0, 1.0, 2.0, 1.0])
    assert spaced_indices(x, x, 0.0).tolist() == [0, 1, 2, 3]
    assert spaced_indices(x, x, -1.0).tolist() == [0, 1, 2, 3]
    assert spaced_indices(x, x, 1e-6).tolist() == [0, 2]
    assert spaced_indices([], [], 3.0).tolist() == []
    with pytest.raises(ParameterError, match="spacing"):
        spaced_indices(x, x, float("nan"))


@pytest.mark.parametrize("function", [lambda x, y: spaced_indices(x, y, 1.0), groups])
def test_positions_are_checked(function):
    with pytest.raises(InputError, match="position 2 is not finite"):
        function([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, float("nan"), 3.0])
    with pytest.raises(InputError, match="one length"):
        function([0.0, 1.0], [0.0, 1.0, 2.0])


def test_fraction_is_a_reproducible_subsample():
    chosen = fraction_indices(1000, 0.29, 7)
    assert len(chosen) == 290
    assert chosen.dtype == np.int64
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < 1000
    assert np.array_equal(chosen, fraction_indices(1000, 0.29, 7))
    assert not np.array_equal(chosen, fraction_indices(1000, 0.29, 8))
    assert set(fraction_indices(1000, 0.1, 7)) < set(chosen)
    assert abs(chosen.mean() - 500) < 5 * 289 / math.sqrt(290)
    assert fraction_indices(50, 1.0, 0).tolist() == list(range(50))
    assert len(fraction_indices(10, 0.01, 0)) == 0
    for fraction in (0.0, 1.1, -0.5, float("nan")):
        with pytest.raises(ParameterError, match="fraction"):
            fraction_indices(10, fraction, 0)
    with pytest.raises(ParameterError, match="seed"):
        fraction_indices(10, 0.5, -1)


def test_too_few_neighbors_are_refused_by_name():
    require_neighbors(4, 2)
    require_neighbors(1, 1)
    with pytest.raises(ParameterError, match=r"k_neighbors is 3.*gridsize 2"):
        require_neighbors(3, 2)
    with pytest.raises(ParameterError, match=r"k_neighbors is 7.*gridsize 3"):
        require_neighbors(7, 3)
    with pytest.raises(ParameterError, match="gridsize"):
        require_neighbors(7, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("neighbors", [1, 3, 8])
def test_groups_are_the_nearest_with_ties_by_index(kind, neighbors):
    x, y = scatter(kind, n=300)
    result = groups(x, y, neighbors)
    assert result.dtype == np.int64
    assert result.tolist() == slow_groups(x, y, neighbors)


def test_groups_break_a_wide_tie_by_index():
    angle = np.arange(64) * (np.pi / 2)  # sixty-four frames in four places around one
    x = np.append(np.rint(np.cos(angle)), 0.0)
    y = np.append(np.rint(np.sin(angle)), 0.0)
    assert groups(x, y).tolist() == slow_groups(x, y, 3)
    # Twelve lattice places at exactly one distance, more than the first query asks for.
    circle = [(a, b) for a in range(-5, 6) for b in range(-5, 6) if a * a + b * b == 25]
    points = np.array([*reversed(circle), (0, 0)], dtype=float)
    assert groups(*points.T)[-1].tolist() == [12, 0, 1, 2]


def test_groups_need_enough_frames():
    assert sorted(groups([0.0, 1, 2, 3], [0.0, 0, 0, 0])[3]) == [0, 1, 2, 3]
    with pytest.raises(ParameterError, match="3 frames"):
        groups([0.0, 1, 2], [0.0, 0, 0])
    with pytest.raises(ParameterError, match="groups"):
        groups([0.0, 1, 2], [0.0, 0, 0], 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diameter", [0.7, 6.0, 20.0, 38.4, 1000.0])
def test_metrics_equal_those_of_all_pairs(kind, diameter):
    x, y = scatter(kind, n=500 if kind == "uniform" else 160, seed=5)
    result = overlap_metrics(x, y, diameter)
    found = (result.metric1, result.metric2, result.metric3)
    np.testing.assert_allclose(found, slow_metrics(x, y, diameter), rtol=1e-9, atol=1e-12)
    assert result.reasons == {}
    assert result.frames == len(x)
    assert result.unique_positions == len(set(zip(x, y, strict=True)))
    assert result.diameter == diameter


def test_metrics_in_many_small_blocks_are_the_same(monkeypatch):
    x, y = scatter("uniform")
    whole = overlap_metrics(x, y, 38.4).to_dict()
    monkeypatch.setattr("ptystore.survey.overlap._PAIRS_PER_BLOCK", 50)
    monkeypatch.setattr("ptystore.survey.overlap._QUERY_ROWS", 7)
    parts = overlap_metrics(x, y, 38.4).to_dict()
    for name in ("metric1", "metric2", "metric3"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-12)


def test_few_frames_give_reasons_not_errors():
    for n in range(4):
        result = overlap_metrics(np.arange(n) * 1.0, np.zeros(n), 10.0)
        assert result.metric1 is None
        assert result.metric3 is None
        assert f"{n} frames" in result.reasons["metric1"]
        assert f"{n} frames" in result.reasons["metric3"]
        assert (result.metric2 is None) == ("metric2" in result.reasons) == (n < 2)
        assert result.frames == result.unique_positions == n
    one_place = overlap_metrics(np.ones(5), np.ones(5), 10.0)
    assert (one_place.metric1, one_place.metric2, one_place.metric3) == (1.0, None, 1.0)
    assert list(one_place.reasons) == ["metric2"]


def test_frames_farther_apart_than_the_diameter_do_not_overlap():
    x, y = scatter("lattice")
    kept = spaced_indices(x, y, 16.0)
    result = overlap_metrics(x[kept], y[kept], 6.0)
    assert result.metric1 == result.metric2 == 0.0


def test_metrics_are_frozen_and_fit_json():
    result = overlap_metrics(*scatter("uniform", 20), 20.0)
    with pytest.raises(FrozenInstanceError):
        result.metric1 = 0.0
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert document == result.to_dict()
    assert list(document) == [
        "metric1", "metric2", "metric3", "reasons", "frames", "unique_positions", "diameter",
    ]  # fmt: skip


def test_a_hundred_thousand_positions():
    """All pairs would be 5e9: this ends only because none of it looks at all pairs."""
    n = 100_000
    x, y = np.random.default_rng(1).uniform(0, 3000, (2, n))
    kept = spaced_indices(x, y, 19.2)
    inside = np.stack([x, y], axis=1)[kept]
    sample = np.random.default_rng(2).choice(len(kept), 100, replace=False)
    for k in sample:
        gap = np.hypot(*(np.delete(inside, k, axis=0) - inside[k]).T)
        assert gap.min() >= 19.2 - 1e-12
    dropped = np.setdiff1d(np.arange(n), kept)[::1000]
    for k in dropped:  # each of them is too near to one kept before it
        earlier = inside[kept < k]
        assert np.hypot(*(earlier - (x[k], y[k])).T).min() < 19.2
    members = groups(x, y)
    for k in sample:
        order = np.argsort(np.hypot(x - x[k], y - y[k]), kind="stable")
        assert members[k].tolist() == order[:4].tolist()
    result = overlap_metrics(x, y, 20.0)
    assert result.frames == result.unique_positions == n
    gaps = np.hypot(x[members[:, 1:]] - x[:, np.newaxis], y[members[:, 1:]] - y[:, np.newaxis])
    first = disc_overlap(gaps, 20.0).mean()
    assert result.metric1 == pytest.approx(first, rel=1e-9)
    assert result.metric1 > result.metric2 > result.metric3 > 0
    everything_at_once = overlap_metrics(np.round(x / 300), np.round(y / 300), 20.0)
    assert everything_at_once.metric1 == 1.0  # hundreds of frames in each of 121 places
