"""Two writers at once, Ctrl-C, SIGTERM, and disks that fill up: one winner, no litter."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import ptystore
import ptystore_cli.app  # noqa: F401 - imported here, so that no child is stopped while importing
import scans
from faults.outcomes import (
    FULL,
    SUFFIXES,
    command,
    heed_signals,
    in_child,
    litter,
    remove,
    small_scan,
    state,
    wait,
)

WRITERS = 50 if FULL else 3
SIGNALS = 50 if FULL else 4
STOPPING = [
    pytest.param(number, id=number.name)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.npz"
    ptystore.write(ptystore.dataset_of(scans.scan(1000, 64, 64), scans.document()), path)
    return path


@pytest.fixture(scope="module")
def whole(source: Path) -> str:
    return ptystore.digest(source)[1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_of_two_writers_one_wins(
    tmp_path: Path, suffix: str, source: Path, whole: str, count: Callable[..., None]
) -> None:
    codes: Counter[int] = Counter()
    for turn in range(WRITERS):
        path = tmp_path / str(turn) / f"scan{suffix}"
        path.parent.mkdir()
        children = [in_child(lambda: command("ingest", source, path, "--quiet")) for _ in "ab"]  # noqa: B023
        ended = sorted(map(wait, children))
        assert ended == [0, 4]
        codes.update(ended)
        assert (state(path, whole=whole), litter(path)) == ("whole", [])
        shutil.rmtree(path.parent)
    count(f"two writers, {suffix}", turns=WRITERS, won=codes[0], exit_4=codes[4])


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_signal_leaves_no_litter(
    tmp_path: Path,
    suffix: str,
    number: signal.Signals,
    source: Path,
    whole: str,
    count: Callable[..., None],
) -> None:
    path, rng = tmp_path / f"scan{suffix}", random.Random(4)
    outcomes: Counter[str] = Counter()
    began = time.monotonic()
    assert wait(in_child(lambda: command("ingest", source, path, "--quiet"))) == 0
    duration = time.monotonic() - began
    remove(path)
    while sum(outcomes.values()) < SIGNALS or not outcomes["stopped"]:
        ready = os.pipe()

        def run(ready: int = ready[1]) -> None:
            from ptystore_cli.failures import prepare_process

            heed_signals()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            prepare_process()
            os.write(ready, b".")
            command("ingest", source, path, "--quiet")

        child = in_child(run)
        os.read(ready[0], 1)
        time.sleep(rng.uniform(0, 1.2 * duration))
        os.kill(child, number)
        code = wait(child)
        for descriptor in ready:
            os.close(descriptor)
        found = state(path, whole=whole)
        # 99: it came after the command's end, when a process of its own would be gone.
        ends = {(128 + number, "absent"), (128 + number, "whole"), (0, "whole"), (99, "whole")}
        assert (code, found) in ends
        assert litter(path) == []
        outcomes["stopped" if code else "finished"] += 1
        remove(path)
    count(f"{number.name}, {suffix}", runs=SIGNALS, **outcomes, litter=0)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_to_a_real_command_line(tmp_path: Path, number: signal.Signals) -> None:
    """As a shell runs it: a process of its own, stopped once its staging is there."""
    source, path = tmp_path / "source.npz", tmp_path / "scan.zarr"
    arrays = scans.scan(3000, 64, 64)
    ptystore.write(ptystore.dataset_of(arrays), source, compression="store")
    process = subprocess.Popen(
        [sys.executable, "-m", "ptystore_cli", "ingest", str(source), str(path)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    while not litter(path) and not path.exists():
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if process.returncode:
        assert process.returncode == 128 + number
        assert not path.exists()
        assert len(said.splitlines()) == 1
        assert said.startswith("ptystore: ")
    assert litter(path) == []


def ignore_signals() -> None:
    """As a process is started by nohup in the background of a script."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path, source: Path, whole: str) -> None:
    path = tmp_path / "scan.zarr"
    process = subprocess.Popen(
        [sys.executable, "-m", "ptystore_cli", "ingest", str(source), str(path)],
        preexec_fn=ignore_signals,
    )
    while not litter(path) and not path.exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert (state(path, whole=whole), litter(path)) == ("whole", [])


def test_these_tests_need_no_signals_from_whom_starts_them() -> None:
    """`nohup make test &` in a script ignores some, and every process inherits that."""

    def heeded() -> None:
        ignore_signals()
        asked = "import signal; print([signal.getsignal(signal.SIGINT), signal.getsignal(1)])"
        found = [
            subprocess.run(
                [sys.executable, "-c", asked], preexec_fn=how, stdout=subprocess.PIPE, check=True
            ).stdout.decode()
            for how in (None, heed_signals)
        ]
        assert found[0].count("SIG_IGN") == 2
        assert "default_int_handler" in found[1]
        assert "SIG_DFL" in found[1]

    assert wait(in_child(heeded)) == 0


def random_scan(nbytes: int) -> ptystore.Dataset:
    """Frames that no compressor makes smaller."""
    frames = np.frombuffer(np.random.default_rng(4).bytes(nbytes // 8192 * 8192), np.uint16)
    return ptystore.dataset_of({"diff3d": frames.reshape(-1, 64, 64)})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_size_limit(tmp_path: Path, suffix: str, count: Callable[..., None]) -> None:
    scan, path = random_scan(4 << 20), tmp_path / f"scan{suffix}"
    limits = range(4096, 4 << 20, 64 << 10) if FULL else (4096, 1 << 20, 3 << 20)
    for limit in limits:

        def run(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            ptystore.write(scan, path)

        assert wait(in_child(run)) == 6
        assert (state(path), litter(path)) == ("absent", [])
    digest = ptystore.write(scan, path).digest
    assert state(path, whole=digest) == "whole"
    count(f"file size limit, {suffix}", runs=len(limits), exit_6=len(limits), litter=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 8 MiB and few inodes, or a skip where mounting is refused."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=64", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here: the file size limit stands in for it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def take_all(filler: Path) -> None:
    """Fill a disk to its last block, whatever else is written to it meanwhile."""
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk(small_disk: Path, suffix: str, count: Callable[..., None]) -> None:
    scan, path = random_scan(5 << 20), small_disk / f"scan{suffix}"
    filler = small_disk / "filler"
    runs = 8 if FULL else 2
    for run in range(runs):
        done = 0

        def fill(nbytes: int, run: int = run) -> None:
            # At another moment each time, another program takes what is left.
            nonlocal done
            done += nbytes
            if done > run * scan.nbytes // runs and not filler.exists():
                take_all(filler)

        with pytest.raises(ptystore.StorageError, match="disk full") as caught:
            ptystore.write(widened(scan), path, jobs=1, progress=fill)
        assert caught.value.exit_code == 6
        assert caught.value.file == str(path)
        assert (state(path), litter(path)) == ("absent", [])
        filler.unlink()
    digest = ptystore.write(scan, path).digest
    assert state(path, whole=digest) == "whole"
    count(f"disk full, {suffix}", runs=runs, exit_6=runs, litter=0)


def widened(scan: ptystore.Dataset) -> ptystore.Dataset:
    """The scan with a last field, so that something is still to be written at every moment."""
    more = np.frombuffer(np.random.default_rng(5).bytes(1 << 20), np.uint8)
    return ptystore.dataset_of({"diff3d": scan["diff3d"].values(), "z_last": more})


def test_no_inodes_left(small_disk: Path) -> None:
    for number in range(100):
        try:
            (small_disk / f"file-{number}").touch()
        except OSError:
            break
    path = small_disk / "scan.zarr"
    with pytest.raises(ptystore.StorageError, match="disk full"):
        ptystore.write(small_scan(), path)
    assert (state(path), litter(path)) == ("absent", [])
