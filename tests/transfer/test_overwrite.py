"""What `overwrite` replaces: what ptystore wrote and nobody else put anything into."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

import ptystore
import scans
from chunk_places import chunk_places
from faults.outcomes import SUFFIXES, litter
from ptystore.errors import DestinationError
from ptystore.formats.npz.comment import BARE_MARK
from ptystore.formats.npz.mark import archive_comment
from studies import tree


def scan(seed: int = 0) -> ptystore.Dataset:
    return ptystore.dataset_of(scans.scan(frames=6, seed=seed), scans.document())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one scan in every format, and its digest."""
    folder = tmp_path_factory.mktemp("ours")
    for suffix in SUFFIXES:
        ptystore.write(scan(), folder / f"scan{suffix}")
    return folder


def save_plain(path: Path, ours: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, **scans.scan(frames=6))


def save_legacy(path: Path, ours: Path) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, **scans.scan(frames=6), _metadata=np.array("{}", dtype=object))


def save_ours_again(path: Path, ours: Path) -> None:
    with np.load(ours / "scan.npz") as members, open(path, "wb") as file:
        np.savez(file, **members)


def cut_ours(path: Path, ours: Path) -> None:
    path.write_bytes((ours / "scan.npz").read_bytes()[:-50])


def other_comment(path: Path, ours: Path) -> None:
    save_plain(path, ours)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"ptystore is what made the scan that this was fitted to"


def flat_hdf5(path: Path, ours: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in scans.scan(frames=6).items():
            file[name] = values


def nested_hdf5(path: Path, ours: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.ones((3, 4, 4))


def other_store(path: Path, ours: Path) -> None:
    group = zarr.open_group(path, mode="w")
    group.create_array("diffraction", data=np.ones((3, 4, 4)))


def manifest_alone(path: Path, ours: Path) -> None:
    path.mkdir()
    shutil.copy(ours / "scan.zarr/ptystore-manifest.json", path)


STRANGE: list[Callable[[Path, Path], object]] = [
    *(save_plain, save_legacy, save_ours_again, cut_ours, other_comment),
    *(flat_hdf5, nested_hdf5, other_store, manifest_alone),
    lambda path, ours: path.write_text("my thesis"),
    lambda path, ours: path.touch(),
    lambda path, ours: path.mkdir(),
    lambda path, ours: ptystore.make_demo_scan(path, 4),
    lambda path, ours: path.write_bytes(b"PK\x05\x06" + bytes(18)),
    lambda path, ours: path.write_bytes(b"\x89HDF\r\n\x1a\n and no more"),
]


def content(path: Path) -> object:
    return tree(path) if path.is_dir() else path.read_bytes()


def refused(path: Path) -> DestinationError:
    before = content(path)
    with pytest.raises(DestinationError) as caught:
        ptystore.write(scan(1), path, overwrite=True)
    assert caught.value.exit_code == 4
    assert content(path) == before
    assert litter(path) == []
    return caught.value


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", STRANGE)
def test_what_others_made_is_refused(
    tmp_path: Path, ours: Path, make: Callable[[Path, Path], object], suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    make(path, ours)
    error = refused(path)
    assert "was not written by ptystore" in error.reason
    assert "remove it yourself" in str(error.advice)


def copied(ours: Path, tmp_path: Path, suffix: str) -> Path:
    source, path = ours / f"scan{suffix}", tmp_path / f"scan{suffix}"
    return Path(shutil.copytree(source, path) if source.is_dir() else shutil.copy(source, path))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("before", SUFFIXES)
def test_ours_is_replaced_whatever_its_name(
    tmp_path: Path, ours: Path, before: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    copied(ours, tmp_path, before).rename(path)
    ptystore.write(scan(1), path, overwrite=True)
    assert ptystore.digest(path)[1] == ptystore.digest(scan(1))[1]
    assert litter(path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_value_is_read_to_know_it(tmp_path: Path, ours: Path, suffix: str) -> None:
    """A scan whose frames are damaged can be replaced too."""
    path = copied(ours, tmp_path, suffix)
    for file, offset, length in chunk_places(path, "diff3d"):
        data = bytearray(file.read_bytes())
        data[offset : offset + length] = bytes(length)
        file.write_bytes(data)
    assert not ptystore.verify(path).ok
    ptystore.write(scan(1), path, overwrite=True)
    assert ptystore.verify(path).ok


def many_fields(seed: int) -> ptystore.Dataset:
    return ptystore.dataset_of(
        {f"field_{k:04}_{'x' * 60}": np.full(3, k + seed) for k in range(600)}
    )


def test_an_npz_whose_notes_are_too_long_is_known_too(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    ptystore.write(many_fields(0), path)
    assert archive_comment(path) == BARE_MARK
    assert ptystore.open(path).source.digest is None  # type: ignore[union-attr]
    ptystore.write(many_fields(1), path, overwrite=True)
    assert ptystore.digest(path)[1] == ptystore.digest(many_fields(1))[1]


def put(path: Path, data: bytes = b"mine") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def add_array(path: Path) -> None:
    zarr.open_group(path, mode="a").create_array("fit", data=np.ones(3))


def add_members(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        for name in names:
            data = io.BytesIO()
            np.save(data, np.ones(3))
            archive.writestr(name, data.getvalue())


def add_datasets(path: Path, *names: str) -> None:
    with h5py.File(path, "a") as file:
        for name in names:
            file[name] = np.ones(3)


ADDED: list[tuple[str, Callable[[Path], object], str]] = [
    (".zarr", lambda path: put(path / "NOTES.txt"), "NOTES.txt"),
    (".zarr", lambda path: put(path / "deep/er.txt"), "deep/er.txt"),
    (".zarr", lambda path: put(path / "diff3d/c.9.0.0"), "diff3d/c.9.0.0"),
    (".zarr", lambda path: put(path / ".zattrs"), ".zattrs"),
    (".zarr", lambda path: put(path / "xcoords/.hidden"), "xcoords/.hidden"),
    (".zarr", lambda path: (path / "link").symlink_to(path), "link"),
    (".zarr", lambda path: os.mkfifo(path / "pipe"), "pipe"),
    (".zarr", lambda path: [put(path / f"{k}") for k in range(9)], "0, 1, 2, 3, 4 and 4 more"),
    (".npz", lambda path: add_members(path, "fit.npy"), "fit.npy"),
    (".npz", lambda path: add_members(path, "README", "b/c.npy"), "README, b/c.npy"),
    (".h5", lambda path: add_datasets(path, "fit", "entry/x"), "entry, fit"),
]


@pytest.mark.parametrize(("suffix", "add", "named"), ADDED)
def test_what_others_put_into_it_is_named_and_kept(
    tmp_path: Path, ours: Path, suffix: str, add: Callable[[Path], object], named: str
) -> None:
    path = copied(ours, tmp_path, suffix)
    add(path)
    error = refused(path)
    assert error.reason == f"holds what ptystore did not write there: {named}"
    assert "move that elsewhere" in str(error.advice)


def test_an_array_that_another_library_added(tmp_path: Path, ours: Path) -> None:
    path = copied(ours, tmp_path, ".zarr")
    add_array(path)
    assert "fit/zarr.json" in refused(path).reason


def test_without_a_manifest_nothing_tells_what_is_ours(tmp_path: Path, ours: Path) -> None:
    for damage in (Path.unlink, lambda file: file.write_text("{")):
        path = copied(ours, tmp_path, ".zarr")
        damage(path / "ptystore-manifest.json")
        assert "manifest is damaged or missing" in refused(path).reason
        shutil.rmtree(path)


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._diff3d", "xcoords/.nfs000000000123abcd00000001", "Thumbs.db", "desktop.ini"],
)
def test_known_litter_is_in_nobodys_way(tmp_path: Path, ours: Path, name: str) -> None:
    path = copied(ours, tmp_path, ".zarr")
    put(path / name)
    ptystore.write(scan(1), path, overwrite=True)
    assert not (path / name).exists()
    assert ptystore.verify(path).ok


def test_the_demo_replaces_nothing_but_a_demo(tmp_path: Path, ours: Path) -> None:
    made = ptystore.make_demo_scan(tmp_path / "raw.npz", 4)
    first = ptystore.digest(made)[1]
    assert ptystore.open(made).source.digest is None  # type: ignore[union-attr]
    ptystore.make_demo_scan(made, 4, seed=2, overwrite=True)
    assert ptystore.digest(made)[1] != first
    arrays, metadata = ptystore.load_npz(made)
    for save in (
        save_legacy,
        save_plain,
        lambda path, _: ptystore.save_npz(path, arrays, metadata),
    ):
        made.unlink()
        save(made, ours)
        before = made.read_bytes()
        with pytest.raises(DestinationError, match="was not written by ptystore"):
            ptystore.make_demo_scan(made, 4, overwrite=True)
        assert (made.read_bytes(), litter(made)) == (before, [])
