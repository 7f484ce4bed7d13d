"""Removal while signals come and other threads still write: what is to go goes."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from ptystore.transfer import removal


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "file").write_bytes(b"data")
    return tmp_path / "tree"


def test_a_signal_does_not_stop_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = 0, os.unlink

    def interrupted(*args: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        removal.remove_in_spite_of_signals(tree)
    assert not tree.exists()


def test_a_thread_that_still_writes_is_waited_for(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, late = shutil.rmtree, []

    def straggled(path: Path) -> None:
        """As if a file came between the emptying of the folder and its removal."""
        if len(late) < 3:
            late.append(path)
            raise OSError(39, "Directory not empty", str(path))
        real(path)

    monkeypatch.setattr(shutil, "rmtree", straggled)
    removal.remove_in_spite_of_signals(tree)
    assert (len(late), tree.exists()) == (3, False)


def test_writers_all_the_while(tree: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                (tree / f"{number}").write_bytes(b"late")
            except FileNotFoundError:
                return

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.01)
    try:
        removal.remove_in_spite_of_signals(tree)
    finally:
        stop.set()
        thread.join()
    assert not tree.exists()


def test_other_errors_are_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refused)
    with pytest.raises(PermissionError):
        removal.remove_in_spite_of_signals(tree)
