"""Geometry in every format: the document has it, and readers of attributes find it at the root."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

import ptystore
import scans
from ptystore import Metadata
from ptystore.model.geometry import Fact, Geometry, RawFrame, with_geometry

GEOMETRY = Geometry(
    {
        "photon_energy_eV": Fact(8800.0, "/entry/energy é"),
        "detector_pixel_size_m": Fact([75e-6, 55e-6], "--detector-pixel"),
        "radiation": Fact("photon", "derived"),
        "scan_shape": Fact([3, 4], "--scan-shape"),
    }
)
RAW = RawFrame((20, 30), (9.5, 12.0), (1, 9, 2, 10), None, (2, 2), 5, (0.0, None), True, False)


def scan(metadata):
    frames = np.arange(12 * 16, dtype="u2").reshape(12, 4, 4)
    return ptystore.dataset_of({"diffraction": frames}, metadata)


def root_attributes(path):
    if path.suffix == ".zarr":
        return json.loads((path / "zarr.json").read_text("utf-8"))["attributes"]
    with h5py.File(path) as file:
        return {name: json.loads(text) for name, text in file.attrs.items()}


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_geometry_survives_every_format(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    ptystore.write(scan(with_geometry(Metadata.create(), GEOMETRY, RAW)), path)
    found = ptystore.open(path)
    assert found.geometry == GEOMETRY
    assert RawFrame.of(found.metadata) == RAW
    assert ptystore.verify(path).ok
    again = tmp_path / f"again{suffix}"
    ptystore.write(found, again)
    assert ptystore.open(again).geometry == GEOMETRY


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_readers_of_attributes_find_it_at_the_root(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    ptystore.write(scan(with_geometry(Metadata.create(), GEOMETRY, RAW)), path)
    attributes = root_attributes(path)
    assert attributes["geometry"] == GEOMETRY.to_json()
    assert attributes["geometry"]["scan_shape"] == {"value": [3, 4], "source": "--scan-shape"}
    assert attributes["raw_frame"] == RAW.to_json()


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
@pytest.mark.parametrize(
    "metadata",
    [None, Metadata.create(), Metadata({"physics_parameters": 3}), Metadata.keep_text("{")],
    ids=["none", "empty", "nonsense", "text"],
)
def test_without_geometry_there_are_no_such_attributes(tmp_path, suffix, metadata):
    path = tmp_path / f"scan{suffix}"
    ptystore.write(scan(metadata), path)
    assert not {"geometry", "raw_frame"} & root_attributes(path).keys()
    assert ptystore.verify(path).ok


def test_an_attribute_that_says_something_else_is_damage_and_does_not_count(tmp_path):
    path = tmp_path / "scan.h5"
    ptystore.write(scan(with_geometry(Metadata.create(), GEOMETRY)), path)
    with h5py.File(path, "r+") as file:
        file.attrs["geometry"] = json.dumps({"photon_energy_eV": {"value": 1, "source": "x"}})
    assert ptystore.open(path).geometry == GEOMETRY
    report = ptystore.verify(path)
    assert [damage.member for damage in report.damages] == ["geometry"]


@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_the_same_scan_gives_the_same_bytes(tmp_path, suffix):
    made = scan(with_geometry(Metadata.create(), GEOMETRY, RAW))
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        ptystore.write(made, path)
    one, other = (
        sorted(
            (str(file.relative_to(path)), file.read_bytes())
            for file in ([path] if path.is_file() else path.rglob("*"))
            if file.is_file()
        )
        for path in paths
    )
    assert one == other


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_measured_positions_stay_what_was_stored(tmp_path, suffix, virtual):
    """Their digest and, of a store with virtual fields, the store itself can be read."""
    measured = np.linspace(-1e-6, 1e-6, 12)
    made = ptystore.dataset_of(
        {
            **{name: one.values() for name, one in scan(None).fields.items()},
            **dict.fromkeys(("position_y_m", "position_x_m"), measured),
            **dict.fromkeys(("ycoords", "xcoords"), np.arange(12.0)),
        }
    )
    path = tmp_path / f"scan{suffix}"
    ptystore.write(ptystore.canonicalize(made, virtual=virtual and suffix != ".npz"), path)
    found = ptystore.open(path)["position_y_m"]
    assert found.digest == ptystore.verify(path).digests["position_y_m"]
    np.testing.assert_array_equal(found.values(), measured)
