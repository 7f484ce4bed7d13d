"""NeXus by the classes of groups: frames, facts, units, centres and bad pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foreign import opened, remarks
from ptystore import InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from ptystore.formats.supplement_said import PositionsSaid
from ptystore.model.geometry import RawFrame
from scans import assert_same, pickled

RNG = np.random.default_rng(10)
SHAPE, GRID = (9, 14), (2, 3)
COUNTS = RNG.poisson(9, (6, *SHAPE)).astype(np.uint16)
Y, X = RNG.uniform(-20, 20, (2, 6))  # um
HC = 1.2398419843320026e-6
#: Path, value, units.
NODES: dict[str, tuple[Any, str | None]] = {
    "inst/eiger/data": (COUNTS, None),
    "inst/eiger/distance": (2500.0, "mm"),
    "inst/eiger/y_pixel_size": (7.5e-5, "m"),
    "inst/eiger/x_pixel_size": (55.0, "micron"),
    "inst/mono/energy": (8.8, "keV"),
    "inst/ring/energy": (6.0, "GeV"),
    "plot/sy": (Y, "um"),
    "plot/sx": (X, "um"),
}
CLASSES = {
    "": "NXentry",
    "inst": "NXinstrument",
    "inst/eiger": "NXdetector",
    "inst/mono": "NXmonochromator",
    "inst/ring": "NXsource",
    "plot": "NXdata",
}


def put(
    path: Path,
    entry: str = "scan",
    classes: dict[str, str] | None = None,
    attrs: dict[str, dict[str, Any]] | None = None,
    **more: tuple[Any, str | None] | None,
) -> Path:
    """A file; None leaves a node out, `attrs` are of groups and arrays."""
    with h5py.File(path, "a") as file:
        group = file.create_group(entry)
        for name, node in {**NODES, **more}.items():
            if node is not None:
                group[name] = node[0]
                if node[1] is not None:
                    group[name].attrs["units"] = node[1]
        for name, nx_class in {**CLASSES, **(classes or {})}.items():
            inner = group.require_group(name) if name else group
            inner.attrs["NX_class"] = nx_class
        for name, told in (attrs or {}).items():
            (group[name] if name else group).attrs.update(told)
    return path


def test_frames_and_facts(tmp_path: Path) -> None:
    more = {
        "inst/eiger/count_time": (0.5, "s"),
        "inst/eiger/saturation_value": (65000, None),
        "inst/eiger/threshold_energy": (4.4, "keV"),
        "inst/eiger/description": ("Eiger 4M", None),
        "inst/eiger/flatfield": (np.full(SHAPE, 0.5), None),
        "inst/i0/data": (np.arange(6.0)[:, None], None),
    }
    scan = opened(put(tmp_path / "a.nxs", classes={"inst/i0": "NXmonitor"}, **more))
    assert_same(scan["diffraction"].values(), COUNTS)
    assert_same(pickled(scan)["diffraction"][[4, 1]], COUNTS[[4, 1]])
    assert scan.frames.attrs["signal"] == "counts"
    assert_same(scan["monitor"].values(), np.arange(6.0))
    assert_same(scan["flatfield"].values(), np.full(SHAPE, 0.5, np.float32))
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    pixel = facts.pop("detector_pixel_size_m")
    assert pixel == pytest.approx([75e-6, 55e-6], 1e-12)
    wavelength = HC / 8800
    own = [wavelength * 2.5 / (n * size) for n, size in zip(SHAPE, pixel, strict=True)]
    assert facts.pop("object_pixel_size_m") == pytest.approx(own, 1e-12)
    assert facts == {
        "photon_energy_eV": 8800.0,
        "wavelength_m": pytest.approx(wavelength, 1e-12),
        "detector_distance_m": 2.5,
        "exposure_s": 0.5,
        "saturation_counts": 65000.0,
        "threshold_energy_eV": pytest.approx(4400, 1e-12),
        "detector_name": "Eiger 4M",
    }
    assert scan.geometry["photon_energy_eV"].source == "/scan/inst/mono/energy"
    assert RawFrame.of(scan.metadata) == RawFrame(SHAPE, None)
    assert "--center" in remarks(scan)


def test_positions_by_name(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nxs", attrs={"plot": {"axes": ["sy", "sx"]}})
    scan = opened(path)
    assert "/scan/plot/sy, /scan/plot/sx" in remarks(scan)
    place = f"{path}:/scan/plot/{{sy,sx}}"
    scan = opened(path, positions=PositionsSaid(place, columns="sy,sx"))
    pixel = scan.geometry.pair("object_pixel_size_m")
    assert pixel is not None
    for name, values, size in (("ycoords", Y, pixel[0]), ("xcoords", X, pixel[1])):
        found = scan[name].values()
        wanted = (values - values[0]) * 1e-6 / size
        np.testing.assert_allclose(found - found[0], wanted, rtol=0, atol=1e-9)
    assert "motors" not in remarks(scan)


@pytest.mark.parametrize("legacy", [True, False])
def test_the_signal_is_where_the_default_plot_has_it(tmp_path: Path, legacy: bool) -> None:
    other = COUNTS + 1
    told: dict[str, dict[str, Any]] = {"": {"default": "plot"}}
    told["plot/frames" if legacy else "plot"] = {"signal": 1 if legacy else "frames"}
    path = put(tmp_path / "a.nxs", attrs=told, **{"plot/frames": (other, None)})
    assert_same(opened(path)["diffraction"].values(), other)


def test_a_plot_of_something_else(tmp_path: Path) -> None:
    """The default plot is often a sum of each frame."""
    told = {"": {"default": "plot"}, "plot": {"signal": "sums"}}
    path = put(tmp_path / "a.nxs", attrs=told, **{"plot/sums": (np.arange(6.0), None)})
    assert_same(opened(path)["diffraction"].values(), COUNTS)


def test_a_plot_linked_to_the_detector(tmp_path: Path) -> None:
    told = {"plot": {"signal": "frames"}, "more": {"signal": "frames"}}
    path = put(tmp_path / "a.nxs", classes={"more": "NXdata"})
    with h5py.File(path, "a") as file:
        for name in ("plot", "more"):
            file[f"scan/{name}/frames"] = h5py.SoftLink("/scan/inst/eiger/data")
            file[f"scan/{name}"].attrs.update(told[name])
    scan = opened(path)
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry.number("detector_distance_m") == 2.5


def test_several_stacks(tmp_path: Path) -> None:
    more = {"inst/other/data": (COUNTS, None), "inst/other/distance": (1.0, "m")}
    path = put(tmp_path / "a.nxs", classes={"inst/other": "NXdetector"}, **more)
    with pytest.raises(InputError, match="several stacks") as caught:
        opened(path)
    assert "--map diffraction=/scan/inst/eiger/data" in str(caught.value.advice)
    scan = opened(path, mapped={"diffraction": "/scan/inst/other/data"})
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry.number("detector_distance_m") == 1.0
    np.savez(tmp_path / "b.npz", frames=COUNTS)
    scan = opened(path, mapped={"diffraction": f"{tmp_path / 'b.npz'}:frames"})
    assert "which detector" in remarks(scan)


def test_of_several_rasters_one_by_its_plot(tmp_path: Path) -> None:
    """Frames and spectra: what is said of a detector and its raster is of the frames meant."""
    grid = COUNTS.reshape(*GRID, *SHAPE)
    bad = np.zeros(SHAPE, np.uint32)
    bad[2, 3] = 1
    more = {
        "inst/eiger/data": (grid, None),
        "inst/eiger/pixel_mask": (bad, None),
        "inst/xsp3/data": (np.zeros((*GRID, 4, 32), np.uint32), None),
        "inst/xsp3/distance": (1.0, "m"),
    }
    classes = {"inst/xsp3": "NXdetector", "frames": "NXdata"}
    path = put(tmp_path / "a.nxs", classes=classes, **more)
    with h5py.File(path, "a") as file:
        file["scan/frames/data"] = h5py.SoftLink("/scan/inst/eiger/data")
    scan = opened(path, mapped={"diffraction": "scan/frames/data"})
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry.number("detector_distance_m") == 2.5
    assert scan.geometry["scan_shape"].value == list(GRID)
    assert_same(scan["mask"].values() != 0, bad != 0)


def test_nothing_to_see(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nxs", **{"inst/eiger/data": None})
    with pytest.raises(InputError, match="no stack of frames") as caught:
        opened(path)
    assert "--map" in str(caught.value.advice)
    with h5py.File(path, "a") as file:
        file["elsewhere"] = COUNTS
    scan = opened(path, mapped={"diffraction": "/elsewhere"})
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry.number("detector_distance_m") == 2.5


def test_a_raster(tmp_path: Path) -> None:
    stack = COUNTS.reshape(*GRID, *SHAPE)
    times = np.array([[1.0, 2, 3], [4, 5, 6]])
    more = {"inst/eiger/data": (stack, None), "inst/eiger/count_time": (times, "ms")}
    scan = opened(put(tmp_path / "a.nxs", **more))
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry["scan_shape"].value == [2, 3]
    np.testing.assert_allclose(scan["exposure"].values(), np.arange(1, 7) * 1e-3, rtol=1e-12)
    assert "exposure_s" not in scan.geometry


def test_bad_pixels(tmp_path: Path) -> None:
    bits = np.zeros((1, *SHAPE), np.uint32)
    theirs = [1, 2, 4, 8, 16, 1 | 2, 32, 0x80000000]
    ours = [0x200, 0x8, 0x80, 0x4, 0x400, 0x208, 1, 1]
    bits[0, 3, : len(theirs)] = theirs
    scan = opened(put(tmp_path / "a.nxs", **{"inst/eiger/pixel_mask": (bits, None)}))
    wanted = np.zeros(SHAPE, np.uint32)
    wanted[3, : len(ours)] = ours
    assert_same(scan["mask"].values(), wanted)
    scan = opened(put(tmp_path / "b.nxs", **{"inst/eiger/pixel_mask": (bits[0, 1:], None)}))
    assert "mask" not in scan
    assert "--map mask=" in remarks(scan)


def test_the_centre(tmp_path: Path) -> None:
    def frame(**more: Any) -> tuple[RawFrame | None, str]:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.nxs"
        named = {f"inst/eiger/beam_center_{axis}": node for axis, node in more.items()}
        scan = opened(put(path, **named))
        return RawFrame.of(scan.metadata), remarks(scan)

    found, told = frame(y=(4.5, "pixel"), x=(6.25, None))
    assert found == RawFrame(SHAPE, (4.5, 6.25))
    assert "--center" not in told
    found, _ = frame(y=(1.5e-4, "m"), x=(55.0, "um"))
    assert found is not None
    assert found.center_px == pytest.approx((2.0, 1.0), 1e-12)
    found, told = frame(y=(0.0, None), x=(0.0, None))
    assert found == RawFrame(SHAPE, None)
    assert "unset" in told
    with pytest.raises(InputError, match="'deg'"):
        frame(y=(4.0, "deg"), x=(4.0, "deg"))


def test_energies_by_class(tmp_path: Path) -> None:
    classes = {"inst/light": "NXbeam"}
    mono = {"inst/mono/energy": None}
    more = {"inst/light/incident_wavelength": (1.5, "angstrom"), **mono}
    scan = opened(put(tmp_path / "a.nxs", classes=classes, **more))
    assert scan.geometry.number("wavelength_m") == pytest.approx(1.5e-10, 1e-12)
    assert "photon_energy_eV" not in scan.geometry
    more = {"inst/light/incident_energy": (np.full(6, 7000.0), "eV"), **mono}
    scan = opened(put(tmp_path / "b.nxs", classes=classes, **more))
    assert scan.geometry.number("photon_energy_eV") == 7000.0
    more = {"inst/light/incident_energy": (7000.0 + np.arange(6), "eV"), **mono}
    scan = opened(put(tmp_path / "c.nxs", classes=classes, **more))
    assert "photon_energy_eV" not in scan.geometry
    assert "goes from 7000 to 7005" in remarks(scan)
    scan = opened(put(tmp_path / "d.nxs", **mono))
    assert not {"photon_energy_eV", "wavelength_m"} & set(scan.geometry)
    more = {"inst/ring/probe": ("electron", None)}
    scan = opened(put(tmp_path / "e.nxs", **more))
    assert scan.geometry.number("electron_energy_eV") == 8800.0
    assert "photon_energy_eV" not in scan.geometry
    assert scan.geometry.text("radiation") == "electron"


@pytest.mark.parametrize(
    ("place", "option", "given"),
    [
        ("inst/eiger/distance", "--distance", {"distance": 2.0}),
        ("inst/eiger/y_pixel_size", "--detector-pixel", {"detector_pixel": (1e-4, 1e-4)}),
        ("inst/mono/energy", "--energy", {"energy": 5000.0}),
    ],
)
@pytest.mark.parametrize("units", [None, "parsec"])
def test_units_are_required(
    tmp_path: Path, place: str, option: str, given: dict[str, Any], units: str | None
) -> None:
    path = put(tmp_path / "a.nxs", **{place: (NODES[place][0], units)})
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.member == f"/scan/{place}"
    assert option in str(caught.value.advice)
    assert_same(opened(path, **given)["diffraction"].values(), COUNTS)


def test_a_wavelength_does_without_an_energy_in_units(tmp_path: Path) -> None:
    more = {"inst/mono/wavelength": (1.5, "angstrom"), "inst/mono/energy": (8.8, None)}
    scan = opened(put(tmp_path / "a.nxs", **more))
    assert scan.geometry.number("wavelength_m") == pytest.approx(1.5e-10, 1e-12)


def test_entries(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nxs", "first")
    put(path, "second", **{"inst/eiger/data": (COUNTS + 1, None)})
    with pytest.raises(InputError, match="several entries: first, second"):
        opened(path)
    assert_same(opened(path, entry="second")["diffraction"].values(), COUNTS + 1)
    with h5py.File(path, "a") as file:
        file.attrs["default"] = "first"
    assert_same(opened(path)["diffraction"].values(), COUNTS)


def test_detection(tmp_path: Path) -> None:
    found = dialect_of(open_tree(put(tmp_path / "a.nxs")), None)
    assert found is not None
    assert found.name == "nexus"
    path = put(tmp_path / "b.nxs", classes={"": "NXcollection"})
    assert dialect_of(open_tree(path), None) is None
    with pytest.raises(InputError, match="NXentry"):
        opened(path, dialect="nexus")


def test_groups_in_a_circle(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nxs")
    with h5py.File(path, "a") as file:
        file["scan/inst/again"] = h5py.SoftLink("/scan")
        file["scan/detector"] = h5py.SoftLink("/scan/inst/eiger")
    scan = opened(path)
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.geometry.number("detector_distance_m") == 2.5
    with h5py.File(path, "a") as file:
        file["scan/inst/more"] = file["scan"]
    assert_same(opened(path)["diffraction"].values(), COUNTS)
