"""NXptycho: chains of transformations, positioners, units that are labelled wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import opened, remarks
from ptystore import Dataset, InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from scans import assert_same

RNG = np.random.default_rng(9)
SHAPE, GRID = (9, 7), (2, 3)
COUNTS = RNG.poisson(9, (6, *SHAPE)).astype(np.uint16)
Y, X = RNG.uniform(-2e-6, 2e-6, (2, 6))
DETECTOR, DISTANCE = np.array([60e-6, 80e-6]), 1.5
WAVELENGTH = 1.2398419843320026e-6 / 6200
PIXEL = WAVELENGTH * DISTANCE / (np.array(SHAPE) * DETECTOR)
JOULE = 1.602176634e-19
Node = tuple[Any, dict[str, Any]]
NODES: dict[str, Node] = {
    "instrument/beam/energy": (6200.0, {"units": "eV"}),
    "instrument/detector/data": (COUNTS, {}),
    "instrument/detector/distance": (DISTANCE, {"units": "m"}),
    "instrument/detector/y_pixel_size": (60.0, {"units": "um"}),
    "instrument/detector/x_pixel_size": (80.0, {"units": "um"}),
}


def axis(values: Any, vector: Any, depends_on: str | None = ".", **attrs: Any) -> Node:
    told = {"units": "m", "transformation_type": "translation", **attrs}
    if depends_on is not None:
        told["depends_on"] = depends_on
    return values, {"vector": vector, **told}


def put(path: Path, entry: str = "entry", **more: Node | None) -> Path:
    """A file; names with `__` for slashes, None to leave out."""
    with h5py.File(path, "a") as file:
        group = file.create_group(entry)
        group["definition"] = "NXptycho"
        nodes = {**NODES, **{name.replace("__", "/"): node for name, node in more.items()}}
        for name, node in nodes.items():
            if node is not None:
                group[name] = node[0]
                group[name].attrs.update(node[1])
    return path


def check(scan: Dataset, y: Any = Y, x: Any = X) -> None:
    for name, metres, pixel in (("ycoords", y, PIXEL[0]), ("xcoords", x, PIXEL[1])):
        found = scan[name].values()
        wanted = (metres - metres[0]) / pixel
        np.testing.assert_allclose(found - found[0], wanted, rtol=0, atol=1e-9)


T = "sample/transformations"
OBLIQUE = np.array([0.6, 0.8, 0.0])


def test_a_chain(tmp_path: Path) -> None:
    """x hangs on y, which hangs on a stage at an angle; a fourth axis is not on the chain."""
    stage = RNG.uniform(-1e-6, 1e-6, 6)
    nodes = {
        "sample/depends_on": ("transformations/x", {}),
        f"{T}/x": axis(X * 1e6, [1, 0, 0], "y", units="um", offset=[5.0, 0, 0]),
        f"{T}/y": axis(Y, [0, 1, 0], f"/entry/{T}/stage"),
        f"{T}/stage": axis(stage, OBLIQUE, offset=[0, 2.0, 0], offset_units="mm"),
        f"{T}/detour": axis(RNG.normal(size=6), [1, 0, 0]),
    }
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    assert_same(scan["diffraction"].values(), COUNTS)
    check(scan, Y + 0.8 * stage, X + 0.6 * stage)
    wanted = Y + 0.8 * stage + 2e-3
    np.testing.assert_allclose(scan["position_y_m"].values(), wanted, rtol=0, atol=1e-15)
    wanted = X + 0.6 * stage + 5e-6
    np.testing.assert_allclose(scan["position_x_m"].values(), wanted, rtol=0, atol=1e-15)
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    assert facts["photon_energy_eV"] == 6200.0
    assert facts["detector_distance_m"] == DISTANCE
    assert facts["detector_pixel_size_m"] == pytest.approx(DETECTOR.tolist(), 1e-12)
    assert remarks(scan) == ""


def test_all_axes_without_a_start(tmp_path: Path) -> None:
    nodes = {f"{T}/v": axis(Y, [0, 1, 0], "."), f"{T}/h": axis(-X, [-1, 0, 0], None)}
    check(opened(put(tmp_path / "a.nxs", **nodes)))


def test_a_raster_of_lines(tmp_path: Path) -> None:
    slow, fast = np.array([1e-6, -1e-6]), np.array([-1e-6, 0, 2e-6])
    nodes = {
        "instrument/detector/data": (COUNTS.reshape(*GRID, *SHAPE), {}),
        f"{T}/y": axis(slow[:, None], [0, 1, 0]),
        f"{T}/x": axis(fast[None], [1, 0, 0]),
        f"{T}/z": axis(1e-3, [0, 0, 1]),
    }
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry["scan_shape"].value == [2, 3]
    check(scan, np.repeat(slow, 3), np.tile(fast, 2))
    nodes[f"{T}/y"], nodes[f"{T}/x"] = axis(slow, [0, 1, 0]), axis(fast, [1, 0, 0])
    check(opened(put(tmp_path / "b.nxs", **nodes)), np.repeat(slow, 3), np.tile(fast, 2))


def test_rotations_are_left_out(tmp_path: Path) -> None:
    nodes = {
        f"{T}/y": axis(Y, [0, 1, 0], "turn"),
        f"{T}/x": axis(X, [1, 0, 0], "turn"),
        f"{T}/turn": axis(30.0, [0, 1, 0], transformation_type="rotation", units="deg"),
    }
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    check(scan)
    assert remarks(scan).count("turns the sample") == 1


def test_mislabelled_units(tmp_path: Path) -> None:
    nodes = {
        "instrument/beam/energy": (6200 * JOULE, {"units": "eV"}),
        "instrument/detector/distance": (DISTANCE, {"units": "m"}),
        "instrument/detector/y_pixel_size": (60e-6, {"units": "um"}),
        "instrument/detector/x_pixel_size": (80e-6, {"units": "um"}),
        f"{T}/y": axis(Y, [0, 1, 0], units="um"),
        f"{T}/x": axis(X * 1e6, [1, 0, 0], units="um"),
    }
    scan = opened(put(tmp_path / "a.nxs", **nodes))
    check(scan)
    assert scan.geometry.number("photon_energy_eV") == pytest.approx(6200, 1e-12)
    assert scan.geometry.pair("detector_pixel_size_m") == tuple(DETECTOR)
    told = remarks(scan)
    assert told.count("is labelled eV and taken for J") == 1
    assert told.count("is labelled um and taken for m") == 3
    assert f"{T}/x" not in told


@pytest.mark.parametrize("named", [True, False])
def test_positioners(tmp_path: Path, named: bool) -> None:
    names = ("1", "2") if named else ("_y", "_x")
    nodes: dict[str, Node | None] = {}
    for name, values, motor in zip(names, (Y, X), ("Sample_Y", "Sample_X"), strict=True):
        group = f"sample/positioner{'_' if named else ''}{name}"
        nodes[f"{group}/raw_value"] = (values[:, None, None] * 1e3, {"units": "mm"})
        if named:
            nodes[f"{group}/name"] = (motor, {})
    check(opened(put(tmp_path / "a.nxs", **nodes)))


def test_positions_that_are_not_there(tmp_path: Path) -> None:
    scan = opened(put(tmp_path / "a.nxs"))
    assert "--positions" in remarks(scan)
    assert set(scan) == {"diffraction"}
    nodes = {"sample/positioner_1/raw_value": (Y, {"units": "m"})}
    scan = opened(put(tmp_path / "b.nxs", **nodes))
    assert "--positions" in remarks(scan)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ({f"{T}/x": (X, {"vector": [1, 0], "units": "m"})}, "three numbers"),
        ({f"{T}/x": (X, {"vector": [1, 0, 0]})}, "has no units"),
        ({f"{T}/x": axis(X, [1, 0, 0], units="V")}, "no length"),
        ({f"{T}/x": axis(X, [1, 0, 0], "y")}, "depends on y"),
        ({f"{T}/x": axis(X, [1, 0, 0], "x")}, "depends on itself"),
        ({f"{T}/x": axis(X[:4], [1, 0, 0])}, r"\(4,\) for 6 frames"),
        ({"sample/depends_on": ("nowhere", {})}, "depends on nowhere"),
        ({f"{T}/x": axis(X, [1, 0, 0], offset=[1, 2])}, "offset"),
        ({"instrument/beam/energy": (6200.0, {})}, "has no units"),
        ({"instrument/detector/distance": (1.5, {"units": "lux"})}, "'lux'"),
    ],
)
def test_what_is_not_understood(tmp_path: Path, nodes: dict[str, Node], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        opened(put(tmp_path / "a.nxs", **nodes))


def test_entries_and_classes(tmp_path: Path) -> None:
    """Groups by class, whatever their names, and entries by number."""
    path = put(tmp_path / "a.nxs", "entry_1")
    nodes: dict[str, Node | None] = {
        name.replace("detector", "lambda").replace("beam", "light"): node
        for name, node in NODES.items()
    }
    nodes |= dict.fromkeys(NODES)
    nodes |= {"instrument/lambda/data": (COUNTS + 1, {})}
    put(path, "entry_2", **nodes)
    with h5py.File(path, "a") as file:
        file["entry_2/instrument/lambda"].attrs["NX_class"] = "NXdetector"
        file["entry_2/instrument/light"].attrs["NX_class"] = "NXbeam"
    with pytest.raises(InputError, match="several entries"):
        opened(path)
    assert_same(opened(path, entry="1")["diffraction"].values(), COUNTS)
    scan = opened(path, entry="entry_2")
    assert_same(scan["diffraction"].values(), COUNTS + 1)
    assert scan.geometry.number("photon_energy_eV") == 6200.0
    found = dialect_of(open_tree(path), None)
    assert found is not None
    assert found.name == "nxptycho"
