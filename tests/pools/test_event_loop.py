"""Coroutines run where they are called, in a thread of their own only beside a running loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

import ptystore
import scans
from ptystore.pools.event_loop import require_a_thread, run_coroutine


async def where(*, fail: bool = False) -> tuple[str, str]:
    """The threads that a coroutine, and what it hands to threads, run in."""
    await asyncio.sleep(0)
    if fail:
        raise ValueError("no")
    here = threading.current_thread().name
    return here, await asyncio.to_thread(lambda: threading.current_thread().name)


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_everything_runs_in_the_callers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    mine = threading.current_thread().name
    assert run_coroutine(where()) == (mine, mine)
    with pytest.raises(ValueError, match="no"):
        run_coroutine(where(fail=True))


def test_beside_a_running_loop_a_thread_does_it_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def notebook() -> tuple[str, str]:
        return run_coroutine(where())

    before = threading.active_count()
    one, other = asyncio.run(notebook())
    assert one == other != threading.current_thread().name
    assert threading.active_count() == before
    refuse(monkeypatch)
    with pytest.raises(ptystore.StorageError, match="no more threads"):
        asyncio.run(notebook())


def test_asking_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    require_a_thread()
    refuse(monkeypatch)
    with pytest.raises(ptystore.StorageError, match="no more threads"):
        require_a_thread()


def test_text_and_numbers_in_a_store_while_a_loop_runs(tmp_path: Path) -> None:
    arrays = {"names": np.array(["a", "bcd"]), "diffraction": scans.values("u2", (2, 8, 8))}

    async def notebook() -> None:
        ptystore.write(ptystore.dataset_of(arrays), tmp_path / "a.zarr")
        for name, value in arrays.items():
            np.testing.assert_array_equal(ptystore.open(tmp_path / "a.zarr")[name].values(), value)

    asyncio.run(notebook())
