"""Small scans made in memory, and what several test files do with them."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

import ptystore
from ptystore import Dataset, Metadata

Array = npt.NDArray[Any]

#: The usual suffix of each format.
SUFFIXES = tuple(row.suffixes[0] for row in ptystore.FORMATS)

LIBRARY = Path(ptystore.__file__).resolve().parent.parent

DTYPES = (
    *("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"),
    *("f2", "f4", "f8", "c8", "c16", "U7"),
)


def values(dtype: str, shape: tuple[int, ...], seed: int = 0) -> Array:
    """Values of any supported dtype in native order: the whole range, NaN and −0.0 included."""
    made = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    count = math.prod(shape)
    if kind.kind == "U":
        words = ["", "a", "Å²·µm", "\U0001f52c", "two words", "nul\0in"]
        flat = np.array([words[at] for at in made.integers(len(words), size=count)], kind)
    elif kind.kind == "b":
        flat = made.integers(2, size=count).astype(bool)
    elif kind.kind in "iu":
        flat = np.frombuffer(made.bytes(count * kind.itemsize), kind)
    else:
        flat = (made.standard_normal(count) * 100).astype(kind)
        if kind.kind == "c":
            flat += (1j * made.standard_normal(count)).astype(kind)
        flat[: min(count, 3)] = [np.nan, -0.0, np.inf][:count]
    return flat.reshape(shape).copy()


def scan(frames: int = 21, height: int = 6, width: int = 10, seed: int = 0) -> dict[str, Array]:
    """A raw scan whose frames are not square and whose count is no power of two."""
    made = np.random.default_rng(seed)
    probe = made.standard_normal((height, width)) + 1j * made.standard_normal((height, width))
    size = (5 * height, 4 * width)
    return {
        "diff3d": made.poisson(30, (frames, height, width)).astype(np.uint16),
        "probeGuess": probe,
        "objectGuess": np.exp(1j * made.standard_normal(size)),
        "xcoords": made.uniform(width, 3 * width, frames),
        "ycoords": made.uniform(height, 4 * height, frames),
        "scan_index": np.zeros(frames, np.int64),
    }


def document(**more: Any) -> Metadata:
    """A metadata document with all that JSON can hold, in no alphabetical order."""
    return Metadata(
        {
            "schema_version": "1.0.0",
            "physics_parameters": {"nphotons": 1e3, "gridsize": 1, "N": 10},
            "zeta": [1, 2.5, None, True, {"nested": "µm \U0001f52c \x00 \u2028"}],
            "alpha": 12345678901234567890,
            **more,
        }
    )


def same(left: Array, right: Array) -> bool:
    """Equal in shape, dtype and every bit but the sign of a NaN; text is compared as text."""
    left, right = np.asarray(left), np.asarray(right)
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind == "U":
        return bool((left == right).all())
    return left.tobytes() == right.tobytes()


def assert_same(left: Array, right: Array) -> None:
    """`same`, with a message that says what differs."""
    left, right = np.asarray(left), np.asarray(right)
    assert (left.shape, left.dtype) == (right.shape, right.dtype)
    if not same(left, right):
        np.testing.assert_array_equal(left, right)
        raise AssertionError("equal values, but not the same bits")


def native(value: Array) -> Array:
    """The same values in native byte order."""
    value = np.asarray(value)
    return value.astype(value.dtype.newbyteorder("="))


def plain_digest(name: str, value: Array, frame_axis: int | None) -> str:
    """The content digest of an array, spelled out from its definition, row after row."""
    little = np.asarray(value, np.asarray(value).dtype.newbyteorder("<"))
    role = "global" if frame_axis is None else "per_frame"
    sizes = ",".join(map(str, value.shape))
    axis = "null" if frame_axis is None else str(frame_axis)
    header = f'["ptystore-field-1","{name}","{role}","{little.dtype.str}",[{sizes}],{axis}]\n'
    tree = blake3(header.encode("ascii"))
    rows = np.moveaxis(np.atleast_1d(little), frame_axis or 0, 0)
    if value.size:
        per_leaf = 1
        while per_leaf * 2 * rows[0:1].nbytes <= 64 * 1024:
            per_leaf *= 2
        for at in range(0, len(rows), per_leaf):
            tree.update(blake3(rows[at : at + per_leaf].tobytes()).digest())
    return tree.hexdigest()


def put(
    folder: Path, suffix: str, arrays: Mapping[str, Array], metadata: Metadata | None = None
) -> Path:
    """Write arrays in a format; the path."""
    path = folder / f"scan{suffix}"
    ptystore.write(ptystore.dataset_of(arrays, metadata), path)
    return path


def pickled(value: Any) -> Any:
    """The value after a journey through pickle."""
    return pickle.loads(pickle.dumps(value))


def contents(dataset: Dataset) -> dict[str, Array]:
    """All values of a dataset."""
    return {name: field.values() for name, field in dataset.fields.items()}


def forked(work: Callable[[], None], seconds: int = 20) -> None:
    """Run `work` in a forked child; fails if it raises, dies or does not come back."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # A child that waits for a lock that nobody holds is ended here.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the forked child failed or hung"


def spawned(code: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run code in a fresh interpreter, `sys.argv[1:]` as given; its standard output."""
    paths = [str(LIBRARY), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Hammer:
    """Threads that do `work` over and over while the block runs."""

    def __init__(self, work: Callable[[], object], threads: int = 3) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,)) for _ in range(threads)]

    def _run(self, work: Callable[[], object]) -> None:
        while not self._stop.is_set():
            work()

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def settle() -> None:
    """Wait a tick of the kernel's clock: what is opened now was not touched since."""
    time.sleep(0.02)


def overwrite(place: tuple[Path, int, int], data: bytes) -> None:
    """Write over the middle of a piece, keeping the file's length and times."""
    file, offset, length = place
    before = file.stat()
    with open(file, "r+b") as stream:
        stream.seek(offset + length // 2)
        stream.write(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    settle()


def flip(place: tuple[Path, int, int]) -> None:
    """Flip one bit in the middle of a piece."""
    file, offset, length = place
    with open(file, "rb") as stream:
        stream.seek(offset + length // 2)
        (byte,) = stream.read(1)
    overwrite(place, bytes([byte ^ 1]))


def bytes_read() -> int:
    """Bytes that this process has asked the kernel to read so far, from any file."""
    for line in Path("/proc/self/io").read_text("ascii").splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError("/proc/self/io has no rchar")
