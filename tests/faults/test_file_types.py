"""Whatever is no regular file, anywhere: one line, and never a wait."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

import ptystore
import scans
from ptystore import PtystoreError


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    # A socket's name is limited to 108 bytes.
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("a pipe"))
    path.symlink_to(path.with_name("a pipe"))


def folder(path: Path) -> None:
    path.mkdir()


KINDS = {
    "fifo": fifo,
    "socket": unix_socket,
    "endless device": endless,
    "link to a fifo": link_to_fifo,
    "folder": folder,
}


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """A wait ends the test, and fails it."""

    def too_long(signum: int, frame: object) -> None:
        pytest.fail("waited")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def attempts(path: Path, out: Path) -> dict[str, Callable[[], object]]:
    return {
        "open": lambda: [field.values() for field in ptystore.open(path).values()],
        "digest": lambda: ptystore.digest(path),
        "write": lambda: ptystore.write(ptystore.open(path), out),
        "verify": lambda: ptystore.verify(path),
        "repair": lambda: ptystore.repair(path, path),
    }


def outcome(attempt: Callable[[], object]) -> object:
    """What it gives, or the error of ours that it raises."""
    try:
        return attempt()
    except PtystoreError as error:
        return error


def refused(path: Path, out: Path) -> None:
    for name, attempt in attempts(path, out).items():
        found = outcome(attempt)
        if isinstance(found, PtystoreError):
            assert str(path.name) in str(found), name
            assert "\n" not in str(found)
        else:
            assert isinstance(found, ptystore.VerifyReport), name
            assert not found.ok
        assert not out.exists()


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr", ""])
def test_as_the_source_itself(tmp_path: Path, suffix: str, make: Callable[[Path], object]) -> None:
    path = tmp_path / f"scan{suffix}"
    make(path)
    refused(path, tmp_path / "out.zarr")
    with pytest.raises(PtystoreError):
        ptystore.write(ptystore.dataset_of({"a": np.arange(3)}), path, overwrite=True)


def stores(base: Path) -> dict[str, Path]:
    ours = scans.put(base, ".zarr", scans.scan() | {"text": np.array(["a"] * 21)})
    arrays = {"diff3d": np.ones((9, 4, 4), "u2"), "xcoords": np.arange(9.0)}
    found = {"ours": ours}
    for version in (2, 3):
        path = base / f"foreign{version}.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=version)
        for name, array in arrays.items():
            group.create_array(name, data=array)
        found[f"foreign {version}"] = path
    return found


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_in_the_place_of_any_file_of_a_store(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    (tmp_path / "pristine").mkdir()
    tried = 0
    for pristine in stores(tmp_path / "pristine").values():
        for file in sorted(pristine.rglob("*")):
            # A foreign store may do without its attributes, and without chunks that are the fill.
            if not file.is_file() or file.name == ".zattrs":
                continue
            store = tmp_path / f"try{tried}" / pristine.name
            shutil.copytree(pristine, store)
            place = store / file.relative_to(pristine)
            place.unlink()
            make(place)
            refused(store, tmp_path / "out.zarr")
            tried += 1
    assert tried > 20


def test_a_folder_with_nothing_but_a_pipe(tmp_path: Path) -> None:
    for name in (".zgroup", ".zarray", "zarr.json", "ptystore-manifest.json"):
        store = tmp_path / f"{name}.zarr"
        store.mkdir()
        os.mkfifo(store / name)
        refused(store, tmp_path / "out.zarr")
