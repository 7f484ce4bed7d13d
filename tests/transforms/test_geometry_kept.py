"""Geometry stays true of what transforms make: flips, parts, scans put together, simulations."""

from __future__ import annotations

import numpy as np
import pytest

import ptystore
from ptystore import InputError, Metadata, canonicalize, concat, select_view, simulate, split
from ptystore.compute.positions import moved_by_probe
from ptystore.model.geometry import Fact, Geometry, RawFrame, with_geometry

COUNT, SIZE = 14, 8
RAW = RawFrame((20, 30), (9.5, 12.0), (1, 9, 2, 10))
FACTS = {
    "photon_energy_eV": 8800.0,
    "detector_pixel_size_m": [75e-6, 50e-6],
    "object_pixel_size_m": [1e-8, 2e-8],
    "object_center_m": [3e-6, -2e-6],
    "object_shape": [40, 50],
    "scan_shape": [2, 7],
    "exposure_s": 0.1,
    "saturation_counts": 9000.0,
}
AFFINE = [[0.0, 1e7, 20.0], [-5e7, 0.0, 25.0]]


def scan(facts=None, seed=0, *, affine=AFFINE, raw=RAW, **more):
    made = np.random.default_rng(seed)
    y, x = made.uniform(-1e-6, 1e-6, (2, COUNT))
    known = {name: Fact(value, "/file") for name, value in {**FACTS, **(facts or {})}.items()}
    in_pixels = moved_by_probe(y, x, affine)
    arrays = {
        "diffraction": made.poisson(9, (COUNT, SIZE, SIZE)).astype("u2"),
        "ycoords": in_pixels[0],
        "xcoords": in_pixels[1],
        "position_y_m": y,
        "position_x_m": x,
        "frame_index": np.arange(COUNT) * 2 + 5,
        "monitor": made.uniform(1, 2, COUNT),
        "exposure": made.uniform(1, 2, COUNT),
        "probe_photon_counts": made.uniform(1, 2, COUNT),
        "mask": np.eye(SIZE, dtype="u4"),
        **more,
    }
    attrs = {name: {"affine": affine} for name in ("position_y_m", "position_x_m")}
    metadata = with_geometry(Metadata.create(), Geometry(known), raw)
    return ptystore.dataset_of(arrays, metadata, attrs=attrs)


def positions_of_metres(made):
    y, x = made["position_y_m"], made["position_x_m"]
    assert y.attrs["affine"] == x.attrs["affine"]
    return moved_by_probe(y.values(), x.values(), y.attrs["affine"])


@pytest.mark.parametrize(
    "flips", [{"flipx": True}, {"flipy": True}, {"flipx": True, "flipy": True}]
)
@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".npz"])
def test_a_flip_changes_signs_and_keeps_what_was_measured(tmp_path, flips, suffix):
    before = scan()
    path = tmp_path / f"scan{suffix}"
    ptystore.write(canonicalize(before, **flips), path)
    made = ptystore.open(path)
    sy, sx = (-1 if flips.get(name) else 1 for name in ("flipy", "flipx"))
    np.testing.assert_array_equal(made["ycoords"].values(), sy * before["ycoords"].values())
    np.testing.assert_array_equal(made["xcoords"].values(), sx * before["xcoords"].values())
    np.testing.assert_array_equal(made["position_y_m"].values(), before["position_y_m"].values())
    y, x = positions_of_metres(made)
    np.testing.assert_allclose(y, made["ycoords"].values(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(x, made["xcoords"].values(), rtol=0, atol=1e-9)
    assert made.geometry.pair("object_center_m") == (sy * 3e-6, sx * -2e-6)
    rest = dict(made.geometry)
    del rest["object_center_m"]
    # Of an object that held all windows before.
    assert rest == dict(before.geometry.without("object_center_m", "object_shape"))
    assert RawFrame.of(made.metadata) == RAW


def test_a_flip_of_positions_without_an_affine():
    bare = scan()
    fields = {n: f.values() for n, f in bare.fields.items()}
    made = canonicalize(ptystore.dataset_of(fields, bare.metadata), flipx=True)
    assert made["position_x_m"].attrs["affine"] == [[1, 0, 0], [0, -1, 0]]
    twice = canonicalize(made, flipx=True)
    assert twice["position_x_m"].attrs["affine"] == [[1, 0, 0], [0, 1, 0]]
    assert "affine" not in canonicalize(ptystore.dataset_of(fields))["position_x_m"].attrs


def test_parts_keep_geometry_and_what_belongs_to_a_frame():
    whole = scan()
    train, test = split(whole, axis="y", fraction=0.4)
    view = select_view(whole, fraction=0.5)
    patched = ptystore.extract_patches(scan(**object_and_probe()))
    assert patched.geometry == whole.geometry
    for part in (train, test, view, patched):
        # Part of a raster is none.
        assert part is patched or part.geometry == whole.geometry.without("scan_shape")
        assert RawFrame.of(part.metadata) == RAW
        frames = (part["frame_index"].values() - 5) // 2
        for name in ("diffraction", "position_y_m", "ycoords", "monitor", "exposure"):
            np.testing.assert_array_equal(part[name].values(), whole[name].values()[frames])
        np.testing.assert_array_equal(part["mask"].values(), whole["mask"].values())
    assert 0 < len(view["ycoords"]) < COUNT


def test_parts_of_a_scan_whose_geometry_is_nonsense():
    document = {"physics_parameters": {"geometry": {"wavelength_m": {"value": "long"}}}}
    fields = {name: field.values() for name, field in scan().fields.items()}
    train, _ = split(ptystore.dataset_of(fields, Metadata(document)))
    assert train.metadata.physics["geometry"]["wavelength_m"] == {"value": "long"}


def object_and_probe(size=SIZE):
    made = np.random.default_rng(4)
    wave = made.standard_normal((2, 40, 50)) + 1j * made.standard_normal((2, 40, 50))
    return {"objectGuess": wave[0], "probeGuess": wave[1, :size, :size]}


def warnings(made):
    return [line for check in made.checks for line in check()]


def test_scans_of_one_geometry_after_one_another():
    made = concat([scan(seed=0), scan({"object_shape": [60, 45]}, seed=1)])
    assert made.geometry.pair("object_shape") == (60, 50)
    assert "scan_shape" not in made.geometry
    assert made.geometry.number("photon_energy_eV") == 8800
    assert RawFrame.of(made.metadata) == RAW
    assert made["position_y_m"].attrs["affine"] == AFFINE
    assert len(made["frame_index"].values()) == 2 * COUNT
    assert not [line for line in warnings(made) if "differ" in line]
    assert concat([scan()]).geometry == scan().geometry


def test_scans_of_other_geometry():
    other = scan({"photon_energy_eV": 8900.0}, raw=RawFrame((20, 30), (9.5, 12.0), (0, 8, 2, 10)))
    made = concat([scan(), other])
    assert made.geometry.number("photon_energy_eV") == 8800
    (line,) = (line for line in warnings(made) if "the scans differ" in line)
    assert "photon_energy_eV, raw_frame" in line
    (noted,) = made.metadata.document["merge_info"]["differences"]
    geometry = noted["physics_parameters"]["geometry"]
    assert geometry["photon_energy_eV"] == {"value": 8900.0, "source": "/file"}
    with pytest.raises(InputError, match="disagree on their geometry: photon_energy_eV, raw_frame"):
        concat([scan(), other], merge="validate_consistent")
    concat([scan(), scan(seed=3)], merge="validate_consistent")


def test_positions_that_count_otherwise_are_not_put_together():
    with pytest.raises(InputError, match="position_y_m: counts in another way"):
        concat([scan(), scan(affine=[[1e7, 0, 0], [0, 1e7, 0]])])


def test_simulated_frames_lie_on_no_detector():
    before = scan(**object_and_probe())
    made = simulate(before, dose=1e4)
    assert RawFrame.of(made.metadata) is None
    facts = made.geometry
    assert "saturation_counts" not in facts
    assert facts.number("probe_photon_count") == 1e4
    for name in ("photon_energy_eV", "object_pixel_size_m", "detector_pixel_size_m", "scan_shape"):
        assert facts[name] == before.geometry[name]
    assert not {"mask", "probe_photon_counts"} & set(made)
    np.testing.assert_array_equal(made["exposure"].values(), before["exposure"].values())
    np.testing.assert_array_equal(made["frame_index"].values(), before["frame_index"].values())
    assert any("left out" in line and "mask" in line for line in warnings(made))
    drawn = simulate(before, dose=1e4, frames=5)
    assert "scan_shape" not in drawn.geometry
    assert "mask" not in drawn


def test_a_simulation_of_other_frames_has_other_pixels():
    before = scan(**object_and_probe(size=6))
    made = simulate(before, dose=None, noise=False)
    sizes = [75e-6 * SIZE / 6, 50e-6 * SIZE / 6]
    assert made.geometry.pair("detector_pixel_size_m") == pytest.approx(sizes)
    assert made.geometry.pair("object_pixel_size_m") == (1e-8, 2e-8)
    bare = simulate(
        ptystore.dataset_of(
            {**object_and_probe(), "xcoords": np.full(2, 20.0), "ycoords": np.full(2, 20.0)}
        ),
        dose=5.0,
    )
    assert not bare.geometry


@pytest.mark.parametrize("dtype", ["f4", "i4"])
def test_what_was_measured_becomes_what_the_contract_has(dtype):
    whole = {"monitor": np.arange(COUNT, dtype=dtype), "flatfield": np.ones((SIZE, SIZE), dtype)}
    made = canonicalize(scan(**whole))
    assert (made["monitor"].dtype, made["flatfield"].dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(made["monitor"].values(), whole["monitor"])
    assert canonicalize(scan(**whole), keep_dtypes=True)["monitor"].dtype == dtype
