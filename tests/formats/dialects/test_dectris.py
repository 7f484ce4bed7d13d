"""Masters of Dectris detectors, written here by the layout of their file writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from dectris_files import BITS, DETECTOR, SHAPE, blocks, counts, mask, master, put
from foreign import fixture
from linked_files import tree_of
from ptystore import InputError
from ptystore.errors import InputMissingError
from ptystore.formats.dialects.table import dialect_of
from ptystore.model.geometry import RawFrame
from ptystore_cli.app import app
from scans import assert_same, pickled


def test_a_master_with_all_its_files(tmp_path: Path) -> None:
    scan = ptystore.open(master(tmp_path))
    assert scan.source.understood is not None
    assert scan.source.understood.dialect == "dectris"
    wanted = counts()
    assert_same(scan["diffraction"].values(), wanted)
    assert_same(pickled(scan)["diffraction"][[10, 3, 4]], wanted[[10, 3, 4]])
    assert scan["diffraction"].attrs["signal"] == "counts"
    assert "frame_index" not in scan
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    assert facts == {
        "photon_energy_eV": 8800.0,
        "wavelength_m": pytest.approx(1.4089113458318212e-10, rel=1e-12),
        "detector_distance_m": 1.5,
        "detector_pixel_size_m": pytest.approx([75e-6, 75e-6]),
        "object_pixel_size_m": pytest.approx(
            [1.4089113458318212e-10 * 1.5 / (n * 75e-6) for n in SHAPE]
        ),
        "exposure_s": 0.05,
        "threshold_energy_eV": 4400.0,
        "saturation_counts": 30000,
        "detector_name": "Dectris EIGER2 1M",
    }
    raw = RawFrame.of(scan.metadata)
    assert raw is not None
    assert raw.detector_shape == SHAPE
    assert raw.center_px == (3.0, 6.5)
    bits = np.zeros(SHAPE, np.uint32)
    bits[4] = 0x200
    bits[0, : len(BITS)] = list(BITS.values())
    assert_same(scan["mask"].values(), bits)
    assert_same(scan["flatfield"].values(), np.full(SHAPE, 1.25, np.float32))
    assert any("--positions" in line for line in scan.source.remarks)


def as_datasets(file: h5py.File) -> None:
    frames = counts()
    for at, (a, b) in enumerate(((0, 4), (4, 8), (8, 11)), 1):
        put(file, f"entry/data/data_{at:06d}", frames[a:b])


def at_the_entry(file: h5py.File) -> None:
    for name in list(file["entry/data"]):
        file.move(f"entry/data/{name}", f"entry/{name}")


def unnumbered(file: h5py.File) -> None:
    blocks(Path(file.filename).parent, counts(), (4, 4, 3), numbered=False)


@pytest.mark.parametrize("change", [as_datasets, at_the_entry, unnumbered])
def test_other_places_of_frames(tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    assert_same(ptystore.open(master(tmp_path, change=change))["diffraction"].values(), counts())


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_one_file_of_each_dtype(tmp_path: Path, dtype: str) -> None:
    scan = ptystore.open(master(tmp_path, (5,), dtype=dtype))
    assert_same(scan["diffraction"].values(), counts(5, dtype))


def test_zero_is_unset(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        for name in ("beam_center_x", "beam_center_y", "detector_distance", "count_time"):
            put(file, f"{DETECTOR}/{name}", 0.0)
        put(file, f"{DETECTOR}/detectorSpecific/photon_energy", 0.0)
        put(file, f"{DETECTOR}/detectorSpecific/threshold_energy", 0.0)
        put(file, "entry/instrument/beam/incident_wavelength", 0.0)

    scan = ptystore.open(master(tmp_path, change=change))
    assert set(scan.geometry) == {
        *("detector_pixel_size_m", "saturation_counts", "detector_name"),
    }
    raw = RawFrame.of(scan.metadata)
    assert raw is not None
    assert raw.center_px is None
    lines = " ".join(scan.source.remarks)
    for option in ("--distance", "--center"):
        assert option in lines
    told = ptystore.open(tmp_path / "s_master.h5", distance="2m", energy="9keV")
    assert told.geometry["detector_distance_m"].value == 2.0
    assert "--distance" not in " ".join(told.source.remarks)


def test_nothing_told(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        for name in list(file[DETECTOR]):
            if name != "detectorSpecific":
                del file[f"{DETECTOR}/{name}"]
        more = file[f"{DETECTOR}/detectorSpecific"]
        for name in list(more):
            del more[name]
        del file["entry/instrument/beam"]

    scan = ptystore.open(master(tmp_path, change=change))
    assert_same(scan["diffraction"].values(), counts())
    assert dict(scan.geometry) == {}
    assert list(scan) == ["diffraction"]


def test_saturation_of_newer_firmware_counts(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        put(file, f"{DETECTOR}/detectorSpecific/saturation_value", 20000)

    assert ptystore.open(master(tmp_path, change=change)).geometry["saturation_counts"].value == 2e4
    with h5py.File(tmp_path / "s_master.h5", "a") as file:
        put(file, f"{DETECTOR}/saturation_value", 10000)
    scan = ptystore.open(tmp_path / "s_master.h5")
    assert scan.geometry["saturation_counts"].value == 1e4


@pytest.mark.parametrize(
    ("name", "energy", "is_electron"),
    [("ARINA CZT", 80e3, True), ("EIGER2", 300e3, True), ("EIGER2 CdTe", 80e3, False)],
)
def test_electrons(tmp_path: Path, name: str, energy: float, is_electron: bool) -> None:
    def change(file: h5py.File) -> None:
        put(file, f"{DETECTOR}/description", f"Dectris {name}")
        put(file, f"{DETECTOR}/detectorSpecific/photon_energy", energy, "eV")
        # As the detector has it: of photons.
        put(file, "entry/instrument/beam/incident_wavelength", 12398.419843320026 / energy)

    facts = ptystore.open(master(tmp_path, change=change)).geometry
    assert ("electron_energy_eV" in facts) == is_electron
    if is_electron:
        assert facts["electron_energy_eV"].value == energy
        assert facts["radiation"].value == "electron"
        known = {80e3: 4.17572e-12, 300e3: 1.96875e-12}[energy]  # m, Reimer and Kohl, table 2.2
    else:
        assert facts["photon_energy_eV"].value == energy
        known = 1.2398419843320026e-6 / energy
    assert facts["wavelength_m"].value == pytest.approx(known, rel=1e-5)


def test_a_wavelength_that_differs_from_the_energy_counts(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        put(file, "entry/instrument/beam/incident_wavelength", 2.0, "angstrom")

    scan = ptystore.open(master(tmp_path, change=change))
    assert scan.geometry["wavelength_m"].value == pytest.approx(2e-10)
    assert scan.geometry["photon_energy_eV"].value == pytest.approx(6199.21, rel=1e-5)
    assert any("which counts" in line for line in scan.source.remarks)


@pytest.mark.parametrize(
    ("gone", "told"), [(1, "frames 0 to 3"), (2, "frames 4 to 7"), (3, "frames 8 to 10")]
)
def test_a_missing_file_is_named_with_its_frames(tmp_path: Path, gone: int, told: str) -> None:
    path = master(tmp_path)
    (tmp_path / f"s_data_{gone:06d}.h5").unlink()
    with pytest.raises(InputMissingError, match=rf"{told}: .*s_data_{gone:06d}\.h5.*not there"):
        ptystore.open(path)
    result = CliRunner().invoke(app, ["ingest", str(path), str(tmp_path / "a.zarr")])
    assert result.exit_code == 3
    assert f"s_data_{gone:06d}.h5" in result.output
    assert told in result.output
    assert not (tmp_path / "a.zarr").exists()
    partial = ptystore.open(path, partial=True)
    kept = [at for at in range(11) if at // 4 != gone - 1]
    assert_same(partial["diffraction"].values(), counts()[kept])
    if gone == 3:
        assert "frame_index" not in partial
    else:
        assert partial["frame_index"].values().tolist() == kept
    assert any(told in line for line in partial.source.remarks)


def no_link(file: h5py.File) -> None:
    del file["entry/data/data_000002"]


def fewer(file: h5py.File) -> None:
    put(file, f"{DETECTOR}/detectorSpecific/nimages", 2)


def swapped(file: h5py.File) -> None:
    folder = Path(file.filename).parent
    (folder / "s_data_000001.h5").rename(folder / "x.h5")
    (folder / "s_data_000002.h5").rename(folder / "s_data_000001.h5")
    (folder / "x.h5").rename(folder / "s_data_000002.h5")


def cut(file: h5py.File) -> None:
    blocks(Path(file.filename).parent, counts(), (4,))
    with h5py.File(Path(file.filename).parent / "s_data_000001.h5", "a") as data:
        attrs = dict(data["entry/data/data"].attrs)
        del data["entry/data/data"]
        data["entry/data/data"] = counts()[:3]
        data["entry/data/data"].attrs.update(attrs)


def other_frames(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).parent / "s_data_000002.h5", "a") as data:
        del data["entry/data/data"]
        data["entry/data/data"] = np.zeros((4, 9, 13), "u4")


def other_dtype(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).parent / "s_data_000002.h5", "a") as data:
        del data["entry/data/data"]
        data["entry/data/data"] = np.zeros((4, *SHAPE), "u2")


def flat(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).parent / "s_data_000002.h5", "a") as data:
        del data["entry/data/data"]
        data["entry/data/data"] = np.zeros(SHAPE, "u4")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (no_link, "frames 4 to 7: there is no data_000002"),
        (fewer, "holds 11 of the 22 frames"),
        (swapped, "images 5 to 8, where 1 to 4 should be"),
        (cut, "images 1 to 4, where 1 to 3 should be"),
        (other_frames, r"uint32 of 9 by 13, those of /entry/data/data_000001 are uint32 of 9 by"),
        (other_dtype, "uint16 of 9 by 12, those of"),
        (flat, r"shape \(9, 12\), where \(n, H, W\)"),
    ],
)
def test_what_can_not_be_is_refused(
    tmp_path: Path, change: Callable[[h5py.File], None], told: str
) -> None:
    path = master(tmp_path, change=change)
    with pytest.raises(InputError, match=told) as caught:
        ptystore.open(path)
    if change in (no_link, fewer):
        assert "--partial" in str(caught.value.advice)
        scan = ptystore.open(path, partial=True)
        assert scan["diffraction"].shape[0] == (7 if change is no_link else 11)


def test_a_number_that_no_block_has_costs_nothing(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file.move("entry/data/data_000003", "entry/data/data_999999999")

    with pytest.raises(InputError, match="there is no data_000003"):
        ptystore.open(master(tmp_path, change=change))


def test_a_mask_or_flatfield_of_another_shape_is_left_out(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        for name in ("pixel_mask", "flatfield"):
            put(file, f"{DETECTOR}/detectorSpecific/{name}", np.ones((2, 3), "u4"))

    scan = ptystore.open(master(tmp_path, change=change))
    assert list(scan) == ["diffraction"]
    assert any("pixel_mask has shape (2, 3)" in line for line in scan.source.remarks)


def test_frames_that_the_caller_brings(tmp_path: Path) -> None:
    path = master(tmp_path)
    (tmp_path / "s_data_000002.h5").unlink()
    place = f"{tmp_path / 's_data_000003.h5'}:/entry/data/data"
    scan = ptystore.open(path, map={"diffraction": place})
    assert_same(scan["diffraction"].values(), counts()[8:])
    assert scan.geometry["photon_energy_eV"].value == 8800.0


def test_a_data_file_alone_names_its_master(tmp_path: Path) -> None:
    master(tmp_path)
    with pytest.raises(InputError, match="holds some of the frames") as caught:
        ptystore.open(tmp_path / "s_data_000002.h5")
    assert "s_master.h5" in str(caught.value.advice)


def test_near_relatives_are_not_taken_for_one(tmp_path: Path) -> None:
    def detected(change: Callable[[h5py.File], None]) -> str | None:
        row = dialect_of(tree_of(master(tmp_path, change=change)), None)
        return None if row is None else row.name

    def no_specifics(file: h5py.File) -> None:
        del file[f"{DETECTOR}/detectorSpecific"]

    def no_blocks(file: h5py.File) -> None:
        for name in list(file["entry/data"]):
            del file[f"entry/data/{name}"]

    def other_names(file: h5py.File) -> None:
        for name in list(file["entry/data"]):
            file.move(f"entry/data/{name}", f"entry/data/x{name}")

    assert detected(lambda file: None) == "dectris"
    for change in (no_specifics, no_blocks, other_names):
        assert detected(change) == "nexus"


def test_the_whole_way_in_one_command(tmp_path: Path) -> None:
    """Around the centre, gaps zero and masked, positions by a table."""
    path = master(tmp_path)
    lines = [f"{at + 1},{at * 0.5},{at % 3}" for at in range(11)]
    (tmp_path / "p.csv").write_text("frame,x_um,y_um\n" + "\n".join(lines))
    words = ("--positions", tmp_path / "p.csv", "--position-units", "um", "--crop", "4")
    result = CliRunner().invoke(
        app, ["ingest", str(path), str(tmp_path / "a.zarr"), *map(str, words), "--canonicalize"]
    )
    assert result.exit_code == 0, result.output
    scan = ptystore.open(tmp_path / "a.zarr")
    # The centre is at (3, 6.5): pixel N//2 of the crop is at (3, 7) or (3, 6) of the detector.
    whole = counts()
    whole[:, mask() != 0] = 0
    crops = [np.sqrt(whole[:, 1:5, x : x + 4].astype("f8")) for x in (4, 5)]
    found = scan["diffraction"].values()
    assert any(np.allclose(found, crop, atol=1e-5) for crop in crops)
    assert (scan["mask"].values() != 0)[3].all()
    pixel = scan.geometry["object_pixel_size_m"].value
    x = scan["xcoords"].values() - scan["xcoords"].values()[0]
    np.testing.assert_allclose(x * pixel[1], np.arange(11) * 0.5e-6, rtol=1e-6, atol=1e-12)


def test_the_measured_master(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "real" / "arina" / "test_00_master.h5"
    if not path.is_file():
        pytest.skip(f"no file at {path}")
    result = CliRunner().invoke(app, ["ingest", str(path), str(tmp_path / "a.zarr")])
    assert result.exit_code == 0, result.output
    scan = ptystore.open(tmp_path / "a.zarr")
    with h5py.File(path.with_name("test_00_data_000001.h5"), "r", locking=False) as file:
        assert_same(scan["diffraction"].values(), file["entry/data/data"][...])
    facts = scan.geometry
    assert facts["electron_energy_eV"].value == 300e3
    assert facts["detector_pixel_size_m"].value == [1e-4, 1e-4]
    assert "detector_distance_m" not in facts
    assert "photon_energy_eV" not in facts
    assert not scan["mask"].values().any()


def test_the_fixture_with_a_file_gone(data_dir: Path, tmp_path: Path) -> None:
    folder = fixture(data_dir, "eiger_master")
    for name in ("scan_master.h5", "scan_data_000001.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    out = tmp_path / "a.zarr"
    result = CliRunner().invoke(app, ["ingest", str(tmp_path / "scan_master.h5"), str(out)])
    assert result.exit_code == 3
    assert "frames 10 to 17" in result.output
    assert "scan_data_000002.h5" in result.output
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "scan_data_000001.h5",
        "scan_master.h5",
    ]
