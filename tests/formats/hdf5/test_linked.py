"""Links and virtual datasets of other tools' files: followed below the file's own folder only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from linked_files import FRAMES, part, tree_of
from ptystore import InputError
from ptystore.errors import InputMissingError, IntegrityError
from scans import assert_same, forked, pickled


def master(folder: Path, **members: Any) -> Path:
    """A scan whose other members are arrays."""
    with h5py.File(folder / "master.h5", "w") as file:
        file["xcoords"], file["ycoords"] = np.arange(12.0), np.arange(12.0) % 3
        for name, link in members.items():
            file[name] = link
    return folder / "master.h5"


def test_what_links_lead_to_is_there_as_if_it_were_in_the_file(tmp_path: Path) -> None:
    part(tmp_path / "parts" / "a.h5", FRAMES)
    part(tmp_path / "b.h5", np.arange(3.0), "plain", chunks=None)
    with h5py.File(tmp_path / "b.h5", "a") as file:
        file["word"] = "text"
        file["again"] = h5py.ExternalLink("./parts/a.h5", "entry/data/data")
        file["group/inner"] = h5py.SoftLink("/again")
    path = master(
        tmp_path,
        diff3d=h5py.ExternalLink("parts/a.h5", "/entry/data/data"),
        soft=h5py.SoftLink("/diff3d"),
        whole=h5py.ExternalLink("b.h5", "/"),
        deep=h5py.SoftLink("whole/group/inner"),
    )
    tree = tree_of(path)
    for place in ("/diff3d", "/soft", "/deep", "/whole/again", "/whole/group/inner"):
        assert tree.kind(place) == "array"
        assert tree.shape(place) == FRAMES.shape
        assert tree.attrs(place) == {"low": 1}
        assert_same(tree.array(place, "diff3d").build(0).read(2, 9), FRAMES[2:9])
    assert tree.kind("/whole") == "group"
    assert set(tree.children("/whole")) == {"plain", "word", "again", "group"}
    assert tree.kind("/whole/word") == "text"
    assert tree.text("/whole/word") == "text"
    assert tree.is_same("/soft", "/deep")
    assert not tree.is_same("/soft", "/whole/plain")
    assert tree.outside("/soft") == ("parts/a.h5", "/entry/data/data")
    assert tree.outside("/whole/plain") == ("b.h5", "/plain")
    assert tree.outside("/xcoords") is None
    scan = ptystore.open(path, skip=("whole", "soft", "deep"))
    assert_same(scan["diff3d"].values(), FRAMES)
    assert_same(pickled(scan)["diff3d"][[11, 0, 3]], FRAMES[[11, 0, 3]])
    forked(lambda: assert_same(scan["diff3d"][5], FRAMES[5]))
    ptystore.write(ptystore.ingest(scan), tmp_path / "b.zarr")
    assert_same(ptystore.open(tmp_path / "b.zarr")["diff3d"].values(), FRAMES)


def test_links_are_mapped(tmp_path: Path) -> None:
    part(tmp_path / "a.h5", FRAMES)
    path = master(tmp_path, group=h5py.ExternalLink("a.h5", "/entry"))
    scan = ptystore.open(path, map={"diffraction": "/group/data/data"}, skip=("group",))
    assert_same(scan["diffraction"].values(), FRAMES)


def soft_circle(folder: Path) -> Any:
    return {"diff3d": h5py.SoftLink("/other"), "other": h5py.SoftLink("/diff3d")}


def circle_of_files(folder: Path) -> Any:
    with h5py.File(folder / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink("master.h5", "/diff3d")
    return {"diff3d": h5py.ExternalLink("a.h5", "/x")}


def absolute(folder: Path) -> Any:
    return {"diff3d": h5py.ExternalLink(str(part(folder / "a.h5", FRAMES)), "/entry/data/data")}


def of_windows(folder: Path) -> Any:
    part(folder / "C:\\a.h5", FRAMES)
    return {"diff3d": h5py.ExternalLink("C:\\a.h5", "/entry/data/data")}


def upwards(folder: Path) -> Any:
    part(folder / "a.h5", FRAMES)
    return {"diff3d": h5py.ExternalLink(f"../{folder.name}/a.h5", "/entry/data/data")}


def upwards_inside(folder: Path) -> Any:
    part(folder / "a.h5", FRAMES)
    (folder / "deep").mkdir()
    return {"diff3d": h5py.ExternalLink("deep/../a.h5", "/entry/data/data")}


def symbolic(folder: Path) -> Any:
    part(folder.parent / f"{folder.name}-out" / "a.h5", FRAMES)
    (folder / "a.h5").symlink_to(folder.parent / f"{folder.name}-out" / "a.h5")
    return {"diff3d": h5py.ExternalLink("a.h5", "/entry/data/data")}


def symbolic_folder(folder: Path) -> Any:
    part(folder.parent / f"{folder.name}-out" / "a.h5", FRAMES)
    (folder / "sub").symlink_to(folder.parent / f"{folder.name}-out")
    return {"diff3d": h5py.ExternalLink("sub/a.h5", "/entry/data/data")}


def through_another(folder: Path) -> Any:
    """A file below whose own link leads out."""
    part(folder.parent / f"{folder.name}-out.h5", FRAMES)
    (folder / "sub").mkdir()
    with h5py.File(folder / "sub" / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink(f"../../{folder.name}-out.h5", "/entry/data/data")
    return {"diff3d": h5py.ExternalLink("sub/a.h5", "/x")}


def gone(folder: Path) -> Any:
    return {"diff3d": h5py.ExternalLink("gone.h5", "/entry/data/data")}


def a_folder(folder: Path) -> Any:
    (folder / "a.h5").mkdir()
    return {"diff3d": h5py.ExternalLink("a.h5", "/x")}


def no_hdf5(folder: Path) -> Any:
    (folder / "a.h5").write_bytes(b"x" * 1000)
    return {"diff3d": h5py.ExternalLink("a.h5", "/x")}


def a_pipe(folder: Path) -> Any:
    os.mkfifo(folder / "a.h5")
    return {"diff3d": h5py.ExternalLink("a.h5", "/x")}


def ours(folder: Path) -> Any:
    ptystore.write(ptystore.dataset_of({"diff3d": FRAMES}), folder / "a.h5")
    return {"diff3d": h5py.ExternalLink("a.h5", "/diff3d")}


def nowhere(folder: Path) -> Any:
    part(folder / "a.h5", FRAMES)
    return {"diff3d": h5py.ExternalLink("a.h5", "/entry/nothing")}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (soft_circle, "link to where nothing is"),
        (circle_of_files, "round in a circle"),
        (absolute, r"a\.h5: an absolute path, which is never opened"),
        (of_windows, r"a\.h5: an absolute path, which is never opened"),
        (upwards, r"a\.h5, out of the folder"),
        (upwards_inside, r"a\.h5, out of the folder"),
        (symbolic, r"a\.h5, by a link out of the folder"),
        (symbolic_folder, r"a\.h5, by a link out of the folder"),
        (through_another, r"out\.h5, out of the folder"),
        (gone, r"gone\.h5, which is not there"),
        (a_folder, "it is a folder"),
        (no_hdf5, r"a\.h5: diff3d: is no HDF5 file"),
        (a_pipe, "pipe"),
        (ours, "was written by ptystore"),
        (nowhere, "link to where nothing is"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_no_link_leads_anywhere_else(
    tmp_path: Path, make: Callable[[Path], Any], told: str
) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    path = master(folder, **make(folder))
    kind = InputMissingError if make in (gone, a_folder, a_pipe) else InputError
    with pytest.raises(kind, match=told) as caught:
        ptystore.open(path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    tree = tree_of(path)
    # Nothing is there where links go round within the file; else it is, and can't be reached.
    assert tree.kind("/diff3d") in ("outside", None)
    assert tree.shape("/diff3d") == ()
    assert tree.children("/diff3d") == ()
    with pytest.raises(InputError):
        tree.array("/diff3d", "diff3d")


def test_a_symbolic_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    part(tmp_path / "raw" / "a.h5", FRAMES)
    (tmp_path / "a.h5").symlink_to("raw/a.h5")
    path = master(tmp_path, diff3d=h5py.ExternalLink("a.h5", "/entry/data/data"))
    assert_same(ptystore.open(path)["diff3d"].values(), FRAMES)


def test_all_files_are_held_as_they_were(tmp_path: Path) -> None:
    other = part(tmp_path / "a.h5", FRAMES)
    path = master(tmp_path, diff3d=h5py.ExternalLink("a.h5", "/entry/data/data"))
    scan = ptystore.open(path)
    with h5py.File(other, "a") as file:
        file["entry/data/data"][3] = 0
    with pytest.raises(IntegrityError, match=r"a\.h5.*changed"):
        ptystore.write(ptystore.ingest(scan), tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_a_change_behind_the_last_value_is_found_at_the_end(tmp_path: Path) -> None:
    other = part(tmp_path / "a.h5", FRAMES)
    path = master(tmp_path, diff3d=h5py.ExternalLink("a.h5", "/entry/data/data"))
    scan, tree = ptystore.open(path), tree_of(path)
    tree.array("/diff3d", "diff3d")
    scan["diff3d"].values()
    with open(other, "ab") as raw:
        raw.write(b"more")
    for check in (*scan.proofs, tree.snapshot.check):
        with pytest.raises(IntegrityError, match=r"a\.h5.*changed"):
            check()
