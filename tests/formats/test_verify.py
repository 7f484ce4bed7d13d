"""Verify: all damage, as fields and ranges of frames, in every format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ptystore
import scans
from chunk_places import chunk_places
from ptystore.errors import InputError, InputMissingError
from ptystore.formats.value_check import merged
from ptystore.model.results import Damage

FRAMES = 3000


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose frames need two files."""
    folder = tmp_path_factory.mktemp("stored")
    arrays = scans.scan(FRAMES, 64, 64) | {"labels": np.array(["a", "bé"])}
    return scans.put(folder, ".zarr", arrays, scans.document())


@pytest.fixture
def store(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "scan.zarr"))


def test_a_sound_store_has_no_damage(store: Path) -> None:
    told: list[int] = []
    report = ptystore.verify(store, progress=told.append)
    scan = ptystore.open(store)
    assert (report.ok, report.damage, report.kind) == (True, (), "zarr")
    assert report.digests == {one.name: one.digest for one in scan.fields.values()}
    assert report.recorded == len(scan)
    assert report.files == sum(one.is_file() for one in store.rglob("*"))
    assert sum(told) == scan.nbytes


def test_every_damaged_range_of_every_field_is_told(store: Path) -> None:
    places = chunk_places(store, "diff3d")
    for chunk in (2, 3, 7, 1100):
        scans.flip(places[chunk])
    scans.flip(chunk_places(store, "xcoords")[0])
    assert set(ptystore.verify(store).damages) == {
        Damage("diff3d", "the checksum does not match (file c.0.0.0)", 4, 7),
        Damage("diff3d", "the checksum does not match (file c.0.0.0)", 14, 15),
        Damage("diff3d", "the checksum does not match (file c.1.0.0)", 2200, 2201),
        Damage("xcoords", "the checksum does not match (file c.0)", 0, 2047),
    }
    line = "diff3d: frames 4 to 7: the checksum does not match (file c.0.0.0)"
    assert ptystore.verify(store).damage[0] == line
    assert ptystore.verify(store, fast=True).ok


@pytest.mark.parametrize("fast", [False, True])
def test_missing_short_and_extra_files(store: Path, fast: bool) -> None:
    (store / "diff3d" / "c.0.0.0").unlink()
    with open(store / "diff3d" / "c.1.0.0", "r+b") as file:
        file.truncate(1000)
    (store / "ycoords" / "c.7").write_bytes(b"extra")
    (store / "notes.txt").write_bytes(b"extra")
    (store / "labels" / "c.0").unlink()
    damage = ptystore.verify(store, fast=fast).damage
    assert "diff3d: frames 0 to 2047: the file c.0.0.0 is missing" in damage
    assert any(line.startswith("diff3d: frames 2048 to 2999: the ") for line in damage)
    assert "ycoords/c.7: is not in the manifest" in damage
    assert "notes.txt: is not in the manifest" in damage
    assert any(line.startswith("labels: ") for line in damage)
    assert len(damage) == 5


def test_documents_are_compared_with_the_copy_in_the_root(store: Path) -> None:
    document = store / "diff3d" / "zarr.json"
    text = document.read_text("utf-8")
    document.write_text(text.replace('"units": ', '"units" : '), "utf-8")
    (line,) = ptystore.verify(store).damage
    assert line.startswith("diff3d/zarr.json: ")
    with pytest.raises(ptystore.IntegrityError, match=r"diff3d: diff3d/zarr\.json does not match"):
        ptystore.open(store)


@pytest.mark.parametrize("name", ["zarr.json", "ptystore-manifest.json"])
@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b'{"format": 1, "files": {}}'])
def test_a_root_or_manifest_that_is_none_is_damage(
    store: Path, name: str, data: bytes | None
) -> None:
    (store / name).unlink()
    if data is not None:
        (store / name).write_bytes(data)
    for fast in (False, True):
        report = ptystore.verify(store, fast=fast)
        assert any(name in line or "manifest" in line for line in report.damage), report.damage
        assert not report.ok


def test_without_root_and_manifest_it_is_damage_still(store: Path) -> None:
    (store / "zarr.json").unlink()
    (store / "ptystore-manifest.json").unlink()
    assert any("zarr.json: is missing" in line for line in ptystore.verify(store).damage)


def test_values_are_checked_without_a_manifest(store: Path) -> None:
    (store / "ptystore-manifest.json").unlink()
    scans.flip(chunk_places(store, "diff3d")[1100])
    assert ptystore.verify(store).damage == (
        "ptystore-manifest.json: the manifest is missing",
        "diff3d: frames 2200 to 2201: the checksum does not match (file c.1.0.0)",
    )


def test_an_edited_root(store: Path) -> None:
    root = json.loads((store / "zarr.json").read_text("utf-8"))
    del root["attributes"]["ptystore"]
    (store / "zarr.json").write_text(json.dumps(root), "utf-8")
    assert not ptystore.verify(store).ok
    root["attributes"] = {"ptystore": {"format": 99}}
    (store / "zarr.json").write_text(json.dumps(root), "utf-8")
    assert not ptystore.verify(store).ok


def test_a_digest_of_the_whole_that_is_not_its_fields(store: Path) -> None:
    from ptystore.formats.zarr.manifest import entry_of, read_manifest, write_manifest
    from ptystore.storage.local import SourceFolder

    text = (store / "zarr.json").read_text("utf-8")
    whole = json.loads(text)["attributes"]["ptystore"]["digest"]
    (store / "zarr.json").write_text(text.replace(whole, "0" * 64), "utf-8")
    entries = read_manifest(SourceFolder(store))
    write_manifest(store, entries | {"zarr.json": entry_of(store / "zarr.json")})
    (line,) = ptystore.verify(store).damage
    assert "digest of the whole" in line


def test_hdf5_ranges_and_fast(tmp_path: Path) -> None:
    file = scans.put(tmp_path, ".h5", scans.scan(100, 64, 64))
    scans.flip(chunk_places(file, "diff3d")[10])
    assert ptystore.verify(file).damage == ("diff3d: frames 20 to 21: the checksum does not match",)
    assert ptystore.verify(file, fast=True).ok
    with open(file, "r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
    assert ptystore.verify(file, fast=True).damage == (
        "is not a complete HDF5 file: it is cut short",
    )


def test_npz_damage_names_the_field(tmp_path: Path) -> None:
    file = scans.put(tmp_path, ".npz", scans.scan(100, 64, 64))
    scans.flip(chunk_places(file, "diff3d")[0])
    (line,) = ptystore.verify(file).damage
    assert line.startswith("diff3d: ")
    assert ptystore.verify(file, fast=True).ok


def test_a_file_of_another_tool_has_nothing_to_compare_with(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", **scans.scan())
    report = ptystore.verify(tmp_path / "scan.npz")
    assert (report.ok, report.recorded, len(report.digests)) == (True, 0, 6)


def test_what_is_no_scan(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError):
        ptystore.verify(tmp_path / "nothing.zarr")
    with pytest.raises(InputError):
        ptystore.verify(tmp_path)
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(InputError):
        ptystore.verify(tmp_path / "text.txt")


def test_neighbouring_findings_are_one() -> None:
    a = [Damage("a", "x", 0, 1), Damage("a", "x", 2, 3), Damage("a", "y", 4, 5)]
    b = [
        Damage("a", "x", 8, 9),
        Damage("a", "x", 8, 9),
        Damage("b", "x", 10, 11),
        Damage("b", "x"),
    ]
    assert merged(a + b) == [Damage("a", "x", 0, 3), a[2], b[0], b[2], b[3]]
    assert str(Damage("probe", "x", 0, 3, per_frame=False)) == "probe: rows 0 to 3: x"
