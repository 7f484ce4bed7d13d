"""Zarr stores of other tools with arrays in groups: by path, as dialects, as one array."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import ptystore
from ptystore import InputError
from ptystore.formats.opening import open_tree
from scans import assert_same

COUNTS = np.random.default_rng(3).poisson(30, (6, 7, 9)).astype("u2")
STEPS = np.arange(6) * 1.5
RASTER = np.random.default_rng(4).poisson(30, (3, 5, 7, 9)).astype("u2")

both = pytest.mark.parametrize("version", [2, 3])


def nested(path: Path, version: Any, **kind: Any) -> Path:
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    data = root.create_group("entry/data")
    data.create_array("frames", data=COUNTS, chunks=(2, 4, 5), **kind)
    data["frames"].attrs["made_by"] = "detector"
    for name, factor in (("y", 1.0), ("x", -1.0)):
        data.create_array(name, data=STEPS * factor)
        data[name].attrs["units"] = "um"
    root.create_array("alone", data=np.arange(4))
    return path


def zspy(path: Path, version: Any, named: str = "ZSpy") -> Path:
    """As rosettasciio lays it out: as HyperSpy's HDF5, with another word."""
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    root.attrs["file_format"] = named
    signal = root.create_group("Experiments/F")
    signal.create_array("data", data=RASTER, chunks=(1, 2, 7, 9))
    told = (("y", 0.4, 10.0, "nm"), ("x", 0.3, -3.0, "nm"), ("v", 0.5, 0, "1/nm"))
    for at, (name, scale, offset, units) in enumerate((*told, ("u", 0.25, 0, "1/nm"))):
        axis = signal.create_group(f"axis-{at}")
        axis.attrs.update(
            {"name": name, "scale": scale, "offset": offset, "units": units, "navigate": at < 2}
        )
    microscope = signal.create_group("metadata/Acquisition_instrument/TEM")
    microscope.attrs["beam_energy"] = 300.0
    return path


@both
def test_any_array_is_taken_by_its_path(tmp_path: Path, version: int) -> None:
    path = nested(tmp_path / "a.zarr", version)
    taken = {
        "diffraction": "/entry/data/frames", "ycoords": "entry/data/y", "xcoords": "/entry/data/x",
    }  # fmt: skip
    scan = ptystore.open(path, map=taken, pixel_size="500nm")
    assert_same(scan["diffraction"].values(), COUNTS)
    assert_same(scan["diffraction"][[5, 0]], COUNTS[[5, 0]])
    assert scan["diffraction"].attrs["made_by"] == "detector"
    for name, sign in (("ycoords", 2), ("xcoords", -2)):  # relative, without an object
        places = scan[name].values()
        np.testing.assert_allclose(places - places[0], sign * STEPS)
    ptystore.write(ptystore.canonicalize(scan), tmp_path / "b.zarr")
    assert ptystore.verify(tmp_path / "b.zarr").ok
    # From another file, and as positions.
    np.savez(tmp_path / "c.npz", diffraction=COUNTS)
    other = ptystore.open(
        tmp_path / "c.npz",
        positions=f"{path}:/entry/data/{{y,x}}",
        map={"monitor": f"{path}:/entry/data/y"},
        pixel_size="500nm",
    )
    np.testing.assert_allclose(np.diff(other["ycoords"].values()), 3.0)
    np.testing.assert_allclose(np.diff(other["xcoords"].values()), -3.0)
    assert_same(other["monitor"].values(), STEPS)


@both
def test_without_a_map_the_arrays_are_named(tmp_path: Path, version: int) -> None:
    path = nested(tmp_path / "a.zarr", version)
    with pytest.raises(InputError, match="is a group inside a group") as caught:
        ptystore.open(path)
    assert caught.value.member == "entry"
    advice = str(caught.value.advice)
    assert "--map diffraction=/entry/data/frames takes an array by its path" in advice
    assert "there are /entry/data/frames (6, 7, 9)" in advice
    assert "nexus" not in advice  # which is never in Zarr
    with pytest.raises(InputError, match=r"there is no /entry/data/frame in a\.zarr") as caught:
        ptystore.open(path, map={"diffraction": "/entry/data/frame"})
    assert "there are frames, x, y" in str(caught.value.advice)
    for outside in ("/entry/../../b", "/..", "/entry/data"):
        with pytest.raises(InputError):
            ptystore.open(path, map={"diffraction": outside})


def test_folders_in_a_circle_are_looked_into_for_a_while(tmp_path: Path) -> None:
    path = nested(tmp_path / "a.zarr", 3)
    for name in ("up", "again"):
        (path / "entry" / name).symlink_to("..")
    with pytest.raises(InputError, match="group inside a group") as caught:
        ptystore.open(path)
    assert "there are /entry/data/frames (6, 7, 9), " in str(caught.value.advice)
    assert re.search(r"and \d+ more", str(caught.value.advice))


@both
def test_as_a_tree(tmp_path: Path, version: int) -> None:
    path = nested(tmp_path / "a.zarr", version)
    root = zarr.open_group(str(path), mode="a")
    root.create_array("word", shape=(1,), dtype="string")
    root["word"][:] = np.array(["hello"], object)
    tree = open_tree(path)
    assert tree.container == "zarr"
    assert tree.children() == ("alone", "entry", "word")
    assert tree.children("/entry/data") == ("frames", "x", "y")
    assert tree.children("/entry/data/x") == tree.children("/nothing") == ()
    kinds = {
        name: tree.kind(name) for name in ("/", "/entry", "/entry/data/x", "/word", "/no", "/no/x")
    }
    assert kinds == {
        "/": "group", "/entry": "group", "/entry/data/x": "array", "/word": "text", "/no": None,
        "/no/x": None,
    }  # fmt: skip
    assert tree.text("/word") == "hello"
    assert tree.text("/entry/data/x") is None
    assert tree.shape("/entry/data/frames") == (6, 7, 9)
    assert tree.shape("/entry") == ()
    assert dict(tree.attrs("/entry/data/y")) == {"units": "um"}
    assert tree.is_same("/entry/", "/entry")
    with pytest.raises(InputError, match="is no array"):
        tree.array("/entry", "diffraction")


@both
def test_hyperspy_in_zarr(tmp_path: Path, version: int) -> None:
    path = zspy(tmp_path / "a.zspy", version)
    scan = ptystore.open(path)
    assert scan.source is not None
    assert scan.source.understood is not None
    assert scan.source.understood.dialect == "hyperspy"
    assert_same(scan.frames.values(), RASTER.reshape(15, 7, 9))
    assert scan.geometry["scan_shape"].value == [3, 5]
    assert scan.geometry["electron_energy_eV"].value == 300e3
    # dx = 1 / (N Δq), Δq in 1/nm
    pixel = [1e-9 / (7 * 0.5), 1e-9 / (9 * 0.25)]
    np.testing.assert_allclose(scan.geometry["object_pixel_size_m"].value, pixel)
    slow, fast = (np.indices((3, 5))[at].reshape(-1) for at in (0, 1))
    np.testing.assert_allclose(scan["ycoords"].values(), slow * 0.4e-9 / pixel[0] + 3)
    np.testing.assert_allclose(scan["xcoords"].values(), fast * 0.3e-9 / pixel[1] + 4)
    assert ptystore.verify(path).ok
    assert not ptystore.verify(path).recorded
    # HyperSpy's word of HDF5 is not that of Zarr.
    with pytest.raises(InputError, match="group inside a group"):
        ptystore.open(zspy(tmp_path / "b.zspy", version, "HyperSpy"))


@both
def test_a_store_that_is_one_array(tmp_path: Path, version: Any) -> None:
    path = tmp_path / "images.zarr"
    zarr.create_array(str(path), data=COUNTS, chunks=(1, 7, 9), zarr_format=version)
    with pytest.raises(InputError, match="is a single Zarr array") as caught:
        ptystore.open(path)
    assert caught.value.advice == "--map diffraction=images takes it as the frames"
    for place in ("images", f"{path}", f"{path}:/images"):
        assert_same(ptystore.open(path, map={"diffraction": place}).frames.values(), COUNTS)
    (path / ("2.0.0" if version == 2 else "c/2/0/0")).unlink()
    scan = ptystore.open(path, map={"diffraction": "images"})
    with pytest.raises(InputError, match="frames 2: never written"):
        scan.frames.values()


@both
def test_frames_in_groups_that_were_never_written(tmp_path: Path, version: int) -> None:
    path = nested(tmp_path / "a.zarr", version)
    keys = ("1.0.0", "1.0.1", "1.1.0", "1.1.1") if version == 2 else ("c/1",)
    for key in keys:
        place = path / "entry/data/frames" / key
        if place.is_dir():
            for file in place.rglob("*"):
                if file.is_file():
                    file.unlink()
        else:
            place.unlink()
    taken = {"diffraction": "/entry/data/frames"}
    scan = ptystore.open(path, map=taken)
    with pytest.raises(InputError, match="frames 2 to 3: never written"):
        scan.frames.values()
    filled = ptystore.open(path, map=taken, missing="fill").frames.values()
    assert_same(filled[[0, 1, 4, 5]], COUNTS[[0, 1, 4, 5]])
    assert not filled[2:4].any()


class _Runs:
    """What leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("how", ["plain", "map"])
def test_what_is_packed_by_pickle_is_never_read(tmp_path: Path, place: str, how: str) -> None:
    path, trace = tmp_path / "a.zarr", tmp_path / "trace"
    array = path / "words"
    array.mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    document: dict[str, Any] = {
        "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": "",
        "order": "C", "compressor": None, "filters": [{"id": "vlen-utf8"}],
    }  # fmt: skip
    packed = {"id": "pickle"}
    document |= {"compressor": packed} if place == "compressor" else {
        "filters": [{"id": "vlen-utf8"}, packed]
    }  # fmt: skip
    (array / ".zarray").write_text(json.dumps(document))
    (array / "0").write_bytes(pickle.dumps(_Runs(trace)))
    if how == "plain":
        with pytest.raises(InputError, match="is packed by pickle"):
            ptystore.open(path)
    else:
        tree = open_tree(path)
        with pytest.raises(InputError, match="is packed by pickle"):
            tree.text("/words")
    assert not trace.exists()


def test_the_stores_of_the_field(data_dir: Path) -> None:
    folder = data_dir / "field"
    if not (folder / "zarr_nested.zarr").is_dir():
        pytest.skip(f"no {folder}/zarr_nested.zarr")
    names = ("probeGuess", "objectGuess", "xcoords", "ycoords", "scan_index")
    taken = {"diffraction": "/entry/diff3d", **{name: f"/entry/{name}" for name in names}}
    scan = ptystore.open(folder / "zarr_nested.zarr", map=taken)
    single = ptystore.open(
        folder / "zarr_single_array.zarr", map={"diffraction": "zarr_single_array"}
    )
    root: Any = zarr.open_group(str(folder / "zarr_nested.zarr"), mode="r")
    for name, place in taken.items():
        assert_same(scan[name].values(), root[place.strip("/")][...])
    whole: Any = zarr.open_array(str(folder / "zarr_single_array.zarr"), mode="r")
    assert_same(single.frames.values(), whole[...])
    assert ptystore.canonicalize(scan).frames.shape == (12, 16, 16)
