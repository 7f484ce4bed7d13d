"""Files of other tools in which something is of another kind or can't be: errors in words, never
others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore

N, FRAME = 4, (5, 8)
COUNTS = np.random.default_rng(1).poisson(9, (N, *FRAME)).astype("u2")
SQUARE = COUNTS[:, :, :5]
PIXEL, WAVELENGTH = 1e-7, 1.4e-10
CXI = "entry_1/instrument_1/detector_1"
Layout = dict[str, Any]


def complex_(*shape: int) -> Any:
    return np.ones(shape, "c8")


def cxi() -> Layout:
    return {
        "cxi_version": 160,
        "entry_1/instrument_1/source_1/wavelength": WAVELENGTH,
        f"{CXI}/data": COUNTS,
        f"{CXI}/distance": 2.0,
        f"{CXI}/x_pixel_size": 75e-6,
        f"{CXI}/y_pixel_size": 75e-6,
        f"{CXI}/basis_vectors": np.array([[0, -75e-6], [-75e-6, 0], [0, 0]]),
        f"{CXI}/corner_position": np.array([3e-4, 1.9e-4, 2.0]),
        f"{CXI}/mask": np.zeros(FRAME, "u4"),
        f"{CXI}/data_dark": np.zeros(FRAME),
        f"{CXI}/qe_mask": np.ones(FRAME),
        "entry_1/data_1/translation": np.arange(12.0).reshape(N, 3) * 1e-6,
    }


def ptylab() -> Layout:
    return {
        "ptychogram": SQUARE,
        "encoder": np.arange(8.0).reshape(N, 2) * 1e-6,
        "wavelength": WAVELENGTH,
        "dxd": 75e-6,
        "zo": 2.0,
    }


def ptylab_result() -> Layout:
    return {
        "object": complex_(1, 1, 1, 1, 20, 20),
        "probe": complex_(1, 1, 1, 1, 5, 5),
        "encoder_corrected": np.arange(8.0).reshape(N, 2) * 1e-6,
        "wavelength": WAVELENGTH,
        "dxp": PIXEL,
        "zo": 2.0,
    }


def ptyr() -> Layout:
    storage = "content/{}/S0"
    return {
        f"{storage.format('probe')}/data": complex_(1, *FRAME),
        f"{storage.format('obj')}/data": complex_(1, 20, 30),
        f"{storage.format('obj')}/_psize": np.array([PIXEL, PIXEL]),
        f"{storage.format('obj')}/_center": np.array([10.0, 15.0]),
        "content/positions/S0": np.arange(8.0).reshape(N, 2) * 1e-6,
    }


def nxptycho() -> Layout:
    axis = {"vector": np.array([1.0, 0, 0]), "offset": np.zeros(3), "depends_on": ".", "units": "m"}
    return {
        "entry@NX_class": "NXentry",
        "entry/definition": "NXptycho",
        "entry/instrument/beam/energy": 8800.0,
        "entry/instrument/beam/energy@units": "eV",
        "entry/instrument/detector/data": COUNTS,
        "entry/sample/transformations/sx": np.arange(4.0) * 1e-6,
        **{f"entry/sample/transformations/sx@{name}": value for name, value in axis.items()},
    }


def nexus() -> Layout:
    return {
        "entry@NX_class": "NXentry",
        "entry/plot@NX_class": "NXdata",
        "entry/plot/data": COUNTS,
        "entry/plot@signal": "data",
        "entry/plot@axes": "x:y",
    }


def pty_chi() -> Layout:
    return {
        "probe": complex_(1, 1, 5, 5),
        "probe@pixel_height_m": PIXEL,
        "probe@pixel_width_m": PIXEL,
        "object": complex_(1, 20, 20),
        "probe_position_y_m": np.arange(4.0) * PIXEL,
        "probe_position_x_m": np.arange(4.0) * PIXEL,
    }


def dectris() -> Layout:
    detector = "entry/instrument/detector"
    return {
        "entry@NX_class": "NXentry",
        "entry/data/data_000001": COUNTS,
        f"{detector}/detectorSpecific/nimages": N,
        f"{detector}/detectorSpecific/ntrigger": 1,
        f"{detector}/detectorSpecific/flatfield": np.ones(FRAME, "f4"),
    }


def tike() -> Layout:
    return {"data": SQUARE.astype("f4"), "scan": np.arange(8.0).reshape(N, 2) + 1}


def ptyd() -> Layout:
    return {
        **{f"meta/{name}": value for name, value in (("num_frames", N), ("energy", 8.8))},
        "meta/psize": 75e-6,
        "meta/distance": 2.0,
        "meta/shape": np.array(FRAME),
        "chunks/0/data": COUNTS,
        "chunks/0/indices": np.arange(N),
        "chunks/0/positions": np.arange(8.0).reshape(N, 2) * 1e-6,
    }


def hyperspy() -> Layout:
    place = "Experiments/scan"
    axes: Layout = {}
    for at, size in enumerate((2, 2, *FRAME)):
        axis = {"scale": 1.0, "offset": 0.0, "units": "nm" if at < 2 else "mrad", "size": size}
        for name, value in {**axis, "navigate": at < 2}.items():
            axes[f"{place}/axis-{at}@{name}"] = value
    return {
        "@file_format": "HyperSpy",
        f"{place}/data": COUNTS.reshape(2, 2, *FRAME),
        f"{place}/metadata/Acquisition_instrument/TEM@beam_energy": 300.0,
        **axes,
    }


def put(path: Path, layout: Layout) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in sorted(layout.items(), key=lambda item: "@" in item[0]):
            place, _, attribute = name.partition("@")
            if attribute:
                if place and place not in file:
                    file.create_group(place)
                file[place or "/"].attrs[attribute] = value
            else:
                file[name] = value
    return path


def others(value: Any) -> list[Any]:
    shape = np.shape(value)
    if not shape:
        return ["abc", np.nan, 0, -1.0, 1j, np.ones(3) * 1j, np.array([b"a", b"b"])]
    if len(shape) > 2:
        return [np.zeros((shape[0], 0, *shape[2:])), np.zeros(shape[1:]), np.ones(shape, "c8")]
    return ["abc", np.full(shape, np.nan), np.zeros(shape), np.ones(shape, "c8"), np.zeros(0)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "layout",
    [cxi, ptylab, ptylab_result, ptyr, nxptycho, nexus, pty_chi, dectris, tike, ptyd, hyperspy],
)
def test_whatever_is_in_a_node_the_error_is_ours(
    tmp_path: Path, layout: Callable[[], Layout]
) -> None:
    assert ptystore.open(put(tmp_path / "whole.h5", layout())).fields
    names = [
        name for name in layout() if not name.endswith(("NX_class", "definition", "file_format"))
    ]
    opened = 0
    for name in names:
        for value in others(layout()[name]):
            path = put(tmp_path / "a.h5", {**layout(), name: value})
            with contextlib.suppress(ptystore.PtystoreError):
                ptystore.open(path)
                opened += 1
    assert opened


@pytest.mark.parametrize("value", [0.0, -2.0, np.nan])
def test_a_size_that_is_not_above_zero_is_left_out_and_told(tmp_path: Path, value: float) -> None:
    scan = ptystore.open(put(tmp_path / "a.h5", {**ptylab(), "dxd": value}))
    assert "detector_pixel_size_m" not in scan.geometry
    assert "object_pixel_size_m" not in scan.geometry
    assert scan.source is not None
    assert any("no detector_pixel_size_m" in line for line in scan.source.remarks)
