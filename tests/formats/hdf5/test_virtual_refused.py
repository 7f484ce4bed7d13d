"""Virtual datasets whose sources are not what they declare, or are not followed, or lack frames."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import ptystore
from linked_files import FRAMES, halves, part, tree_of, virtual
from ptystore import InputError
from ptystore.errors import InputMissingError
from scans import assert_same

SHAPE = (12, 7, 6)


def short(folder: Path) -> None:
    with h5py.File(folder / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = FRAMES[:6]


def longer(folder: Path) -> None:
    with h5py.File(folder / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = FRAMES[:8]


def other_frames(folder: Path) -> None:
    with h5py.File(folder / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = np.zeros((7, 6, 7), "u2")


def other_dtype(folder: Path) -> None:
    with h5py.File(folder / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = FRAMES[5:].astype("u4")


def other_name(folder: Path) -> None:
    with h5py.File(folder / "deep" / "b.h5", "a") as file:
        file.move("entry/data/data", "elsewhere")


def a_group(folder: Path) -> None:
    with h5py.File(folder / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        file.create_group("entry/data/data")


def not_there(folder: Path) -> None:
    (folder / "deep" / "b.h5").unlink()


def cut_short(folder: Path) -> None:
    whole = (folder / "deep" / "b.h5").read_bytes()
    (folder / "deep" / "b.h5").write_bytes(whole[:-100])


def values_elsewhere(folder: Path) -> None:
    with h5py.File(folder / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        place = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        file["entry/data"].create_dataset("data", (7, 7, 6), "u2", external=place)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (short, r"shape \(6, 7, 6\) there, declared is \(7, 7, 6\)"),
        (longer, r"shape \(8, 7, 6\) there, declared is \(7, 7, 6\)"),
        (other_frames, r"shape \(7, 6, 7\) there"),
        (other_dtype, "dtype uint32, declared is uint16"),
        (other_name, "no such array"),
        (a_group, "no such array"),
        (not_there, "which is not there"),
        (cut_short, "cut short"),
        (values_elsewhere, "in other files, which are never opened"),
    ],
)
def test_a_source_that_is_not_what_it_was(
    tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    path = halves(tmp_path)
    harm(tmp_path)
    kind = InputMissingError if harm is not_there else InputError
    with pytest.raises(kind, match=rf"diff3d: frames 5 to 11 are .*b\.h5: .*{told}") as caught:
        ptystore.open(path)
    assert caught.value.exit_code == 3
    assert tree_of(path).shape("/diff3d") == FRAMES.shape
    # All that the master itself says is enough to leave it out.
    assert list(ptystore.open(path, skip=("diff3d",))) == ["xcoords", "ycoords"]


def overlapping(folder: Path) -> Path:
    return virtual(
        folder / "m.h5",
        SHAPE,
        (np.s_[:7], "a.h5", SHAPE, np.s_[:7]),
        (np.s_[6:], "a.h5", SHAPE, np.s_[6:]),
    )


def overlapping_in_a_corner(folder: Path) -> Path:
    return virtual(
        folder / "m.h5",
        SHAPE,
        (np.s_[:, :4, :4], "a.h5", SHAPE, np.s_[:, :4, :4]),
        (np.s_[:, 3:, 3:], "a.h5", SHAPE, np.s_[:, 3:, 3:]),
    )


def overlapping_in_steps(folder: Path) -> Path:
    return virtual(
        folder / "m.h5",
        SHAPE,
        (np.s_[::3], "a.h5", SHAPE, np.s_[::3]),
        (np.s_[1::2], "a.h5", SHAPE, np.s_[1::2]),
    )


def beyond_the_source(folder: Path) -> Path:
    return virtual(folder / "m.h5", SHAPE, (np.s_[:10], "a.h5", (20, 7, 6), np.s_[10:20]), fill=3)


def round_in_a_circle(folder: Path) -> Path:
    with h5py.File(folder / "b.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("m.h5", "/diff3d")
    return virtual(folder / "m.h5", SHAPE, (np.s_[...], "b.h5", SHAPE, None))


def absolute(folder: Path) -> Path:
    return virtual(folder / "m.h5", SHAPE, (np.s_[...], str(folder / "a.h5"), SHAPE, None))


def upwards(folder: Path) -> Path:
    name = f"../{folder.name}/a.h5"
    return virtual(folder / "m.h5", SHAPE, (np.s_[...], name, SHAPE, None))


def without_an_end(folder: Path) -> Path:
    with h5py.File(folder / "m.h5", "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        whole = h5py.h5s.create_simple(SHAPE, (h5py.h5s.UNLIMITED, 7, 6))
        source = h5py.h5s.create_simple(SHAPE, (h5py.h5s.UNLIMITED, 7, 6))
        for space in (whole, source):
            space.select_hyperslab(
                (0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), stride=(1, 1, 1), block=(1, 7, 6)
            )
        plan.set_virtual(whole, b"a.h5", b"entry/data/data", source)
        h5py.h5d.create(file.id, b"diff3d", h5py.h5t.STD_U16LE, whole, plan)
    return folder / "m.h5"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (overlapping, "pieces 0 and 1 overlap"),
        (overlapping_in_a_corner, "pieces 0 and 1 overlap"),
        (overlapping_in_steps, "pieces 0 and 1 overlap"),
        (beyond_the_source, r"frames 0 to 9 are .*has shape \(12, 7, 6\), and is taken up to"),
        (round_in_a_circle, "leads back to itself"),
        (absolute, "absolute path, which is never opened"),
        (upwards, "out of the folder: it is never opened"),
        (without_an_end, "it has no end of its own"),
    ],
)
def test_what_can_not_be_followed_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    part(tmp_path / "a.h5", FRAMES)
    path = make(tmp_path)
    with pytest.raises(InputError, match=told) as caught:
        ptystore.open(path)
    assert "\n" not in str(caught.value)
    assert caught.value.member == "diff3d"


def gapped(folder: Path) -> Path:
    part(folder / "a.h5", FRAMES)
    return virtual(
        folder / "m.h5",
        SHAPE,
        (np.s_[1:4], "a.h5", SHAPE, np.s_[1:4]),
        (np.s_[5:11:2], "a.h5", SHAPE, np.s_[5:11:2]),
        (np.s_[8, :3], "a.h5", SHAPE, np.s_[8, :3]),
        fill=77,
    )


def test_frames_in_no_piece_are_refused_unless_filled(tmp_path: Path) -> None:
    path = gapped(tmp_path)
    told = "frames 0, 4, 6, 8, 10 to 11: never written"
    with pytest.raises(InputError, match=told):
        ptystore.write(ptystore.ingest(ptystore.open(path)), tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()
    for key in (0, slice(3, 5), [8], 11):
        with pytest.raises(InputError, match="never written"):
            ptystore.open(path)["diff3d"][key]
    assert_same(ptystore.open(path)["diff3d"][[9, 2]], FRAMES[[9, 2]])
    with h5py.File(path, "r") as file:
        wanted = file["diff3d"][...]
    scan = ptystore.open(path, missing="fill")
    assert_same(scan["diff3d"].values(), wanted)
    assert (wanted[8, 3:] == 77).all()
    assert_same(scan["diff3d"][[10, 9, 8]], wanted[[10, 9, 8]])
    report = ptystore.write(ptystore.ingest(scan), tmp_path / "b.npz")
    assert [line for line in report.warnings if "diff3d: frames 0, 4, 6, 8, 10 to 11" in line]


def test_frames_that_a_source_never_got(tmp_path: Path) -> None:
    path = halves(tmp_path)
    with h5py.File(tmp_path / "deep" / "b.h5", "a") as file:
        del file["entry/data/data"]
        made = file.create_dataset("entry/data/data", (7, 7, 6), "u2", chunks=(1, 7, 6))
        made[:4] = FRAMES[5:9]
    with pytest.raises(InputError, match="frames 9 to 11: never written"):
        ptystore.write(ptystore.ingest(ptystore.open(path)), tmp_path / "b.zarr")
    with pytest.raises(InputError, match=r"b\.h5: .*frames 4 to 6: never written"):
        ptystore.open(path)["diff3d"][9]
    scan = ptystore.open(path, missing="fill")
    wanted = FRAMES.copy()
    wanted[9:] = 0
    assert_same(scan["diff3d"].values(), wanted)
    assert scan.metadata is not None
    assert scan.metadata.history[0]["parameters"] == {"missing_frames": {"diff3d": [[9, 11]]}}


def test_frames_that_lines_of_a_source_never_got(tmp_path: Path) -> None:
    """Of six lines of two frames each two are missing, all seen as frames in a row."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("entry/data/data", (6, 2, 7, 6), "u2", chunks=(2, 1, 7, 6))
        made[:2], made[4:] = FRAMES[:4].reshape(2, 2, 7, 6), FRAMES[8:].reshape(2, 2, 7, 6)
    path = virtual(tmp_path / "m.h5", SHAPE, (np.s_[...], "a.h5", (6, 2, 7, 6), None))
    array = tree_of(path).array("/diff3d", "diff3d").build(0)
    assert array.missing() == [(4, 7)]
    with pytest.raises(InputError, match="frames 4 to 7: never written"):
        array.prepare(None)
    assert_same(array.read(9, 11), FRAMES[9:11])


def test_no_line_of_a_source_is_read_for_a_frame_of_it(tmp_path: Path) -> None:
    part(tmp_path / "a.h5", FRAMES.reshape(2, 6, 7, 6), chunks=(1, 1, 7, 6))
    place = (np.s_[...], "a.h5", (2, 6, 7, 6), np.s_[1, 2:5])
    array = tree_of(virtual(tmp_path / "m.h5", (3, 7, 6), place)).array("/diff3d", "x").build(0)
    assert [piece.source.shape for piece in array._pieces] == [(12, 7, 6)]
    assert_same(array.read(1, 3), FRAMES[9:11])


def test_damage_names_the_file_and_its_frames(tmp_path: Path) -> None:
    path = halves(tmp_path)
    with h5py.File(tmp_path / "deep" / "b.h5", "a") as file:
        made = file["entry/data/data"]
        made.id.write_direct_chunk((2, 0, 0), b"\xff" * 20)
    with pytest.raises(InputError, match=r"b\.h5: .*frames 2 to 2"):
        ptystore.open(path)["diff3d"].values()


def test_a_few_bytes_that_announce_any_size(tmp_path: Path) -> None:
    """Refused, or a gap that costs nothing before it is filled."""
    part(tmp_path / "a.h5", FRAMES)
    size = 1 << 40
    path = virtual(tmp_path / "m.h5", (size, 7, 6), (np.s_[:12], "a.h5", SHAPE, None))
    tracemalloc.start()
    field = ptystore.open(path)["diff3d"]
    assert_same(field[3:5], FRAMES[3:5])
    with pytest.raises(InputError, match="never written"):
        field[size - 1]
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()
