"""Fields that a transform leaves alone keep their files: shared, checked, never damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import ptystore
import scans


def shards(store: Path, name: str) -> list[Path]:
    return sorted((store / name).glob("c.*"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.zarr"
    ptystore.write(ptystore.canonicalize(ptystore.dataset_of(scans.scan(frames=3000))), path)
    return path


def patched(source: Path, path: Path) -> ptystore.WriteReport:
    return ptystore.write(ptystore.extract_patches(ptystore.open(source)), path)


def test_files_are_shared_and_the_store_is_complete(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "patched.zarr"
    patched(source, path)
    for name in ("diffraction", "probeGuess", "xcoords"):
        for ours, theirs in zip(shards(path, name), shards(source, name), strict=True):
            assert ours.samefile(theirs)
    assert ptystore.verify(path).ok
    before = ptystore.open(source)["diffraction"].values()
    np.testing.assert_array_equal(ptystore.open(path)["diffraction"].values(), before)


def test_without_hard_links_files_are_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "patched.zarr"
    report = patched(source, path)
    assert not shards(path, "diffraction")[0].samefile(shards(source, "diffraction")[0])
    monkeypatch.undo()
    assert ptystore.verify(path).ok
    assert report.digests == patched(source, tmp_path / "linked.zarr").digests


def test_digests_are_those_of_the_values(source: Path, tmp_path: Path) -> None:
    report = patched(source, tmp_path / "patched.zarr")
    fields, whole = ptystore.digest(tmp_path / "patched.zarr")
    assert (report.digests, report.digest) == (fields, whole)


def test_a_renamed_field_keeps_its_files_and_gets_its_own_digest(tmp_path: Path) -> None:
    arrays = scans.scan(frames=3000)
    arrays["diff3d"] = np.sqrt(arrays["diff3d"]).astype(np.float32)
    raw = ptystore.dataset_of(arrays, attrs={"diff3d": {"signal": "amplitude"}})
    ptystore.write(raw, tmp_path / "raw.zarr")
    canonical = tmp_path / "canonical.zarr"
    report = ptystore.write(ptystore.canonicalize(ptystore.open(tmp_path / "raw.zarr")), canonical)
    shared = shards(canonical, "diffraction")[0]
    assert shared.samefile(shards(tmp_path / "raw.zarr", "diff3d")[0])
    assert report.digests["diffraction"] == ptystore.digest(canonical)[0]["diffraction"]
    assert ptystore.verify(canonical).ok


@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_damage_in_the_source_is_found_and_nothing_is_published(
    source: Path, tmp_path: Path, damage: str
) -> None:
    shard = shards(source, "diffraction")[0]
    data = bytearray(shard.read_bytes())
    shard.unlink()
    if damage == "flip":
        data[len(data) // 2] ^= 4
        shard.write_bytes(data)
    with pytest.raises(ptystore.IntegrityError, match=r"diffraction: frames 0 to \d+"):
        patched(source, tmp_path / "patched.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.zarr"]


def test_replacing_the_source_leaves_the_other_store_alone(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "patched.zarr"
    patched(source, path)
    expected = ptystore.open(path)["diffraction"].values()
    other = ptystore.canonicalize(ptystore.dataset_of(scans.scan(frames=3000, seed=1)))
    ptystore.write(other, source, overwrite=True)
    np.testing.assert_array_equal(ptystore.open(path)["diffraction"].values(), expected)
    assert ptystore.verify(path).ok
