"""ptychodus in CXI: diffraction.cxi and product.cxi, each alone, as a pair, or in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import opened, plain_patches, remarks, residual
from ptystore import Dataset, InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from ptystore.formats.supplement_said import FramesSaid
from scans import assert_same

RNG = np.random.default_rng(7)
JOULE = 1.602176634e-19
COUNT = 6
#: The object's pixel and centre in metres, y and x.
DX, CENTER = np.array([2e-8, 3e-8]), np.array([4e-6, -7e-6])
DISTANCE = 1.75


class Scene:
    """A scan of odd or even frames, whose positions are (y, x) in the object's pixels."""

    def __init__(self, shape: tuple[int, int], extents: tuple[int, int] = (40, 51)) -> None:
        self.shape, self.extents = shape, extents
        height, width = shape
        #: The detector's pixel [y, x], by the far field's dx = λz/(NΔ).
        self.pixel = 1.2398419843320026e-6 / 8800 * DISTANCE / (np.array(shape) * DX)
        self.object = RNG.normal(size=(1, *extents)) + 1j * RNG.normal(size=(1, *extents))
        self.probe = RNG.normal(size=(2, 1, *shape)) + 1j * RNG.normal(size=(2, 1, *shape))
        self.y = RNG.uniform(height, extents[0] - height, COUNT)
        self.x = RNG.uniform(width, extents[1] - width, COUNT)
        patches = plain_patches(self.object[0], self.y, self.x, shape)
        waves = np.fft.fftshift(np.fft.fft2(self.probe[0, 0] * patches), axes=(-2, -1))
        self.counts = np.round(1e3 * np.abs(waves) ** 2).astype(np.int64)
        self.bad = np.zeros(shape, bool)
        self.bad[1, 2] = True

    def metres(self) -> Any:
        """(x, y, z): from the object's middle, window by window, as row 1 says."""
        y, x = (
            (at - ((extent - n) / 2 + n // 2)) * size + middle
            for at, extent, n, size, middle in zip(
                (self.y, self.x), self.extents, self.shape, DX, CENTER, strict=True
            )
        )
        return np.stack([x, y, np.zeros(COUNT)], 1)

    def diffraction(self, path: Path, **extras: float) -> Path:
        with h5py.File(path, "a") as file:
            self._head(file)
            detector = file.require_group("entry_1/instrument_1/detector_1")
            detector.create_dataset("data", data=self.counts, compression="lzf")
            detector["mask"] = self.bad.astype(np.uint32)
            detector["y_pixel_size"], detector["x_pixel_size"] = self.pixel
            group = file.require_group("entry_1/data_1")
            group["data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
            for name, value in extras.items():
                file[f"entry_1/ptychodus/{name}"] = value
        return path

    def product(self, path: Path, indexes: Any = None, *, leave_out: str = "") -> Path:
        with h5py.File(path, "a") as file:
            self._head(file)
            entry = file["entry_1"]
            entry["title"], entry["experiment_description"] = "name", "words"
            entry["sample_1/geometry_1/translation"] = self.metres()
            data = file.require_group("entry_1/data_1")
            data["translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")
            for number, (values, axes) in enumerate(
                ((self.probe, "coherent:incoherent:y:x"), (self.object, "layer:y:x")), 1
            ):
                image = entry.create_group(f"image_{number}")
                image["data"] = values
                image["data"].attrs["axes"] = axes
                height, width = values.shape[-2:]
                image["image_size"] = [DX[1] * width, DX[0] * height, 0.0]
            source = entry["instrument_1/source_1"]
            source["illumination"] = h5py.SoftLink("/entry_1/image_1/data")
            entry["process_1/program"] = "Ptychodus"
            own = {
                "probe_position_indexes": np.arange(COUNT) if indexes is None else indexes,
                "probe_pixel_width_m": DX[1],
                "probe_pixel_height_m": DX[0],
                "object_pixel_width_m": DX[1],
                "object_pixel_height_m": DX[0],
                "object_center_x_m": CENTER[1],
                "object_center_y_m": CENTER[0],
                "opr_weights": np.arange(2.0 * COUNT).reshape(COUNT, 2),
                "probe_photon_count": 2e6,
                "exposure_time_s": 0.25,
                "tomography_angle_deg": 12.5,
                "loss_epochs": [0, 1],
                "loss_values": [3.0, 2.0],
            }
            for name, value in own.items():
                if not leave_out or leave_out not in name:
                    entry[f"ptychodus/{name}"] = value
        return path

    def _head(self, file: h5py.File) -> None:
        if "cxi_version" in file:
            return
        file["cxi_version"] = 160
        file["entry_1/instrument_1/source_1/energy"] = 8800 * JOULE
        file["entry_1/instrument_1/detector_1/distance"] = DISTANCE

    def check(self, scan: Dataset) -> None:
        np.testing.assert_allclose(scan["ycoords"].values(), self.y, rtol=0, atol=1e-9)
        np.testing.assert_allclose(scan["xcoords"].values(), self.x, rtol=0, atol=1e-9)
        np.testing.assert_allclose(scan["position_x_m"].values(), self.metres()[:, 0], rtol=1e-12)
        assert_same(scan["objectGuess"].values(), self.object[0])
        assert_same(scan["probeGuess"].values(), self.probe)
        assert_same(scan["opr_weights"].values(), np.arange(2.0 * COUNT).reshape(COUNT, 2))
        assert_same(scan["loss"].values(), np.array([3.0, 2.0]))
        facts = {name: fact.value for name, fact in scan.geometry.items()}
        assert facts["object_pixel_size_m"] == DX.tolist()
        assert facts["object_center_m"] == CENTER.tolist()
        assert facts["photon_energy_eV"] == pytest.approx(8800, 1e-12)
        assert (facts["probe_photon_count"], facts["exposure_s"]) == (2e6, 0.25)
        assert (facts["tomography_angle_deg"], facts["detector_distance_m"]) == (12.5, DISTANCE)
        source = scan.geometry["object_center_m"].source
        assert source == "/entry_1/ptychodus/object_center_y_m"

    def check_frames(self, scan: Dataset) -> None:
        assert_same(scan["diffraction"].values(), self.counts)
        assert_same(scan["mask"].values(), self.bad.astype(np.uint32))
        assert scan.geometry.pair("detector_pixel_size_m") == tuple(self.pixel)
        y, x = scan["ycoords"].values(), scan["xcoords"].values()
        patches = plain_patches(scan["objectGuess"].values(), y, x, self.shape)
        probe = scan["probeGuess"].values()[0, :1, :, :]
        assert residual(self.counts, probe, patches, ~self.bad) < 1e-3


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (7, 10)])
@pytest.mark.parametrize("first", ["diffraction", "product"])
def test_a_pair(tmp_path: Path, shape: tuple[int, int], first: str) -> None:
    scene = Scene(shape)
    scene.diffraction(tmp_path / "diffraction.cxi")
    scene.product(tmp_path / "product.cxi")
    scan = opened(tmp_path / f"{first}.cxi")
    scene.check(scan)
    scene.check_frames(scan)
    assert_same(scan["frame_index"].values(), np.arange(COUNT))
    assert remarks(scan) == ""
    assert scan.metadata is not None
    assert scan.metadata.document["additional_parameters"]["comments"] == "words"


def test_in_one_file(tmp_path: Path) -> None:
    scene = Scene((7, 10))
    scene.diffraction(tmp_path / "a.cxi")
    scene.product(tmp_path / "a.cxi", [5, 7, 9, 11, 13, 15])
    scan = opened(tmp_path / "a.cxi")
    scene.check(scan)
    scene.check_frames(scan)
    assert_same(scan["frame_index"].values(), np.arange(5, 16, 2))
    assert remarks(scan) == ""


def test_the_basis_does_not_count(tmp_path: Path) -> None:
    scene = Scene((7, 10))
    path = scene.product(scene.diffraction(tmp_path / "a.cxi"))
    with h5py.File(path, "a") as file:
        up = np.array([[0, scene.pixel[1]], [scene.pixel[0], 0], [0, 0]])
        file["entry_1/instrument_1/detector_1/basis_vectors"] = up
    scene.check(opened(path))


@pytest.mark.parametrize("shape", [(8, 8), (7, 10)])
def test_a_product_alone(tmp_path: Path, shape: tuple[int, int]) -> None:
    scene = Scene(shape)
    scan = opened(scene.product(tmp_path / "a.cxi"))
    scene.check(scan)
    assert "diffraction" not in scan
    assert "--with names a file diffraction.cxi" in remarks(scan)


def test_frames_alone(tmp_path: Path) -> None:
    scene = Scene((7, 10))
    path = scene.diffraction(tmp_path / "a.cxi")
    assert_name(path, "cxi")
    scan = opened(path)
    assert_same(scan["diffraction"].values(), scene.counts)
    assert set(scan) == {"diffraction", "mask"}
    assert "--with a product.cxi" in remarks(scan)
    path = scene.diffraction(tmp_path / "b.cxi", exposure_time_s=0.5)
    assert_name(path, "ptychodus-cxi")
    scan = opened(path)
    assert scan.geometry.number("exposure_s") == 0.5


def assert_name(path: Path, name: str) -> None:
    found = dialect_of(open_tree(path), None)
    assert found is not None
    assert found.name == name


def test_the_partner_by_name(tmp_path: Path) -> None:
    scene = Scene((7, 10))
    a, b = scene.diffraction(tmp_path / "a.cxi"), scene.product(tmp_path / "b.cxi")
    scene.check_frames(opened(a, partner=b))
    scene.check_frames(opened(b, partner=a))
    with pytest.raises(InputError, match=r"no translations of CXI.*a\.cxi"):
        opened(a, partner=a)
    with pytest.raises(InputError, match="no frames of CXI"):
        opened(b, partner=b)
    np.savez(tmp_path / "c.npz", x=np.ones(3))
    with pytest.raises(InputError, match="no frames of CXI"):
        opened(b, partner=tmp_path / "c.npz")


def test_some_positions(tmp_path: Path) -> None:
    """Numbers of frames are rows of the file of frames, which has none."""
    scene = Scene((7, 10))
    order = np.array([4, 0, 3, 1, 5, 2])
    scene.diffraction(tmp_path / "diffraction.cxi")
    scene.product(tmp_path / "product.cxi", order)
    scan = opened(tmp_path / "product.cxi")
    assert_same(scan["diffraction"].values(), scene.counts[order])
    assert_same(scan["frame_index"].values(), order)
    np.testing.assert_allclose(scan["ycoords"].values(), scene.y, atol=1e-9)


def test_positions_without_frames(tmp_path: Path) -> None:
    scene = Scene((7, 10))
    scene.product(tmp_path / "product.cxi", np.arange(COUNT)[::-1] + 2)
    scene.diffraction(tmp_path / "diffraction.cxi")
    with pytest.raises(InputError, match="frames 6 to 7 are missing"):
        opened(tmp_path / "product.cxi")
    scan = opened(tmp_path / "product.cxi", frames=FramesSaid(unpaired="drop"))
    assert_same(scan["frame_index"].values(), np.arange(2, 6)[::-1])
    assert_same(scan["diffraction"].values(), scene.counts[2:][::-1])
    np.testing.assert_allclose(scan["ycoords"].values(), scene.y[2:], atol=1e-9)
    assert_same(scan["opr_weights"].values(), np.arange(12.0).reshape(6, 2)[2:])


def test_numbers_that_are_no_rows(tmp_path: Path) -> None:
    scene = Scene((7, 10))
    scene.product(tmp_path / "product.cxi", [5, 7, 9, 11, 13, 15])
    scene.diffraction(tmp_path / "diffraction.cxi")
    scan = opened(tmp_path / "product.cxi")
    scene.check_frames(scan)
    assert_same(scan["frame_index"].values(), np.arange(5, 16, 2))
    assert "paired in order" in remarks(scan)


def test_without_a_centre_or_a_pixel(tmp_path: Path) -> None:
    scene = Scene((7, 10))
    scan = opened(scene.product(tmp_path / "a.cxi", leave_out="center"))
    assert "ycoords" not in scan
    assert "object_center_y_m" in remarks(scan)
    assert_same(scan["position_y_m"].values(), scene.metres()[:, 1])
    scan = opened(scene.product(tmp_path / "b.cxi", leave_out="pixel"))
    assert scan.geometry.pair("object_pixel_size_m") == pytest.approx(tuple(DX), 1e-12)
    np.testing.assert_allclose(scan["ycoords"].values(), scene.y, atol=1e-9)


@pytest.mark.parametrize("name", ["probe_position_indexes", "opr_weights"])
def test_lists_of_another_length(tmp_path: Path, name: str) -> None:
    path = Scene((7, 10)).product(tmp_path / "a.cxi", leave_out=name)
    with h5py.File(path, "a") as file:
        file[f"entry_1/ptychodus/{name}"] = np.arange(5)
    with pytest.raises(InputError, match="5 entries for 6 positions"):
        opened(path)
