"""Stores made to mislead: sizes, types, names and links that must be refused, cheaply."""

from __future__ import annotations

import json
import os
import resource
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import h5py
import numpy as np
import pytest

import ptystore
from faults.outcomes import content, in_child, small_scan, wait
from ptystore.errors import InputError, IntegrityError, PtystoreError

ROOT, MANIFEST = "zarr.json", "ptystore-manifest.json"
MEMORY = 512 << 20
HUGE = [2**59, 6, 10]


def refused(path: Path) -> list[PtystoreError]:
    """What opening and reading all of it raises, and verify; with little memory to do it."""
    errors = []
    for attempt in (content, ptystore.digest, lambda one: ptystore.open(one).take(np.arange(3))):
        with pytest.raises(PtystoreError) as caught:
            attempt(path)  # type: ignore[operator]
        errors.append(caught.value)
    try:
        assert not ptystore.verify(path).ok
    except InputError as error:
        errors.append(error)
    for error in errors:
        assert str(error).startswith(str(path))
        assert len(str(error)) < 2000
    return errors


def in_little_memory(action: Callable[[], object]) -> None:
    """Run in a child that may add half a gigabyte to what it has."""

    def run() -> None:
        with open("/proc/self/statm", encoding="ascii") as file:
            held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        action()

    assert wait(in_child(run)) == 0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "scan.zarr"
    ptystore.write(small_scan(), path)
    return path


def edit_root(store: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the root document and make the manifest agree, as a forger would."""
    root = json.loads((store / ROOT).read_text("utf-8"))
    edit(root)
    write_root(store, json.dumps(root).encode())


def write_root(store: Path, data: bytes) -> None:
    (store / ROOT).write_bytes(data)
    manifest = json.loads((store / MANIFEST).read_text())
    sums = google_crc32c.value(data), zlib.crc32(data)
    manifest["files"][ROOT] = [len(data), *(f"{one:08x}" for one in sums)]
    (store / MANIFEST).write_text(json.dumps(manifest))


def of_array(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda root: change(root["consolidated_metadata"]["metadata"]["diff3d"])


def of_note(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda root: change(root["attributes"]["ptystore"])


def shards_of(size: int) -> Callable[[dict[str, Any]], object]:
    """Cuts for an array of `size` rows in one shard of enormous chunks."""

    def change(array: dict[str, Any]) -> None:
        array["shape"][0] = size
        array["chunk_grid"]["configuration"]["chunk_shape"][0] = size
        if array["codecs"][0]["name"] == "sharding_indexed":
            array["codecs"][0]["configuration"]["chunk_shape"][0] = size

    return change


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "huge shape": of_array(lambda one: one.update(shape=HUGE)),
    "huge shape, one shard": of_array(shards_of(2**50)),
    "shape that Blosc could hold": of_array(shards_of(2**24)),
    "negative shape": of_array(lambda one: one.update(shape=[-1, 6, 10])),
    "boolean shape": of_array(lambda one: one.update(shape=[True, 6, 10])),
    "float shape": of_array(lambda one: one.update(shape=[300.0, 6, 10])),
    "text shape": of_array(lambda one: one.update(shape="300")),
    "40 dimensions": of_array(lambda one: one.update(shape=[1] * 40)),
    "other shape": of_array(lambda one: one.update(shape=[299, 6, 10])),
    "zero chunk": of_array(
        lambda one: one["chunk_grid"]["configuration"].update(chunk_shape=[0, 6, 10])
    ),
    "other dtype": of_array(lambda one: one.update(data_type="float64")),
    "unknown dtype": of_array(lambda one: one.update(data_type={"name": "x"})),
    "other codecs": of_array(lambda one: one.update(codecs=[])),
    "array is a list": lambda root: root["consolidated_metadata"].update(metadata=[]),
    "no arrays": lambda root: root.update(consolidated_metadata=None),
    "note is null": lambda root: root["attributes"].update(ptystore=None),
    "fields are a list": of_note(lambda note: note.update(fields=[1])),
    "format is true": of_note(lambda note: note.update(format=True)),
    "no digest": of_note(lambda note: note.pop("digest")),
    "odd digest": of_note(lambda note: note.update(digest="0" * 63 + "\n")),
    "huge text": of_note(lambda note: note["fields"]["labels"].update(dtype="<U100000000")),
    "object dtype": of_note(lambda note: note["fields"]["diff3d"].update(dtype="O")),
    "dtype is code": of_note(lambda note: note["fields"]["diff3d"].update(dtype="f8,(2,3)i4")),
    "axis out of range": of_note(lambda note: note["fields"]["diff3d"].update(frame_axis=7)),
    "boolean axis": of_note(lambda note: note["fields"]["diff3d"].update(frame_axis=True)),
    "metadata is text": lambda root: root["attributes"].update(metadata="x"),
    "odd base64": lambda root: root["attributes"].update(metadata_text_base64="%"),
    "virtual is a list": of_note(lambda note: note.update(virtual=[], hidden=[], order=[])),
    "virtual of nothing": of_note(
        lambda note: note.update(virtual={"v": {}}, hidden=[], order=["v"])
    ),
    "order of what is not there": of_note(
        lambda note: note.update(virtual={}, hidden=[], order=["nothing"])
    ),
}
NAMES = ["../out", "/etc/passwd", "a/../../b", "..", ".", "", "a\\b", "a\0b", "__x", "zarr.json"]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_forged_root_is_refused(store: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    edit_root(store, edit)
    in_little_memory(lambda: refused(store))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_never_becomes_a_path(store: Path, name: str) -> None:
    """The array is there, where the name would lead: it must not be looked for."""
    (store.parent / "out").mkdir()
    shutil.copytree(store / "diff3d", store.parent / "out", dirs_exist_ok=True)

    def edit(root: dict[str, Any]) -> None:
        documents = root["consolidated_metadata"]["metadata"]
        documents[name] = documents.pop("diff3d")
        fields = root["attributes"]["ptystore"]["fields"]
        fields[name] = fields.pop("diff3d")

    edit_root(store, edit)
    for error in refused(store):
        assert "name" in str(error)


ROOTS = {
    "empty": b"",
    "deep": b"[" * 200_000,
    "deep object": b'{"attributes":' * 50_000,
    "list": b"[1,2]",
    "number": b"1" * 100_000,
    "not UTF-8": b'{"attributes": {"ptystore": "\xff"}}',
    "surrogate": b'{"attributes": {"ptystore": "\\ud800"}}',
    "NaN": b'{"attributes": {"ptystore": {"format": NaN}}}',
    "over the limit": b'{"attributes": {"ptystore": "' + b"x" * (65 << 20) + b'"}}',
}


@pytest.mark.parametrize("data", ROOTS.values(), ids=ROOTS)
def test_a_root_that_is_no_document_is_refused(store: Path, data: bytes) -> None:
    write_root(store, data)
    in_little_memory(lambda: refused(store))


@pytest.mark.parametrize("key", [ROOT, MANIFEST, "diff3d/zarr.json", "diff3d/c.0.0.0"])
def test_a_pipe_in_place_of_a_file_does_not_stall(store: Path, key: str) -> None:
    (store / key).unlink()
    os.mkfifo(store / key)
    in_little_memory(lambda: refused(store))


def test_a_link_out_of_the_store_is_damage(store: Path, tmp_path: Path) -> None:
    shutil.move(store / "diff3d", tmp_path / "elsewhere")
    (store / "diff3d").symlink_to(tmp_path / "elsewhere")
    assert any("is a link" in line for line in ptystore.verify(store).damage)
    with pytest.raises(PtystoreError):
        ptystore.repair(store, tmp_path / "no-such.npz")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scan.h5"
    ptystore.write(small_scan(), path)
    return path


def edit_note(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    with h5py.File(path, "r+") as opened:
        note = json.loads(opened["__ptystore__/note"][()])
        edit(note)
        put_note(opened, json.dumps(note).encode())


def put_note(opened: h5py.File, data: bytes) -> None:
    del opened["__ptystore__/note"]
    kind = h5py.string_dtype("utf-8", max(1, len(data)))
    opened["__ptystore__"].create_dataset("note", data=np.array(data, kind), dtype=kind)
    opened["__ptystore__/note"].attrs["crc32c"] = google_crc32c.value(data)


NOTES: dict[str, Callable[[dict[str, Any]], object]] = {
    "axis out of range": lambda note: note["fields"]["diff3d"].update(frame_axis=7),
    "other dtype": lambda note: note["fields"]["diff3d"].update(dtype="<f8"),
    "object dtype": lambda note: note["fields"]["diff3d"].update(dtype="O"),
    "huge text": lambda note: note["fields"]["labels"].update(dtype="<U100000000"),
    "no attributes": lambda note: note.update(attrs=None),
    "fields are a list": lambda note: note.update(fields=[1]),
    "a group": lambda note: note["fields"].update(dims=note["fields"]["diff3d"]),
    "up and out": lambda note: note["fields"].update({"../x": note["fields"]["diff3d"]}),
    "absolute": lambda note: note["fields"].update({"/diff3d": note["fields"]["diff3d"]}),
}


@pytest.mark.parametrize("edit", NOTES.values(), ids=NOTES)
def test_a_forged_note_is_refused(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    edit_note(file, edit)
    in_little_memory(lambda: refused(file))


@pytest.mark.parametrize("data", ROOTS.values(), ids=ROOTS)
def test_a_note_that_is_no_document_is_refused(file: Path, data: bytes) -> None:
    with h5py.File(file, "r+") as opened:
        put_note(opened, data or b" ")
    in_little_memory(lambda: refused(file))


@pytest.mark.parametrize("name", ["diff3d", "s"])
def test_a_dataset_that_announces_more_than_the_file_holds(tmp_path: Path, name: str) -> None:
    file = tmp_path / "scan.h5"
    arrays = {"diff3d": np.ones((300, 6, 10), np.uint16), "s": np.float64(1)}
    ptystore.write(ptystore.dataset_of(arrays), file)
    with h5py.File(file, "r+") as opened:
        chunks = opened[name].chunks
        del opened[name]
        shape = (2**40, 6, 10) if chunks else (2**45,)
        opened.create_dataset(name, shape=shape, dtype="<u2" if chunks else "<f8", chunks=chunks)
    in_little_memory(lambda: refused(file))


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "another tool's"])
@pytest.mark.parametrize("how", ["external link", "soft link", "external values", "virtual"])
def test_values_in_other_files_are_never_opened(tmp_path: Path, ours: bool, how: str) -> None:
    file, other = tmp_path / "scan.h5", tmp_path / "other.h5"
    with h5py.File(other, "w") as opened:
        opened["diff3d"] = np.ones((300, 6, 10), np.uint16)
    if ours:
        ptystore.write(small_scan(), file)
    with h5py.File(file, "a") as opened:
        if ours:
            del opened["diff3d"]
        match how:
            case "external link":
                opened["diff3d"] = h5py.ExternalLink(str(other), "/diff3d")
            case "soft link":
                opened["diff3d"] = h5py.SoftLink("/xcoords")
            case "external values":
                size = h5py.h5f.UNLIMITED
                place = [(str(other), 0, size)]
                opened.create_dataset("diff3d", (300, 6, 10), "<u2", external=place)
            case _:
                layout = h5py.VirtualLayout((300, 6, 10), "<u2")
                layout[...] = h5py.VirtualSource(str(other), "diff3d", (300, 6, 10))
                opened.create_virtual_dataset("diff3d", layout)
    with pytest.raises((InputError, IntegrityError), match=r"other file|link"):
        ptystore.open(file)


def test_chunks_missing_from_the_table_of_an_hdf5_file(file: Path) -> None:
    """A dataset of the same shape with one chunk less, and the checksums of all."""
    with h5py.File(file, "r+") as opened:
        stored = opened["diff3d"]
        kept = [stored.id.read_direct_chunk((at, 0, 0))[1] for at in (0, 256)]
        plan = stored.id.get_create_plist()
        kind, space = stored.id.get_type(), stored.id.get_space()
        attrs = {name: stored.attrs[name] for name in stored.attrs if "DIMENSION" not in name}
        dims = [(dim.label, dim[0]) for dim in stored.dims]
        for dim, (_, scale) in zip(stored.dims, dims, strict=True):
            dim.detach_scale(scale)
        del opened["diff3d"]
        made = h5py.h5d.create(opened.id, b"diff3d", kind, space, plan)
        for at, data in zip((0, 256), kept, strict=True):
            made.write_direct_chunk((at, 0, 0), data)
        opened["diff3d"].attrs.update(attrs)
        for dim, (label, scale) in zip(opened["diff3d"].dims, dims, strict=True):
            dim.attach_scale(scale)
            dim.label = label
    with pytest.raises(IntegrityError, match="diff3d: frames 128 to 255: the chunk is missing"):
        ptystore.open(file)["diff3d"].values()
    assert "diff3d: frames 128 to 255: the chunk is missing" in ptystore.verify(file).damage
