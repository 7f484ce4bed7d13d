"""Publishing under faults: failing calls, kill -9 at every call, two writers at once."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.outcomes import in_child, wait
from ptystore.errors import PtystoreError
from ptystore.transfer import publish
from publications import (
    FOLDERS,
    KERNELS,
    OLD,
    OVERWRITE,
    fail,
    litter,
    put,
    state,
    without_renameat2,
)

CALLS = (
    "mkdir",
    "open",
    "fsync",
    "listdir",
    "lstat",
    "rename",
    "replace",
    "link",
    "unlink",
    "rmdir",
)
CLEANUP = ("open", "lstat", "unlink", "rmdir", "rename")


@pytest.fixture(autouse=True)
def quick_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here: the calls are counted and failed, the disk is spared."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Fault:
    """Does `action` at the n-th of the counted calls; counts only, when n is None."""

    def __init__(self, at: int | None, action: Callable[[], object]) -> None:
        self.at, self.action, self.calls = at, action, list[str]()

    def wrap(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **options: object) -> object:
            self.calls.append(name)
            if len(self.calls) - 1 == self.at:
                self.action()
            return function(*args, **options)

        return wrapped

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.wrap(name, getattr(os, name)))
            patch.setattr(publish, "_renameat2", self.wrap("renameat2", publish._renameat2))
            yield


@FOLDERS
@OVERWRITE
@KERNELS
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_any_failing_call_leaves_old_or_new(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: bool,
    overwrite: bool,
    kernel: bool,
    code: int,
) -> None:
    if not kernel:
        without_renameat2(monkeypatch)
    before = "old" if overwrite else "absent"
    at, outcomes = 0, list[str]()
    while True:
        destination = tmp_path / str(at) / "scan"
        destination.parent.mkdir()
        if overwrite:
            put(destination, folder, data=OLD)
        fault, exit_code = Fault(at, fail(code)), 0
        with fault.armed():
            try:
                put(destination, folder, overwrite)
            except PtystoreError as error:
                exit_code = error.exit_code
            except OSError:
                exit_code = 6  # of the block itself, passed through as it is
        if at >= len(fault.calls):
            break
        where = f"call {at} of {fault.calls}: exit {exit_code}"
        found, left = state(destination), litter(destination)
        assert found in (before, "new"), where
        assert found == "new" or exit_code in (4, 6), where
        # Litter stays only where removing it was what failed, and the next run clears it.
        assert not left or (len(left) == 1 and fault.calls[at] in CLEANUP), where
        put(destination, folder, overwrite=True)
        assert (state(destination), litter(destination)) == ("new", []), where
        outcomes.append(found)
        at += 1
    assert len(outcomes) > 8
    assert set(outcomes) == {before, "new"}


@FOLDERS
@OVERWRITE
@KERNELS
def test_kill_9_at_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, overwrite: bool, kernel: bool
) -> None:
    if not kernel:
        without_renameat2(monkeypatch)
    before = "old" if overwrite else "absent"
    at, killed, outcomes = 0, True, set()
    while killed:
        destination = tmp_path / str(at) / "scan"
        destination.parent.mkdir()
        if overwrite:
            put(destination, folder, data=OLD)

        def doomed(at: int = at, destination: Path = destination) -> None:
            with Fault(at, lambda: os.kill(os.getpid(), signal.SIGKILL)).armed():
                put(destination, folder, overwrite)

        ended = wait(in_child(doomed))
        killed = ended == -signal.SIGKILL
        assert killed or ended == 0
        found, left = state(destination), litter(destination)
        aside = any(".ptystore-old-" in name for name in left)
        # Only where the kernel can't exchange, the old one is aside for a moment.
        assert found in (before, "new") or (found == "absent" and aside and not kernel)
        said: list[str] = []
        publish.clear_litter(destination, said.append)
        assert state(destination) == (before if found == "absent" else found)
        assert litter(destination) == []
        assert bool(said) or not [name for name in left if ".ptystore-old-" not in name]
        outcomes.add(state(destination))
        at += 1
    assert at > 8
    assert outcomes == {before, "new"}


def test_killed_while_writing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from ptystore.transfer import publish\n"
        "with publish.stage_folder(Path(sys.argv[1]), overwrite=False,\n"
        "        is_ours=lambda path: True, warn=print) as staging:\n"
        "    (staging / 'zarr.json').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    destination = tmp_path / "scan"
    result = subprocess.run([sys.executable, "-c", script, str(destination)], check=False)
    assert result.returncode == -signal.SIGKILL
    (left,) = litter(destination)
    assert left.startswith(f".scan.ptystore-{socket.gethostname()}-")
    said = put(destination)
    assert len(said) == 1
    assert left in said[0]
    assert (state(destination), litter(destination)) == ("new", [])


@FOLDERS
@KERNELS
@pytest.mark.parametrize("together", [True, False], ids=["both staged", "racing"])
def test_two_writers_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, kernel: bool, together: bool
) -> None:
    if not kernel:
        without_renameat2(monkeypatch)
    for turn in range(10):
        destination = tmp_path / str(turn) / "scan"
        destination.parent.mkdir()
        ready, go = os.pipe(), os.pipe()

        def meet(ready: int = ready[1], go: int = go[0]) -> None:
            os.write(ready, b".")
            os.read(go, 1)

        def writer(destination: Path = destination, meet: Callable[[], None] = meet) -> None:
            if not together:
                meet()
            put(destination, folder, then=meet if together else lambda: None)

        processes = [in_child(writer), in_child(writer)]
        for _ in processes:
            os.read(ready[0], 1)
        os.write(go[1], b"..")
        assert sorted(map(wait, processes)) == [0, 4]
        assert (state(destination), litter(destination)) == ("new", [])
        for descriptor in (*ready, *go):
            os.close(descriptor)
