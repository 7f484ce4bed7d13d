"""The manifest: nothing in a store changes silently, and a hostile manifest is refused."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

import pytest

from ptystore import Damage, SerialPool
from ptystore.errors import IntegrityError, StorageError
from ptystore.formats.zarr import manifest
from ptystore.formats.zarr.manifest import MANIFEST_NAME, Entry
from ptystore.storage.local import SourceFolder


def plain_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "diffraction" / "c" / "0").mkdir(parents=True)
    (tmp_path / "zarr.json").write_bytes(b"{}")
    (tmp_path / "diffraction" / "zarr.json").write_bytes(b'{"shape": [1]}')
    (tmp_path / "diffraction" / "c" / "0" / "0").write_bytes(bytes(range(256)) * 3)
    (tmp_path / "diffraction" / "c" / "1").write_bytes(b"")
    keys = ("zarr.json", "diffraction/zarr.json", "diffraction/c/0/0", "diffraction/c/1")
    manifest.write_manifest(tmp_path, {key: manifest.entry_of(tmp_path / key) for key in keys})
    return tmp_path


def problems(store: Path, fast: bool = False) -> dict[str, str]:
    folder = SourceFolder(store)
    damages = manifest.compare(folder, manifest.read_manifest(folder), SerialPool(), fast=fast)
    assert damages == sorted(damages, key=lambda damage: damage.member)
    return {damage.member: damage.reason for damage in damages}


def plain_entry(data: bytes) -> Entry:
    return Entry(len(data), plain_crc32c(data), zlib.crc32(data))


def test_entry_is_length_and_both_checksums(tmp_path: Path) -> None:
    for data in (b"", b"123456789", bytes(range(256)) * 9):
        (tmp_path / "file").write_bytes(data)
        assert manifest.entry_of(tmp_path / "file") == plain_entry(data)
    # The published check values.
    assert plain_entry(b"123456789") == (9, 0xE3069283, 0xCBF43926)


def test_entry_of_pieces() -> None:
    pieces = [b"123", b"", b"4567", b"89"]
    assert Entry.of(pieces) == plain_entry(b"123456789")
    assert Entry.of([]) == plain_entry(b"")


def test_chunks_in_another_order_are_told_apart() -> None:
    """Each ends in its own CRC32C, so that of the whole is the same in any order."""
    one, other = (data + plain_crc32c(data).to_bytes(4, "little") for data in (b"ab", b"cd"))
    right, wrong = Entry.of([one, other]), Entry.of([other, one])
    assert right.crc32c == wrong.crc32c
    assert right != wrong


def test_entry_over_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_BLOCK", 7)
    (tmp_path / "file").write_bytes(bytes(range(100)))
    assert manifest.entry_of(tmp_path / "file") == plain_entry(bytes(range(100)))


def test_an_unreadable_file_has_no_entry(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        manifest.entry_of(tmp_path / "absent")


def test_written_form_and_round_trip(tmp_path: Path) -> None:
    entries = {"b/c": Entry(2**40, 0xAB, 0xCD), "a b+é": Entry(0, 0xFFFFFFFF, 0)}
    manifest.write_manifest(tmp_path, entries)
    document = json.loads((tmp_path / MANIFEST_NAME).read_text())
    assert document == {
        "format": 1,
        "files": {
            "a b+é": [0, "ffffffff", "00000000"],
            "b/c": [2**40, "000000ab", "000000cd"],
        },
    }
    assert list(document["files"]) == sorted(entries)
    assert manifest.read_manifest(SourceFolder(tmp_path)) == entries


def test_an_undamaged_store_has_no_damage(store: Path) -> None:
    entries = manifest.read_manifest(SourceFolder(store))
    assert manifest.compare(SourceFolder(store), entries, SerialPool()) == []


def test_every_bit_of_every_file_counts(store: Path) -> None:
    entries = manifest.read_manifest(SourceFolder(store))
    flips = 0
    for key in entries:
        data = (store / key).read_bytes()
        for bit in range(0, 8 * len(data), 101):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            (store / key).write_bytes(flipped)
            (damage,) = manifest.compare(SourceFolder(store), entries, SerialPool())
            assert damage.member == key
            assert f"not {entries[key].crc32c:08x}" in damage.reason
            assert manifest.compare(SourceFolder(store), entries, SerialPool(), fast=True) == []
            flips += 1
        (store / key).write_bytes(data)
    assert flips > 60


@pytest.mark.parametrize("fast", [True, False])
def test_files_missing_extra_longer_and_shorter(store: Path, fast: bool) -> None:
    (store / "zarr.json").unlink()
    (store / "diffraction" / "c" / "1").write_bytes(b"x")
    (store / "diffraction" / "c" / "0" / "0").write_bytes(b"")
    (store / "diffraction" / "c" / "0" / "1").touch()
    assert problems(store, fast) == {
        "zarr.json": "is missing",
        "diffraction/c/1": "is 1 bytes long, not 0",
        "diffraction/c/0/0": "is 0 bytes long, not 768",
        "diffraction/c/0/1": "is not in the manifest",
    }


def test_swapped_chunks_of_one_length(store: Path) -> None:
    one, other = store / "zarr.json", store / "other.json"
    other.write_bytes(b"[]")
    manifest.write_manifest(store, {p.name: manifest.entry_of(p) for p in (one, other)})
    one.rename(store / "spare")
    other.rename(one)
    (store / "spare").rename(other)
    assert {"zarr.json", "other.json"} <= set(problems(store))


@pytest.mark.parametrize("fast", [True, False])
def test_links_are_damage_even_to_the_right_bytes(store: Path, tmp_path: Path, fast: bool) -> None:
    (store / "zarr.json").rename(store / "diffraction" / "c" / "1")
    (store / "zarr.json").symlink_to(store / "diffraction" / "c" / "1")
    (store / "diffraction" / "loop").symlink_to(store)
    found = problems(store, fast)
    assert found["zarr.json"] == found["diffraction/loop"] == "is a link"
    assert not any(key.startswith("diffraction/loop/") for key in found)


def test_special_files_and_folders_in_a_files_place(store: Path) -> None:
    os.mkfifo(store / "pipe")
    (store / "zarr.json").unlink()
    (store / "zarr.json").mkdir()
    assert problems(store) == {"pipe": "is not a regular file", "zarr.json": "is missing"}


def test_an_unreadable_file_or_folder_is_reported_not_raised(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = manifest.read_manifest(SourceFolder(store))
    opened = os.open

    def failing(path: Path, *args: int, **more: int) -> int:
        if str(path).endswith("zarr.json"):
            raise OSError(5, "Input/output error")
        return opened(path, *args, **more)

    monkeypatch.setattr(os, "open", failing)
    damages = manifest.compare(SourceFolder(store), entries, SerialPool())
    assert damages == [
        Damage("diffraction/zarr.json", "cannot be read: Input/output error"),
        Damage("zarr.json", "cannot be read: Input/output error"),
    ]
    folder = SourceFolder(store)
    shutil.rmtree(store)
    gone = manifest.compare(folder, entries, SerialPool())
    assert {damage.member for damage in gone} == {".", *entries}


SUM = '"00000000"'
GOOD = f"{SUM}, {SUM}"
BAD_TEXTS = {
    "empty": "",
    "no JSON": "{",
    "a list": "[]",
    "no format": '{"files": {}}',
    "newer": '{"format": 2, "files": {}}',
    "format true": '{"format": true, "files": {}}',
    "format 1.0": '{"format": 1.0, "files": {}}',
    "no files": '{"format": 1}',
    "more": '{"format": 1, "files": {}, "x": 0}',
    "files a list": '{"format": 1, "files": []}',
    "duplicate": f'{{"format": 1, "files": {{"a": [0, {GOOD}], "a": [1, {GOOD}]}}}}',
    "deep": "[" * 100_000,
    "huge number": f'{{"format": {"9" * 5000}, "files": {{}}}}',
    "NaN": f'{{"format": 1, "files": {{"a": [NaN, {GOOD}]}}}}',
}
BAD_ENTRIES = (
    *('0', '{}', '[]', '[0]', f"[0, {GOOD}, 0]", f"[-1, {GOOD}]", f"[true, {GOOD}]"),
    *(f"[1.0, {GOOD}]", f"[{2**63}, {GOOD}]", f'["0", {GOOD}]', f"[0, {SUM}]"),
    *(f"[0, {SUM}, 0]", f"[0, null, {SUM}]", f'[0, {SUM}, "0"]', f'[0, "0000000G", {SUM}]'),
    *(f'[0, {SUM}, "0000000A"]', f'[0, "00000000\\n", {SUM}]', f'[0, {SUM}, "000000000"]'),
)  # fmt: skip
BAD_KEYS = (
    *("", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a/.", "a//b", "a/"),
    *("a\\b", "..\\a", "a\0", "a\n", "\ud800", "\u202ea", MANIFEST_NAME),
)


def refused(store: Path) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        manifest.read_manifest(SourceFolder(store))
    assert caught.value.exit_code == 5
    assert caught.value.file == str(store / MANIFEST_NAME)
    assert len(str(caught.value)) < 600 + len(str(store))
    return caught.value


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_bad_documents(tmp_path: Path, name: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(BAD_TEXTS[name])
    assert "not a manifest" in refused(tmp_path).reason


@pytest.mark.parametrize("entry", BAD_ENTRIES)
def test_bad_entries(tmp_path: Path, entry: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(f'{{"format": 1, "files": {{"a": {entry}}}}}')
    refused(tmp_path)


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_unsafe_keys_are_neither_read_nor_written(tmp_path: Path, key: str) -> None:
    text = json.dumps({"format": 1, "files": {key: [0, "00000000", "00000000"]}})
    (tmp_path / MANIFEST_NAME).write_text(text)
    assert "unsafe name" in refused(tmp_path).reason
    with pytest.raises(ValueError, match="not a manifest key"):
        manifest.write_manifest(tmp_path, {key: Entry(0, 0, 0)})


def test_missing_linked_special_binary_and_oversized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / MANIFEST_NAME
    assert "missing" in refused(tmp_path).reason
    path.mkdir()
    refused(tmp_path)
    path.rmdir()
    os.mkfifo(path)
    assert "not a regular file" in refused(tmp_path).reason
    path.unlink()
    (tmp_path / "elsewhere").write_text('{"format": 1, "files": {}}')
    path.symlink_to(tmp_path / "elsewhere")
    refused(tmp_path)
    path.unlink()
    path.write_bytes(b"\xff\xfe")
    refused(tmp_path)
    path.write_text('{"format": 1, "files": {}}')
    assert manifest.read_manifest(SourceFolder(tmp_path)) == {}
    monkeypatch.setattr(manifest, "_MAX_BYTES", 20)
    assert "over 20 bytes" in refused(tmp_path).reason


def test_a_full_disk_while_writing(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).symlink_to("/dev/full")
    with pytest.raises(StorageError, match="disk full"):
        manifest.write_manifest(tmp_path, {"a": Entry(0, 0, 0)})
