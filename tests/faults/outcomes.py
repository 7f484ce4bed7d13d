"""What may be at a destination after a fault: nothing, or all of one scan; and beside it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ptystore
import scans
from ptystore.errors import PtystoreError

#: The full numbers (minutes) instead of the quick slice.
FULL = bool(os.environ.get("PTYSTORE_FAULTS_FULL"))

SUFFIXES = (".zarr", ".h5", ".npz")


def small_scan(seed: int = 0, frames: int = 300) -> ptystore.Dataset:
    """A scan in memory whose frames need several chunks, with text and metadata."""
    arrays = scans.scan(frames=frames, seed=seed)
    labels = {"labels": np.array(["a", "bé", ""])}
    return ptystore.dataset_of({**arrays, **labels}, scans.document())


def content(path: Path) -> dict[str, object]:
    """All that a reader gets: values, attributes, metadata."""
    scan = ptystore.open(path)
    found: dict[str, object] = {
        name: (one.dtype.str, one.shape, one.frame_axis, dict(one.attrs), one.values().tobytes())
        for name, one in scan.fields.items()
    }
    found["_metadata"] = None if scan.metadata is None else scan.metadata.to_json()
    return found


def state(path: Path, **digests: str) -> str:
    """absent, the name of the scan that is there whole, or what is wrong."""
    if not os.path.lexists(path):
        return "absent"
    try:
        report = ptystore.verify(path)
        if not report.ok:
            return f"damaged: {report.damage}"
        whole = ptystore.open(path).source
    except PtystoreError as error:
        return f"damaged: {error}"
    assert whole is not None
    names = [name for name, digest in digests.items() if digest == whole.digest]
    return names[0] if names else f"another scan: {whole.digest}"


def litter(path: Path) -> list[str]:
    """What lies beside the destination and is of ptystore's making."""
    return sorted(name for name in os.listdir(path.parent) if ".ptystore-" in name)


def remove(path: Path) -> None:
    """Delete a file or a store, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def heed_signals() -> None:
    """In a new process: end by the signals that one in the background, or of nohup, ignores."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def in_child(action: Callable[[], object]) -> int:
    """Start a forked child; its exit code is that of the error. Returns its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other tests' idle threads are of no concern to it
        process = os.fork()
    if process:
        return process
    code = 99
    try:
        try:
            signal.alarm(60)
            action()
            code = 0
        except PtystoreError as error:
            code = error.exit_code
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # Whatever signal came meanwhile: a child that went on would run the tests a second time.
        os._exit(code)


def wait(process: int) -> int:
    """The exit code of a child, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def command(*words: str | Path) -> None:
    """A command line in this (forked) process, as the console script runs it."""
    from ptystore_cli.app import main

    sys.argv = ["ptystore", *map(str, words)]
    main()
