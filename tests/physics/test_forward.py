"""The forward model against slow formulas, its conservation laws, and its reproducibility."""

from __future__ import annotations

import numpy as np
import pytest

from ptystore.errors import InputError, ParameterError
from ptystore.physics.forward import dose_scale, exit_energy, intensities, poisson_counts

SHAPES = [(8, 8), (7, 7), (6, 9)]


def random_complex(rng, shape, dtype=np.complex128):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def slow_intensities(probe, patches):
    """The discrete Fourier transform written out, one frequency at a time, in float64."""
    modes = probe.reshape(-1, *probe.shape[-2:]).astype(complex)
    ny, nx = modes.shape[1:]
    i, j = np.mgrid[:ny, :nx]
    result = np.zeros(patches.shape)
    for k, patch in enumerate(patches.astype(complex)):
        for row in range(ny):
            for column in range(nx):
                wave = np.exp(
                    -2j * np.pi * ((row - ny // 2) * i / ny + (column - nx // 2) * j / nx)
                )
                for mode in modes:
                    result[k, row, column] += abs((mode * patch * wave).sum()) ** 2 / (ny * nx)
    return result


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("modes", [0, 1, 3])
def test_intensities_equal_the_written_out_transform(shape, modes):
    rng = np.random.default_rng(1)
    probe = random_complex(rng, (modes, *shape) if modes else shape)
    patches = random_complex(rng, (3, *shape))
    result = intensities(probe, patches)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, slow_intensities(probe, patches), rtol=1e-9)


def test_single_precision_stays_single_and_close():
    rng = np.random.default_rng(2)
    probe, patches = (random_complex(rng, s, np.complex64) for s in [(64, 64), (5, 64, 64)])
    result = intensities(probe, patches)
    exact = intensities(probe.astype(complex), patches)
    assert result.dtype == np.float32
    assert exact.dtype == np.float64
    assert np.abs(np.sqrt(result) - np.sqrt(exact)).max() < 1e-6 * np.sqrt(exact.max())


def test_zero_frequency_is_at_the_centre():
    for shape in SHAPES:
        flat = np.ones((1, *shape), complex)
        bright = np.argwhere(intensities(np.ones(shape), flat)[0] > 1e-9)
        assert bright.tolist() == [[shape[0] // 2, shape[1] // 2]]


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("modes", [0, 2])
def test_energy_is_that_of_the_exit_wave_and_of_the_diffraction(dtype, modes):
    rng = np.random.default_rng(3)
    probe = random_complex(rng, (modes, 12, 9) if modes else (12, 9), dtype)
    patches = random_complex(rng, (6, 12, 9), dtype)
    energy = exit_energy(probe, patches)
    waves = probe.reshape(-1, 1, 12, 9).astype(complex) * patches
    assert energy.dtype == np.float64
    np.testing.assert_allclose(energy, (np.abs(waves) ** 2).sum(axis=(0, 2, 3)), rtol=1e-12)
    parseval = intensities(probe, patches).sum(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(parseval, energy, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(64, 64), (63, 61), (7, 9)])
def test_a_frame_is_the_same_bit_for_bit_in_any_block(dtype, shape):
    rng = np.random.default_rng(4)
    probe, patches = (random_complex(rng, s, dtype) for s in [(2, *shape), (11, *shape)])
    whole = intensities(probe, patches)
    energy = exit_energy(probe, patches)
    for size in (1, 2, 3, 5):
        blocks = [patches[k : k + size] for k in range(0, 11, size)]
        assert np.array_equal(np.concatenate([intensities(probe, b) for b in blocks]), whole)
        assert np.array_equal(np.concatenate([exit_energy(probe, b) for b in blocks]), energy)


def test_inputs_are_left_alone():
    rng = np.random.default_rng(5)
    probe, patches = random_complex(rng, (2, 8, 8)), random_complex(rng, (3, 8, 8))
    before = probe.copy(), patches.copy()
    intensities(probe, patches)
    exit_energy(probe, patches)
    assert np.array_equal(probe, before[0])
    assert np.array_equal(patches, before[1])


def test_an_empty_block_gives_an_empty_result():
    empty = np.empty((0, 8, 8), np.complex64)
    assert intensities(np.ones((8, 8), np.complex64), empty).shape == (0, 8, 8)
    assert exit_energy(np.ones((8, 8)), empty).shape == (0,)
    assert poisson_counts(np.empty((0, 8, 8)), seed=1).shape == (0, 8, 8)


@pytest.mark.parametrize(
    ("probe", "patches"),
    [((8, 8), (3, 8, 9)), ((8,), (3, 8, 8)), ((8, 8), (8, 8)), ((0, 8, 8), (3, 8, 8))],
)
@pytest.mark.parametrize("function", [intensities, exit_energy])
def test_shapes_that_do_not_fit_are_refused(function, probe, patches):
    with pytest.raises(InputError, match="does not fit"):
        function(np.ones(probe, complex), np.ones(patches, complex))


def test_observed_counts_average_the_dose_and_amplitude_gives_the_counts_back():
    rng = np.random.default_rng(6)
    probe = random_complex(rng, (16, 16), np.complex64)
    patches = random_complex(rng, (400, 16, 16), np.complex64) * rng.uniform(0.5, 2, (400, 1, 1))
    scale = dose_scale(float(exit_energy(probe, patches).mean()), 1000.0)
    expected = scale**2 * intensities(probe, patches).astype(np.float64)
    assert expected.sum(axis=(1, 2)).mean() == pytest.approx(1000.0, rel=1e-6)
    counts = poisson_counts(expected, seed=7)
    # The mean of 400 Poisson sums with 1000 counts each on average has sigma sqrt(1000/400).
    assert counts.sum(axis=(1, 2)).mean() == pytest.approx(1000.0, abs=5 * (1000 / 400) ** 0.5)
    observed = (np.sqrt(counts) / scale).astype(np.float32)
    back = (scale * observed.astype(np.float64)) ** 2
    assert np.abs(back - counts).max() < 1e-3


@pytest.mark.parametrize("dose", [0.0, -1.0, float("nan"), float("inf")])
def test_a_dose_must_be_positive(dose):
    with pytest.raises(ParameterError, match="dose"):
        dose_scale(1.0, dose)


@pytest.mark.parametrize("energy", [0.0, float("nan"), float("inf")])
def test_waves_without_energy_are_refused(energy):
    with pytest.raises(InputError, match="energy"):
        dose_scale(energy, 1e3)


@pytest.mark.parametrize("mean", [0.3, 4.0, 900.0])
def test_counts_have_poisson_mean_and_variance(mean):
    draws = poisson_counts(np.full((50, 40, 40), mean), seed=11).astype(np.float64)
    size = draws.size
    assert draws.mean() == pytest.approx(mean, abs=5 * (mean / size) ** 0.5)
    variance_sigma = ((mean + 2 * mean**2) / size) ** 0.5
    assert draws.var() == pytest.approx(mean, abs=5 * variance_sigma)
    # Frames are independent of each other: no two of them alike, and no correlation.
    flat = draws.reshape(50, -1)
    correlation = np.corrcoef(flat)[~np.eye(50, dtype=bool)]
    assert np.abs(correlation).max() < 6 / 40


def test_counts_depend_on_seed_and_frame_and_on_nothing_else():
    expected = np.random.default_rng(12).uniform(0, 50, (13, 9, 7)).astype(np.float32)
    whole = poisson_counts(expected, seed=42, first_frame=100)
    assert whole.dtype == np.uint32
    for size in (1, 4, 5):
        blocks = [
            poisson_counts(expected[k : k + size], seed=42, first_frame=100 + k)
            for k in range(0, 13, size)
        ]
        assert np.array_equal(np.concatenate(blocks), whole)
    shuffled = np.random.default_rng(0).permutation(13)
    taken = poisson_counts(expected[shuffled], seed=42, frame_indices=100 + shuffled)
    assert np.array_equal(taken, whole[shuffled])
    assert not np.array_equal(poisson_counts(expected, seed=43, first_frame=100), whole)
    same = np.repeat(expected[:1], 2, axis=0)
    assert not np.array_equal(*poisson_counts(same, seed=42))


def test_no_light_gives_no_counts_and_bright_pixels_do_not_wrap():
    assert not poisson_counts(np.zeros((2, 4, 4)), seed=0).any()
    bright = poisson_counts(np.full((1, 4, 4), 4.29e9), seed=0)
    assert (np.abs(bright.astype(float) - 4.29e9) < 6 * 4.29e9**0.5).all()


@pytest.mark.parametrize("value", [4.2949672e9, 1e12, float("inf")])
def test_counts_that_would_overflow_are_refused(value):
    expected = np.ones((2, 4, 4))
    expected[1, 2, 3] = value
    with pytest.raises(ParameterError, match="uint32"):
        poisson_counts(expected, seed=0)


@pytest.mark.parametrize("value", [-1e-3, float("nan")])
def test_counts_from_impossible_means_are_refused(value):
    expected = np.ones((2, 4, 4))
    expected[1, 2, 3] = value
    with pytest.raises(InputError, match="0 or more"):
        poisson_counts(expected, seed=0)


def test_keys_out_of_range_are_refused():
    expected = np.ones((2, 4, 4))
    with pytest.raises(ParameterError, match="seed"):
        poisson_counts(expected, seed=-1)
    with pytest.raises(ParameterError, match="seed"):
        poisson_counts(expected, seed=2**64)
    with pytest.raises(ParameterError, match="frame index"):
        poisson_counts(expected, seed=0, first_frame=-1)
    with pytest.raises(ParameterError, match="indices"):
        poisson_counts(expected, seed=0, frame_indices=[1, 2, 3])
    with pytest.raises(ParameterError, match="indices"):
        poisson_counts(expected, seed=0, frame_indices=[0.5, 1.5])
    with pytest.raises(InputError, match="shape"):
        poisson_counts(np.ones((4, 4)), seed=0)
