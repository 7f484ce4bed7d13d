"""What the datasets of a file of ours say of themselves is covered by checksums in its note."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import h5py
import numpy as np
import pytest

import ptystore
from faults.outcomes import FULL
from ptystore import InputError, IntegrityError
from scans import assert_same, document, put, scan

FLIPS = 1000 if FULL else 120

# A global heap: the collection's signature and length, then objects of number, users and length.
_COLLECTION = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HH4xQ")


def heap_bytes(data: bytes) -> Iterator[int]:
    """Where the bytes of texts and references lie that HDF5 keeps without a checksum."""
    begin = data.find(b"GCOL")
    while begin >= 0:
        _, _, length = _COLLECTION.unpack_from(data, begin)
        at = begin + _COLLECTION.size
        while at + _OBJECT.size <= begin + length:
            number, _, size = _OBJECT.unpack_from(data, at)
            if not number:
                break
            yield from range(at + _OBJECT.size, at + _OBJECT.size + size)
            at += _OBJECT.size + -(-size // 8) * 8
        begin = data.find(b"GCOL", begin + length)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    arrays = {**scan(), "note": np.array(["µm", ""])}
    return put(tmp_path, ".h5", arrays, document())


def test_no_flip_in_attributes_is_unnoticed(file: Path) -> None:
    data, rng = file.read_bytes(), random.Random(5)
    places = list(heap_bytes(data))
    assert len(places) > 200
    for at in rng.sample(places, min(FLIPS, len(places))):
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        report = ptystore.verify(file)
        assert not report.ok, f"byte {at}"
        assert any("attributes are damaged" in line for line in report.damage), report.damage
    file.write_bytes(data)
    assert ptystore.verify(file).ok


@pytest.mark.parametrize(
    ("name", "attribute"), [("xcoords", "units"), ("diff3d", "signal"), ("note", "numpy_dtype")]
)
def test_an_attribute_that_is_another_one(file: Path, name: str, attribute: str) -> None:
    with h5py.File(file, "r+") as opened:
        opened[name].attrs[attribute] = "other"
    scan = ptystore.open(file)
    with pytest.raises(IntegrityError, match=f"{name}: its attributes are damaged") as caught:
        scan[name].values()
    assert caught.value.file == str(file)
    assert_same(scan["ycoords"].values(), scan["ycoords"].values())
    assert ptystore.verify(file).damage == (
        f"{name}: its attributes are damaged: their checksum does not match",
    )


@pytest.mark.parametrize("what", ["label", "scale", "new attribute", "no attribute", "encoding"])
def test_what_else_a_reader_uses(file: Path, what: str) -> None:
    with h5py.File(file, "r+") as opened:
        frames = opened["diff3d"]
        if what == "label":
            frames.dims[1].label = "kx"
        elif what == "scale":
            frames.dims[0].detach_scale(frames.dims[0][0])
        elif what == "new attribute":
            frames.attrs["units"] = "photons"
        elif what == "no attribute":
            del frames.attrs["signal"]
        else:
            opened["_metadata"].attrs["encoding"] = "base64"
    damage = ptystore.verify(file).damage
    assert any("attributes are damaged" in line for line in damage)


def test_damage_of_values_is_told_beside_that_of_attributes(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        opened["diff3d"].attrs["signal"] = "other"
        opened["diff3d"].id.write_direct_chunk((0, 0, 0), b"damaged")
    first, second = ptystore.verify(file).damage
    assert first.startswith("diff3d: frames 0 to 20: ")
    assert second.startswith("diff3d: its attributes")


def with_note(path: Path, **changes: object) -> None:
    """The same file with another note; None takes a word out of it."""
    with h5py.File(path, "r+") as file:
        group = file["__ptystore__"]
        note = json.loads(group["note"][()])
        note |= changes
        text = json.dumps({key: value for key, value in note.items() if value is not None}).encode()
        del group["note"]
        group.create_dataset("note", data=np.array(text, h5py.string_dtype("utf-8", len(text))))
        group["note"].attrs["crc32c"] = google_crc32c.value(text)


def test_the_first_version_of_the_note_is_read_as_before(file: Path) -> None:
    with_note(file, version=None, attributes_crc32c=None)
    with h5py.File(file, "r+") as opened:
        opened["xcoords"].attrs["units"] = "other"
    assert_same(ptystore.open(file)["xcoords"].values(), scan()["xcoords"])
    report = ptystore.verify(file)
    assert report.ok
    (remark,) = report.remarks
    assert "unchecked" in remark
    assert "\n" not in remark


def test_a_later_version_of_the_note(file: Path) -> None:
    with_note(file, version=3)
    with pytest.raises(InputError, match="a note of version 3, this release reads 2"):
        ptystore.open(file)


@pytest.mark.parametrize(
    "changes",
    [{"attributes_crc32c": None}, {"attributes_crc32c": {}}, {"version": "2"}, {"version": 0}],
    ids=repr,
)
def test_a_note_that_we_never_write(file: Path, changes: dict[str, object]) -> None:
    with_note(file, **changes)
    with pytest.raises(IntegrityError):
        ptystore.open(file)
    assert not ptystore.verify(file).ok
