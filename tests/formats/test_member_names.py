"""Members left out and taken under another name, in every format; litter in an archive."""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

import ptystore
from npz_files import DEFLATED, Member, member, npy, pickled, scan_arrays, scan_members, write_npz
from ptystore.errors import InputError, ParameterError
from ptystore_cli.app import app
from scans import SUFFIXES, same, scan


def foreign(suffix: str, path: Path, arrays: dict[str, Any]) -> Path:
    """A scan as another tool writes it."""
    if suffix == ".npz":
        np.savez(path, **arrays)
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    else:
        group = zarr.open_group(str(path), mode="w")
        for name, values in arrays.items():
            group.create_array(name, data=values)
    return path


def ours(suffix: str, path: Path, arrays: dict[str, Any]) -> Path:
    ptystore.write(ptystore.dataset_of(arrays), path)
    return path


@pytest.mark.parametrize("make", [foreign, ours])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_left_out_and_renamed(suffix: str, make: Callable[..., Path], tmp_path: Path) -> None:
    arrays = scan(frames=5)
    named = {"x": arrays.pop("xcoords"), "probe": arrays.pop("probeGuess"), **arrays}
    source = make(suffix, tmp_path / f"in{suffix}", {**named, "odd": np.arange(3)})
    opened = ptystore.open(
        source, skip=["odd", "scan_index"], rename={"x": "xcoords", "probe": "probeGuess"}
    )
    assert set(opened) == {"diff3d", "objectGuess", "ycoords", "xcoords", "probeGuess"}
    assert same(opened["xcoords"].values(), named["x"])
    assert (opened["xcoords"].role, opened["probeGuess"].role) == ("per_frame", "global")
    assert opened["xcoords"].attrs["units"] == "pixel"
    assert opened["xcoords"].digest is None
    ptystore.write(ptystore.extract_patches(ptystore.canonicalize(opened)), tmp_path / "out.zarr")


@pytest.mark.parametrize("make", [foreign, ours])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_may_be_exchanged(suffix: str, make: Callable[..., Path], tmp_path: Path) -> None:
    arrays = scan(frames=5)
    source = make(suffix, tmp_path / f"in{suffix}", arrays)
    exchanged = {"xcoords": "ycoords", "ycoords": "xcoords"}
    opened = ptystore.open(source, rename=exchanged)
    assert same(opened["xcoords"].values(), arrays["ycoords"])
    assert same(opened["ycoords"].values(), arrays["xcoords"])
    assert set(opened) == set(arrays)


@pytest.mark.parametrize("make", [foreign, ours])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_that_make_no_sense(suffix: str, make: Callable[..., Path], tmp_path: Path) -> None:
    source = make(suffix, tmp_path / f"in{suffix}", {"a": np.ones(3), "b": np.ones(4)})
    for options, words in (
        ({"skip": ["c"]}, "no such member"),
        ({"rename": {"c": "d"}}, "no such member"),
        ({"skip": ["a"], "rename": {"a": "d"}}, "is skipped and renamed"),
        ({"rename": {"a": "x/y"}}, "not an acceptable name"),
        ({"rename": {"a": "d", "b": "d"}}, "can't both be renamed to d"),
    ):
        with pytest.raises(ParameterError, match=words):
            ptystore.open(source, **options)
    with pytest.raises(InputError, match=r"twice|there"):
        ptystore.open(source, rename={"a": "b"})
    assert list(ptystore.open(source, skip=["b"], rename={"a": "b"})) == ["b"]


def test_virtual_fields_keep_what_they_are_computed_from(tmp_path: Path) -> None:
    made = ptystore.extract_patches(ptystore.dataset_of(scan(frames=5)), virtual=True)
    ptystore.write(made, tmp_path / "in.zarr")
    with pytest.raises(ParameterError, match="Y is computed from it"):
        ptystore.open(tmp_path / "in.zarr", skip=["objectGuess"])
    opened = ptystore.open(tmp_path / "in.zarr", rename={"objectGuess": "sample", "Y": "patches"})
    assert same(opened["patches"].values(), made["Y"].values())
    assert "Y" not in ptystore.open(tmp_path / "in.zarr", skip=["Y"])


def test_what_was_noted_of_the_other_fields_is_kept(tmp_path: Path) -> None:
    arrays = {**scan(frames=5), "table": np.ones((5, 2))}
    made = ptystore.dataset_of(arrays, attrs={"diff3d": {"amplitude_scale": 3.0}})
    for suffix in SUFFIXES:
        ptystore.write(made, tmp_path / f"in{suffix}")
        plain = ptystore.open(tmp_path / f"in{suffix}")
        opened = ptystore.open(
            tmp_path / f"in{suffix}", skip=["table"], rename={"diff3d": "diffraction"}
        )
        assert opened["diffraction"].attrs["amplitude_scale"] == 3.0
        assert opened["xcoords"].digest == plain["xcoords"].digest is not None
        assert opened.source is not None
        assert opened.source.digest is None


HOSTILE = {
    "an object array": ("params", member("params", pickled({"a": 1}))),
    "a folder in its name": ("entry/data", Member("entry/data.npy", npy(np.arange(3)))),
    "no array": ("readme.txt", Member("readme.txt", b"hello")),
    "a dtype": ("when", member("when", np.zeros(3, "M8[us]"))),
    "a header": ("x", Member("x.npy", b"\x93NUMPY\x01\x00\x05\x00{}\n  ")),
    "encrypted": ("x", member("x", [1], flags=1)),
    "a control character": ("a\x01b", Member("a\x01b.npy", npy(np.arange(3)))),
    "a quote": ("it's", Member("it's.npy", npy(np.arange(3)))),
    "not ASCII": ("Ort/größe", Member("Ort/größe.npy", npy(np.arange(3)), flags=0x800)),
    "two of one name": ("xcoords", member("xcoords", np.arange(3))),
}


@pytest.mark.parametrize(("name", "odd"), HOSTILE.values(), ids=HOSTILE)
def test_one_odd_member_does_not_block_an_archive(name: str, odd: Member, tmp_path: Path) -> None:
    source = write_npz(tmp_path / "in.npz", [*scan_members(), odd])
    with pytest.raises(InputError):
        ptystore.open(source)
    opened = ptystore.open(source, skip=[name])
    assert set(opened) >= {"diff3d", "objectGuess"}
    assert ("xcoords" in opened) == (name != "xcoords")


@pytest.mark.parametrize(
    ("suffix", "name"), [(".h5", "group"), (".h5", "elsewhere"), (".zarr", "group")]
)
def test_one_odd_node_does_not_block_a_store(suffix: str, name: str, tmp_path: Path) -> None:
    source = foreign(suffix, tmp_path / f"in{suffix}", {"xcoords": np.arange(3.0)})
    if suffix == ".h5":
        with h5py.File(source, "a") as file:
            file.create_group("group")
            file["elsewhere"] = h5py.ExternalLink("other.h5", "/x")
            other = ({"group", "elsewhere"} - {name}).pop()
            del file[other]
    else:
        zarr.open_group(str(source), mode="a").create_group("group")
    with pytest.raises(InputError) as caught:
        ptystore.open(source)
    assert caught.value.advice
    assert f"--skip {name}" in caught.value.advice
    assert list(ptystore.open(source, skip=[name])) == ["xcoords"]


@pytest.mark.parametrize(("name", "odd"), HOSTILE.values(), ids=HOSTILE)
def test_the_advice_works_as_it_stands(name: str, odd: Member, tmp_path: Path) -> None:
    source = write_npz(tmp_path / "in.npz", [*scan_members(), odd])
    with pytest.raises(InputError) as caught:
        ptystore.open(source)
    advice = caught.value.advice
    if name in ("x", "xcoords", "a\x01b") and "--skip" not in (advice or ""):
        return
    assert advice
    command = advice.split(" leaves it out")[0].split(" takes it")[0]
    words = shlex.split(command.replace("SRC", str(source)).replace("DST", str(tmp_path / "o.npz")))
    assert words[0] == "ptystore"
    result = CliRunner().invoke(app, words[1:])
    if name == "a\x01b":  # what can't be printed can't be typed
        return
    assert result.exit_code == 0, result.output


def test_the_library_and_the_command_line_rename_alike(tmp_path: Path) -> None:
    arrays = scan_arrays()
    odd = [Member(f"entry/{name}.npy", npy(values)) for name, values in arrays.items()]
    odd.append(Member("a=b.npy", npy(np.arange(3))))
    source = write_npz(tmp_path / "in.npz", odd)
    options = [word for name in arrays for word in ("--rename", f"entry/{name}={name}")]
    options += ["--rename", "a=b=ab"]
    result = CliRunner().invoke(app, ["ingest", str(source), str(tmp_path / "o.npz"), *options])
    assert result.exit_code == 0, result.output
    assert set(ptystore.open(tmp_path / "o.npz")) == {*arrays, "ab"}
    for wrong in (["--rename", "x"], ["--rename", "=x"], ["--rename", "x="],
                  ["--rename", "a=b", "--rename", "a=c"]):  # fmt: skip
        result = CliRunner().invoke(app, ["info", str(source), *wrong])
        assert result.exit_code == 2
    result = CliRunner().invoke(app, ["info", str(source), "--skip", "nothing"])
    assert result.exit_code == 2
    assert "no such member" in result.stderr


LITTER = [
    Member("__MACOSX/._diff3d.npy", b"\x00\x05\x16\x07" * 9), Member("._xcoords.npy", b"junk"),
    Member("folder/", b""), Member("folder/.DS_Store", b"x"), Member("Thumbs.db", b"x"),
    Member("__MACOSX/", b""), Member("__MACOSX/folder/._größe.npy", b"x", flags=0x800),
]  # fmt: skip


@pytest.mark.parametrize("method", [0, DEFLATED])
def test_litter_is_passed_over_with_a_word(method: int, tmp_path: Path) -> None:
    members = scan_members(method=method)
    source = write_npz(tmp_path / "in.npz", [LITTER[0], *members, *LITTER[1:]])
    plain = ptystore.open(write_npz(tmp_path / "plain.npz", members))
    opened = ptystore.open(source)
    assert list(opened) == list(plain)
    said: list[str] = []
    ptystore.write(ptystore.ingest(opened), tmp_path / "out.zarr", warn=said.append)
    assert len(said) == 1
    assert "passed over" in said[0]
    assert "__MACOSX/._diff3d.npy" in said[0]
    assert "and 2 more" in said[0]
    result = CliRunner().invoke(app, ["info", str(source)])
    assert said[0] in result.stderr
    assert ptystore.describe(opened)["remarks"] == said
    assert ptystore.describe(plain)["remarks"] == []
    assert ptystore.verify(source).ok


@pytest.mark.parametrize("name", ["folder/", "notes/_x.txt", "__MACOSX", "a/__MACOSX/x.npy"])
def test_what_may_be_meant_is_not_passed_over(name: str, tmp_path: Path) -> None:
    odd = Member(name, npy(np.arange(3)))
    with pytest.raises(InputError):
        ptystore.open(write_npz(tmp_path / "in.npz", [*scan_members(), odd]))


def test_litter_must_lie_in_the_archive_as_all_else_does(tmp_path: Path) -> None:
    for odd in (
        Member("__MACOSX/._x.npy", b"x", local_name="y"),
        Member("__MACOSX/._x.npy", b"x", offset=0),
        Member("._x.npy", b"x" * 100, local_magic=b"PK\x03\x05"),
    ):
        with pytest.raises(InputError):
            ptystore.open(write_npz(tmp_path / "in.npz", [*scan_members(), odd]))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(), (5,), (5, 2)])
def test_bytes_are_read_as_text(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    words = np.resize(np.array(["a", "Å²", "", "nm/µm"]), shape)
    raw = np.char.encode(words, "utf-8")
    assert raw.dtype.kind == "S"
    source = tmp_path / f"in{suffix}"
    if suffix == ".zarr":
        group = zarr.open_group(str(source), mode="w", zarr_format=2)
        group.create_array("note", data=raw)
    elif suffix == ".h5":
        with h5py.File(source, "w") as file:
            note = file.create_dataset(
                "note", shape, h5py.string_dtype("utf-8", raw.dtype.itemsize)
            )
            note[...] = words.astype(object)
    else:
        foreign(suffix, source, {"note": raw})
    opened = ptystore.open(source)["note"]
    assert opened.dtype.kind == "U"
    assert opened.values().tolist() == words.tolist()
    if shape:
        assert opened[1:3].tolist() == words[1:3].tolist()
    ptystore.write(ptystore.open(source), tmp_path / "out.npz")
    assert ptystore.open(tmp_path / "out.npz")["note"].values().tolist() == words.tolist()


def test_a_metadata_document_of_bytes(tmp_path: Path) -> None:
    document = '{"physics_parameters": {"nphotons": 7.0}, "µ": "Å"}'
    np.savez(tmp_path / "in.npz", x=np.ones(3), _metadata=np.array(document.encode()))
    metadata = ptystore.open(tmp_path / "in.npz").metadata
    assert metadata is not None
    assert metadata.document["µ"] == "Å"


def test_a_metadata_document_may_be_left_out_or_found(tmp_path: Path) -> None:
    broken = write_npz(tmp_path / "in.npz", scan_members(_metadata=np.array("{no json")))
    assert ptystore.open(broken, skip=["_metadata"]).metadata is None
    np.savez(tmp_path / "named.npz", x=np.ones(3), meta=np.array('{"a": 1}'))
    metadata = ptystore.open(tmp_path / "named.npz", rename={"meta": "_metadata"}).metadata
    assert metadata is not None
    assert metadata.document == {"a": 1}


def test_a_zip_of_the_system_s_own_tool(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    for name, values in scan_arrays().items():
        np.save(folder / f"{name}.npy", values)
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.write(folder, "scan/")
        for name in scan_arrays():
            archive.write(folder / f"{name}.npy", f"{name}.npy")
    assert set(ptystore.open(tmp_path / "in.npz")) == set(scan_arrays())
