"""The commands of docs/howto-own-data.md, taken out of it and run on files written for them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin
import numpy as np
import pytest
import scipy.io
from typer.testing import CliRunner

import ptystore
from ptystore_cli.advice import options_in
from ptystore_cli.app import app
from scans import assert_same

tifffile = pytest.importorskip("tifffile")

DOCUMENT = Path(__file__).parent.parent / "docs" / "howto-own-data.md"

COUNT, HEIGHT, WIDTH = 7, 30, 34
RNG = np.random.default_rng(15)
COUNTS = RNG.poisson(30, (COUNT, HEIGHT, WIDTH)).astype(np.uint16)
CUT = np.s_[:, 3:27, 5:29]  # 24 by 24 with pixel (15, 17) at 12
BAD = np.zeros((HEIGHT, WIDTH), bool)
BAD[4, 9] = BAD[20, 28] = BAD[0, 0] = True
Y_UM, X_UM = RNG.uniform(-3, 3, COUNT), RNG.uniform(-4, 4, COUNT)
ENERGY, DISTANCE, PIXEL = 8800.0, 2.0, 75e-6
WAVELENGTH = 1.2398419843320026e-6 / ENERGY
OBJECT_PIXEL = WAVELENGTH * DISTANCE / (24 * PIXEL)
PROBE = (RNG.normal(size=(24, 24)) + 1j * RNG.normal(size=(24, 24))).astype(np.complex64)
OBJECT = (RNG.normal(size=(80, 95)) + 1j * RNG.normal(size=(80, 95))).astype(np.complex64)


def sections() -> dict[str, list[str]]:
    """The commands of each chapter, in order."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^#+ ", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        found[title] = [line for block in blocks for line in block.splitlines()]
    return found


def eiger(folder: Path) -> None:
    """A master of 4 + 3 frames, and a table of motors that has the frames in another order."""
    raw = COUNTS.astype(np.uint32)
    raw[:, BAD] = 2**32 - 1
    with h5py.File(folder / "scan_master.h5", "w") as file:
        file.create_group("entry").attrs["NX_class"] = "NXentry"
        file.create_group("entry/data").attrs["NX_class"] = "NXdata"
        for number, part in enumerate((raw[:4], raw[4:]), 1):
            name = f"scan_data_{number:06}.h5"
            with h5py.File(folder / name, "w") as other:
                filters = hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
                other.create_dataset(
                    "entry/data/data", data=part, chunks=(1, HEIGHT, WIDTH), **filters
                )
            file[f"entry/data/data_{number:06}"] = h5py.ExternalLink(name, "entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        detector.attrs["NX_class"] = "NXdetector"
        values = {
            "beam_center_x": 17.0,
            "beam_center_y": 15.0,
            "detector_distance": DISTANCE,
            "x_pixel_size": PIXEL,
            "y_pixel_size": PIXEL,
            "count_time": 0.05,
            "bit_depth_image": 32,
            "description": "Dectris Eiger 2 test",
            "detectorSpecific/photon_energy": ENERGY,
            "detectorSpecific/nimages": COUNT,
            "detectorSpecific/ntrigger": 1,
            "detectorSpecific/pixel_mask": np.where(BAD, 2, 0).astype("u4"),
        }
        for name, value in values.items():
            detector[name] = value
        for name, units in (("beam_center_x", "pixel"), ("beam_center_y", "pixel")):
            detector[name].attrs["units"] = units
        for name in ("detector_distance", "x_pixel_size", "y_pixel_size"):
            detector[name].attrs["units"] = "m"
        beam = file.create_group("entry/instrument/beam")
        beam.attrs["NX_class"] = "NXbeam"
        beam["incident_wavelength"] = WAVELENGTH * 1e10
        beam["incident_wavelength"].attrs["units"] = "angstrom"
    order = [3, 0, 1, 6, 2, 5, 4]
    rows = [f"{k},{float(X_UM[k])!r},{float(Y_UM[k])!r}" for k in order]
    (folder / "motors.csv").write_text("\n".join(["frame,x_um,y_um", *rows]) + "\n")


def nexus(folder: Path) -> None:
    with h5py.File(folder / "scan.nxs", "w") as file:

        def group(path: str, kind: str, **values: Any) -> None:
            file.create_group(path).attrs["NX_class"] = kind
            for name, (value, units) in values.items():
                file[f"{path}/{name}"] = value
                if units:
                    file[f"{path}/{name}"].attrs["units"] = units

        group("entry", "NXentry")
        group("entry/instrument", "NXinstrument")
        group(
            "entry/instrument/detector",
            "NXdetector",
            data=(COUNTS, None),
            distance=(DISTANCE * 1e3, "mm"),
            x_pixel_size=(PIXEL * 1e6, "um"),
            y_pixel_size=(PIXEL * 1e6, "um"),
        )
        group("entry/instrument/monochromator", "NXmonochromator", energy=(ENERGY / 1e3, "keV"))
        group(
            "entry/data",
            "NXdata",
            stage_v=(Y_UM / 1e3, "mm"),
            stage_h=(X_UM / 1e3, "mm"),
        )
        file["entry/data/data"] = h5py.SoftLink("/entry/instrument/detector/data")
        file["entry/data"].attrs["signal"] = "data"


def folder_of_images(folder: Path) -> None:
    (folder / "frames").mkdir()
    for k, frame in enumerate(COUNTS, 98):  # 98, 99, 100: by number, not by letter
        tifffile.imwrite(folder / "frames" / f"scan12_{k}.tif", frame)
    np.savetxt(folder / "stage.txt", np.stack([Y_UM, X_UM], 1), fmt="%.17g")
    (folder / "beamline.toml").write_text(
        re.findall(r"^```toml\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE)[
            0
        ]
    )


def pairs(folder: Path) -> None:
    cut = COUNTS[CUT]
    with h5py.File(folder / "fly001_dp.hdf5", "w") as file:
        file["dp"] = cut.astype(np.float32)
    with h5py.File(folder / "fly001_para.hdf5", "w") as file:
        values = {"ppY": Y_UM * 1e-6, "ppX": X_UM * 1e-6}
        for name, value in values.items():
            file[name] = value[:, None]
        file["lambda"], file["dx"] = [[WAVELENGTH]], [[OBJECT_PIXEL]]
    numbers = np.arange(COUNT) * 2 + 5
    with h5py.File(folder / "measured.h5", "w") as file:
        file["patterns"], file["indexes"] = cut[::-1], numbers[::-1]
        file["bad_pixels"] = BAD[CUT[1:]]
        for side in ("height", "width"):
            file["patterns"].attrs[f"detector_pixel_{side}_m"] = PIXEL
    with h5py.File(folder / "product.h5", "w") as file:
        file["probe_position_y_m"], file["probe_position_x_m"] = Y_UM * 1e-6, X_UM * 1e-6
        file["probe_position_indexes"] = numbers
        file["probe"], file["object"] = PROBE[None, None], OBJECT[None]
        for name in ("probe", "object"):
            for side in ("height", "width"):
                file[name].attrs[f"pixel_{side}_m"] = OBJECT_PIXEL
        file["object"].attrs.update(center_y_m=0.0, center_x_m=0.0)
        file["object_layer_spacing_m"] = np.zeros(0)
        file.attrs.update(
            name="a", comments="", detector_object_distance_m=DISTANCE, photon_energy_eV=ENERGY
        )


def arrays(folder: Path) -> None:
    cut = COUNTS[CUT]
    np.savez(folder / "own.npz", images=cut, P=PROBE, xy=np.stack([X_UM, Y_UM], 1))
    stack = {"I": cut.transpose(1, 2, 0), "rows": Y_UM[:, None], "cols": X_UM[:, None]}
    scipy.io.savemat(folder / "own.mat", stack)


class Tried(NamedTuple):
    """The folder where the commands ran, what those that failed said, and what others warned of."""

    folder: Path
    failed: dict[str, str]
    warned: dict[str, str]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    made = tmp_path_factory.mktemp("howto")
    for write in (eiger, nexus, folder_of_images, pairs, arrays):
        write(made)
    failed, warned = {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for command in COMMANDS:
            words = shlex.split(command)
            done = CliRunner().invoke(app, words[1:])
            if words[0] != "ptystore" or done.exit_code:
                failed[command] = done.stderr
            elif done.stderr:
                warned[command] = done.stderr
    return Tried(made, failed, warned)


@pytest.fixture(scope="module")
def folder(tried: Tried) -> Path:
    return tried.folder


COMMANDS = [command for commands in sections().values() for command in commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(tried: Tried, command: str) -> None:
    assert command not in tried.failed, tried.failed[command]


def test_what_an_option_tells_is_asked_for_no_more(tried: Tried) -> None:
    assert any("--positions FILE" in said for said in tried.warned.values())
    for command, said in tried.warned.items():
        assert not {*options_in(said)} & {*options_in(command)}, f"{command}\n{said}"
        assert "--crop" not in command or "zero frequency" not in said, f"{command}\n{said}"


def assert_frames(scan: ptystore.Dataset, bad: Any = None) -> None:
    wanted = np.sqrt(COUNTS[CUT]).astype(np.float32)
    if bad is not None:
        wanted[:, bad] = 0
        assert_same(scan["mask"].values() != 0, bad)
    assert scan.frames.attrs["signal"] == "amplitude"
    assert_same(scan["diffraction"].values(), wanted)


def assert_positions(scan: ptystore.Dataset, pixel_um: float = OBJECT_PIXEL * 1e6) -> None:
    """Without an object, from the first one on."""
    for name, wanted in (("ycoords", Y_UM), ("xcoords", X_UM)):
        found = scan[name].values()
        assert found.shape == (COUNT,)
        wanted = (wanted - wanted[0]) / pixel_um
        np.testing.assert_allclose(found - found[0], wanted, rtol=0, atol=1e-6)


def assert_facts(scan: ptystore.Dataset, *names: str) -> None:
    known = {
        "photon_energy_eV": ENERGY,
        "detector_distance_m": DISTANCE,
        "detector_pixel_size_m": [PIXEL] * 2,
        "object_pixel_size_m": [OBJECT_PIXEL] * 2,
    }
    for name in names or known:
        np.testing.assert_allclose(scan.geometry[name].value, known[name], rtol=1e-6)


def test_the_chapters() -> None:
    assert [len(commands) for commands in sections().values()] == [1, 1, 1, 1, 2, 2, 6]


def test_a_master_and_motors(folder: Path) -> None:
    scan = ptystore.open(folder / "eiger.zarr")
    assert_frames(scan, BAD[CUT[1:]])
    assert_positions(scan)
    assert_facts(scan)


def test_named_motors(folder: Path) -> None:
    scan = ptystore.open(folder / "nexus.zarr")
    assert_frames(scan)
    assert_positions(scan)
    assert_facts(scan)


@pytest.mark.parametrize("name", ["tiff", "series"])
def test_images(folder: Path, name: str) -> None:
    scan = ptystore.open(folder / f"{name}.zarr")
    assert_frames(scan)
    assert_positions(scan)
    assert_facts(scan)


def test_a_pair(folder: Path) -> None:
    scan = ptystore.open(folder / "pair.zarr")
    assert_frames(scan)
    assert_positions(scan)
    assert_facts(scan, "object_pixel_size_m")


def test_a_product(folder: Path) -> None:
    scan = ptystore.open(folder / "product.zarr")
    wanted = np.sqrt(COUNTS[CUT]).astype(np.float32)
    assert_same(scan["diffraction"].values(), wanted)
    assert_same(scan["mask"].values() != 0, BAD[CUT[1:]])
    for name, extent, um in (("ycoords", 80, Y_UM), ("xcoords", 95, X_UM)):
        wanted = um / (OBJECT_PIXEL * 1e6) + (extent - 24) / 2 + 12
        np.testing.assert_allclose(scan[name].values(), wanted, rtol=0, atol=1e-6)
    assert_same(scan["probeGuess"].values(), PROBE)
    assert_facts(scan)


def test_arrays(folder: Path) -> None:
    scan = ptystore.open(folder / "own.zarr")
    assert_frames(scan)
    assert_positions(scan, 1)
    assert_same(scan["probeGuess"].values(), PROBE)
    scan = ptystore.open(folder / "matlab.zarr")
    assert_frames(scan)
    assert_same(scan["ycoords"].values(), Y_UM)
    assert_same(scan["xcoords"].values(), X_UM)


def test_afterwards(folder: Path) -> None:
    scan = ptystore.open(folder / "tiff.zarr")
    assert scan.geometry["exposure_s"].value == pytest.approx(0.05)
    assert scan.geometry["detector_name"].value == "Pilatus 100K"
    binned = COUNTS[CUT].reshape(COUNT, 12, 2, 12, 2).sum((2, 4))
    for name in ("binned", "again"):
        found = ptystore.open(folder / f"{name}.zarr").frames
        assert found.attrs["signal"] == "counts"
        np.testing.assert_array_equal(found.values(), binned)
