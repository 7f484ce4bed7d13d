"""What prepare makes of geometry: pixels, positions in them, how frames lie on the detector."""

from __future__ import annotations

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest

from foreign import fixture
from ptystore import InputError, prepare
from ptystore.compute.turning import after, inverse
from ptystore.model.geometry import RawFrame
from raw_scans import COUNT, HEIGHT, WIDTH, frames, scan

FACTS = {
    "wavelength_m": 1.4e-10,
    "detector_distance_m": 2.0,
    "detector_pixel_size_m": [75e-6, 50e-6],
}


def pixel(shape, detector):
    return [1.4e-10 * 2.0 / (n * d) for n, d in zip(shape, detector, strict=True)]


@pytest.mark.parametrize("orientation", [0, 3, 4, 7])
@pytest.mark.parametrize("cut", [{"crop": (12, 8)}, {"crop": (12, 8), "bin": (2, 4)}, {"pad": 32}])
def test_geometry_and_positions_are_those_of_the_new_frames(cut, orientation):
    made = np.random.default_rng(2)
    y_m, x_m = made.uniform(-4e-6, 4e-6, (2, COUNT))
    dx = pixel((HEIGHT, WIDTH), FACTS["detector_pixel_size_m"])
    facts = {**FACTS, "object_pixel_size_m": dx}
    y, x = y_m / dx[0] + 99, x_m / dx[1] + 77
    raw = scan(
        frames(),
        center=(11, 9),
        facts=facts,
        ycoords=y,
        xcoords=x,
        ycoords_start=y + 0.5,
        xcoords_start=x - 0.25,
        position_y_m=y_m,
        position_x_m=x_m,
    )
    result = prepare(raw, orientation=orientation, **cut)
    shape = result["diffraction"].shape[1:]
    detector = [75e-6, 50e-6][:: -1 if orientation & 4 else 1]
    detector = [d * b for d, b in zip(detector, cut.get("bin", (1, 1)), strict=True)]
    geometry = result.geometry
    assert geometry.pair("detector_pixel_size_m") == pytest.approx(detector, rel=1e-12)
    new = pixel(shape, detector)
    assert geometry.pair("object_pixel_size_m") == pytest.approx(new, rel=1e-12)
    for name, metres, size, own, extent in (
        ("ycoords", y_m, shape[0], new[0], geometry.pair("object_shape")[0]),
        ("xcoords", x_m, shape[1], new[1], geometry.pair("object_shape")[1]),
    ):
        values = result[name].values()
        np.testing.assert_allclose(np.diff(values), np.diff(metres) / own, rtol=0, atol=1e-9)
        corner = values - size // 2
        assert corner.min() == pytest.approx(0, abs=1e-9)
        assert corner.max() + size <= extent < corner.max() + size + 1 + 1e-9
    start = result["ycoords_start"].values() - result["ycoords"].values()
    np.testing.assert_allclose(start, 0.5 * dx[0] / new[0], atol=1e-9)
    np.testing.assert_array_equal(result["position_y_m"].values(), y_m)


def test_what_a_sum_of_pixels_no_longer_tells():
    raw = scan(frames(), center=(11, 9), facts={"saturation_counts": 9.0, "exposure_s": 1.0})
    assert {*prepare(raw, crop=8).geometry} == {"saturation_counts", "exposure_s"}
    assert {*prepare(raw, crop=8, bin=2).geometry} == {"exposure_s"}


def test_positions_in_metres_alone_come_into_pixels():
    y_m, x_m = np.random.default_rng(2).uniform(-4e-6, 4e-6, (2, COUNT))
    raw = scan(frames(), center=(11, 9), facts=FACTS, position_y_m=y_m, position_x_m=x_m)
    result = prepare(raw, crop=8)
    new = pixel((8, 8), FACTS["detector_pixel_size_m"])
    np.testing.assert_allclose(result["xcoords"].values(), (x_m - x_m.min()) / new[1] + 4)
    assert result["xcoords"].attrs["units"] == "pixel"


def test_pixels_alone_are_scaled_with_the_frames():
    y, x = np.random.default_rng(2).uniform(10, 60, (2, COUNT))
    result = prepare(scan(frames(), center=(11, 9), ycoords=y, xcoords=x), crop=(12, 9), bin=3)
    np.testing.assert_allclose(result["ycoords"].values(), (y - y.min()) * 12 / HEIGHT + 2)
    np.testing.assert_allclose(result["xcoords"].values(), (x - x.min()) * 9 / WIDTH + 1)
    near = scan(frames(), center=(11, 9), ycoords=y, xcoords=x, facts={"propagation": "near"})
    cropped = prepare(near, crop=(12, 9), bin=3)
    np.testing.assert_allclose(cropped["ycoords"].values(), (y - y.min()) / 3 + 2)


def test_what_is_of_frames_of_the_old_size_is_not_made_wrong():
    y = np.full(COUNT, 20.0)
    held = {"ycoords": y, "xcoords": y, "objectGuess": np.ones((50, 50), "c8")}
    raw = scan(frames(), center=(11, 9), **held)
    with pytest.raises(InputError, match="objectGuess") as caught:
        prepare(raw, crop=8)
    assert "--skip objectGuess" in caught.value.advice
    same = prepare(raw, crop=(HEIGHT, WIDTH), center=(12, 9))
    np.testing.assert_array_equal(same["ycoords"].values(), y)
    with pytest.raises(InputError, match="probeGuess"):
        prepare(scan(frames(), center=(11, 9), probeGuess=np.ones((HEIGHT, WIDTH), "c8")), crop=8)


def test_it_can_be_done_in_two_steps():
    stack = frames()
    once = prepare(scan(stack, center=(11, 9)), crop=(8, 8), bin=2, orientation=5)
    first = prepare(scan(stack, center=(11, 9)), crop=(16, 14), orientation=5)
    twice = prepare(first, crop=(8, 8), bin=2)
    np.testing.assert_array_equal(once["diffraction"].values(), twice["diffraction"].values())
    assert RawFrame.of(once.metadata) == RawFrame.of(twice.metadata)
    with pytest.raises(InputError, match="only whole raw frames can be turned"):
        prepare(first, orientation=1)
    turned = prepare(prepare(scan(stack, center=(11, 9)), orientation=5), orientation=6)
    assert RawFrame.of(turned.metadata).orientation == after(5, 6)
    back = prepare(turned, orientation=inverse(after(5, 6)))
    np.testing.assert_array_equal(back["diffraction"].values(), stack)
    assert RawFrame.of(back.metadata).center_px == (11, 9)


def test_raw_frames_of_an_eiger_become_those_of_the_scene(data_dir):
    folder = fixture(data_dir, "eiger_master")
    parts = []
    for number in (1, 2):
        with h5py.File(folder / f"scan_data_{number:06d}.h5") as file:
            parts.append(file["entry/data/data"][:])
    with h5py.File(folder / "scan_master.h5") as file:
        detector = file["entry/instrument/detector"]
        pixel_mask = detector["detectorSpecific/pixel_mask"][:]
        center = detector["beam_center_y"][()], detector["beam_center_x"][()]
    scene = np.load(data_dir / "foreign" / "scene.npz")
    made = prepare(scan(np.concatenate(parts), center=center, mask=pixel_mask), crop=32)
    bad = made["mask"].values() != 0
    np.testing.assert_array_equal(bad, scene["bad"])
    expected = np.where(bad, 0, scene["counts"])
    np.testing.assert_array_equal(made["diffraction"].values(), expected)
    # Without the detector's mask its gaps are found by what they hold.
    bare = prepare(scan(np.concatenate(parts), center=center), crop=32)
    np.testing.assert_array_equal(bare["mask"].values() != 0, scene["bad"])
