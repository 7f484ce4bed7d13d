"""The process that opens HDF5 files: it may die, hang or be missing; this one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import ptystore
from ptystore.errors import DamagedInputError, StorageError
from ptystore.formats.hdf5 import asking
from scans import assert_same, forked

VALUES = np.arange(64).reshape(8, 8)

# What the helper runs in the place of the HDF5 library.
PATCHED = """
import os, signal, sys, time
sys.path[:] = sys.argv[4:]
from ptystore.formats.hdf5 import helper, walk
def answer(descriptor, request):
    {}
walk.answer = answer
helper.main(*map(int, sys.argv[1:4]))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=VALUES, chunks=(2, 8), scaleoffset=0)
        file["words"] = np.array(["x", "yy"], object)
    return tmp_path / "a.h5"


@pytest.fixture(autouse=True)
def own_helper() -> Iterator[None]:
    """Each test starts its own helper, and leaves none that it changed."""
    asking._end()
    yield
    asking._end()


def helper_process() -> int:
    helper = asking._running()
    return helper._process.pid


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashes on it \(SIGSEGV\)"),
        ("os.abort()", r"crashes on it \(SIGABRT\)"),
        ("os._exit(3)", r"crashes on it \(exit code 3\)"),
        ("while True: pass", "does not come back from it in [12] s"),
        ("time.sleep(60)", "does not come back from it in 2 s"),
        ("return bytearray(1 << 40)", "crashes on it|more memory"),
        ("return {'root': object()}, b''", "is no HDF5 file that can be read"),
    ],
)
def test_a_file_that_the_library_does_not_survive(
    monkeypatch: pytest.MonkeyPatch, file: Path, what: str, told: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(asking, "SECONDS", 1)
        patch.setattr(asking, "PATIENCE", 2)
        patch.setattr(asking, "_START", PATCHED.format(what))
        with pytest.raises(ptystore.InputError, match=told) as caught:
            ptystore.open(file)
        assert caught.value.file == str(file)
        assert "\n" not in str(caught.value)
        if "no HDF5" not in told:
            assert isinstance(caught.value, DamagedInputError)
            assert not ptystore.verify(file).ok
    asking._end()
    assert_same(ptystore.open(file)["a"].values(), VALUES)


def test_a_field_on_which_the_library_dies_is_named(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    field = ptystore.open(file)["a"]
    asking._end()
    body = """
    if request["ask"] == "boxes" and [4, 0] in [box[0] for box in request["about"]["boxes"]]:
        os.abort()
    return original(descriptor, request)
original = walk.answer"""
    monkeypatch.setattr(asking, "_START", PATCHED.format(body))
    with pytest.raises(ptystore.InputError, match=r"a: frames 4 to 5: .*SIGABRT"):
        field.values()
    assert_same(field[[0, 7]], VALUES[[0, 7]])


def test_a_helper_that_was_killed_is_started_again(file: Path) -> None:
    scan = ptystore.open(file)
    first = helper_process()
    os.kill(first, signal.SIGKILL)
    assert_same(scan["a"].values(), VALUES)
    assert helper_process() != first


def test_one_helper_serves_all_and_a_forked_child_has_its_own(file: Path) -> None:
    scan = ptystore.open(file)
    process = helper_process()
    threads = [threading.Thread(target=scan["a"].values) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert helper_process() == process

    def in_child() -> None:
        assert asking._helper is None
        assert_same(scan["a"].values(), VALUES)
        assert helper_process() != process

    forked(in_child)
    assert_same(scan["a"][[3, 1]], VALUES[[3, 1]])
    assert helper_process() == process


def test_it_answers_of_the_file_that_was_opened(tmp_path: Path, file: Path) -> None:
    scan = ptystore.open(file)
    with h5py.File(tmp_path / "b.h5", "w") as other:
        other.create_dataset("a", data=VALUES + 1, chunks=(2, 8), scaleoffset=0)
    os.replace(tmp_path / "b.h5", file)
    assert_same(scan["a"].values(), VALUES)
    assert scan["words"].values().tolist() == ["x", "yy"]
    assert_same(ptystore.open(file)["a"].values(), VALUES + 1)


def gone(process: int) -> bool:
    """Whether a process ends in some seconds; one that nobody waited for has ended, too."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


OPENS = """
import os, signal, sys
import ptystore
from ptystore.formats.hdf5 import asking
ptystore.open(sys.argv[1])
print(asking._helper._process.pid, flush=True)
{}
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "end", ["", "os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit"]
)
def test_it_ends_with_the_process_that_started_it(file: Path, end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OPENS.format(end), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    assert gone(int(done.stdout))


def test_closed_standard_streams(file: Path) -> None:
    code = """
import os, sys
for descriptor in range(3):
    os.close(descriptor)
import ptystore
os._exit(0 if ptystore.open(sys.argv[1])["a"].shape == (8, 8) else 1)
"""
    assert subprocess.run([sys.executable, "-c", code, str(file)], check=False).returncode == 0


def test_switched_off(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("PTYSTORE_HDF5_HELPER", "off")
    scan = ptystore.open(file)
    assert_same(scan["a"].values(), VALUES)
    assert scan["words"].values().tolist() == ["x", "yy"]
    assert asking._helper is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("executable", ""), ("executable", "/nowhere/python"), ("executable", "/bin/false")],
)
def test_no_helper_can_be_started(
    monkeypatch: pytest.MonkeyPatch, file: Path, name: str, value: str
) -> None:
    monkeypatch.setattr(sys, name, value)
    with pytest.raises(StorageError, match="the process that opens HDF5 files can't be") as caught:
        ptystore.open(file)
    assert caught.value.file == str(file)
    assert "PTYSTORE_HDF5_HELPER=off" in str(caught.value.advice)


def test_what_the_library_prints_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    body = (
        "os.write(1, b'out'); os.write(2, b'err'); return {'error': 'OSError', 'text': 'no'}, b''"
    )
    monkeypatch.setattr(asking, "_START", PATCHED.format(body))
    with pytest.raises(ptystore.InputError):
        ptystore.open(file)
    assert capfd.readouterr() == ("", "")
