"""Frames in many files: their order, what they hold, and what happens to them meanwhile."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from foreign import remarks
from ptystore.errors import InputError, InputMissingError, IntegrityError, ParameterError

FRAME = (5, 7)


def stack(count: int, dtype: str = "u2", first: int = 0) -> Any:
    size = FRAME[0] * FRAME[1]
    values = np.arange(first * size, (first + count) * size) % 251
    return values.astype(dtype).reshape(count, *FRAME)


def npy(folder: Path, numbers: Sequence[int], form: str = "scan12_{:03d}.npy") -> Any:
    """One frame a file, in another order than their numbers; the frames by their numbers."""
    folder.mkdir(exist_ok=True)
    frames = stack(len(numbers))
    for frame, number in sorted(zip(frames, numbers, strict=True), key=lambda pair: str(pair[1])):
        np.save(folder / form.format(number), frame)
    return frames


# Their order


def test_a_folder_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    frames = npy(tmp_path / "f", [1, 2, 10, 9, 100][::1], "a_{}.npy")
    scan = ptystore.open(tmp_path / "f")
    np.testing.assert_array_equal(scan["frame_index"].values(), [1, 2, 9, 10, 100])
    np.testing.assert_array_equal(scan.frames.values(), frames[[0, 1, 3, 2, 4]])
    assert "numbers 3 to 8, 11 to 99" in remarks(scan)
    assert scan.frames.attrs["signal"] == "counts"
    np.testing.assert_array_equal(scan.frames[[4, 0, 0, 2]], frames[[4, 0, 0, 3]])
    again = pickle.loads(pickle.dumps(scan))
    np.testing.assert_array_equal(again.frames[1:3], frames[[1, 3]])
    ptystore.write(scan, tmp_path / "out.zarr")
    assert ptystore.verify(tmp_path / "out.zarr").ok
    np.testing.assert_array_equal(ptystore.open(tmp_path / "out.zarr").frames[:], scan.frames[:])
    about = ptystore.describe(scan)
    assert about["format"] == "files"
    assert about["stored_bytes"] == 5 * (128 + 70)


def test_a_pattern(tmp_path: Path) -> None:
    frames = npy(tmp_path / "f", [0, 2, 4])
    npy(tmp_path / "f", [7, 8], "scan13_{:03d}.npy")
    scan = ptystore.open(tmp_path / "f" / "scan12_*.npy")
    np.testing.assert_array_equal(scan.frames.values(), frames)
    assert "no files" not in remarks(scan)  # steps of two
    assert ptystore.describe(scan)["format"] == "files"
    with pytest.raises(InputMissingError, match=r"scan14_\*.npy: no file matches"):
        ptystore.open(tmp_path / "f" / "scan14_*.npy")


def test_a_file_whose_name_is_a_pattern_is_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a[1].npz", diffraction=stack(3))
    assert ptystore.open(tmp_path / "a[1].npz").frames.shape == (3, *FRAME)


def test_lines_and_points(tmp_path: Path) -> None:
    """Two numbers, neither of which tells a frame alone; folders may be part of a pattern."""
    for line in (2, 10):
        npy(tmp_path / f"line{line}", range(3), f"line{line}_{{}}.npy")
    (tmp_path / "line2" / "line2_1.npy").unlink()
    scan = ptystore.open(tmp_path / "line*" / "*.npy")
    np.testing.assert_array_equal(scan.frames.values(), stack(3)[[0, 2, 0, 1, 2]])
    assert "frame_index" not in scan
    assert "numbers 2-1" in remarks(scan)


def test_a_number_that_tells_each_alone_counts(tmp_path: Path) -> None:
    """Such as before the time of each."""
    (tmp_path / "f").mkdir()
    for k, time in enumerate((93000, 93010, 93007)):
        np.save(tmp_path / "f" / f"im_{k}_{time}.npy", stack(1, first=k)[0])
    scan = ptystore.open(tmp_path / "f")
    np.testing.assert_array_equal(scan["frame_index"].values(), [0, 1, 2])
    np.testing.assert_array_equal(scan.frames.values(), stack(3))


def test_a_list_decides_the_order(tmp_path: Path) -> None:
    frames = npy(tmp_path / "f", [0, 1, 2, 3])
    path = tmp_path / "list.txt"
    path.write_text(f"# mine\nscan12_003.npy\n\n{tmp_path / 'f'}/scan12_000.npy\nscan12_001.npy\n")
    scan = ptystore.open(tmp_path / "f", files=path)
    np.testing.assert_array_equal(scan.frames.values(), frames[[3, 0, 1]])
    assert "frame_index" not in scan
    path.write_text("scan12_003.npy\n./scan12_003.npy\n")
    with pytest.raises(InputError, match=r"names scan12_003\.npy twice"):
        ptystore.open(tmp_path / "f", files=path)
    path.write_text("\n")
    with pytest.raises(InputError, match="names no files"):
        ptystore.open(tmp_path / "f", files=path)
    with pytest.raises(ParameterError, match="below a folder"):
        ptystore.open(tmp_path / "f" / "scan12_000.npy", files=path)
    path.write_text("scan12_003.npy\nscan12_999.npy\n")
    with pytest.raises(InputMissingError, match=r"scan12_999\.npy: there is no such file"):
        ptystore.open(tmp_path / "f", files=path)


@pytest.mark.parametrize("outside", ["../other.npy", "{}/other.npy", "link.npy"])
def test_a_list_leads_nowhere_else(tmp_path: Path, outside: str) -> None:
    npy(tmp_path / "f", [0, 1])
    np.save(tmp_path / "other.npy", stack(1)[0])
    os.symlink(tmp_path / "other.npy", tmp_path / "f" / "link.npy")
    (tmp_path / "list.txt").write_text("scan12_000.npy\n" + outside.format(tmp_path))
    with pytest.raises(InputError, match="which is not below"):
        ptystore.open(tmp_path / "f", files=tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a1.npy", "b2.npy"], "a1.npy and b2.npy differ in more than numbers"),
        (["a1.npy", "a01.npy"], "have the same number"),
        ([f"a{'1' * 20}.npy", "a2.npy"], "more than 18 digits"),
        (["a_master.h5", "a_data_1.h5"], "has the master file a_master.h5"),
    ],
)
def test_names_that_tell_no_order(tmp_path: Path, names: list[str], words: str) -> None:
    for name in names:
        np.save(tmp_path / "x.npy", stack(1)[0])
        (tmp_path / "f").mkdir(exist_ok=True)
        os.replace(tmp_path / "x.npy", tmp_path / "f" / name)
    with pytest.raises(InputError, match=words):
        ptystore.open(tmp_path / "f")


# What they hold


@pytest.mark.parametrize("dtype", ["u1", "<i4", ">u2", "f4", "?", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_kind(tmp_path: Path, dtype: str, order: str) -> None:
    (tmp_path / "f").mkdir()
    frames = stack(4).astype(dtype)
    for k, frame in enumerate(frames):
        np.save(tmp_path / "f" / f"{k}.npy", np.asarray(frame, order=order))
    found = ptystore.open(tmp_path / "f").frames
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.values(), frames)


def test_stacks_of_several_lengths(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    frames = stack(9)
    for k, (a, b) in enumerate([(0, 4), (4, 5), (5, 5), (5, 9)]):
        np.save(tmp_path / "f" / f"{k}.npy", frames[a:b])
    scan = ptystore.open(tmp_path / "f")
    assert "frame_index" not in scan
    np.testing.assert_array_equal(scan.frames.values(), frames)
    np.testing.assert_array_equal(scan.frames[3:6], frames[3:6])
    np.testing.assert_array_equal(scan.frames[[8, 4, 3]], frames[[8, 4, 3]])
    chosen = ptystore.open(tmp_path / "f", frames="1::3")
    np.testing.assert_array_equal(chosen.frames.values(), frames[1::3])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (stack(1)[0][:, :6], r"1.npy: has frames of \(5, 6\) uint16, 0.npy of \(5, 7\) uint16"),
        (stack(1, "u4")[0], r"has frames of \(5, 7\) uint32"),
        (np.zeros(7, "u2"), "where a frame or a stack of frames should be"),
        (np.zeros((5, 7), "c8"), "real numbers"),
        (np.asfortranarray(stack(3)), "Fortran order"),
    ],
)
def test_sizes_are_compared_before_anything_is_read(tmp_path: Path, other: Any, words: str) -> None:
    npy(tmp_path / "f", [0], "{}.npy")
    np.save(tmp_path / "f" / "1.npy", other)
    with pytest.raises(InputError, match=words):
        ptystore.open(tmp_path / "f")


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    npy(tmp_path / "f", [0, 1, 2], "{}.npy")
    path = tmp_path / "f" / "1.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"1.npy: has 197 bytes, where its header announces 198"):
        ptystore.open(tmp_path / "f")


def test_what_else_lies_in_a_folder(tmp_path: Path) -> None:
    frames = npy(tmp_path / "f", [0, 1])
    (tmp_path / "f" / "notes.txt").write_text("a = b")
    (tmp_path / "f" / ".DS_Store").write_text("x")
    (tmp_path / "f" / "sub").mkdir()
    scan = ptystore.open(tmp_path / "f")
    assert remarks(scan) == "passed over in the folder: notes.txt"
    np.testing.assert_array_equal(scan.frames.values(), frames)
    with h5py.File(tmp_path / "f" / "scan12_002.h5", "w") as file:
        file["a"] = frames
    with pytest.raises(InputError, match=r"has \.npy and HDF5 files"):
        ptystore.open(tmp_path / "f")
    with pytest.raises(InputError, match=r"notes.txt: is neither \.npy, nor TIFF"):
        ptystore.open(tmp_path / "f" / "n*")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder, but no Zarr store"):
        ptystore.open(tmp_path / "empty")


def test_hdf5_of_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    frames = stack(7)
    for k, (a, b) in enumerate([(0, 3), (3, 6), (6, 7)]):
        with h5py.File(tmp_path / "f" / f"line_{k}.h5", "w") as file:
            chunks = (1, *FRAME)
            file.create_dataset("e/d/data", data=frames[a:b], chunks=chunks, compression="gzip")
            file["e/time"] = np.zeros(b - a)
    scan = ptystore.open(tmp_path / "f")
    np.testing.assert_array_equal(scan.frames.values(), frames)
    ptystore.write(scan, tmp_path / "out.h5")
    np.testing.assert_array_equal(ptystore.open(tmp_path / "out.h5").frames.values(), frames)
    for k in range(3):
        with h5py.File(tmp_path / "f" / f"line_{k}.h5", "r+") as file:
            file["e/mask"] = np.zeros(FRAME, "u4")
    with pytest.raises(InputError, match="/e/d/data, /e/mask: nothing says which") as caught:
        ptystore.open(tmp_path / "f")
    assert "--map diffraction=PATH" in str(caught.value.advice)
    scan = ptystore.open(tmp_path / "f", map={"diffraction": "e/d/data"})
    np.testing.assert_array_equal(scan.frames[[6, 2]], frames[[6, 2]])
    with pytest.raises(InputError, match=r"line_0\.h5: /e/x: there is no such array"):
        ptystore.open(tmp_path / "f", map={"diffraction": "/e/x"})


def test_facts_positions_and_pairing(tmp_path: Path) -> None:
    """The numbers in the names pair with those of the positions, gaps and all."""
    frames = npy(tmp_path / "f", [1, 2, 4, 5])
    (tmp_path / "p.csv").write_text("frame,x_um,y_um\n5,1,0\n4,2,0\n1,3,0\n2,5,0\n")
    scan = ptystore.open(
        tmp_path / "f", positions=tmp_path / "p.csv", pixel_size="1um", energy="8keV"
    )
    np.testing.assert_allclose(scan["xcoords"].values(), np.array([2, 4, 1, 0]) + FRAME[1] // 2)
    np.testing.assert_array_equal(scan.frames.values(), frames)
    assert scan.geometry["photon_energy_eV"].value == 8000


# What happens meanwhile


@pytest.mark.parametrize("change", ["write", "replace", "remove"])
def test_a_file_that_changes_is_noticed(tmp_path: Path, change: str) -> None:
    npy(tmp_path / "f", range(4), "{}.npy")
    scan = ptystore.open(tmp_path / "f")
    path = tmp_path / "f" / "2.npy"
    data = path.read_bytes()
    if change == "write":
        path.write_bytes(data[:-1] + b"x")
    elif change == "replace":
        (tmp_path / "new").write_bytes(data)
        os.replace(tmp_path / "new", path)
    else:
        path.unlink()
    with pytest.raises((IntegrityError, InputMissingError), match=r"2\.npy"):
        ptystore.write(scan, tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_after_the_last_read_too(tmp_path: Path) -> None:
    npy(tmp_path / "f", range(4), "{}.npy")
    scan = ptystore.open(tmp_path / "f")
    assert scan.frames.values().shape == (4, *FRAME)
    os.utime(tmp_path / "f" / "0.npy", ns=(1, 1))
    (proof,) = scan.proofs
    with pytest.raises(IntegrityError, match=r"0\.npy: changed"):
        proof()


def test_no_descriptor_is_kept(tmp_path: Path) -> None:
    npy(tmp_path / "f", range(300))
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    scan = ptystore.open(tmp_path / "f")
    scan.frames.values()
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) <= before + 1
