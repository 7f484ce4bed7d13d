"""The synthetic scan: a chart with real edges, a focused probe, windows inside the object."""

from __future__ import annotations

import numpy as np
import pytest

from ptystore.errors import ParameterError
from ptystore.physics.phantom import focused_probe, jittered_raster, siemens_star, uniform_positions


def assert_windows_inside(x, y, object_shape, width):
    for coords, size in ((x, object_shape[1]), (y, object_shape[0])):
        assert coords.dtype == np.float64
        # Patches round to float32 first.
        first = coords.astype(np.float32).astype(np.float64) - width // 2
        assert first.min() >= 0
        assert (first + width - 1).max() <= size - 1


@pytest.mark.parametrize("shape", [(128, 128), (97, 150), (201, 64)])
def test_star_is_a_passive_object_with_contrast(shape):
    star = siemens_star(shape)
    assert star.shape == shape
    assert star.dtype == np.complex64
    amplitude, phase = np.abs(star), np.angle(star)
    assert amplitude.min() == pytest.approx(0.6, abs=1e-6)
    assert amplitude.max() == pytest.approx(1.0, abs=1e-6)
    assert phase.min() == pytest.approx(0.0, abs=1e-6)
    assert phase.max() == pytest.approx(1.0, abs=1e-6)
    material = (amplitude < 0.8).mean()
    assert 0.08 < material < 0.6


def test_star_has_the_spokes_asked_for():
    for spokes in (12, 36):
        star = np.abs(siemens_star((400, 400), spokes, rings=0))
        angle = (np.arange(7200) + 0.5) * (2 * np.pi / 7200)
        row = np.rint(199.5 + 120 * np.sin(angle)).astype(int)
        column = np.rint(199.5 + 120 * np.cos(angle)).astype(int)
        dark = star[row, column] < 0.8
        assert np.count_nonzero(dark & ~np.roll(dark, 1)) == spokes
        assert dark.mean() == pytest.approx(0.5, abs=0.02)


def test_star_edges_are_anti_aliased_and_its_centre_is_grey():
    star = np.abs(siemens_star((256, 256)))
    between = (star > 0.61) & (star < 0.99)
    assert 0.05 < between.mean() < 0.4
    # The spokes' period is below two pixels here: a hard-edged chart would alias.
    assert np.abs(star[126:130, 126:130] - 0.8).max() < 0.1


def test_star_parameters_set_the_material():
    star = siemens_star((128, 128), transmission=0.9, phase=0.25)
    assert np.abs(star).min() == pytest.approx(0.9, abs=1e-6)
    assert np.angle(star).max() == pytest.approx(0.25, abs=1e-6)
    with pytest.raises(ParameterError):
        siemens_star((0, 10))
    with pytest.raises(ParameterError):
        siemens_star((64, 64), 0)
    with pytest.raises(ParameterError):
        siemens_star((64, 64), transmission=1.5)


@pytest.mark.parametrize("width", [32, 33, 64, 128, 256])
def test_probe_is_focused_centred_and_of_finite_support(width):
    probe = focused_probe(width)
    assert probe.shape == (width, width)
    assert probe.dtype == np.complex64
    assert np.abs(probe).max() == pytest.approx(1.0, abs=1e-6)
    intensity = np.abs(probe.astype(complex)) ** 2
    i, j = np.mgrid[:width, :width] - width // 2
    for axis in (i, j):
        assert (axis * intensity).sum() / intensity.sum() == pytest.approx(0.0, abs=0.01)
    area = np.count_nonzero(intensity > intensity.max() / 2)
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(width / 6, rel=0.15)
    radius = np.hypot(i, j)
    assert not intensity[radius >= 0.42 * width].any()
    assert intensity[radius > 0.3 * width].sum() < 0.02 * intensity.sum()


def test_probe_is_defocused():
    probe = focused_probe(64)
    wrapped = np.angle(probe[32, 32:46].astype(complex))
    assert np.ptp(np.unwrap(wrapped)) > 1.0


def test_probe_modes_are_orthogonal_with_falling_power():
    probe = focused_probe(64, modes=4).astype(complex)
    assert probe.shape == (4, 64, 64)
    gram = np.einsum("iyx,jyx->ij", probe, probe.conj())
    power = np.diag(gram).real
    np.testing.assert_allclose(power[1:] / power[:-1], 0.4, rtol=1e-4)
    assert np.abs(gram - np.diag(power)).max() < 1e-5 * power[0]
    assert (np.abs(probe) ** 2).sum(axis=0).max() == pytest.approx(1.0, abs=1e-5)
    single = focused_probe(64)
    np.testing.assert_allclose(probe[0] / probe[0, 32, 32], single / single[32, 32], atol=1e-5)


def test_probe_parameters_are_checked():
    for arguments in ({"width": 16}, {"width": 64, "modes": 0}, {"width": 64, "aperture": 40.0}):
        with pytest.raises(ParameterError, match="no probe"):
            focused_probe(**arguments)


@pytest.mark.parametrize("frames", [1, 2, 7, 100, 1087])
@pytest.mark.parametrize("shape", [(200, 200), (101, 300), (64, 128), (64, 64)])
@pytest.mark.parametrize("width", [64, 51])
def test_raster_has_exactly_the_frames_inside_the_object(frames, shape, width):
    for jitter in (0.0, 0.2, 0.5):
        x, y = jittered_raster(frames, shape, width, jitter=jitter)
        assert x.shape == y.shape == (frames,)
        assert_windows_inside(x, y, shape, width)


def test_raster_goes_row_by_row_with_the_step_asked_for():
    x, y = jittered_raster(30, (300, 300), 64, step=20.0, jitter=0.0)
    same_row = np.diff(y) == 0
    np.testing.assert_allclose(np.diff(x)[same_row], 20.0)
    np.testing.assert_allclose(np.diff(y)[~same_row], 20.0)
    assert (np.diff(x)[~same_row] < 0).all()
    moved = jittered_raster(30, (300, 300), 64, step=20.0, jitter=0.2, seed=3)
    displacement = np.abs(np.stack([moved[0] - x, moved[1] - y]))
    assert displacement.max() <= 4.0 + 1e-9
    assert displacement.max() > 2.0


def test_raster_spreads_over_the_object():
    x, y = jittered_raster(400, (300, 400), 64)
    for coords, size in ((x, 400), (y, 300)):
        assert np.ptp(coords) > 0.9 * (size - 64)
    assert len(np.unique(np.stack([x, y]), axis=1).T) == 400


def test_raster_that_does_not_fit_is_refused():
    with pytest.raises(ParameterError, match="do not fit"):
        jittered_raster(100, (100, 100), 64, step=10.0)
    with pytest.raises(ParameterError, match="do not fit"):
        jittered_raster(1, (60, 100), 64)
    for arguments in ({"frames": 0}, {"jitter": 0.7}, {"step": -1.0}, {"seed": -1}):
        with pytest.raises(ParameterError):
            jittered_raster(
                **{"frames": 9, "object_shape": (99, 99), "frame_width": 64} | arguments
            )


@pytest.mark.parametrize("buffer", [0, 20, 40.5])
def test_uniform_positions_fill_what_the_buffer_leaves(buffer):
    x, y = uniform_positions(5000, (150, 220), 64, buffer, 9)
    assert_windows_inside(x, y, (150, 220), 64)
    for coords, size in ((x, 220), (y, 150)):
        low, high = max(32, buffer), min(size - 32, size - 1 - buffer)
        assert low <= coords.min() < low + 0.02 * size
        assert high - 0.02 * size < coords.max() <= high
        # A uniform draw's mean, within five standard errors.
        assert abs(coords.mean() - (low + high) / 2) < 5 * (high - low) / np.sqrt(12 * 5000)


def test_uniform_positions_without_room_are_refused():
    with pytest.raises(ParameterError, match="buffer"):
        uniform_positions(5, (150, 220), 64, 80, 0)
    with pytest.raises(ParameterError, match="buffer"):
        uniform_positions(5, (150, 220), 64, -1, 0)
    with pytest.raises(ParameterError, match="fit"):
        uniform_positions(5, (50, 220), 64, 0, 0)


def test_everything_is_reproducible_and_seeds_matter():
    assert np.array_equal(siemens_star((90, 80)), siemens_star((90, 80)))
    assert np.array_equal(focused_probe(48, modes=2), focused_probe(48, modes=2))
    for make in (
        lambda seed: jittered_raster(50, (200, 200), 64, seed=seed),
        lambda seed: uniform_positions(50, (200, 200), 64, 10, seed),
    ):
        assert np.array_equal(make(1), make(1))
        assert not np.array_equal(make(1), make(2))
