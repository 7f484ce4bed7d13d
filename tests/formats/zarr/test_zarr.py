"""Zarr: the files on disk, and every chunk or shard that is missing or damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

import ptystore
from chunk_places import chunk_places
from ptystore import InputError, InputMissingError, IntegrityError, Metadata
from scans import assert_same, document, flip, overwrite, pickled, put, scan, settle, values

FRAMES = values("u2", (5000, 40, 41))  # 3,280 bytes: chunks of 4 frames, shards of 4096


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arrays = {"diffraction": FRAMES, "small": np.arange(5.0), "text": np.array(["a", "b"])}
    return put(tmp_path_factory.mktemp("zarr"), ".zarr", arrays)


@pytest.fixture
def store(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "scan.zarr"))


def shard(store: Path, number: int) -> Path:
    return store / "diffraction" / f"c.{number}.0.0"


def test_what_lies_in_the_folder(pristine: Path) -> None:
    files = {one.relative_to(pristine).as_posix() for one in pristine.rglob("*") if one.is_file()}
    assert files == {
        "zarr.json",
        "ptystore-manifest.json",
        "diffraction/zarr.json",
        "diffraction/c.0.0.0",
        "diffraction/c.1.0.0",
        "small/zarr.json",
        "small/c.0",
        "text/zarr.json",
        "text/c.0",
    }
    root = json.loads((pristine / "zarr.json").read_text("utf-8"))
    for name in ("diffraction", "small", "text"):
        own = json.loads((pristine / name / "zarr.json").read_text("utf-8"))
        assert root["consolidated_metadata"]["metadata"][name] == own
    sharded = root["consolidated_metadata"]["metadata"]["diffraction"]
    assert sharded["chunk_grid"]["configuration"]["chunk_shape"] == [4096, 40, 41]
    codec = sharded["codecs"][0]
    assert codec["configuration"]["chunk_shape"] == [4, 40, 41]
    assert [one["name"] for one in codec["configuration"]["codecs"]] == ["bytes", "blosc", "crc32c"]
    assert codec["configuration"]["codecs"][1]["configuration"] == {
        "typesize": 2,
        "cname": "lz4",
        "clevel": 5,
        "shuffle": "bitshuffle",
        "blocksize": 0,
    }


def test_dimensions_units_and_metadata_are_there_for_any_reader(tmp_path: Path) -> None:
    path = put(tmp_path, ".zarr", scan(), document())
    root = json.loads((path / "zarr.json").read_text("utf-8"))
    assert root["attributes"]["metadata"]["zeta"][1] == 2.5
    documents = root["consolidated_metadata"]["metadata"]
    dims = {name: tuple(one["dimension_names"]) for name, one in documents.items()}
    assert dims == {
        "diff3d": ("scan", "ky", "kx"),
        "probeGuess": ("probe_y", "probe_x"),
        "objectGuess": ("object_y", "object_x"),
        "xcoords": ("scan",),
        "ycoords": ("scan",),
        "scan_index": ("scan",),
    }
    assert documents["xcoords"]["attributes"]["units"] == "pixel"


def test_zeros_are_written_too(tmp_path: Path) -> None:
    path = put(tmp_path, ".zarr", {"a": np.zeros((300, 64, 64), "u2"), "b": np.zeros(3)})
    assert len(chunk_places(path, "a")) == 150
    assert (path / "b" / "c.0").stat().st_size > 0


def test_a_text_that_is_no_json_lies_in_base64(tmp_path: Path) -> None:
    path = put(tmp_path, ".zarr", {"a": np.ones(2)}, Metadata.keep_text("\ud800"))
    attributes = json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
    assert "metadata" not in attributes
    assert attributes["metadata_text_base64"] == "7aCA"


def zero_chunk(store: Path) -> None:
    file, offset, length = chunk_places(store, "diffraction")[700]
    with open(file, "r+b") as stream:
        stream.seek(offset)
        stream.write(bytes(length))


def unlink_from_index(store: Path) -> None:
    """Mark chunk 700 as missing in the shard's index, with a checksum that is right."""
    data = bytearray(shard(store, 0).read_bytes())
    begin = len(data) - 4 - 16 * 1024
    data[begin + 16 * 700 : begin + 16 * 701] = b"\xff" * 16
    data[-4:] = google_crc32c.value(bytes(data[begin:-4])).to_bytes(4, "little")
    shard(store, 0).write_bytes(data)


def point_outside(store: Path) -> None:
    data = bytearray(shard(store, 0).read_bytes())
    begin = len(data) - 4 - 16 * 1024
    data[begin + 16 * 700 : begin + 16 * 700 + 8] = (2**64 - 2**20).to_bytes(8, "little")
    data[-4:] = google_crc32c.value(bytes(data[begin:-4])).to_bytes(4, "little")
    shard(store, 0).write_bytes(data)


def shorten(store: Path) -> None:
    data = shard(store, 0).read_bytes()
    shard(store, 0).write_bytes(data[: len(data) // 2])


FAULTS: dict[str, tuple[Callable[[Path], object], str, slice]] = {
    "bit in a chunk": (
        lambda store: flip(chunk_places(store, "diffraction")[700]),
        "frames 2800 to 2803: the checksum",
        slice(2800, 2804),
    ),
    "zeroed chunk": (zero_chunk, "frames 2800 to 2803: the checksum", slice(2800, 2804)),
    "chunk not in the index": (
        unlink_from_index,
        "frames 2800 to 2803: the chunk is missing",
        slice(2800, 2804),
    ),
    "chunk outside the shard": (
        point_outside,
        "frames 2800 to 2803: the chunk lies outside",
        slice(2800, 2804),
    ),
    "bit in the last, shorter chunk": (
        lambda store: flip(chunk_places(store, "diffraction")[-1]),
        "frames 4996 to 4999: the checksum",
        slice(4996, 5000),
    ),
    "shard deleted": (
        lambda store: shard(store, 1).unlink(),
        r"frames 4096 to 4999: the file c\.1\.0\.0 is missing",
        slice(4096, 5000),
    ),
    "shard cut short": (shorten, "frames 0 to 4095: the shard's index", slice(0, 4096)),
    "shard empty": (
        lambda store: shard(store, 0).write_bytes(b""),
        "frames 0 to 4095: the shard's index",
        slice(0, 4096),
    ),
    "bit in the index": (
        lambda store: overwrite(
            (shard(store, 0), shard(store, 0).stat().st_size - 300, 8), b"\x01\x02"
        ),
        "frames 0 to 4095: the shard's index",
        slice(0, 4096),
    ),
}


@pytest.mark.parametrize(("break_it", "message", "lost"), FAULTS.values(), ids=FAULTS)
def test_damage_names_field_and_frames_and_spares_the_rest(
    store: Path, break_it: Callable[[Path], object], message: str, lost: slice
) -> None:
    break_it(store)
    settle()
    field = ptystore.open(store)["diffraction"]
    for key in (slice(None), lost, [lost.start], lost.start):
        with pytest.raises(IntegrityError, match=message) as caught:
            field[key]
        assert (caught.value.file, caught.value.member) == (str(store), "diffraction")
    whole = np.ones(5000, bool)
    whole[lost] = False
    assert_same(field[whole], FRAMES[whole])
    report = ptystore.verify(store)
    assert any(str(lost.start) in line for line in report.damage), report.damage


@pytest.mark.parametrize("name", ["small", "text"])
@pytest.mark.parametrize("how", ["delete", "flip", "empty"])
def test_a_damaged_single_chunk(store: Path, name: str, how: str) -> None:
    file = store / name / "c.0"
    if how == "delete":
        file.unlink()
    elif how == "flip":
        flip((file, 0, file.stat().st_size))
    else:
        file.write_bytes(b"")
    dataset = ptystore.open(store)
    with pytest.raises(IntegrityError) as caught:
        dataset[name].values()
    assert caught.value.member == name
    assert_same(dataset["diffraction"][7], FRAMES[7])


def test_swapped_files_of_two_fields_are_found_as_files(tmp_path: Path) -> None:
    arrays = {"a": np.arange(4.0), "b": np.arange(4.0) + 1}
    path = put(tmp_path, ".zarr", arrays)
    one, other = (path / name / "c.0" for name in arrays)
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    # Each chunk ends in its own CRC32C, so that the CRC32C of both files is as it was.
    report = ptystore.verify(path)
    assert {(one.member, "CRC-32" in one.reason) for one in report.damages} == {
        ("a", True),
        ("b", True),
    }


def test_chunks_that_changed_places_are_found_in_their_shard(store: Path) -> None:
    file = shard(store, 0)
    data = bytearray(file.read_bytes())
    index = np.frombuffer(data[-(16 * 1024 + 4) : -4], "<u8").reshape(1024, 2)
    (begin, length), (second, same) = index[:2].tolist()
    assert length == same  # random values: Blosc keeps them as they are
    first = bytes(data[begin : begin + length])
    data[begin : begin + length] = data[second : second + length]
    data[second : second + length] = first
    file.write_bytes(data)
    (found,) = ptystore.verify(store).damages
    assert (found.member, found.first_frame, found.last_frame) == ("diffraction", 0, 4095)
    assert "CRC-32" in found.reason


def test_an_edited_root_document_is_refused(store: Path) -> None:
    text = (store / "zarr.json").read_text("utf-8")
    (store / "zarr.json").write_text(text.replace("5000", "5001"), "utf-8")
    with pytest.raises(IntegrityError, match="manifest"):
        ptystore.open(store)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"attributes": 1}'])
def test_a_root_document_that_is_none(store: Path, content: bytes) -> None:
    (store / "zarr.json").write_bytes(content)
    with pytest.raises((IntegrityError, InputError)):
        ptystore.open(store)


def test_replaced_behind_an_open_dataset(store: Path, tmp_path: Path) -> None:
    """A store that is no longer there is an error, not old or wrong values."""
    field = ptystore.open(store)["diffraction"]
    shutil.rmtree(store)
    with pytest.raises(IntegrityError, match="missing"):
        field[0]


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_source_that_is_gone_is_not_taken_for_a_failure_to_write(
    tmp_path: Path, suffix: str
) -> None:
    source = put(tmp_path, suffix, scan())
    dataset = pickled(ptystore.open(source))
    source.unlink()
    with pytest.raises(InputMissingError) as caught:
        ptystore.write(dataset, tmp_path / "copy.zarr")
    assert caught.value.file == str(source)
    assert list(tmp_path.iterdir()) == []
