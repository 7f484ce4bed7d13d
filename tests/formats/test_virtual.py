"""Virtual fields: a store that keeps how to compute a field gives what a store of values gives."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import zarr

import ptystore
import scans

STORES = (".zarr", ".h5")


def both(folder: Path, suffix: str) -> tuple[ptystore.Dataset, ptystore.Dataset]:
    """The same canonical, patched scan with values and with recipes, read back from stores."""
    raw = folder / f"raw{suffix}"
    ptystore.write(ptystore.dataset_of(scans.scan(frames=50)), raw)
    opened = []
    for virtual in (False, True):
        scan = ptystore.canonicalize(ptystore.open(raw), virtual=virtual)
        path = folder / f"virtual-{virtual}{suffix}"
        ptystore.write(ptystore.extract_patches(scan, virtual=virtual), path)
        opened.append(ptystore.open(path))
    return opened[0], opened[1]


@pytest.mark.parametrize("suffix", STORES)
def test_values_are_those_of_a_store_of_values(tmp_path: Path, suffix: str) -> None:
    stored, virtual = both(tmp_path, suffix)
    assert list(virtual) == list(stored)
    for name in ("diffraction", "Y"):
        assert virtual[name].recipe is not None
        assert virtual[name].attrs == stored[name].attrs
        np.testing.assert_array_equal(virtual[name].values(), stored[name].values())
        indices = np.array([40, 3, 3, 17])
        np.testing.assert_array_equal(virtual[name][indices], stored[name][indices])


@pytest.mark.parametrize("suffix", STORES)
def test_the_values_are_not_in_the_store(tmp_path: Path, suffix: str) -> None:
    both(tmp_path, suffix)
    sizes = [
        sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) or path.stat().st_size
        for path in (tmp_path / f"virtual-{virtual}{suffix}" for virtual in (True, False))
    ]
    assert sizes[0] < sizes[1]
    if suffix == ".zarr":
        assert "Y" not in set(zarr.open_group(str(tmp_path / "virtual-True.zarr"), mode="r"))


@pytest.mark.parametrize("suffix", STORES)
def test_a_copy_stays_virtual_and_the_same(tmp_path: Path, suffix: str) -> None:
    _, virtual = both(tmp_path, suffix)
    first = ptystore.write(virtual, tmp_path / f"copy{suffix}")
    again = ptystore.open(tmp_path / f"copy{suffix}")
    second = ptystore.write(again, tmp_path / f"copy2{suffix}")
    assert again["Y"].recipe is not None
    assert first.digests == second.digests
    assert first.digest == second.digest


@pytest.mark.parametrize("suffix", [*STORES, ".npz"])
def test_materialized_it_is_the_store_of_values(tmp_path: Path, suffix: str) -> None:
    stored, virtual = both(tmp_path, ".zarr")
    scan = virtual if suffix == ".npz" else ptystore.materialize(virtual)
    report = ptystore.write(scan, tmp_path / f"written{suffix}")
    assert report.digests == {one.name: one.digest for one in stored.values()}
    assert ptystore.open(tmp_path / f"written{suffix}")["Y"].recipe is None


def test_positions_changed_afterwards_do_not_move_the_patches(tmp_path: Path) -> None:
    raw = ptystore.dataset_of(scans.scan())
    patched = ptystore.extract_patches(raw, virtual=True)
    expected = patched["Y"].values()
    flipped = ptystore.canonicalize(patched, flipx=True)
    assert flipped["xcoords"][0] == -raw["xcoords"][0]
    ptystore.write(flipped, tmp_path / "flipped.zarr")
    np.testing.assert_array_equal(ptystore.open(tmp_path / "flipped.zarr")["Y"].values(), expected)


def test_verify_accepts_a_virtual_store_and_finds_damage_under_it(tmp_path: Path) -> None:
    both(tmp_path, ".zarr")
    path = tmp_path / "virtual-True.zarr"
    assert ptystore.verify(path).ok
    shard = next(path.glob("diffraction.diff3d/c.*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    assert not ptystore.verify(path).ok
    with pytest.raises(ptystore.IntegrityError, match="frames"):
        ptystore.open(path)["diffraction"].values()


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    scan = ptystore.extract_patches(ptystore.dataset_of(scans.scan()), virtual=True)
    y = scan["Y"]
    assert y.recipe is not None
    odd = dataclasses.replace(y, recipe=dataclasses.replace(y.recipe, compute="os.system"))
    fields = {**scan.fields, "Y": odd}
    ptystore.write(dataclasses.replace(scan, fields=fields), tmp_path / "odd.zarr")
    with pytest.raises(ptystore.IntegrityError, match="Y: its recipe can't be computed"):
        ptystore.open(tmp_path / "odd.zarr")


def test_the_root_says_how_to_compute_it(tmp_path: Path) -> None:
    both(tmp_path, ".zarr")
    root = json.loads((tmp_path / "virtual-True.zarr" / "zarr.json").read_text())
    note = root["attributes"]["ptystore"]
    assert note["hidden"] == ["diffraction.diff3d"]
    assert note["virtual"]["Y"]["inputs"] == ["objectGuess", "xcoords", "ycoords"]
    assert note["virtual"]["Y"]["parameters"]["interpolation"] == "bilinear"
