"""What the values of frames mean survives every rewrite that keeps the metadata document."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import scan_arrays
from ptystore.errors import InputError, ParameterError
from ptystore.model.dataset import memory_field
from ptystore.transforms.simulate import DosePass
from reconstructions import dataset
from scans import SUFFIXES

COUNTS, AMPLITUDE = "count_intensity", "normalized_amplitude"
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "nowhere": lambda domain: {},
    "nowhere, no physics": lambda domain: {"physics_parameters": None},
    "top": lambda domain: {"measurement_domain": domain},
    "physics": lambda domain: {"physics_parameters": {"N": 4, "measurement_domain": domain}},
    "both": lambda domain: {
        "measurement_domain": domain,
        "physics_parameters": {"N": 4, "measurement_domain": domain},
    },
}


def saved_again(source: Path, target: Path) -> Path:
    """`save_npz(*load_npz(f))`."""
    ptystore.save_npz(target, *ptystore.load_npz(source))
    return target


def saved_plainly(source: Path, target: Path) -> Path:
    """`np.savez` of all members: no comment of ours, no order."""
    with np.load(source, allow_pickle=False) as file:
        np.savez(target, **{name: file[name] for name in reversed(file.files)})
    return target


def saved_as_plain_dict(source: Path, target: Path) -> Path:
    """A dict of one's own with the document."""
    arrays, metadata = ptystore.load_npz(source)
    ptystore.save_npz(target, {name: arrays[name].copy() for name in arrays}, metadata)
    return target


def saved_pickled(source: Path, target: Path) -> Path:
    """As legacy tools save: the document is a pickled object."""
    with np.load(source, allow_pickle=False) as file:
        members = {name: file[name] for name in file.files}
    members["_metadata"] = np.array(str(members["_metadata"]), dtype=object)
    np.savez_compressed(target, **members)
    return target


REWRITES = [saved_again, saved_plainly, saved_as_plain_dict, saved_pickled]


def through(suffix: str, scan: ptystore.Dataset, folder: Path) -> Path:
    """Written in a format, then exported to an `.npz`."""
    ptystore.write(scan, folder / f"stored{suffix}")
    ptystore.export(ptystore.open(folder / f"stored{suffix}"), folder / "exported.npz")
    return folder / "exported.npz"


def amplitude_of(path: Path) -> np.ndarray:
    return ptystore.canonicalize(ptystore.open(path))["diffraction"].values()


def domains(document: dict[str, Any]) -> set[str]:
    physics = document.get("physics_parameters") or {}
    found = {place.get("measurement_domain") for place in (document, physics)}
    return {domain for domain in found if domain is not None}


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_second_root(suffix: str, place: str, rewrite: Any, tmp_path: Path) -> None:
    document = ptystore.Metadata(PLACES[place](COUNTS))
    arrays = scan_arrays()
    scan = ptystore.canonicalize(ptystore.dataset_of(arrays, document))
    path = rewrite(through(suffix, scan, tmp_path), tmp_path / "again.npz")
    again = ptystore.open(path)
    assert again.metadata is not None
    assert domains(again.metadata.document) == {AMPLITUDE}
    assert again.frames.attrs["signal"] == "amplitude"
    expected = np.sqrt(arrays["diff3d"], dtype=np.float32)
    np.testing.assert_array_equal(amplitude_of(path), expected)


@pytest.mark.parametrize("rewrite", REWRITES)
def test_no_second_root_at_the_callers_word(rewrite: Any, tmp_path: Path) -> None:
    ptystore.export(ptystore.canonicalize(ptystore.dataset_of(scan_arrays())), tmp_path / "a.npz")
    again = rewrite(tmp_path / "a.npz", tmp_path / "again.npz")
    with pytest.raises(ParameterError, match="its history records") as caught:
        ptystore.open(again, signal="counts")
    assert "leave out --input-signal counts" in str(caught.value.advice)


@pytest.mark.parametrize("place", PLACES)
def test_each_place_that_speaks_is_set(place: str) -> None:
    before = PLACES[place](COUNTS)
    document = ptystore.Metadata(before)
    for transform, signal, domain in (
        (ptystore.canonicalize, "amplitude", AMPLITUDE), (ptystore.canonicalize, "counts", COUNTS),
    ):  # fmt: skip
        made = transform(ptystore.dataset_of(scan_arrays(), document), signal=signal).metadata
        assert made is not None
        assert made.measurement_domain == domain
        told = made.document
        assert ("measurement_domain" in told) == ("measurement_domain" in before)
        top_only = place == "top"
        assert ("measurement_domain" in told["physics_parameters"]) == (not top_only)
    for signal, domain in (("amplitude", AMPLITUDE), ("counts", COUNTS)):
        made = ptystore.simulate(dataset(4, metadata=document), dose=9, signal=signal).metadata
        assert made is not None
        assert domains(made.document) == {domain}


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("signal", ["amplitude", "counts"])
def test_the_scale_of_a_simulation(
    signal: Any, suffix: str, rewrite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ptystore.simulate(dataset(6), dose=3e4, signal=signal)
    expected = ptystore.simulate(dataset(6), dose=3e4)["diffraction"].values()
    path = rewrite(through(suffix, made, tmp_path), tmp_path / "again.npz")
    again = ptystore.open(path)
    scale = made["diffraction"].attrs["amplitude_scale"]
    assert abs(scale - 1) > 0.1
    assert again.frames.attrs["amplitude_scale"] == scale
    assert again.metadata is not None
    assert again.metadata.physics["amplitude_scale"] == scale
    np.testing.assert_array_equal(amplitude_of(path), expected)
    if signal == "amplitude":
        back = ptystore.canonicalize(again, signal="counts")["diffraction"].values()
        np.testing.assert_allclose(back, (expected.astype(float) * scale) ** 2, rtol=1e-6)

    def never(first_pass: DosePass) -> None:
        raise AssertionError("the scale is known, and was looked for")

    monkeypatch.setattr(DosePass, "_over_all_frames", never)
    bare = ptystore.simulate(again, noise=False).metadata
    assert bare is not None
    assert "amplitude_scale" not in bare.physics
    lazy = ptystore.simulate(again, dose=5).metadata
    assert lazy is not None
    assert "amplitude_scale" not in lazy.physics


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scale_found_while_writing_is_told_after_other_transforms(
    suffix: str, tmp_path: Path
) -> None:
    scan = ptystore.simulate(dataset(8), dose=1e4, signal="counts")
    scan = ptystore.select_view(ptystore.extract_patches(ptystore.canonicalize(scan)), fraction=0.5)
    ptystore.write(scan, tmp_path / f"a{suffix}")
    stored = ptystore.open(tmp_path / f"a{suffix}")
    assert stored.metadata is not None
    assert stored.metadata.physics["amplitude_scale"] == stored.frames.attrs["amplitude_scale"]


def test_frames_that_are_counts_on_request_stay_counts(tmp_path: Path) -> None:
    counts = scan_arrays()
    kept = ptystore.canonicalize(ptystore.dataset_of(counts), signal="counts")
    path = saved_plainly(through(".zarr", kept, tmp_path), tmp_path / "again.npz")
    assert ptystore.open(path).frames.attrs["signal"] == "counts"
    np.testing.assert_array_equal(amplitude_of(path), np.sqrt(counts["diff3d"], dtype=np.float32))


def records(*signals: str) -> list[dict[str, Any]]:
    name = {"tool": "transpose_rename_convert", "operation": "canonicalize_dataset"}
    return [{**name, "parameters": {"signal": signal}} for signal in signals]


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("f4", {}, "amplitude"),
    ("f4", {"measurement_domain": COUNTS}, "counts"),
    ("f8", {"measurement_domain": COUNTS, "data_transformations": []}, "counts"),
    # The root that the history records was taken.
    ("f4", {"measurement_domain": COUNTS, "data_transformations": records("amplitude")},
     "amplitude"),
    ("f4", {"physics_parameters": {"measurement_domain": COUNTS},
            "data_transformations": records("counts", "amplitude")}, "amplitude"),
    ("f4", {"data_transformations": records("amplitude", "counts")}, "counts"),
    ("f4", {"measurement_domain": AMPLITUDE, "data_transformations": records("counts")},
     "amplitude"),
    ("f4", {"data_transformations": [
        {"tool": "ptystore", "operation": "simulate", "parameters": {"signal": "counts"}},
        {"tool": "ptystore", "operation": "select_view", "parameters": {"signal": "amplitude"}},
    ]}, "counts"),
    # Records that say nothing.
    ("f4", {"measurement_domain": COUNTS, "data_transformations": records("phase")}, "counts"),
    ("f4", {"data_transformations": [{**records("counts")[0], "parameters": None}]}, "amplitude"),
    ("f4", {"data_transformations": "none"}, "amplitude"),
    # Integers are counts whatever anybody says.
    ("u2", {"measurement_domain": AMPLITUDE}, "counts"),
    ("i4", {"data_transformations": records("amplitude")}, "counts"),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "document", "signal"), CASES)
def test_what_a_document_says(
    dtype: str, document: dict[str, Any], signal: str, tmp_path: Path
) -> None:
    frames = scan_arrays()["diff3d"].astype(dtype)
    np.savez(tmp_path / "scan.npz", diffraction=frames, _metadata=np.array(json.dumps(document)))
    assert ptystore.open(tmp_path / "scan.npz").frames.attrs["signal"] == signal
    made = ptystore.dataset_of({"diffraction": frames}, ptystore.Metadata(document))
    assert made.frames.attrs["signal"] == signal


@pytest.mark.parametrize("scale", [0, -1, "2", True, [1], 10**400])
def test_a_scale_that_is_none_is_refused(scale: Any, tmp_path: Path) -> None:
    document = json.dumps({"physics_parameters": {"amplitude_scale": scale}})
    np.savez(tmp_path / "a.npz", **scan_arrays(), _metadata=np.array(document))
    with pytest.raises(InputError, match=r"amplitude_scale: .* is not a positive number"):
        ptystore.open(tmp_path / "a.npz")


@pytest.mark.parametrize("signal", ["amplitude", "counts"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("place", PLACES)
def test_what_the_caller_said_is_written_into_the_document(
    place: str, suffix: str, signal: Any, tmp_path: Path
) -> None:
    frames = scan_arrays()["diff3d"] + np.float32(0.5)
    document = json.dumps(PLACES[place](AMPLITUDE))
    np.savez(tmp_path / "a.npz", diff3d=frames, _metadata=np.array(document))
    scan = ptystore.open(tmp_path / "a.npz", signal=signal)
    path = saved_plainly(through(suffix, ptystore.ingest(scan), tmp_path), tmp_path / "again.npz")
    assert ptystore.open(path).frames.attrs["signal"] == signal
    expected = np.sqrt(frames) if signal == "counts" else frames
    np.testing.assert_array_equal(amplitude_of(path), expected)


def test_a_document_that_needs_nothing_is_kept(tmp_path: Path) -> None:
    document = ptystore.Metadata({"b": 1, "physics_parameters": {"z": 1, "a": 2}})
    for frames in (scan_arrays()["diff3d"], np.full((6, 4, 4), 0.5, np.float32)):
        scan = ptystore.dataset_of({**scan_arrays(), "diff3d": frames}, document)
        ptystore.write(scan, tmp_path / "a.npz", overwrite=True)
        assert ptystore.open(tmp_path / "a.npz").metadata == document


def odd_scan() -> tuple[ptystore.Dataset, dict[str, Any]]:
    """Roles and attributes that nobody would guess."""
    stack = np.moveaxis(scan_arrays(6, 6)["diff3d"], 0, -1).copy()
    arrays = {
        **scan_arrays(6, 6), "diff3d": stack, "gain": np.arange(6.0), "table": np.ones((6, 2)),
    }  # fmt: skip
    fields = dict(ptystore.dataset_of(arrays).fields)
    attrs = {"long_name": "gain", "units": "e", "steps": [1, 2]}
    fields["gain"] = ptystore.Dataset(
        ptystore.dataset_of({"gain": arrays["gain"]}, attrs={"gain": attrs}).fields
    )["gain"]
    axis = {"units": "counts", "signal": "counts", "exposure": 0.5}
    fields["diff3d"] = memory_field("diff3d", stack, "per_frame", axis=2, attrs=axis)
    return ptystore.Dataset(fields), arrays


@pytest.mark.parametrize("journey", [lambda one: one, copy.copy, copy.deepcopy,
                                     lambda one: pickle.loads(pickle.dumps(one))])  # fmt: skip
def test_roles_and_attributes_survive(journey: Any, tmp_path: Path) -> None:
    scan, arrays = odd_scan()
    ptystore.write(scan, tmp_path / "a.npz")
    loaded, metadata = ptystore.load_npz(tmp_path / "a.npz")
    ptystore.save_npz(tmp_path / "b.npz", journey(loaded), metadata)
    first, second = ptystore.open(tmp_path / "a.npz"), ptystore.open(tmp_path / "b.npz")
    assert list(first) == list(second) == list(arrays)
    for name in arrays:
        assert second[name].frame_axis == first[name].frame_axis == scan[name].frame_axis
        assert dict(second[name].attrs) == dict(first[name].attrs)
        assert second[name].digest == first[name].digest
    assert second["gain"].role == "global"
    assert second["diff3d"].frame_axis == 2


def test_an_array_in_another_ones_place_has_its_own_meaning(tmp_path: Path) -> None:
    scan, _ = odd_scan()
    ptystore.write(scan, tmp_path / "a.npz")
    loaded, metadata = ptystore.load_npz(tmp_path / "a.npz")
    frames = np.sqrt(loaded["diff3d"].astype(np.float32))
    loaded["diff3d"] = frames
    loaded["gain"] = loaded["gain"] * 2
    del loaded["table"]
    loaded["new"] = np.zeros(3)
    made = ptystore.dataset_of(loaded, metadata)
    assert made.frames.attrs["signal"] == "amplitude"
    assert "exposure" not in made.frames.attrs
    assert made["diff3d"].frame_axis == 2
    assert made["gain"].role == "global"
    assert made["gain"].attrs == {}
    assert "table" not in made
