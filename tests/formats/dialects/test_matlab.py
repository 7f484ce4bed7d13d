"""Reconstructions of PtychoShelves and fold_slice in MATLAB files of version 5 and 7.3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from foreign import assert_truth, fixture, opened
from ptystore import InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from scans import assert_same

RNG = np.random.default_rng(5)
WAVELENGTH = 1.5e-10
WIDTH, HEIGHT = 2e-8, 3e-8
LOSS = RNG.random(7)
HEADS = {"v5": 0, "v7.3": 0, "v7.3 behind a user block": 512}


def shown(**changes: Any) -> dict[str, Any]:
    """A reconstruction in the shapes that MATLAB shows; a change to None leaves something out."""
    content = {
        "probe": complex_(7, 9, 2, 3),
        "object": complex_(20, 31, 4),
        "p/lambda": np.array([[WAVELENGTH]]),
        "p/dx_spec": np.array([[WIDTH, HEIGHT]]),
        "p/angle": np.array([[-12.5]]),
        "p/multi_slice_param/z_distance": np.array([[1e-6, 2e-6, 3e-6, np.inf]]),
        "p/positions": RNG.uniform(1, 10, (6, 2)),
        "outputs/probe_positions": RNG.uniform(-5, 5, (6, 2)),
        "outputs/fourier_error_out": LOSS[None],
    }
    for name, value in changes.items():
        content[name.replace("__", "/")] = value
    return {name: value for name, value in content.items() if value is not None}


def complex_(*shape: int) -> Any:
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(np.complex64)


def saved(path: Path, content: dict[str, Any], head: str = "v5") -> Path:
    if head == "v5":
        nested: dict[str, Any] = {}
        for name, value in content.items():
            *groups, last = name.split("/")
            inside = nested
            for group in groups:
                inside = inside.setdefault(group, {})
            inside[last] = value
        scipy.io.savemat(path, nested, do_compression=True)
        return path
    block = HEADS[head]
    with h5py.File(path, "w", userblock_size=block) as file:
        for name, value in content.items():
            stored = value.T
            if stored.dtype == np.complex64:
                pairs = np.dtype([("real", "f4"), ("imag", "f4")])
                stored = np.ascontiguousarray(stored).view(pairs)
            file[name] = np.array(value.shape, "u8") if value.size == 0 else stored
            kind = "single" if value.dtype == np.complex64 else "double"
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
            if value.size == 0:
                file[name].attrs["MATLAB_empty"] = np.uint8(1)
    if block:
        with open(path, "r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def centres(coords: Any, size: int, extent: int) -> Any:
    """From the middle of an object's array to the middle of the window, pixel N//2 at `coords`."""
    first = np.asarray(coords) - size // 2
    return first + (size - 1) / 2 - (extent - 1) / 2


@pytest.mark.parametrize("head", HEADS)
def test_everything(tmp_path: Path, head: str) -> None:
    content = shown()
    scan = opened(saved(tmp_path / "a.mat", content, head))
    probe, whole = scan["probeGuess"].values(), scan["objectGuess"].values()
    assert probe.shape == (3, 2, 7, 9)
    assert whole.shape == (4, 20, 31)
    for opr in range(3):
        for mode in range(2):
            assert_same(probe[opr, mode], content["probe"][:, :, mode, opr])
    for layer in range(4):
        assert_same(whole[layer], content["object"][:, :, layer])
    assert_same(scan["objectGuess"][2, 3:5], whole[2, 3:5])
    q = content["outputs/probe_positions"]
    y, x = scan["ycoords"].values(), scan["xcoords"].values()
    np.testing.assert_allclose(centres(y, 7, 20), q[:, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(centres(x, 9, 31), q[:, 0], rtol=0, atol=1e-12)
    assert_same(scan["slice_spacing_m"].values(), np.array([1e-6, 2e-6, 3e-6]))
    assert_same(scan["loss"].values(), LOSS)
    assert {name: fact.value for name, fact in scan.geometry.items()} == {
        "wavelength_m": WAVELENGTH,
        "object_pixel_size_m": [HEIGHT, WIDTH],
        "tomography_angle_deg": -12.5,
    }
    assert "diffraction" not in scan
    assert scan.source is not None
    assert "--map diffraction=" in scan.source.remarks[-1]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("size", "shape"), [((8, 8), (20, 31)), ((8, 7), (21, 30)), ((9, 8), (22, 29))]
)
def test_one_mode_and_one_slice(
    tmp_path: Path, head: str, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    content = shown(probe=complex_(*size), object=complex_(*shape))
    scan = opened(saved(tmp_path / "a.mat", content, head))
    assert_same(scan["probeGuess"].values(), content["probe"])
    assert_same(scan["objectGuess"].values(), content["object"])
    assert "slice_spacing_m" not in scan
    q = content["outputs/probe_positions"]
    for name, axis, column in (("ycoords", 0, 1), ("xcoords", 1, 0)):
        found = centres(scan[name].values(), size[axis], shape[axis])
        np.testing.assert_allclose(found, q[:, column], rtol=0, atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
def test_probes_of_one_mode_vary_along_the_last_axis(tmp_path: Path, head: str) -> None:
    """(N, N, 1, opr) is no (N, N, mode)."""
    content = shown(probe=complex_(7, 9, 1, 3))
    scan = opened(saved(tmp_path / "a.mat", content, head))
    assert scan["probeGuess"].shape == (3, 1, 7, 9)
    assert_same(scan["probeGuess"][2, 0], content["probe"][:, :, 0, 2])
    content = shown(probe=complex_(7, 9, 2))
    scan = opened(saved(tmp_path / "b.mat", content, head))
    assert scan["probeGuess"].shape == (2, 7, 9)
    assert_same(scan["probeGuess"][1], content["probe"][:, :, 1])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("outputs", [None, np.zeros((0, 0))])
def test_nominal_positions_stand_in(tmp_path: Path, head: str, outputs: Any) -> None:
    """Where there are no refined ones: first corners as MATLAB counts, row before column."""
    content = shown(outputs__probe_positions=outputs)
    scan = opened(saved(tmp_path / "a.mat", content, head))
    corners = content["p/positions"] - 1
    np.testing.assert_allclose(scan["ycoords"].values() - 7 // 2, corners[:, 0], atol=1e-12)
    np.testing.assert_allclose(scan["xcoords"].values() - 9 // 2, corners[:, 1], atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
def test_without_an_object_positions_are_relative(tmp_path: Path, head: str) -> None:
    content = shown(object=None)
    scan = opened(saved(tmp_path / "a.mat", content, head))
    q = content["outputs/probe_positions"]
    for name, column in (("ycoords", 1), ("xcoords", 0)):
        found = scan[name].values()
        np.testing.assert_allclose(found - found[0], q[:, column] - q[0, column], atol=1e-12)
    extents = [int(np.ceil(np.ptp(q[:, at]))) + size for at, size in ((1, 7), (0, 9))]
    assert scan.geometry["object_shape"].value == extents
    assert scan["ycoords"].values().min() == 3
    alone = opened(saved(tmp_path / "b.mat", shown(probe=None), head))
    assert "ycoords" not in alone
    assert alone.source is not None
    assert "can't be placed without a probe" in alone.source.remarks[0]


@pytest.mark.parametrize("head", HEADS)
def test_the_detectors_pixel_gives_the_distance(tmp_path: Path, head: str) -> None:
    path = saved(tmp_path / "a.mat", shown(probe=complex_(8, 8)), head)
    scan = opened(path, detector_pixel=(5e-5, 5e-5))
    found = scan.geometry["detector_distance_m"]
    assert found.value == pytest.approx(HEIGHT * 8 * 5e-5 / WAVELENGTH, rel=1e-12)
    assert found.source == "derived"
    scan = opened(path, detector_pixel=(5e-5, 5e-5), distance=3.0)
    assert scan.geometry["detector_distance_m"].value == 3


@pytest.mark.parametrize("head", HEADS)
def test_what_is_not_there_is_not_known(tmp_path: Path, head: str) -> None:
    empty = np.zeros((0, 0))
    content = shown(p__angle=empty, p__dx_spec=None, outputs__fourier_error_out=empty)
    content["p/lambda"] = np.array([[0.0]])
    content["p/multi_slice_param/z_distance"] = np.array([[1e-6, 2e-6]])
    scan = opened(saved(tmp_path / "a.mat", content, head))
    assert not scan.geometry
    assert "loss" not in scan
    assert "slice_spacing_m" not in scan
    assert scan.source is not None
    assert "2 distances for 4 slices" in scan.source.remarks[0]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outputs__probe_positions": np.zeros((2, 6))}, r"\(2, 6\).*\(n, 2\)"),
        ({"p__dx_spec": np.ones((1, 3))}, "3 numbers, not width and height"),
        ({"p__lambda": np.ones((1, 3))}, "one number should be"),
        ({"p__positions": complex_(6, 2), "outputs__probe_positions": None}, "real numbers"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, head: str, change: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        opened(saved(tmp_path / "a.mat", shown(**change), head))


def test_near_relatives(tmp_path: Path) -> None:
    """Arrays of these names that no MATLAB wrote, and a MATLAB file of other things."""

    def name_of(path: Path) -> str | None:
        found = dialect_of(open_tree(path), None)
        return found and found.name

    assert name_of(saved(tmp_path / "a.mat", shown())) == "ptychoshelves"
    assert name_of(saved(tmp_path / "b.mat", shown(), "v7.3")) == "ptychoshelves"
    with h5py.File(tmp_path / "b.mat", "a") as file:
        file.visititems(lambda _, node: node.attrs.pop("MATLAB_class", None) and None)
    assert name_of(tmp_path / "b.mat") is None
    assert name_of(saved(tmp_path / "c.mat", {"probe": complex_(3, 3), "x": np.eye(2)})) is None
    only_positions = {"outputs/probe_positions": np.zeros((3, 2))}
    assert name_of(saved(tmp_path / "d.mat", only_positions)) == "ptychoshelves"


def test_fixture(data_dir: Path) -> None:
    folder = fixture(data_dir, "ptychoshelves_mat_v73")
    knows = {"wavelength_m", "object_pixel_size_m"}
    assert_truth(opened(folder / "recons.mat"), folder, knows=knows)
    scan = opened(folder / "recons.mat", detector_pixel=(7.5e-5, 7.5e-5), energy=8800.0)
    assert scan.geometry["detector_distance_m"].value == pytest.approx(2, rel=1e-6)


def test_an_object_in_a_cell_is_told_to_be_left_out(tmp_path: Path) -> None:
    """Positions are then placed by themselves, as of no object."""
    cell = np.empty((1, 1), object)
    cell[0, 0] = complex_(20, 31)
    scan = opened(saved(tmp_path / "a.mat", shown(object=cell)))
    assert "objectGuess" not in scan
    assert scan.source is not None
    assert "/object is a cell array: it is left out" in scan.source.remarks
