"""Random batches, the same ones for every participant of a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.timing import Timed

__all__ = ["BATCH", "timed_batches"]

BATCH = 64


def timed_batches(
    read: Callable[[Any], Any], frames: int, seed: int, count: int, *, batch: int = BATCH
) -> Timed:
    """Read `count` batches of random frames; the run's time is the median of a batch's.

    No frame comes twice in a batch; two batches before the clock starts open what is opened
    once, and are other frames than the timed ones.
    """
    generator = np.random.default_rng(seed)
    size = min(batch, frames)
    drawn = [generator.choice(frames, size, replace=False) for _ in range(count + 2)]
    for indices in drawn[:2]:
        read(indices)

    def timed() -> dict[str, Any]:
        times = []
        for indices in drawn[2:]:
            began = perf_counter()
            got = read(indices)
            times.append(perf_counter() - began)
            if len(got) != size:
                raise AssertionError(f"a batch of {len(got)} frames, not {size}")
        return {"seconds": statistics.median(times), "batch_seconds": times}

    return timed
