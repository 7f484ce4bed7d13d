"""What a caller adds to a file: facts, arrays of other files, units of positions, frames."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from ptystore.errors import InputError, InputMissingError, IntegrityError, ParameterError

# hc in eV m, and the far-field pixel by hand.
HC = 1.2398419843320026e-6


def flat(path: Path, **more: Any) -> Path:
    """A plain scan: 6 frames of 5 by 7, positions in object pixels."""
    given = {
        "diffraction": np.arange(6 * 35, dtype="u2").reshape(6, 5, 7),
        "ycoords": 10.0 + np.arange(6),
        "xcoords": 20.5 + 2 * np.arange(6),
        "label": np.arange(6) * 3,
        **more,
    }
    given = {name: values for name, values in given.items() if values is not None}
    if path.suffix == ".npz":
        np.savez(path, **given)
    else:
        with h5py.File(path, "w") as file:
            for name, values in given.items():
                file[name] = values
    return path


def grouped(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["entry/data/images"] = np.arange(6 * 35, dtype="u2").reshape(6, 5, 7)
        file["entry/data/sy"] = np.linspace(0, 5e-6, 6)
        file["entry/data/sy"].attrs["units"] = "m"
        file["entry/deep/er/mask"] = np.eye(5, 7) > 0
        file["entry/dose"] = np.arange(6.0)
        file["entry/dose"].attrs["units"] = "counts"
    return path


# Facts


def test_facts_with_units_count_more_than_the_documents(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.npz")
    scan = ptystore.open(
        path, energy="8.8keV", distance="2m", detector_pixel="75um,50um", scan_shape=None
    )
    facts = scan.geometry
    assert facts["photon_energy_eV"].value == 8800.0
    assert facts["photon_energy_eV"].source == "--energy"
    wavelength = HC / 8800
    assert facts["wavelength_m"].value == pytest.approx(wavelength, rel=1e-12)
    assert facts["wavelength_m"].source == "derived"
    own = [wavelength * 2 / (5 * 75e-6), wavelength * 2 / (7 * 50e-6)]
    assert facts["object_pixel_size_m"].value == pytest.approx(own, rel=1e-12)
    ptystore.write(scan, tmp_path / "b.h5")
    again = ptystore.open(tmp_path / "b.h5", energy=4400.0).geometry
    assert again["photon_energy_eV"].value == 4400.0
    assert again["wavelength_m"].value == pytest.approx(2 * wavelength, rel=1e-12)
    assert again["object_pixel_size_m"].value == pytest.approx([2 * one for one in own], rel=1e-12)
    assert again["detector_pixel_size_m"].value == [75e-6, 50e-6]


def test_electrons_and_pixels_that_are_said(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.h5")
    facts = ptystore.open(path, electron_energy="300keV", pixel_size=(2e-9, "3nm")).geometry
    assert facts["wavelength_m"].value == pytest.approx(1.9687e-12, rel=1e-4)
    assert facts["object_pixel_size_m"].value == [2e-9, 3e-9]
    assert facts["object_pixel_size_m"].source == "--pixel-size"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"energy": "8.8"}, "has no unit: a number and one of eV, keV"),
        ({"distance": "2keV"}, "is no length"),
        ({"detector_pixel": "1um,2um,3um"}, "neither one size nor two"),
        ({"pixel_size": 0.0}, "not above zero"),
        ({"wavelength": float("nan")}, "not above zero"),
        ({"energy": "1keV", "electron_energy": "1keV"}, "--electron-energy of electrons"),
        ({"frames": "1:x"}, "neither a frame nor a range"),
        ({"frames": "::0"}, "step of 0"),
        ({"frames": "9"}, "no frame 9 of 6"),
        ({"frames": "6:"}, "none of the 6 frames is left"),
        ({"map": {"difraction": "/x"}}, "no field"),
        ({"flipx": True}, "is for --positions"),
        ({"affine": "1,2,3"}, "the six numbers"),
        ({"affine": "a,b,c,d,e,f"}, "the six numbers"),
        ({"positions": "p.csv", "affine": "1,2,0,2,4,0"}, "no inverse"),
        ({"dialect": "nobody"}, "no dialect 'nobody'; known are none, "),
        ({"partner": "other.h5"}, "--with: is for scans in two files"),
        ({"entry": "one"}, "--entry: is for files of several entries"),
        ({"unpaired": "drop"}, "--unpaired: is for --positions"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, said: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        ptystore.open(flat(tmp_path / "a.npz"), **said)


# Arrays of other places


def test_what_is_mapped_of_a_grouped_file_is_the_scan(tmp_path: Path) -> None:
    path = grouped(tmp_path / "scan.h5")
    np.save(tmp_path / "x.npy", np.arange(6.0))
    flat(tmp_path / "motors.npz", lazy=np.arange(6) + 0.25, diffraction=None)
    mapped = {
        "diff3d": "/entry/data/images",
        "mask": "entry/deep/er/mask",
        "xcoords": str(tmp_path / "x.npy"),
        "ycoords": f"{tmp_path / 'motors.npz'}:lazy",
        "monitor": "/entry/dose",
    }
    with pytest.raises(InputError, match="entry"):
        ptystore.open(path)
    scan = ptystore.open(path, map=mapped)
    assert list(scan) == list(mapped)
    assert scan.frames.values()[3, 2, 1] == 3 * 35 + 2 * 7 + 1
    assert scan.frames.attrs["signal"] == "counts"
    np.testing.assert_array_equal(scan["xcoords"].values(), np.arange(6))
    np.testing.assert_array_equal(scan["ycoords"].values(), np.arange(6) + 0.25)
    assert scan["mask"].dtype == np.uint32
    np.testing.assert_array_equal(scan["mask"].values(), np.eye(5, 7))
    assert scan["mask"].role == "global"
    assert scan["monitor"].attrs["units"] == "counts"
    again = pickle.loads(pickle.dumps(scan))
    np.testing.assert_array_equal(again.frames[4], scan.frames[4])
    ptystore.write(ptystore.canonicalize(scan), tmp_path / "out.zarr")


def test_mapping_replaces_and_a_table_has_columns(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("time,ion\n10:00,1.5\n10:01,2\n10:02,3\n10:03,4\n,5\n,6\n")
    path = flat(tmp_path / "a.h5")
    scan = ptystore.open(
        path,
        map={"xcoords": "label", "monitor": f"{tmp_path / 'log.csv'}:ion", "diff3d": "/label"}
        | {"diff3d": "/diffraction"},
    )
    np.testing.assert_array_equal(scan["xcoords"].values(), 3 * np.arange(6))
    np.testing.assert_array_equal(scan["monitor"].values(), [1.5, 2, 3, 4, 5, 6])
    assert "diffraction" not in scan
    assert scan["diff3d"].shape == (6, 5, 7)


def test_a_store_of_ours_takes_arrays_too(tmp_path: Path) -> None:
    ptystore.write(ptystore.open(flat(tmp_path / "a.npz")), tmp_path / "a.zarr")
    np.save(tmp_path / "m.npy", np.arange(6.0))
    scan = ptystore.open(tmp_path / "a.zarr", map={"monitor": str(tmp_path / "m.npy")})
    assert scan["monitor"].role == "per_frame"
    assert scan.source is not None
    assert scan.source.digest is None
    ptystore.write(scan, tmp_path / "b.zarr")
    assert ptystore.verify(tmp_path / "b.zarr").ok
    np.testing.assert_array_equal(ptystore.open(tmp_path / "b.zarr")["monitor"][:], np.arange(6))
    beside = ptystore.open(
        grouped(tmp_path / "g.h5"),
        map={"diffraction": "/entry/data/images"} | {"xcoords": f"{tmp_path / 'a.zarr'}:xcoords"},
    )
    np.testing.assert_array_equal(beside["xcoords"].values(), 20.5 + 2 * np.arange(6))


@pytest.mark.parametrize(
    ("place", "kind", "words"),
    [
        ("/entry/nothing", InputError, "there is no /entry/nothing in g.h5"),
        ("nowhere.h5:/x", InputMissingError, "no such file"),
        ("{motors}", InputError, "which array of motors.npz"),
        ("{motors}:z", InputError, "there is no /z in motors.npz"),
        ("/entry/data", InputError, "/entry/data: is a group, not an array"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, place: str, kind: Any, words: str) -> None:
    motors = flat(tmp_path / "motors.npz")
    mapped = {"diffraction": "/entry/data/images", "xcoords": place.format(motors=motors)}
    with pytest.raises(kind, match=words):
        ptystore.open(grouped(tmp_path / "g.h5"), map=mapped)


def test_a_file_beside_that_changes_is_noticed(tmp_path: Path) -> None:
    path = grouped(tmp_path / "g.h5")
    np.save(tmp_path / "x.npy", np.arange(6.0))
    mapped = {"diffraction": "/entry/data/images", "xcoords": str(tmp_path / "x.npy")}
    scan = ptystore.open(path, map=mapped)
    np.save(tmp_path / "x.npy", np.arange(6.0) + 1)
    with pytest.raises(IntegrityError, match="changed while it was read"):
        ptystore.write(scan, tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_a_raster_of_frames_is_put_in_a_row(tmp_path: Path, suffix: str) -> None:
    stack = np.arange(2 * 3 * 5 * 7, dtype="u2").reshape(2, 3, 5, 7)
    y, x = np.meshgrid([10.0, 12], [20.0, 21, 22], indexing="ij")
    path = flat(tmp_path / f"a{suffix}", diffraction=stack, ycoords=y, xcoords=x.reshape(6))
    scan = ptystore.open(path)
    assert scan.frames.shape == (6, 5, 7)
    assert scan.geometry["scan_shape"].value == [2, 3]
    np.testing.assert_array_equal(scan["ycoords"].values(), [10, 10, 10, 12, 12, 12])
    np.testing.assert_array_equal(scan.frames[[5, 1, 4]], stack.reshape(6, 5, 7)[[5, 1, 4]])
    ptystore.write(scan, tmp_path / "out.zarr")
    out = ptystore.open(tmp_path / "out.zarr")
    np.testing.assert_array_equal(out.frames[:], stack.reshape(6, 5, 7))
    assert out.geometry["scan_shape"].value == [2, 3]


# Positions in other units


def in_um(path: Path, units: str = "um") -> Path:
    flat(path)
    with h5py.File(path, "r+") as file:
        for name in ("ycoords", "xcoords"):
            file[name].attrs["units"] = units
    return path


def test_positions_in_metres_are_converted_or_refused(tmp_path: Path) -> None:
    path = in_um(tmp_path / "a.h5")
    with pytest.raises(InputError, match="is in um, not in object pixels") as caught:
        ptystore.open(path)
    assert "--pixel-size" in str(caught.value.advice)
    scan = ptystore.open(path, pixel_size="500nm,250nm")
    np.testing.assert_allclose(scan["ycoords"].values(), (10 + np.arange(6)) / 0.5, rtol=1e-12)
    np.testing.assert_allclose(scan["xcoords"].values(), (20.5 + 2 * np.arange(6)) / 0.25, 1e-12)
    assert scan["xcoords"].attrs["units"] == "pixel"
    kept = ptystore.open(path, position_units="px")
    np.testing.assert_array_equal(kept["ycoords"].values(), 10 + np.arange(6))
    assert kept["ycoords"].attrs["units"] == "pixel"
    said = ptystore.open(path, position_units="nm", pixel_size="1nm")
    np.testing.assert_allclose(said["ycoords"].values(), 10 + np.arange(6), rtol=1e-12)


def test_units_that_are_no_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'volts', which is no length"):
        ptystore.open(in_um(tmp_path / "a.h5", "volts"))


def test_a_store_with_units_is_converted_by_its_own_geometry(tmp_path: Path) -> None:
    """As an old release wrote it: positions whose attribute says um."""
    scan = ptystore.open(flat(tmp_path / "a.npz"), pixel_size="500nm")
    old = ptystore.dataset_of(
        {name: field.values() for name, field in scan.items()},
        scan.metadata,
        attrs={"xcoords": {"units": "um"}},
    )
    ptystore.write(old, tmp_path / "old.zarr")
    again = ptystore.open(tmp_path / "old.zarr")
    np.testing.assert_allclose(again["xcoords"].values(), (20.5 + 2 * np.arange(6)) / 0.5)
    np.testing.assert_array_equal(again["ycoords"].values(), 10 + np.arange(6))


# Which frames


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({"frames": "1:5:2"}, [1, 3]),
        ({"frames": "0,4:,-2"}, [0, 4, 5]),
        ({"skip_first": 4}, [4, 5]),
        ({"skip_first": 2, "frames": "::2"}, [2, 4]),
    ],
)
def test_some_frames(tmp_path: Path, suffix: str, said: Any, taken: list[int]) -> None:
    whole = ptystore.open(flat(tmp_path / "a.npz", probeGuess=np.ones((5, 7), "c8")))
    path = tmp_path / f"b{suffix}"
    if suffix == ".zarr":
        ptystore.write(whole, path)
    else:
        flat(path, probeGuess=np.ones((5, 7), "c8"))
    scan = ptystore.open(path, **said)
    assert scan.frame_count == len(taken)
    for name in ("diffraction", "xcoords", "label"):
        np.testing.assert_array_equal(scan[name].values(), whole[name].values()[taken])
    np.testing.assert_array_equal(scan["frame_index"].values(), taken)
    assert scan["probeGuess"].shape == (5, 7)
    ptystore.write(scan, tmp_path / "out.zarr")
    assert ptystore.verify(tmp_path / "out.zarr").ok
    again = ptystore.open(tmp_path / "out.zarr")
    np.testing.assert_array_equal(again.frames.values(), whole.frames.values()[taken])


def test_frames_of_a_stack_whose_frames_come_last(tmp_path: Path) -> None:
    stack = np.arange(5 * 7 * 6, dtype="u2").reshape(5, 7, 6)
    path = flat(tmp_path / "a.npz", diffraction=stack)
    scan = ptystore.open(path, frames="2:4")
    assert scan.frames.shape == (5, 7, 2)
    assert scan.frames.frame_axis == 2
    np.testing.assert_array_equal(scan.frames.values(), stack[:, :, 2:4])


def test_numbers_of_the_source_are_kept(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.npz", frame_index=np.arange(6) * 2 + 5)
    scan = ptystore.open(path, frames="1,3")
    np.testing.assert_array_equal(scan["frame_index"].values(), [7, 11])


def test_arrays_as_they_are(tmp_path: Path) -> None:
    """A file that is of a dialect, and the same with its arrays under their own names."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["ptychogram"] = np.ones((4, 6, 6), "f4")
        file["encoder"] = np.zeros((4, 2))
        file["wavelength"], file["dxd"], file["zo"] = 1e-10, 5e-5, 1.0
    assert "diffraction" in ptystore.open(path)
    scan = ptystore.open(path, dialect="none")
    assert set(scan) == {"ptychogram", "encoder", "wavelength", "dxd", "zo"}
