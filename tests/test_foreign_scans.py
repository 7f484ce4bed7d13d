"""Scans that other tools wrote: by one command into a store that equals the truth beside it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import ptystore
from foreign import assert_truth, fixture
from ptystore.model.geometry import RawFrame
from ptystore_cli.app import app

FAR = {
    *("energy_eV", "wavelength_m", "detector_distance_m", "detector_pixel_size_m"),
    "object_pixel_size_m",
}
PRODUCT = {
    *("energy_eV", "wavelength_m", "detector_distance_m", "object_pixel_size_m"),
    *("object_center_m", "exposure_time_s", "probe_photon_count"),
}


class Way(NamedTuple):
    """A command as a user types it in the folder of the fixtures, and what the files hold."""

    command: str
    knows: set[str]
    positions: float = 1e-5
    has_frames: bool = True
    own_frames: bool = False


WAYS = [
    Way(
        "ptychodus_1.7_product_h5/product.h5 DST",
        {*PRODUCT, "tomography_angle_deg", "detector_pixel_size_m"},
    ),
    Way(
        "ptychodus_1.7_product_h5/diffraction.h5 DST",
        {*PRODUCT, "tomography_angle_deg", "detector_pixel_size_m"},
    ),
    Way(
        "ptychodus_1.7_product_npz/product.npz DST",
        {*PRODUCT, "tomography_angle_deg"},
        has_frames=False,
    ),
    Way(
        "ptychodus_1.7_product_npz/product.npz DST"
        " --with ptychodus_1.7_diffraction_npz/diffraction.npz",
        {*PRODUCT, "tomography_angle_deg"},
    ),
    Way(
        "ptychodus_1.7_diffraction_npz/diffraction.npz DST"
        " --positions ptychodus_1.7_diffraction_npz/positions.csv --position-columns y,x"
        " --position-units m --energy 8.8keV --distance 2m --detector-pixel 75um",
        FAR,
    ),
    Way(
        "ptychodus_1.7_diffraction_npz/diffraction.npz DST"
        " --positions ptychodus_1.7_diffraction_npz/positions.txt --position-columns x,y"
        " --position-units m --energy 8.8keV --distance 2m --detector-pixel 75um",
        FAR,
    ),
    Way("ptychodus_2025_product_h5/product.h5 DST", PRODUCT, has_frames=False),
    Way("cdtools_cxi_default_basis/scan.cxi DST", FAR, positions=1e-3),
    Way("nxcxi_ptycho/scan.cxi DST", FAR),
    Way(
        "eiger_master/scan_master.h5 DST"
        " --positions eiger_master/positions.csv --position-units um --crop 32",
        {*FAR, "exposure_time_s"},
        positions=1e-4,
    ),
    Way(
        "eiger_master/scan_master.h5 DST"
        " --positions eiger_master/positions_motor_nm.txt --position-columns y,x"
        " --position-units nm --flipy --crop 32",
        {*FAR, "exposure_time_s"},
        positions=1e-4,
    ),
    Way("ptypy_ptyd_append/scan.ptyd DST", FAR),
    Way("ptypy_ptyr/recon.ptyr DST", {"object_pixel_size_m"}, has_frames=False),
    Way(
        "fold_slice_dp_para/fly001_roi0_Ndp32_dp.hdf5 DST",
        {"wavelength_m", "object_pixel_size_m"},
    ),
    Way(
        "fold_slice_dp_para/fly001_roi0_Ndp32_para.hdf5 DST --detector-pixel 75um",
        FAR - {"energy_eV"},
    ),
    Way(
        "ptychoshelves_mat_v73/recons.mat DST",
        {"wavelength_m", "object_pixel_size_m"},
        has_frames=False,
    ),
    Way("tike_npz/scan.npz DST", set(), positions=1e-3),
    Way("tike_npz/scan.npz.bz2 DST", set(), positions=1e-3),
    Way(
        "stem4d_hspy/scan.hspy DST --energy 8.8keV",
        {"energy_eV", "wavelength_m", "object_pixel_size_m"},
        own_frames=True,
    ),
]


def run(folder: Path, command: str, out: Path) -> Result:
    """`ptystore ingest` of a command, whose paths are below a folder."""
    words = [
        str(out) if word == "DST" else str(folder / word) if "/" in word else word
        for word in shlex.split(command)
    ]
    return CliRunner().invoke(app, ["ingest", *words])


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.command)
def test_one_command(data_dir: Path, tmp_path: Path, way: Way) -> None:
    folder = fixture(data_dir, way.command.partition("/")[0])
    out = tmp_path / "scan.zarr"
    done = run(folder.parent, way.command, out)
    assert done.exit_code == 0, done.stderr
    assert_stored(out, folder, way)
    assert ("diffraction" in ptystore.open(out)) is way.has_frames


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.command)
def test_one_command_to_a_canonical_store(data_dir: Path, tmp_path: Path, way: Way) -> None:
    """Reconstructions without frames have nothing to canonicalize: that is said."""
    folder = fixture(data_dir, way.command.partition("/")[0])
    out = tmp_path / "scan.zarr"
    done = run(folder.parent, way.command + " --canonicalize", out)
    if not way.has_frames:
        assert done.exit_code == 3
        assert "there is no diffraction" in done.stderr
        assert not out.exists()
        return
    assert done.exit_code == 0, done.stderr
    assert_stored(out, folder, way)
    assert ptystore.open(out).frames.attrs["signal"] == "amplitude"
    told = CliRunner().invoke(app, ["validate", str(out)])
    assert told.exit_code == 0, told.output


def assert_stored(out: Path, folder: Path, way: Way) -> None:
    scan = ptystore.open(out)
    assert not ptystore.verify(out).damages
    assert_truth(scan, folder, knows=way.knows, positions=way.positions, own_frames=way.own_frames)
    assert_rest(scan, json.loads((folder / "truth.json").read_text("utf-8")), way)


def assert_rest(scan: ptystore.Dataset, truth: Mapping[str, Any], way: Way) -> None:
    """What only some of the files hold."""
    if "indexes" in truth and "frame_index" in scan:
        np.testing.assert_array_equal(scan["frame_index"].values(), truth["indexes"])
    if "product" in way.command:
        assert "frame_index" in scan
        total = scan["opr_weights"].values().sum()
        assert total == pytest.approx(truth["opr_weights_sum"], rel=1e-6)
    if "dark_value" in truth:
        assert (scan["background"].values() == np.float32(truth["dark_value"])).all()
    if "scan_shape" in truth:
        assert scan.geometry["scan_shape"].value == truth["scan_shape"]
    if "detector_shape" in truth:
        raw = RawFrame.of(scan.metadata)
        assert raw is not None
        assert list(raw.detector_shape) == truth["detector_shape"]
        assert raw.center_px == pytest.approx(truth["beam_center_px"])
        assert scan.geometry["saturation_counts"].value == truth["saturation"]


def test_every_folder_has_its_command(data_dir: Path) -> None:
    folders = {path.parent.name for path in (data_dir / "foreign").glob("*/truth.json")}
    assert folders == {way.command.partition("/")[0] for way in WAYS}
