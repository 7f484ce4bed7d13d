"""What a process may lack: standard streams, threads, memory. It works, or tells one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
import scans

resource = pytest.importorskip("resource")

CLI = Path(__file__).resolve().parents[2] / "cli"

# Each set of standard descriptors that may be closed.
CLOSED = list(chain.from_iterable(combinations(range(3), n) for n in (1, 2, 3)))

# Every verb; OUT is where it writes.
VERBS = {
    "info": ["info", "scan.npz"],
    "overlap": ["info", "scan.zarr", "--overlap"],
    "history": ["history", "scan.h5"],
    "validate": ["validate", "scan.zarr"],
    "verify": ["verify", "scan.zarr"],
    "verify h5": ["verify", "scan.h5"],
    "digest": ["digest", "scan.npz"],
    "repair": ["repair", "scan.zarr", "--from", "scan.npz"],
    "ingest": ["ingest", "scan.npz", "OUT.zarr"],
    "canonicalize": ["canonicalize", "scan.zarr", "OUT.h5"],
    "patch": ["patch", "scan.h5", "OUT.npz"],
    "export": ["export", "scan.zarr", "OUT.npz"],
    "materialize": ["materialize", "scan.npz", "OUT.zarr"],
    "simulate": ["simulate", "scan.zarr", "OUT.zarr", "--dose", "100", "--quiet"],
    "split": ["split", "scan.npz", "OUT.zarr", "OUT.npz"],
    "view": ["view", "scan.zarr", "OUT.h5", "--fraction", "0.5"],
    "study": ["study", "OUT", "--base", "scan.npz", "--dose", "100"],
    "demo": ["demo", "OUT", "--frames", "60"],
}

EXIT_CODES = {"validate": 1}  # the scan is a raw one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scan in every format, in parts enough to occupy several workers."""
    made = tmp_path_factory.mktemp("limits")
    arrays = scans.scan(300, 32, 80)
    for suffix in (".npz", ".zarr", ".h5"):
        ptystore.write(ptystore.dataset_of(arrays, scans.document()), made / f"scan{suffix}")
    return made


def run(
    folder: Path,
    words: Sequence[object],
    *,
    code: str = "",
    prepare: Callable[[], None] | None = None,
    **streams: Any,
) -> subprocess.CompletedProcess[bytes]:
    """A command line in a process of its own, after `code`; what it wrote before is removed."""
    for left in folder.glob("*OUT*"):
        subprocess.run(["rm", "-r", left], check=True)
    program = f"{code}\nfrom ptystore_cli.start import main; main()"
    sources = os.pathsep.join([str(Path(ptystore.__file__).parents[1]), str(CLI)])
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": sources},
        preexec_fn=prepare,
        timeout=120,
        check=False,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams),
    )


def content(folder: Path) -> dict[str, bytes]:
    """Everything that a verb has written."""
    found = (path for top in folder.glob("*OUT*") for path in [top, *top.rglob("*")])
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


def one_line(told: bytes) -> str:
    """The line on stderr, its advice and warnings aside."""
    lines = told.decode().splitlines()
    kept = [line for line in lines if not line.startswith(("  advice: ", "ptystore: warning: "))]
    assert len(kept) == 1, told.decode()
    assert kept[0].startswith("ptystore: ")
    return kept[0]


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_standard_streams(folder: Path, closed: tuple[int, ...]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    # Nothing that is printed may get into a file of the result.
    suffix = scans.SUFFIXES[sum(closed) % len(scans.SUFFIXES)]
    words = ["ingest", "scan.npz", f"OUT{suffix}", "--json"]
    assert run(folder, words, prepare=close).returncode == 0
    assert not any(b'"destination"' in found for found in content(folder).values())
    assert ptystore.verify(folder / f"OUT{suffix}").ok
    assert run(folder, ["info", "nowhere.npz"], prepare=close).returncode == 3


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_outside_verbs(folder: Path, closed: tuple[int, ...]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    assert run(folder, ["info", "--nonsense"], prepare=close).returncode == 2
    assert run(folder, ["--help"], prepare=close).returncode == 0


def test_streams_that_take_nothing(folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with open("/dev/full", "w") as full, open(os.devnull) as read_only:
        for stream in (full, read_only):
            assert run(folder, ["info", "nowhere.npz"], stderr=stream).returncode == 3
        for words in (["info", "scan.npz"], ["--help"], ["ingest", "--help"], ["--version"]):
            done = run(folder, words, stdout=full)
            assert done.returncode == 6
            one_line(done.stderr)
        assert run(folder, words, stdout=full, stderr=full).returncode == 6


def fewer_threads(count: int) -> str:
    return f"""
import threading
start, left = threading.Thread.start, [None] * {count}
def limited(thread):
    if not left:
        raise RuntimeError("can't start new thread")
    left.pop()
    start(thread)
threading.Thread.start = limited
"""


@pytest.mark.parametrize("name", VERBS)
def test_no_more_threads(folder: Path, name: str) -> None:
    done = run(folder, VERBS[name], code=fewer_threads(0))
    assert (done.returncode, done.stderr) == (EXIT_CODES.get(name, 0), b"")
    assert bool(content(folder)) == any("OUT" in word for word in VERBS[name])


@pytest.mark.full
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", VERBS)
def test_fewer_threads(folder: Path, name: str, count: int) -> None:
    done = run(folder, VERBS[name], code=fewer_threads(count))
    assert (done.returncode, done.stderr) == (EXIT_CODES.get(name, 0), b"")


def test_a_foreign_store_without_threads_is_one_line(folder: Path) -> None:
    import zarr

    group = zarr.open_group(folder / "foreign.zarr", mode="w")
    group["diffraction"] = np.ones((3, 8, 8), np.float32)
    assert run(folder, ["info", "foreign.zarr"]).returncode == 0
    done = run(folder, ["info", "foreign.zarr"], code=fewer_threads(0))
    assert done.returncode == 6
    assert "foreign.zarr: the system gives no more threads" in one_line(done.stderr)


def within(megabytes: int, folder: Path, words: Sequence[str]) -> int:
    """The exit code of a verb in so much address space: done, or nothing done and one line."""
    size = megabytes << 20
    done = run(folder, words, prepare=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))
    if done.returncode not in (0, EXIT_CODES.get(words[0])):
        assert done.returncode == 6, done.stderr.decode()
        one_line(done.stderr)
        if words[0] != "study":  # which keeps what it finished
            assert not content(folder)
    return done.returncode


@pytest.mark.parametrize("name", ["info", "digest", "verify h5", "ingest", "simulate", "patch"])
def test_little_address_space(folder: Path, name: str) -> None:
    codes = [within(size, folder, VERBS[name]) for size in (64, 290, 1000)]
    assert codes[0] == 6
    assert codes[-1] == 0


@pytest.mark.full
@pytest.mark.parametrize("name", VERBS)
def test_any_address_space(folder: Path, name: str) -> None:
    codes = [within(size, folder, VERBS[name]) for size in range(40, 500, 10)]
    assert (codes[0], codes[-1]) == (6, EXIT_CODES.get(name, 0))
