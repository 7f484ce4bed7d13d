"""Simulated frames against the formula, their dose, and that nothing else decides their noise."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

import numpy as np
import pytest

import ptystore
from ptystore import InputError, Metadata, ParameterError, simulate
from ptystore.model.lazy_array import read_all
from reconstructions import dataset, reconstruction, slow_amplitude, slow_patch

simulate_module = import_module("ptystore.transforms.simulate")

MODULE = "ptystore.transforms.simulate"


def photons(field):
    """(s·A_obs)² of every pixel, float64."""
    return (field.attrs["amplitude_scale"] * field.values().astype(np.float64)) ** 2


@pytest.mark.parametrize("modes", [1, 3])
def test_without_noise_it_is_the_formula(modes):
    given = reconstruction(6, modes=modes)
    scan = simulate(dataset(6, modes=modes), noise=False)
    found = scan["diffraction"].values()
    assert found.dtype == np.float32
    patches = ptystore.extract_patches(scan)["Y"].values()
    for k in range(6):
        # Of the contract's patches, which are in single precision, every pixel is exact …
        np.testing.assert_allclose(
            found[k], slow_amplitude(given["probeGuess"], patches[k]), rtol=1e-5, atol=0
        )
        # … and of patches in double precision, to their own rounding.
        patch = slow_patch(given["objectGuess"], given["xcoords"][k], given["ycoords"][k], (32, 32))
        slow = slow_amplitude(given["probeGuess"], patch)
        np.testing.assert_allclose(found[k], slow, rtol=1e-5, atol=3e-7 * slow.max())


def test_without_noise_on_real_data(run1084):
    scan = simulate(ptystore.open(run1084), noise=False)
    frames = [0, 500, 1086]
    patches = ptystore.extract_patches(scan)["Y"][frames]
    probe = scan["probeGuess"].values()
    for amplitude, patch in zip(scan["diffraction"][frames], patches, strict=True):
        np.testing.assert_allclose(amplitude, slow_amplitude(probe, patch), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dose", [3, 1000, 2.5e6])
def test_the_dose_is_what_was_asked_for(dose):
    scan = simulate(dataset(200), dose=dose)
    counts = photons(scan["diffraction"])
    assert np.abs(counts - counts.round()).max() < 1e-3 * max(1, counts.max() / 8000)
    sums = counts.sum(axis=(1, 2))
    assert abs(sums.mean() - dose) < 5 * sums.std(ddof=1) / np.sqrt(len(sums))


def test_the_dose_on_real_data(run1084):
    field = simulate(ptystore.open(run1084), dose=1000, seed=1)["diffraction"]
    counts = photons(field)
    assert counts.shape == (1087, 64, 64)
    assert np.abs(counts - counts.round()).max() < 1e-3
    sums = counts.sum(axis=(1, 2))
    assert abs(sums.mean() - 1000) < 5 * sums.std(ddof=1) / np.sqrt(1087)


def test_the_scale_is_that_of_the_mean_energy():
    given = reconstruction(5)
    energy = [
        np.sum(np.abs(given["probeGuess"] * slow_patch(given["objectGuess"], x, y, (32, 32))) ** 2)
        for x, y in zip(given["xcoords"], given["ycoords"], strict=True)
    ]
    attrs = simulate(dataset(5), dose=777.0)["diffraction"].attrs
    assert attrs["amplitude_scale"] == pytest.approx(np.sqrt(777 / np.mean(energy)), rel=1e-6)
    assert attrs["signal"] == "amplitude"
    noiseless = simulate(dataset(5), dose=777.0, noise=False)["diffraction"]
    assert noiseless.attrs["amplitude_scale"] == attrs["amplitude_scale"]
    assert photons(noiseless).sum() == pytest.approx(5 * 777, rel=1e-5)
    assert "amplitude_scale" not in simulate(dataset(5), noise=False)["diffraction"].attrs


@pytest.mark.parametrize("signal", ["amplitude", "counts"])
def test_blocks_workers_and_order_change_nothing(signal, tmp_path, monkeypatch):
    def made():
        return simulate(dataset(100), dose=500, seed=9, signal=signal)

    whole = made()["diffraction"].values()
    reports = [
        ptystore.write(made(), tmp_path / name, jobs=jobs)
        for name, jobs in (("one.zarr", 1), ("three.zarr", 3), ("three.npz", 3), ("two.h5", 2))
    ]
    assert len({one.digest for one in reports}) == 1
    for name in ("one.zarr", "three.npz", "two.h5"):
        assert np.array_equal(ptystore.open(tmp_path / name)["diffraction"].values(), whole)
    scale = made()["diffraction"].attrs["amplitude_scale"]
    for rows in (1, 7, 13, 32, 3):
        monkeypatch.setattr(f"{MODULE}._PASS_BYTES", rows * 16 * 32 * 32)
        assert made()["diffraction"].attrs["amplitude_scale"] == scale
    array = made()["diffraction"].array
    parts = [array.read(start, min(start + 7, 100)) for start in range(91, -1, -7)]
    parts.append(array.read(98, 100))
    assert np.array_equal(np.concatenate([*parts[-2::-1], parts[-1]]), whole)
    order = np.random.default_rng(0).permutation(100)
    assert np.array_equal(array.take(order), whole[order])


def test_another_process_finds_the_same():
    field = simulate(dataset(9), dose=500, signal="counts")["diffraction"]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        # Sent before the first pass has run here.
        elsewhere = pool.submit(read_all, field.array).result()
        attrs = pool.submit(dict, field.attrs).result()
    assert np.array_equal(elsewhere, field.values())
    assert elsewhere.dtype == field.dtype
    assert attrs == dict(field.attrs)


def test_each_frame_and_seed_has_its_own_noise():
    given = reconstruction(3)
    given["xcoords"][:], given["ycoords"][:] = 50.0, 48.0
    del given["detector_mask"]
    frames = simulate(ptystore.dataset_of(given), dose=5000)["diffraction"].values()
    assert not np.array_equal(frames[0], frames[1])
    again = simulate(ptystore.dataset_of(given), dose=5000, seed=43)["diffraction"].values()
    assert not np.array_equal(frames[0], again[0])


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".npz"])
@pytest.mark.parametrize(("dose", "dtype"), [(1000, "uint16"), (2e7, "uint32")])
def test_counts_give_the_same_amplitude(suffix, dose, dtype, tmp_path):
    path = tmp_path / f"counts{suffix}"
    ptystore.write(simulate(dataset(20), dose=dose, signal="counts"), path)
    counts = ptystore.open(path)
    amplitude = simulate(dataset(20), dose=dose)["diffraction"]
    assert counts["diffraction"].dtype == dtype
    assert counts["diffraction"].attrs["signal"] == "counts"
    scale = counts["diffraction"].attrs["amplitude_scale"]
    assert scale == amplitude.attrs["amplitude_scale"]
    canonical = ptystore.canonicalize(counts)["diffraction"]
    assert canonical.attrs["amplitude_scale"] == scale
    assert np.array_equal(canonical.values(), amplitude.values())


@pytest.mark.parametrize("dose", [1e6, 9e6, 9.4e6, 9.6e6, 1e7, 2e7])
def test_counts_are_as_narrow_as_they_can_be(dose):
    field = simulate(dataset(20), dose=dose, signal="counts")["diffraction"]
    noiseless = simulate(dataset(20), dose=dose, noise=False)["diffraction"]
    brightest = photons(noiseless).max()
    fits = brightest + 10 * np.sqrt(brightest) + 10 <= 65535
    assert field.dtype == (np.uint16 if fits else np.uint32)
    values = field.values()
    assert values.dtype == field.dtype
    assert values.max() > 0.8 * brightest


def test_nothing_is_computed_until_it_is_asked_for(monkeypatch):
    calls = []

    def energy(probe, patches):
        calls.append(len(patches))
        return np.ones(len(patches))

    monkeypatch.setattr(f"{MODULE}.exit_energy", energy)
    scan = simulate(dataset(32), dose=100)
    chosen = ptystore.select_view(ptystore.extract_patches(scan), fraction=0.5)
    assert chosen["diffraction"].shape == (16, 32, 32)
    assert calls == []
    chosen["diffraction"].values()
    assert sum(calls) == 32
    assert scan["diffraction"].attrs["amplitude_scale"] == 10.0
    assert sum(calls) == 32  # one pass serves all
    counts = simulate(dataset(32), dose=100, signal="counts")
    assert counts["diffraction"].shape == (32, 32, 32)
    assert sum(calls) == 32
    assert counts["diffraction"].dtype == np.uint16
    assert sum(calls) == 64


def test_new_positions_bring_their_own_frames(tmp_path):
    scan = dataset()
    uniform = simulate(scan, dose=50, frames=11, buffer=20, seed=5)
    assert set(uniform) == {
        *("diffraction", "probeGuess", "objectGuess", "detector_mask", "xcoords", "ycoords")
    }
    assert uniform["diffraction"].shape == (11, 32, 32)
    x, y = uniform["xcoords"].values(), uniform["ycoords"].values()
    assert x.dtype == y.dtype == np.float64
    assert min(x.min(), y.min()) >= 20
    assert max(x.max() - 99, y.max() - 95) <= -20
    report = ptystore.write(uniform, tmp_path / "u.zarr")
    assert any("scan_index, exposure" in line for line in report.warnings)
    record = ptystore.open(tmp_path / "u.zarr").metadata.history[-1]["parameters"]
    assert record["positions"] == "uniform"
    assert record["buffer"] == 20
    assert record["frames"] == 11
    assert record["left_out"] == ["scan_index", "exposure"]
    raster = simulate(scan, dose=50, frames=9, raster=True, step=10.0, jitter=0.0, seed=5)
    steps = np.diff(raster["xcoords"].values().reshape(3, 3))
    np.testing.assert_allclose(steps, 10.0)
    assert raster.metadata.history[-1]["parameters"]["positions"] == "raster"
    other = simulate(scan, dose=50, frames=11, buffer=20, seed=6)
    assert not np.array_equal(other["xcoords"].values(), x)


def test_the_files_own_positions_keep_their_fields():
    scan = dataset()
    raw = np.ones((32, 32, 32), np.float32)
    with_frames = ptystore.dataset_of({"diff3d": raw, **reconstruction()})
    made = simulate(with_frames, dose=50)
    assert "diff3d" not in made
    assert made.metadata.history[-1]["parameters"]["left_out"] == ["diff3d"]
    made = simulate(scan, dose=50)
    assert list(made) == ["diffraction", *scan]
    for name in scan:
        assert made[name] is scan[name]


def test_the_metadata_speak_of_the_new_frames():
    document = Metadata.create(
        {"nphotons": 1e9, "gridsize": 2, "N": 64, "measurement_domain": "count_intensity"},
        additional={"beamline": "XPP"},
    )
    made = simulate(dataset(metadata=document), dose=123.0, seed=7).metadata
    assert made.physics == {
        "nphotons": 123.0, "gridsize": 2, "N": 32, "measurement_domain": "normalized_amplitude",
    }  # fmt: skip
    assert made.document["additional_parameters"] == {"beamline": "XPP"}
    record = made.history[-1]
    assert (record["tool"], record["operation"]) == ("ptystore", "simulate")
    assert record["parameters"] == {
        "dose": 123.0, "noise": True, "seed": 7, "signal": "amplitude", "frames": 32,
        "positions": "file", "left_out": [],
    }  # fmt: skip
    created = simulate(dataset(), dose=55).metadata
    assert created.physics == {
        "gridsize": 1, "N": 32, "nphotons": 55, "measurement_domain": "normalized_amplitude",
    }  # fmt: skip
    assert "nphotons" not in simulate(dataset(), noise=False).metadata.physics


def test_windows_outside_the_object_are_named(tmp_path):
    given = reconstruction(4)
    given["xcoords"][2] = -40.0
    report = ptystore.write(simulate(ptystore.dataset_of(given), dose=10), tmp_path / "scan.zarr")
    assert any("1 of 4 frames" in line and "frame 2" in line for line in report.warnings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs a dose"),
        ({"dose": 0}, "dose"),
        ({"dose": float("nan")}, "dose"),
        ({"dose": float("inf")}, "dose"),
        ({"dose": 9, "seed": -1}, "seed"),
        ({"dose": 9, "signal": "intensity"}, "signal"),
        ({"dose": 9, "signal": "counts", "noise": False}, "whole numbers"),
        ({"dose": 9, "raster": True}, "raster"),
        ({"dose": 9, "frames": 0}, "0 frames"),
        ({"dose": 9, "frames": 4, "buffer": 80.0}, "buffer"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ParameterError, match=words):
        simulate(dataset(), **options)


@pytest.mark.parametrize("name", ["probeGuess", "objectGuess", "xcoords", "ycoords"])
def test_what_is_missing_is_named(name):
    given = reconstruction()
    del given[name]
    with pytest.raises(InputError, match=name):
        simulate(ptystore.dataset_of(given), dose=10)


def test_no_light_and_no_place_are_refused_when_read(tmp_path):
    given = reconstruction(4)
    given["probeGuess"][:] = 0
    with pytest.raises(InputError, match=r"diffraction.*energy"):
        ptystore.write(simulate(ptystore.dataset_of(given), dose=10), tmp_path / "dark.zarr")
    given = reconstruction(4)
    given["ycoords"][1] = np.nan
    with pytest.raises(InputError, match="frame 1 is not finite"):
        ptystore.write(simulate(ptystore.dataset_of(given), dose=10), tmp_path / "nan.zarr")
    assert list(tmp_path.iterdir()) == []
    empty = {**reconstruction(4), "xcoords": np.empty(0), "ycoords": np.empty(0)}
    for name in ("scan_index", "exposure", "detector_mask"):
        del empty[name]
    with pytest.raises(InputError, match="xcoords"):
        simulate(ptystore.dataset_of(empty), dose=10)


@pytest.fixture
def passes(monkeypatch):
    """How often the dose pass over all frames ran."""
    ran = []
    honest = simulate_module.DosePass._over_all_frames

    def counted(first_pass):
        ran.append(first_pass)
        return honest(first_pass)

    monkeypatch.setattr(simulate_module.DosePass, "_over_all_frames", counted)
    return ran


@pytest.mark.parametrize("signal", ["amplitude", "counts"])
def test_looking_never_computes(passes, tmp_path, signal):
    scan = simulate(dataset(6), dose=1000, signal=signal)
    shown = repr(scan)
    about = ptystore.describe(scan)
    plan = ptystore.plan(scan, tmp_path / "a.zarr")
    scan.dims()
    assert "amplitude_scale" in scan["diffraction"].attrs
    assert list(scan["diffraction"].attrs)
    assert passes == []
    (frames,) = (field for field in about["fields"] if field["name"] == "diffraction")
    assert frames["attrs"]["amplitude_scale"] is None
    if signal == "counts":
        assert "diffraction uint16|uint32[" in shown
        assert frames["dtype"] == plan.fields[0].dtype == "uint16 or uint32"
        assert frames["bytes"] == plan.fields[0].nbytes == 4 * scan["diffraction"][...].size
    assert ptystore.write(scan, tmp_path / "a.zarr").nbytes <= plan.nbytes
    assert len(passes) == 1
    # Once it is known it is shown.
    assert ptystore.describe(scan)["fields"][0]["dtype"] == str(scan["diffraction"].dtype)
    assert len(passes) == 1


def test_canonicalizing_a_simulation_computes_nothing_either(passes):
    scan = ptystore.extract_patches(ptystore.canonicalize(simulate(dataset(6), dose=1000)))
    repr(scan), ptystore.describe(scan)
    assert passes == []
    assert scan["diffraction"].attrs["amplitude_scale"] > 0
    assert len(passes) == 1
