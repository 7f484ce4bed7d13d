"""The number of cores, also where the system can't be asked what this process may use."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import ptystore
from ptystore.pools.cores import usable_cores
from scans import SUFFIXES, assert_same, put


def test_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 7, 8})
    assert usable_cores() == 3


@pytest.mark.parametrize(("machine", "answer"), [(6, 6), (None, 1)])
def test_else_those_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, machine: int | None, answer: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    assert usable_cores() == answer


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_and_a_whole_read_without_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    # Chunks large and many enough to be decoded in threads.
    frames = np.random.default_rng(0).integers(0, 9, (24, 512, 512)).astype(np.uint16)
    monkeypatch.delattr(os, "sched_getaffinity")
    # What Python 3.13 has where there is no affinity.
    monkeypatch.setattr(os, "process_cpu_count", os.cpu_count, raising=False)
    path = put(tmp_path, suffix, {"diffraction": frames, "xcoords": np.arange(24.0)})
    assert_same(ptystore.open(path)["diffraction"].values(), frames)
