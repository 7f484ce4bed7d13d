"""What `check_destination` refuses, before anything is read or written."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from ptystore.errors import DestinationError, DestinationExistsError, StorageError
from ptystore.transfer.publish import check_destination, storage_error


def check(
    destination: Path, source: Path | None = None, overwrite: bool = False, ours: bool = True
) -> None:
    check_destination(destination, source=source, overwrite=overwrite, is_ours=lambda path: ours)


def refusal(destination: Path, **options: object) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        check(destination, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 4
    assert caught.value.file == str(destination)
    return caught.value


def test_a_free_name_is_accepted_and_nothing_is_made(tmp_path: Path) -> None:
    check(tmp_path / "scan.zarr", source=tmp_path / "scan.npz")
    assert list(tmp_path.iterdir()) == []


def test_existing_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "scan.npz").touch()
    error = refusal(tmp_path / "scan.npz")
    assert isinstance(error, DestinationExistsError)
    assert "--overwrite" in (error.advice or "")
    check(tmp_path / "scan.npz", overwrite=True)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo])
def test_what_is_not_ours_is_not_overwritten(tmp_path: Path, make: object) -> None:
    make(tmp_path / "thing")  # type: ignore[operator]
    assert (
        "not written by ptystore" in refusal(tmp_path / "thing", overwrite=True, ours=False).reason
    )


def test_special_files_are_never_opened_to_see_whose_they_are(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refusal(tmp_path / "pipe", overwrite=True, ours=True)


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "a/..", "a\0b", ".x.ptystore-vm-0f", "n" * 256]
)
def test_unusable_names(tmp_path: Path, name: str) -> None:
    base = Path(name) if name in ("", ".", "/") else tmp_path / name
    refusal(base)


def test_missing_parent(tmp_path: Path) -> None:
    assert "mkdir -p" in (refusal(tmp_path / "absent" / "scan.zarr").advice or "")
    (tmp_path / "file").touch()
    assert "not a folder" in refusal(tmp_path / "file" / "scan.zarr").reason


def test_parent_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root is allowed everything, so the kernel's answer is played.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert "no permission" in refusal(tmp_path / "scan.zarr").reason


def test_read_only_filesystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = namedtuple("status", "f_flag")(os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda path: status)
    assert "read-only" in refusal(tmp_path / "scan.zarr").reason


def test_the_source_by_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "scan.npz"
    source.touch()
    (tmp_path / "soft.npz").symlink_to(source)
    (tmp_path / "hard.npz").hardlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = (source, Path("scan.npz"), Path("soft.npz"), Path("hard.npz"), Path("folder/scan.npz"))
    for destination in names:
        assert refusal(destination, source=source, overwrite=True).reason == "is the source"
        assert refusal(source, source=destination, overwrite=True).reason == "is the source"


def test_inside_the_source_and_around_it(tmp_path: Path) -> None:
    store = tmp_path / "scan.zarr"
    (store / "sub").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(store / "sub")
    for destination in (store / "new.npz", store / "sub" / "new", tmp_path / "alias" / "new"):
        assert "inside the source" in refusal(destination, source=store).reason
    for source in (store / "sub", store / "in.npz", tmp_path / "alias"):
        assert "holds the source" in refusal(store, source=source, overwrite=True).reason
    check(tmp_path / "scan.zarr2", source=store)  # a longer name is not inside


def test_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for overwrite in (False, True):
        for name in ("dangling", "loop"):
            error = refusal(tmp_path / name, source=tmp_path / "x", overwrite=overwrite)
            assert "symbolic link" in error.reason
    assert isinstance(refusal(tmp_path / "link"), DestinationExistsError)
    assert "symbolic link" in refusal(tmp_path / "link", overwrite=True).reason


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (errno.ENOSPC, "disk full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "large"),
        (errno.EIO, "rror"),
    ],
)
def test_storage_error_says_what_the_system_said(code: int, word: str) -> None:
    error = storage_error(OSError(code, os.strerror(code)), Path("scan.zarr"), member="c/0")
    assert isinstance(error, StorageError)
    assert error.exit_code == 6
    assert word in error.reason
    assert os.strerror(code) in error.reason
    assert str(error).startswith("scan.zarr: c/0: ")
    assert (error.advice is None) == (code == errno.EIO)
