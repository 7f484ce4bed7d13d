"""A dataset is what was there when it was opened: replaced, rewritten, moved, deleted sources."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ptystore
import scans
from ptystore import Dataset, IntegrityError
from ptystore.storage import descriptors
from ptystore.storage.local import SourceFile, SourceFolder, open_regular

FRAMES = 20_000  # two shards


def scan(seed: int) -> Dataset:
    """Scans alike in all but their values, several shards long."""
    return ptystore.dataset_of(
        {
            "diffraction": scans.values("u2", (FRAMES, 24, 24), seed) // 1000,
            "xcoords": np.arange(float(FRAMES)) + seed,
            "ycoords": np.arange(float(FRAMES)) - seed,
            "names": scans.values("U5", (FRAMES,), seed),
        },
        scans.document(seed=seed),
    )


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    for suffix in scans.SUFFIXES:
        for name, seed in (("a", 1), ("b", 2)):
            ptystore.write(scan(seed), folder / f"{name}{suffix}")
    # What another tool would have written.
    for name, seed in (("a", 1), ("b", 2)):
        arrays = {n: field.values() for n, field in scan(seed).items() if n != "names"}
        np.savez(folder / f"{name}.foreign.npz", **arrays)
    return folder


@pytest.fixture
def both(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "both")
    # Nothing was touched about when it is opened.
    time.sleep(0.05)
    return tmp_path / "both"


def same_as(found: Dataset, seed: int) -> None:
    for name, field in scan(seed).items():
        if name in found:
            scans.assert_same(found[name].values(), field.values())


def put_over(new: Path, old: Path) -> None:
    """As rsync does: the files of `new` over those of `old`, in the same folder or file."""
    if new.is_file():
        shutil.copyfile(new, old)
        return
    for file in new.rglob("*"):
        if file.is_file():
            shutil.copyfile(file, old / file.relative_to(new))


def rename_into(new: Path, old: Path) -> None:
    """As careful tools do: each file put in its place by a rename."""
    if new.is_file():
        os.replace(new, old)
        return
    for file in new.rglob("*"):
        if file.is_file():
            os.replace(file, old / file.relative_to(new))


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_overwriting_leaves_the_old_one_to_whom_has_it_open(both: Path, suffix: str) -> None:
    opened = ptystore.open(both / f"a{suffix}")
    ptystore.write(ptystore.open(both / f"b{suffix}"), both / f"a{suffix}", overwrite=True)
    same_as(opened, 1)
    same_as(ptystore.open(both / f"a{suffix}"), 2)
    copy = ptystore.write(opened, both / "copy.zarr")
    assert ptystore.verify(copy.path).ok
    same_as(ptystore.open(copy.path), 1)
    del opened
    same_as(ptystore.open(both / f"a{suffix}"), 2)


@pytest.mark.parametrize("change", [put_over, rename_into])
@pytest.mark.parametrize("suffix", [*scans.SUFFIXES, ".foreign.npz"])
@pytest.mark.parametrize("target", [".npz", ".zarr", ".h5"])
def test_what_changes_in_place_is_an_error_and_nothing_is_published(
    both: Path, suffix: str, target: str, change: Callable[[Path, Path], None]
) -> None:
    opened = ptystore.open(both / f"a{suffix}")
    change(both / f"b{suffix}", both / f"a{suffix}")
    copy = both / f"copy{target}"
    if change is rename_into and (both / f"a{suffix}").is_file():
        # A file that was renamed away is still the one that is open.
        same_as(ptystore.open(ptystore.write(opened, copy).path), 1)
        return
    with pytest.raises(IntegrityError) as caught:
        ptystore.write(opened, copy)
    assert caught.value.exit_code == 5
    assert str(both / f"a{suffix}") in str(caught.value)
    assert not copy.exists()


def test_a_shard_that_changes_after_the_first_read_is_not_mixed_in(both: Path) -> None:
    opened = ptystore.open(both / "a.zarr")["diffraction"]
    expected = scan(1)["diffraction"].values()
    scans.assert_same(opened[:10], expected[:10])
    shard = sorted((both / "b.zarr" / "diffraction").glob("c*"))[-1]
    shutil.copyfile(shard, both / "a.zarr" / "diffraction" / shard.name)
    scans.assert_same(opened[:10], expected[:10])
    with pytest.raises(IntegrityError, match="changed while it was read"):
        opened[-10:]
    with pytest.raises(IntegrityError, match="changed while it was read"):
        opened.values()


def test_links_and_touches_change_nothing(both: Path) -> None:
    opened = ptystore.open(both / "a.zarr")
    for file in (both / "a.zarr").rglob("c*"):
        if file.is_file():
            os.link(file, both / f"{file.parent.name}-{file.name}")
            os.utime(file)
    same_as(opened, 1)


def test_adopted_files_are_those_that_were_opened(both: Path) -> None:
    opened = ptystore.open(both / "a.zarr")
    put_over(both / "b.zarr", both / "a.zarr")
    with pytest.raises(IntegrityError):
        ptystore.write(opened, both / "copy.zarr")
    assert not (both / "copy.zarr").exists()


def test_a_folder_moved_away_is_read_on(both: Path) -> None:
    opened = ptystore.open(both / "a.zarr")
    (both / "a.zarr").rename(both / "moved.zarr")
    (both / "b.zarr").rename(both / "a.zarr")
    same_as(opened, 1)


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_another_process_refuses_another_scan(both: Path, suffix: str) -> None:
    kept = pickle.dumps(ptystore.open(both / f"a{suffix}"))
    same_as(pickle.loads(kept), 1)
    shutil.rmtree(both / "a.zarr", ignore_errors=True)
    for file in both.glob("a.*"):
        file.unlink()
    (both / f"b{suffix}").rename(both / f"a{suffix}")
    with pytest.raises(IntegrityError, match="changed while it was read"):
        pickle.loads(kept)["diffraction"].values()


def test_a_digest_of_a_changing_store_is_an_error(both: Path) -> None:
    opened = ptystore.open(both / "a.zarr")
    document = both / "a.zarr" / "zarr.json"
    document.write_bytes(document.read_bytes().replace(b"alpha", b"omega"))
    with pytest.raises(IntegrityError, match="changed while it was read"):
        ptystore.digest(opened)


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_a_thousand_open_scans_need_few_descriptors(tmp_path: Path, suffix: str) -> None:
    path = scans.put(tmp_path, suffix, {"a": np.arange(300.0)})
    opened = [ptystore.open(path) for _ in range(1000)]
    assert len(os.listdir("/proc/self/fd")) < descriptors._MOST + 100
    for dataset in (*opened[:300:7], *opened[::-50]):
        assert dataset["a"][7] == 7.0
    before = len(os.listdir("/proc/self/fd"))
    opened.clear()
    del dataset
    assert len(os.listdir("/proc/self/fd")) < before


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "folder", tmp_path / "nothing"):
        with pytest.raises(OSError):  # noqa: PT011 - which one is the system's
            os.close(open_regular(path))
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert SourceFile(tmp_path / "link").read(3, 4) == b"xxxx"
    with pytest.raises(OSError):  # noqa: PT011
        os.close(open_regular(tmp_path / "link", links=False))
    folder = SourceFolder(tmp_path)
    assert folder.read("file", 10) == b"x" * 10
    with pytest.raises(ValueError, match="over 9 bytes"):
        folder.read("file", 9)
