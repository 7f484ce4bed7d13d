"""The permutation of an epoch: a bijection, computed anywhere in it, and even-handed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptystore.loading.epoch_order import permuted


@given(st.integers(1, 3000), st.integers(0, 2**32))
@settings(max_examples=40)
def test_permuted_is_a_permutation_computed_anywhere(count: int, seed: int) -> None:
    seeds = np.random.SeedSequence(seed)
    whole = permuted(np.arange(count), count, seeds)
    assert sorted(whole.tolist()) == list(range(count))
    some = np.random.default_rng(seed).integers(0, count, 20)
    assert permuted(some, count, np.random.SeedSequence(seed)).tolist() == whole[some].tolist()


def test_permutations_are_even_handed() -> None:
    """All 24 orders of 4 frames come about equally often, and far places are as likely as near."""
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(1200):
        got = tuple(permuted(np.arange(4), 4, np.random.SeedSequence(seed)).tolist())
        seen[got] = seen.get(got, 0) + 1
    assert len(seen) == 24
    # Chi-squared with 23 degrees of freedom: over 60 in one of 30,000 fair cases.
    assert sum((n - 50) ** 2 / 50 for n in seen.values()) < 60
    places = permuted(np.arange(50_000), 50_000, np.random.SeedSequence(1))
    tens = np.histogram2d(np.arange(50_000), places, bins=10)[0]
    assert ((tens - 500) ** 2 / 500).sum() < 170  # 81 degrees of freedom
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.02
