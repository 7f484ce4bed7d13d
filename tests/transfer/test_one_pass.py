"""The one pass: how far it may read ahead, and what it does when something fails on the way."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import ptystore
from ptystore.model.dataset import Dataset
from ptystore.model.lazy_array import LazyBase
from ptystore.transfer.one_pass import HashSink, write_fields
from scans import Array

ROWS, WIDTH = 160, 1 << 20  # a row a MiB, a shard 16 of them, two a block


class Forwards(LazyBase):
    """A source that only goes forwards, and knows how much of it is in memory."""

    sequential = True

    def __init__(self, fail_at: int | None = None) -> None:
        self.shape, self.dtype = (ROWS, WIDTH), np.dtype("u1")
        self.held = self.most_held = 0
        self._fail_at = fail_at
        self._lock = threading.Lock()

    def begin(self, start: int, stop: int) -> Callable[[], Array]:
        with self._lock:
            self.held += stop - start
            self.most_held = max(self.most_held, self.held)
        block = np.full((stop - start, WIDTH), start, "u1")
        return lambda: self._use(block, start)

    def _use(self, block: Array, start: int) -> Array:
        time.sleep(0.002)  # slower than reading
        if start == self._fail_at:
            raise ptystore.IntegrityError("damaged")
        with self._lock:
            self.held -= len(block)
        return block


def dataset_of(source: LazyBase) -> Dataset:
    made = ptystore.dataset_of({"diffraction": np.zeros((ROWS, 1), "u1")})
    field = dataclasses.replace(made["diffraction"], array=source)
    return dataclasses.replace(made, fields={"diffraction": field})


def run(source: LazyBase) -> dict[str, str]:
    with ThreadPoolExecutor(4) as executor:
        return write_fields(dataset_of(source), HashSink(), executor, 3, None, lambda _: None)


def test_a_source_that_goes_forwards_is_read_only_so_far_ahead() -> None:
    source = Forwards()
    digests = run(source)
    rows = np.repeat(np.arange(0, ROWS, 2, dtype="u1"), 2)[:, None]
    values: Any = np.broadcast_to(rows, (ROWS, WIDTH))
    expected, _ = ptystore.digest(ptystore.dataset_of({"diffraction": values}))
    assert digests == expected
    assert source.held == 0
    # Half a shard for each of three tasks; without a bound they would be three whole ones. A
    # worker lets go of a block when it asks for the next: one each may be counted twice.
    assert 16 < source.most_held <= 3 * 8 + 3 * 2


@pytest.mark.parametrize("fail_at", [0, 2, 40, ROWS - 2])
def test_a_worker_that_fails_does_not_keep_the_reader_waiting(fail_at: int) -> None:
    with pytest.raises(ptystore.IntegrityError, match="diffraction: damaged"):
        run(Forwards(fail_at))
