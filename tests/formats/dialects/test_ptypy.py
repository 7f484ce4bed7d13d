"""ptypy's `.ptyd` and `.ptyr`: chunks in one file or in several, storages, kinds of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from foreign import assert_truth, fixture, opened, remarks
from ptystore import Dataset, InputError, InputMissingError
from scans import assert_same, pickled

RNG = np.random.default_rng(5)
N = 7
COUNTS = RNG.poisson(9, (6, N, N)).astype(np.int32)
# Metres, (row, column), in the order of the indices.
POSITIONS = RNG.uniform(-2e-6, 2e-6, (6, 2))
BAD = np.zeros((N, N), bool)
BAD[2, 5] = BAD[6, 0] = True
INDICES = np.array([0, 1, 2, 3, 5, 8])
#: λ z / (N Δ) of 6.2 keV, 1.5 m, 60 µm and 80 µm.
WAVELENGTH = 1.2398419843320026e-6 / 6200
PIXEL = WAVELENGTH * 1.5 / (N * np.array([60e-6, 80e-6]))


def put(group: h5py.Group, name: str, value: Any, kind: str) -> None:
    """A node as ptypy's writer stores it."""
    if kind in ("list", "tuple", "dict", "param"):
        made = group.require_group(name)
        for key, entry in value.items():
            put(made, key, *entry)
    elif kind in ("string", "pickle", "record_array"):
        made = group.create_dataset(name, data=value, dtype=h5py.string_dtype())
    else:
        made = group.create_dataset(name, data=np.zeros(1) if kind == "None" else value)
    made.attrs["type"] = kind


META: Mapping[str, tuple[Any, str]] = {
    "version": (0.1, "scalar"),
    "num_frames": (6, "scalar"),
    "label": ("x", "string"),
    "shape": ([N, N], "array"),
    "psize": ([60e-6, 80e-6], "array"),
    "energy": (6.2, "scalar"),
    "distance": (1.5, "scalar"),
    "center": ([3.0, 3.5], "array"),
}


def put_chunk(group: h5py.Group, rows: list[int], **other: tuple[Any, str]) -> None:
    """A chunk that holds some rows of the scan, in that order."""
    nodes: dict[str, tuple[Any, str]] = {
        "data": (COUNTS[rows], "array"),
        "indices": (INDICES[rows], "arraylist"),
        "positions": (POSITIONS[rows], "array"),
        "weights": (np.repeat(1.0 - BAD[None], len(rows), 0), "array"),
    }
    for name, node in {**nodes, **other}.items():
        put(group, name, *node)


def start(file: h5py.File, **meta: tuple[Any, str]) -> h5py.Group:
    file.attrs["h5rw_version"] = "0.1"
    put(file, "meta", {**META, **meta}, "dict")
    put(file, "info", {"names": ({"00000": ("x", "pickle")}, "list")}, "dict")
    chunks = file.create_group("chunks")
    chunks.attrs["type"] = "dict"
    return chunks


def ptyd(path: Path, order: Mapping[str, list[int]] | None = None, **meta: Any) -> Path:
    with h5py.File(path, "w") as file:
        chunks = start(file, **meta)
        # 10 comes after 9: by number, not by name; frames cross over chunks.
        for name, rows in (order or {"0": [0, 2], "9": [5, 3], "10": [1, 4]}).items():
            put_chunk(chunks.create_group(name), rows)
    return path


def assert_scan(scan: Dataset) -> None:
    assert_same(scan["diffraction"].values(), COUNTS)
    assert scan.frames.attrs["signal"] == "counts"
    assert_same(scan["frame_index"].values(), INDICES.astype(np.int64))
    assert_same(scan["mask"].values(), np.where(BAD, 1, 0).astype(np.uint32))
    for name, column in (("y", 0), ("x", 1)):
        assert_same(scan[f"position_{name}_m"].values(), POSITIONS[:, column])
        pixels = scan[f"{name}coords"].values()
        wanted = POSITIONS[:, column] / PIXEL[column]
        np.testing.assert_allclose(pixels - pixels[0], wanted - wanted[0], rtol=0, atol=1e-9)
        assert pixels.min() == N // 2


@pytest.mark.parametrize("order", [{"0": [0, 1, 2, 3, 4, 5]}, {"0": [4, 1, 0, 5, 2, 3]}, None])
def test_frames_are_in_the_order_of_their_indices(tmp_path: Path, order: Any) -> None:
    scan = opened(ptyd(tmp_path / "a.ptyd", order))
    assert_scan(scan)
    assert_scan(pickled(scan))
    assert_same(scan["diffraction"][[4, 1]], COUNTS[[4, 1]])
    facts = scan.geometry
    assert facts["photon_energy_eV"].value == pytest.approx(6200, 1e-12)
    assert facts["wavelength_m"].value == pytest.approx(WAVELENGTH, 1e-12)
    assert facts["detector_distance_m"].value == 1.5
    assert facts["detector_pixel_size_m"].value == [60e-6, 80e-6]
    np.testing.assert_allclose(facts["object_pixel_size_m"].value, PIXEL, 1e-12)
    raw = scan.metadata.physics["raw_frame"]  # type: ignore[union-attr]
    assert raw["center_px"] == [3.0, 3.5]
    assert raw["detector_shape"] == [N, N]


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    ptystore.write(opened(ptyd(tmp_path / "a.ptyd")), tmp_path / "b.npz")
    assert_scan(ptystore.open(tmp_path / "b.npz"))


@pytest.mark.parametrize(
    ("psize", "wanted"),
    [
        ((5e-5, "scalar"), [5e-5, 5e-5]),
        (({"00000": (5e-5, "scalar"), "00001": (6e-5, "scalar")}, "list"), [5e-5, 6e-5]),
        (([5e-5, 6e-5], "arraytuple"), [5e-5, 6e-5]),
        ((None, "None"), None),
    ],
)
def test_nodes_of_every_kind_that_a_number_may_have(
    tmp_path: Path, psize: Any, wanted: Any
) -> None:
    scan = opened(ptyd(tmp_path / "a.ptyd", psize=psize))
    fact = scan.geometry.get("detector_pixel_size_m")
    assert (fact and fact.value) == wanted
    assert ("ycoords" in scan) == (wanted is not None)


def test_none_is_no_zero(tmp_path: Path) -> None:
    gone = {name: (None, "None") for name in ("energy", "distance", "center", "num_frames")}
    scan = opened(ptyd(tmp_path / "a.ptyd", **gone))
    assert not {"photon_energy_eV", "wavelength_m", "detector_distance_m"} & {*scan.geometry}
    assert "center_px" not in scan.metadata.physics["raw_frame"]  # type: ignore[union-attr]
    assert any("--pixel-size" in remark for remark in scan.source.remarks)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["pickle", "record_array"])
@pytest.mark.parametrize("where", ["meta/energy", "chunks/0/positions", "chunks/0/data"])
def test_what_is_pickled_is_refused(tmp_path: Path, kind: str, where: str) -> None:
    path = ptyd(tmp_path / "a.ptyd")
    with h5py.File(path, "a") as file:
        del file[where]
        put(file, where, "cos\nsystem\n(S'touch x'\ntR.", kind)
    with pytest.raises(InputError, match=f"a.ptyd: /{where}: is a pickled object"):
        opened(path)


def test_bad_in_one_frame_is_bad(tmp_path: Path) -> None:
    weights = np.ones((6, N, N))
    weights[4, 1, 1] = 0
    weights[2, 3, 0] = np.nan
    with h5py.File(tmp_path / "a.ptyd", "w") as file:
        put_chunk(start(file).create_group("0"), [*range(6)], weights=(weights, "array"))
    mask = opened(tmp_path / "a.ptyd")["mask"].values()
    assert np.argwhere(mask).tolist() == [[1, 1], [3, 0]]


@pytest.mark.parametrize("empty", [(np.zeros(0), "array"), ({}, "dict"), (None, "None")])
def test_without_weights_there_is_no_mask_but_the_common_one(tmp_path: Path, empty: Any) -> None:
    with h5py.File(tmp_path / "a.ptyd", "w") as file:
        chunks = start(file)
        put_chunk(chunks.create_group("0"), [*range(6)], weights=empty)
    assert "mask" not in opened(tmp_path / "a.ptyd")
    with h5py.File(tmp_path / "a.ptyd", "a") as file:
        put(file["info"], "weight2d", ~BAD, "array")
    assert_scan(opened(tmp_path / "a.ptyd"))


def linked(folder: Path, target: str = "scan/{}") -> Path:
    """A master, and its chunks in files beside it, as `save='link'` makes them."""
    folder.mkdir()
    with h5py.File(folder / "a.ptyd", "w") as file:
        chunks = start(file)
        for number, rows in enumerate(([0, 2], [5, 3], [1, 4])):
            name = f"a.ptyd.part{number:03d}"
            with h5py.File(folder / name, "w") as part:
                part.attrs["h5rw_version"] = "0.1"
                put_chunk(part, rows)
            chunks[str(number)] = h5py.ExternalLink(target.format(name), "/")
    return folder / "a.ptyd"


@pytest.mark.parametrize("target", ["{}", "/nowhere/at/all/{}", "../../{}", "C:\\data\\{}"])
def test_parts_lie_beside_the_master_wherever_they_were(tmp_path: Path, target: str) -> None:
    assert_scan(opened(linked(tmp_path / "s", target)))


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    path = linked(tmp_path / "s")
    (tmp_path / "s" / "a.ptyd.part001").unlink()
    with pytest.raises(
        InputMissingError, match=r"/chunks/1: its frames are in a\.ptyd\.part001"
    ) as e:
        opened(path)
    assert e.value.exit_code == 3


def test_a_part_that_leads_out_of_the_folder_is_not_opened(tmp_path: Path) -> None:
    path = linked(tmp_path / "s")
    (tmp_path / "s" / "a.ptyd.part001").rename(tmp_path / "elsewhere")
    (tmp_path / "s" / "a.ptyd.part001").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="part001, which leads out of the folder"):
        opened(path)


@pytest.mark.parametrize("target", ["a.ptyd", "..", "x/"])
def test_a_link_to_no_part_is_refused(tmp_path: Path, target: str) -> None:
    with h5py.File(tmp_path / "a.ptyd", "w") as file:
        start(file)["0"] = h5py.ExternalLink(target, "/")
    with pytest.raises(
        InputError, match=r"/chunks/0: (leads to .*, which is no|its frames are in)"
    ):
        opened(tmp_path / "a.ptyd")


def test_a_link_in_a_part_leads_nowhere_else(tmp_path: Path) -> None:
    path = linked(tmp_path / "s")
    linked(tmp_path / "t")
    with h5py.File(tmp_path / "s" / "a.ptyd.part001", "a") as part:
        del part["data"]
        part["data"] = h5py.ExternalLink("../t/a.ptyd.part001", "/data")
    with pytest.raises(InputError, match="part001: /data: "):
        opened(path)


def test_a_changed_part_is_noticed(tmp_path: Path) -> None:
    scan = opened(linked(tmp_path / "s"))
    with h5py.File(tmp_path / "s" / "a.ptyd.part002", "a") as part:
        part["more"] = np.ones(3)
    with pytest.raises(ptystore.IntegrityError, match="part002"):
        ptystore.write(scan, tmp_path / "b.npz")


def test_a_part_alone_names_its_master(tmp_path: Path) -> None:
    linked(tmp_path / "s")
    with pytest.raises(InputError, match="is one part of a scan that ptypy") as caught:
        opened(tmp_path / "s" / "a.ptyd.part001")
    assert str(caught.value.advice).endswith(": a.ptyd")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"indices": (INDICES[:5], "arraylist")}, r"data \(6,\), indices \(5,\)"),
        ({"positions": (POSITIONS[:5], "array")}, r"positions \(5,\)"),
        ({"positions": (POSITIONS.T, "array")}, r"positions should be"),
        ({"weights": (np.ones((6, N, 3)), "array")}, r"has shape \(6, 7, 3\), the frames"),
        ({"indices": (np.array([0, 1, 2, 2, 3, 3]), "array")}, "frames twice, of indices 2, 3"),
        ({"data": (None, "None")}, "lacks data or indices"),
    ],
)
def test_a_chunk_that_does_not_fit_together(tmp_path: Path, change: Any, reason: str) -> None:
    with h5py.File(tmp_path / "a.ptyd", "w") as file:
        put_chunk(start(file).create_group("0"), [*range(6)], **change)
    with pytest.raises(InputError, match=reason):
        opened(tmp_path / "a.ptyd")


def test_chunks_of_various_frames_are_refused(tmp_path: Path) -> None:
    path = ptyd(tmp_path / "a.ptyd")
    with h5py.File(path, "a") as file:
        del file["chunks/10"]
        other = (np.zeros((2, N, N + 1)), "array")
        put_chunk(file.create_group("chunks/10"), [1, 4], data=other, weights=(None, "None"))
    with pytest.raises(InputError, match=r"various shapes: \(7, 7\), \(7, 8\)"):
        opened(path)


def test_fewer_frames_than_announced_are_told(tmp_path: Path) -> None:
    scan = opened(ptyd(tmp_path / "a.ptyd", {"0": [0, 1]}))
    assert scan.source is not None
    assert "holds 2 of the 6 frames it announces" in scan.source.remarks


def test_without_positions_frames_come_all_the_same(tmp_path: Path) -> None:
    nothing = {f"{at:05d}": (None, "None") for at in range(6)}
    with h5py.File(tmp_path / "a.ptyd", "w") as file:
        put_chunk(start(file).create_group("0"), [*range(6)], positions=(nothing, "list"))
    scan = opened(tmp_path / "a.ptyd")
    assert_same(scan["diffraction"].values(), COUNTS)
    assert "ycoords" not in scan


# Reconstructions

PROBE = (RNG.normal(size=(2, N, N)) + 1j * RNG.normal(size=(2, N, N))) * 5
OBJECT = np.exp(1j * RNG.normal(size=(1, 23, 30)))
CENTER = np.array([11, 15])


def ptyr(path: Path, ids: tuple[str, ...] = ("S00G00",), layers: int = 1, **left_out: Any) -> Path:
    with h5py.File(path, "w") as file:
        for at, name in enumerate(ids):
            size = PIXEL * (1 + at)
            for kind, data, center in (("probe", PROBE, [3, 3]), ("obj", OBJECT, CENTER)):
                group = file.create_group(f"content/{kind}/{name}")
                repeated = np.repeat(data, layers, 0) if kind == "obj" else data
                put(group, "data", repeated + at, "array")
                put(group, "_psize", size, "array")
                put(group, "_center", center, "array")
                put(group, "ID", name, "string")
            if "positions" not in left_out:
                put(file, f"content/positions/{name}", POSITIONS, "array")
        put(file, "content/pars", {"x": ("y", "pickle")}, "param")
        put(file, "header", {"kind": ("full_flat", "string")}, "dict")
    return path


def test_a_reconstruction(tmp_path: Path) -> None:
    scan = opened(ptyr(tmp_path / "a.ptyr"))
    assert {"diffraction", "diff3d"}.isdisjoint(scan)
    assert_same(scan["probeGuess"].values(), PROBE)
    assert_same(scan["objectGuess"].values(), OBJECT[0])
    assert_same(scan["objectGuess"][3:5, ::2], OBJECT[0, 3:5, ::2])
    for name, axis in (("y", 0), ("x", 1)):
        wanted = POSITIONS[:, axis] / PIXEL[axis] + CENTER[axis]
        np.testing.assert_allclose(scan[f"{name}coords"].values(), wanted, rtol=0, atol=1e-9)
    assert scan.geometry["object_pixel_size_m"].value == PIXEL.tolist()
    assert {*scan.geometry} == {"object_pixel_size_m"}


def test_one_of_several_storages_must_be_named(tmp_path: Path) -> None:
    path = ptyr(tmp_path / "a.ptyr", ("S00G00", "S01G00"))
    with pytest.raises(InputError, match="several storages: S00G00, S01G00") as caught:
        opened(path)
    assert "--entry S00G00" in str(caught.value.advice)
    scan = opened(path, entry="S01G00")
    assert_same(scan["objectGuess"].values(), OBJECT[0] + 1)
    wanted = POSITIONS[:, 0] / (2 * PIXEL[0]) + CENTER[0]
    np.testing.assert_allclose(scan["ycoords"].values(), wanted, rtol=0, atol=1e-9)
    with pytest.raises(InputError, match="has no storage S7; it has S00G00, S01G00"):
        opened(path, entry="S7")


def test_layers_of_an_object_are_no_slices(tmp_path: Path) -> None:
    scan = opened(ptyr(tmp_path / "a.ptyr", layers=2))
    assert "objectGuess" not in scan
    assert_same(scan["object_modes"].values(), np.repeat(OBJECT, 2, 0))
    assert scan.source is not None
    assert "not slices" in scan.source.remarks[0]


@pytest.mark.parametrize("left_out", [{}, {"positions": True}])
def test_frames_and_reconstruction_go_together(tmp_path: Path, left_out: Any) -> None:
    frames = ptyd(tmp_path / "a.ptyd")
    result = ptyr(tmp_path / "a.ptyr", **left_out)
    for main, partner in ((frames, result), (result, frames)):
        scan = opened(main, partner=partner)
        assert_same(scan["diffraction"].values(), COUNTS)
        assert_same(scan["probeGuess"].values(), PROBE)
        wanted = POSITIONS[:, 1] / PIXEL[1] + CENTER[1]
        np.testing.assert_allclose(scan["xcoords"].values(), wanted, rtol=0, atol=1e-9)
    with pytest.raises(InputError, match="is no reconstruction of ptypy"):
        opened(frames, partner=ptyd(tmp_path / "b.ptyd"))


def test_near_relatives_are_not_taken_for_ptypy(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["chunks"], file["meta"] = np.ones(3), np.ones(3)
        file["diffraction"] = COUNTS
    assert "mask" not in opened(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["chunks/0/data"] = COUNTS
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "b.h5")
    assert "nearest is ptyd, of which it lacks /meta" in str(caught.value.advice)


def test_the_fixtures(data_dir: Path) -> None:
    folder = fixture(data_dir, "ptypy_ptyd_append")
    facts = {"energy_eV", "wavelength_m", "detector_distance_m", "detector_pixel_size_m"}
    scan = opened(folder / "scan.ptyd")
    assert_truth(scan, folder, knows=facts | {"object_pixel_size_m"})
    assert "mask" in scan
    folder = fixture(data_dir, "ptypy_ptyr")
    assert_truth(opened(folder / "recon.ptyr"), folder, knows={"object_pixel_size_m"})


@pytest.mark.parametrize(("at", "is_said"), [([3.0, 3.5], False), ([1.5, 3.0], True)])
def test_a_centre_that_is_not_the_middle_is_told(tmp_path: Path, at: Any, is_said: bool) -> None:
    told = remarks(opened(ptyd(tmp_path / "a.ptyd", center=(at, "array"))))
    assert (f"zero frequency is at pixel 1.5, 3 of {N} by {N}" in told) == is_said
