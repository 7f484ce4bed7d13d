"""Modes and groups: what replaces something opens to nobody, what is new follows the umask."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ptystore
import scans
from faults.outcomes import SUFFIXES
from studies import save_base, small


def scan(seed: int = 0) -> ptystore.Dataset:
    return ptystore.dataset_of(scans.scan(frames=6, seed=seed), scans.document())


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(path: Path) -> set[tuple[bool, int]]:
    """Whether it is a folder, and its mode, of a path and of everything below."""
    return {(one.is_dir(), mode(one)) for one in [path, *path.rglob("*")]}


def change(path: Path, folder: int, file: int) -> None:
    for one in [*path.rglob("*"), path]:
        one.chmod(folder if one.is_dir() else file)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_new_ones_follow_the_umask(
    tmp_path: Path, umask: int, suffix: str, overwrite: bool
) -> None:
    path = tmp_path / f"a{suffix}"
    ptystore.write(scan(), path, overwrite=overwrite)
    allowed = {(True, 0o777 & ~umask), (False, 0o666 & ~umask)}
    assert modes(path) == {one for one in allowed if path.is_dir() or not one[0]}
    ptystore.make_demo_scan(tmp_path / "raw.npz", 4, overwrite=overwrite)
    assert mode(tmp_path / "raw.npz") == 0o666 & ~umask


@pytest.mark.parametrize(
    ("folder", "file"), [(0o700, 0o600), (0o750, 0o640), (0o755, 0o644), (0o2775, 0o664)]
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_replaces_something_has_its_modes(
    tmp_path: Path, umask: int, suffix: str, folder: int, file: int
) -> None:
    path = tmp_path / f"a{suffix}"
    ptystore.write(scan(), path)
    change(path, folder, file)
    ptystore.write(scan(1), path, overwrite=True)
    expected = {(False, file)} | ({(True, folder)} if path.is_dir() else set())
    assert modes(path) == expected


def test_a_closed_folder_with_open_files(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a.zarr"
    ptystore.write(scan(), path)
    path.chmod(0o700)
    before = {mode(one) for one in path.rglob("*") if one.is_file()}
    ptystore.write(scan(1), path, overwrite=True)
    assert mode(path) == 0o700
    assert {mode(one) for one in path.rglob("*") if one.is_file()} == before


def test_one_closed_file_closes_all(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    ptystore.write(scan(), path)
    (path / "diff3d" / "c.0.0.0").chmod(0o600)
    ptystore.write(scan(1), path, overwrite=True)
    assert {mode(one) for one in path.rglob("*") if one.is_file()} == {0o600}


@pytest.mark.parametrize(("before", "after"), [(".npz", ".zarr"), (".zarr", ".npz")])
def test_a_file_for_a_folder_and_back(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / f"a{after}"
    ptystore.write(scan(), tmp_path / f"a{before}")
    (tmp_path / f"a{before}").rename(path)
    change(path, 0o700, 0o600)
    ptystore.write(scan(1), path, overwrite=True)
    assert modes(path) <= {(True, 0o700), (False, 0o600)}


def test_the_demo_and_a_study_keep_modes_too(tmp_path: Path) -> None:
    raw = ptystore.make_demo_scan(tmp_path / "raw.npz", 4)
    raw.chmod(0o600)
    ptystore.make_demo_scan(raw, 4, overwrite=True)
    assert mode(raw) == 0o600
    base, hub = save_base(tmp_path / "recon.npz"), tmp_path / "hub"
    small(hub, base)
    (hub / "run_manifest.json").chmod(0o600)
    small(hub, base)
    assert mode(hub / "run_manifest.json") == 0o600


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nobody_else_can_read_it_while_it_is_made(tmp_path: Path, suffix: str) -> None:
    path, seen = tmp_path / f"a{suffix}", set[int]()
    ptystore.write(scan(), path)
    change(path, 0o700, 0o600)

    def look(nbytes: int) -> None:
        seen.update(mode(one) for one in tmp_path.iterdir() if one != path)

    ptystore.write(scan(1), path, overwrite=True, progress=look)
    assert seen == {0o700}


def test_files_that_another_store_has_too_are_left_as_they_are(tmp_path: Path) -> None:
    one, other = tmp_path / "one.zarr", tmp_path / "other.zarr"
    ptystore.write(scan(), one)
    ptystore.write(scan(1), other)
    change(other, 0o700, 0o600)
    before = modes(one)
    ptystore.write(ptystore.open(one), other, overwrite=True)
    assert any(file.stat().st_nlink > 1 for file in one.rglob("*"))  # adopted
    assert modes(one) == before
    assert mode(other) == 0o700


def damage(store: Path) -> None:
    (store / "diff3d" / "c.0.0.0").write_bytes(b"damaged")


def lose(store: Path) -> None:
    (store / "diff3d" / "c.0.0.0").unlink()
    (store / "diff3d" / "zarr.json").unlink()
    (store / "diff3d").rmdir()


@pytest.mark.parametrize("harm", [damage, lose])
@pytest.mark.parametrize(("folder", "file"), [(0o700, 0o600), (0o775, 0o664)])
def test_repair_keeps_modes(
    tmp_path: Path, umask: int, harm: Callable[[Path], None], folder: int, file: int
) -> None:
    source, store = tmp_path / "a.npz", tmp_path / "a.zarr"
    ptystore.write(scan(), source)
    ptystore.write(scan(), store)
    change(store, folder, file)
    harm(store)
    assert ptystore.repair(store, source).ok
    # A folder that is made again is no wider than the umask allows.
    assert modes(store) <= {(True, folder), (True, folder & ~umask), (False, file)}
    assert mode(store) == folder


def other_group() -> int:
    """A group that files can be given to and that no new file gets by itself."""
    groups = set(os.getgroups()) - {os.getegid()}
    if os.geteuid() == 0:
        return 4242
    if not groups:
        pytest.skip("in one group only")
    return groups.pop()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_group_is_kept(tmp_path: Path, suffix: str) -> None:
    path, group = tmp_path / f"a{suffix}", other_group()
    ptystore.write(scan(), path)
    for one in [path, *path.rglob("*")]:
        os.chown(one, -1, group)
    ptystore.write(scan(1), path, overwrite=True)
    assert {one.stat().st_gid for one in [path, *path.rglob("*")]} == {group}


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_where_the_group_can_not_be_kept_no_other_gets_its_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, code: int
) -> None:
    path, group = tmp_path / f"a{suffix}", other_group()
    ptystore.write(scan(), path)
    change(path, 0o775, 0o660)
    for one in [path, *path.rglob("*")]:
        os.chown(one, -1, group)

    def refused(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "chown", refused)
    ptystore.write(scan(1), path, overwrite=True)
    assert modes(path) <= {(True, 0o755), (False, 0o600)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_root_replaces_stays_its_owners(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    ptystore.write(scan(), path)
    for one in [path, *path.rglob("*")]:
        os.chown(one, 4343, -1)
    ptystore.write(scan(1), path, overwrite=True)
    assert {one.stat().st_uid for one in [path, *path.rglob("*")]} == {4343}
