"""Readers, writers, replacers, crashes in any order: what each reader may see.

A machine of scans, each known by its seed. Whoever opened a scan sees all of it or an error, for
as long as it is held, whatever happens to the path meanwhile; whoever opens the path gets one
scan that was put there, whole, and never an older one than another reader got before.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

import ptystore
from faults.outcomes import FULL
from ptystore import Dataset, IntegrityError
from scans import assert_same, settle

FRAMES = 300
SUFFIXES = st.sampled_from([".zarr", ".npz", ".h5"])


def made(seed: int) -> Dataset:
    positions = np.arange(FRAMES, dtype="f8") + 1000 * seed
    frames = (np.arange(FRAMES * 64).reshape(FRAMES, 8, 8) % 97 + seed).astype("u2")
    return ptystore.dataset_of({"diffraction": frames, "xcoords": positions, "ycoords": positions})


class Schedule(RuleBasedStateMachine):
    """Steps of several processes on a few paths, one after another in any order."""

    readers = Bundle("readers")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ptystore-schedule-"))
        self.seed = 0
        # The scan at each path, by its seed.
        self.there: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _next(self, suffix: str) -> tuple[Path, int]:
        self.seed += 1
        return self.folder / f"scan{suffix}", self.seed

    @rule(suffix=SUFFIXES)
    def write(self, suffix: str) -> None:
        path, seed = self._next(suffix)
        ptystore.write(made(seed), path, overwrite=True)
        self.there[suffix] = seed

    @rule(suffix=SUFFIXES)
    def write_and_crash(self, suffix: str) -> None:
        """A writer that is killed at some point leaves the old one, or the new."""
        path, seed = self._next(suffix)
        child = os.fork()
        if child == 0:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.001 * (1 + seed % 23))
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                ptystore.write(made(seed), path, overwrite=True)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        if path.exists():
            found = int(ptystore.open(path)["xcoords"][0]) // 1000
            assert found in (self.there.get(suffix), seed)
            self.there[suffix] = found
        else:
            assert suffix not in self.there

    @rule(suffix=SUFFIXES)
    def remove(self, suffix: str) -> None:
        path = self.folder / f"scan{suffix}"
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        self.there.pop(suffix, None)

    @rule(suffix=SUFFIXES)
    def copy_over(self, suffix: str) -> None:
        """As rsync does: into the files that are there."""
        if suffix not in self.there:
            return
        path, seed = self._next(suffix)
        other = self.folder / f"other{suffix}"
        ptystore.write(made(seed), other, overwrite=True)
        files = [other] if other.is_file() else [one for one in other.rglob("*") if one.is_file()]
        for file in files:
            target = path if other.is_file() else path / file.relative_to(other)
            shutil.copyfile(file, target)
        self.there[suffix] = seed
        settle()

    @rule(target=readers, suffix=SUFFIXES)
    def open(self, suffix: str) -> tuple[int, Dataset | None]:
        if suffix not in self.there:
            return 0, None
        dataset = ptystore.open(self.folder / f"scan{suffix}")
        assert int(dataset["xcoords"][0]) // 1000 == self.there[suffix]
        return self.there[suffix], dataset

    @rule(reader=readers, data=st.data())
    def read(self, reader: tuple[int, Dataset | None], data: st.DataObject) -> None:
        seed, dataset = reader
        if dataset is None:
            return
        name = data.draw(st.sampled_from(["diffraction", "xcoords"]))
        frames = data.draw(st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=5))
        try:
            got = dataset[name][frames]
        except (IntegrityError, ptystore.InputError):
            return
        assert_same(got, made(seed)[name].values()[frames])

    @rule(reader=readers, suffix=SUFFIXES)
    def convert(self, reader: tuple[int, Dataset | None], suffix: str) -> None:
        seed, dataset = reader
        target = self.folder / f"converted{suffix}"
        if dataset is None:
            return
        try:
            ptystore.write(ptystore.canonicalize(dataset), target, overwrite=True)
        except (IntegrityError, ptystore.InputError):
            return
        report = ptystore.verify(target)
        assert report.ok, report.damage
        found = ptystore.open(target)
        assert_same(found["xcoords"].values(), made(seed)["xcoords"].values())
        frames = made(seed)["diffraction"].values()
        assert_same(found["diffraction"].values(), np.sqrt(frames, dtype="f4"))


def test_any_schedule() -> None:
    examples, steps = (200, 50) if FULL else (20, 50)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Schedule, settings=settings(max_examples=examples, stateful_step_count=steps)
    )
