"""`.npz` sources of every layout: scattered frames, other zip forms, changes, our comment."""

from __future__ import annotations

import os
import pickle
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import ptystore
from npz_files import (
    DEFLATED,
    STORED,
    member,
    scan_arrays,
    scan_members,
    write_npz,
)
from npz_pathologies import refusal
from ptystore.errors import InputError, InputMissingError, IntegrityError
from ptystore.formats.assemble import ReadOptions
from ptystore.formats.npz import spool
from ptystore.formats.opening import open_dataset


@pytest.mark.parametrize("kind", ["zip64", "descriptor"])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_zip_forms_that_are_read(kind: str, method: int, tmp_path: Path) -> None:
    arrays = scan_arrays()
    members = [member(name, one, method=method, **{kind: True}) for name, one in arrays.items()]
    read, metadata = ptystore.load_npz(write_npz(tmp_path / "scan.npz", members))
    assert metadata is None
    assert list(read) == list(arrays)
    for name, one in arrays.items():
        np.testing.assert_array_equal(read[name], one)
        assert read[name].dtype == one.dtype


@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("dtype", ["u2", "c16", "U3", "?", ">f4"])
@pytest.mark.parametrize("form", ["fortran", "frames last", "frames last, fortran"])
def test_scattered_frames_go_through_scratch(
    form: str, dtype: str, method: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    monkeypatch.setattr(spool, "_SLAB", 700)
    values = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 900, (23, 7, 5))
    frames = values.astype(dtype)
    stack = np.moveaxis(frames, 0, -1) if "last" in form else frames
    stack = np.asfortranarray(stack) if "fortran" in form else np.ascontiguousarray(stack)
    arrays = {"x": stack, "xcoords": np.arange(23.0), "ycoords": np.arange(23.0)}
    members = [member("Y" if "last" in form else n, a) if n == "x" else member(n, a)
               for n, a in arrays.items()]  # fmt: skip
    name = members[0].name.removesuffix(".npy")
    members[0] = member(name, stack, method=method)
    scan = ptystore.open(write_npz(tmp_path / "scan.npz", members))
    field = scan[name]
    assert field.frame_axis == (2 if "last" in form else 0)
    assert field.shape == stack.shape
    np.testing.assert_array_equal(field.values(), stack)
    picked = [22, 3, 4, 3]
    key = (..., picked) if "last" in form else picked
    np.testing.assert_array_equal(field[key], stack[key])
    ptystore.write(scan, tmp_path / "out.zarr", jobs=2)
    np.testing.assert_array_equal(ptystore.open(tmp_path / "out.zarr")[name].values(), stack)
    assert sorted(os.listdir(tmp_path)) == ["out.zarr", "scan.npz"]


def test_scratch_space_is_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    frames = np.asfortranarray(np.arange(400.0).reshape(4, 10, 10))
    source = write_npz(tmp_path / "scan.npz", [member("diffraction", frames)])
    scan = ptystore.open(source)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1))
    with pytest.raises(ptystore.StorageError, match="3200 bytes of scratch space"):
        scan["diffraction"].values()


def test_spooling_keeps_one_slab_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 1 << 20)
    monkeypatch.setattr(spool, "_SLAB", 1 << 20)
    stack = np.arange(64 * 64 * 2000, dtype=np.uint32).reshape(64, 64, 2000)
    members = [member("diff3d", stack), member("xcoords", np.zeros(2000))]
    field = ptystore.open(write_npz(tmp_path / "scan.npz", members))["diff3d"]
    tracemalloc.start()
    try:
        frame = field[..., 1500]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(frame, stack[..., 1500])


def test_a_damaged_stack_is_found_while_it_is_spooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    monkeypatch.setattr(spool, "_SLAB", 700)
    stack = np.asfortranarray(np.arange(4000.0).reshape(40, 10, 10))
    for method in (STORED, DEFLATED):
        bad = member("diffraction", stack, method=method, crc=3)
        error = refusal(write_npz(tmp_path / "bad.npz", [bad]))
        assert error.exit_code == 3
        assert error.member == "diffraction"


def test_a_source_that_changes(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "scan.npz", scan_members())
    scan = pickle.loads(pickle.dumps(ptystore.open(source)))  # as another process gets it
    write_npz(source, scan_members(scan_arrays(seed=1), method=STORED))
    with pytest.raises(IntegrityError, match="changed while it was read"):
        ptystore.write(scan, tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == ["scan.npz"]


def test_a_source_that_shrinks_while_open(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 9, (90, 32, 32))
    source = write_npz(tmp_path / "scan.npz", [member("diffraction", frames)])
    scan = ptystore.open(source)
    with open(source, "r+b") as file:
        file.truncate(200_000)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        ptystore.write(scan, tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == ["scan.npz"]


def test_a_source_that_is_deleted(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "scan.npz", scan_members())
    scan = ptystore.open(source)
    sent = pickle.dumps(scan)
    source.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        pickle.loads(sent)["diff3d"].values()
    assert isinstance(caught.value, InputMissingError)
    # Whoever has it open still reads it.
    np.testing.assert_array_equal(scan["diff3d"].values(), scan_arrays()["diff3d"])


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    error = refusal(tmp_path / "no.npz")
    assert isinstance(error, InputMissingError)
    assert error.exit_code == 3


def test_a_damaged_comment_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    ptystore.write(ptystore.dataset_of(scan_arrays()), path)
    data = path.read_bytes()
    at = data.rindex(b'"digest"')
    path.write_bytes(data[:at] + b'"dagest"' + data[at + 8 :])
    with pytest.raises(IntegrityError, match="comment is damaged") as caught:
        ptystore.open(path)
    assert caught.value.exit_code == 5
    assert not ptystore.verify(path).ok


@pytest.mark.parametrize("cut", [slice(0, 3), slice(0, 25), slice(8, 12)])
def test_notes_of_ours_are_never_lost_silently(cut: slice, tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    scale = {"diff3d": {"amplitude_scale": 0.5}}
    ptystore.write(ptystore.dataset_of(scan_arrays(), attrs=scale), path)
    data = path.read_bytes()
    at = data.rindex(b"ptystore-1 ")
    comment = bytearray(data[at:])
    comment[cut] = b"x" * len(comment[cut])
    path.write_bytes(data[:at] + comment)
    with pytest.raises(IntegrityError, match="comment is damaged"):
        ptystore.open(path)
    # A directory that claims a shorter comment hides the notes as well.
    path.write_bytes(data[: at - 2] + b"\0\0" + data[at:])
    with pytest.raises(InputError, match=r"complete|followed by bytes"):
        ptystore.open(path)


def test_a_stale_comment_of_ours_is_not_believed(tmp_path: Path) -> None:
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    arrays = scan_arrays()
    ptystore.write(ptystore.dataset_of(arrays, attrs={"diff3d": {"signal": "counts"}}), first)
    data = first.read_bytes()
    comment = data[data.rindex(b"PK\x05\x06") + 22 :]
    assert comment.startswith(b"ptystore")
    # Another array came along, or an array got another number of axes: none of it holds.
    for changed in ({"extra": np.arange(3)}, {"ycoords": np.float64(3)}):
        members = [member(name, one) for name, one in {**arrays, **changed}.items()]
        write_npz(second, members, comment=comment)
        try:
            opened = ptystore.open(second)
        except InputError as error:
            assert error.member == "ycoords"  # noqa: PT017 - judged anew, and refused
        else:
            assert all(one.digest is None for one in opened.values())
    # The same arrays with other values: reading can't know, verify must.
    arrays["xcoords"] = arrays["xcoords"] + 1
    write_npz(second, [member(name, one) for name, one in arrays.items()], comment=comment)
    assert [line.split(":")[0] for line in ptystore.verify(second).damage] == ["xcoords"]


def test_a_comment_of_others_is_ignored(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "scan.npz", scan_members(), comment=b"made by hand")
    assert open_dataset(source, ReadOptions())["diff3d"].digest is None
