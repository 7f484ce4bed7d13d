"""The two sides of a line across the positions, cut by role and never by shape."""

from __future__ import annotations

import numpy as np
import pytest

import ptystore
from ptystore import InputError, ParameterError, split
from reconstructions import dataset, reconstruction


def scan(axis_order="nhw"):
    """32 frames of 32×32, as an unknown stack and as frames; object and mask are global."""
    frames = np.arange(32**3, dtype=np.float32).reshape(32, 32, 32)
    made = ptystore.dataset_of({"diffraction": frames, **reconstruction()})
    fields = {**made.fields, "detector_mask": dataset()["detector_mask"]}
    if axis_order == "hwn":
        last = ptystore.model.dataset.memory_field(
            "diffraction", np.moveaxis(frames, 0, 2).copy(), "per_frame", axis=2
        )
        fields["diffraction"] = last
    return ptystore.Dataset(fields)


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("fraction", [0.5, 0.2])
def test_train_is_below_the_line(axis, fraction):
    whole = scan()
    values = whole[f"{axis}coords"].values()
    threshold = values.min() + fraction * (values.max() - values.min())
    for part, inside in zip(
        split(whole, axis=axis, fraction=fraction),
        (values < threshold, values >= threshold),
        strict=True,
    ):
        assert list(part) == list(whole)
        for name in ("diffraction", "xcoords", "ycoords", "scan_index", "exposure"):
            assert np.array_equal(part[name].values(), whole[name].values()[inside]), name
        for name in ("probeGuess", "objectGuess", "detector_mask"):
            assert part[name] is whole[name]


def test_a_stack_is_cut_along_its_own_frame_axis():
    first, last = split(scan())[0], split(scan("hwn"))[0]
    assert last["diffraction"].frame_axis == 2
    assert np.array_equal(
        np.moveaxis(last["diffraction"].values(), 2, 0), first["diffraction"].values()
    )


@pytest.mark.parametrize("suffix", [".npz", ".zarr"])
def test_a_file_is_split_alike_and_the_record_says_how(suffix, tmp_path):
    path = tmp_path / f"whole{suffix}"
    written = ptystore.write(scan(), path)
    parts = split(ptystore.open(path), fraction=0.4)
    for name, part, expected in zip(
        ("train", "test"), parts, split(scan(), fraction=0.4), strict=True
    ):
        ptystore.write(part, tmp_path / f"{name}{suffix}", jobs=2)
        found = ptystore.open(tmp_path / f"{name}{suffix}")
        for field in expected.values():
            assert np.array_equal(found[field.name].values(), field.values()), field.name
        record = found.metadata.history[-1]
        assert record["tool"] == "split_dataset_tool.py"
        assert record["operation"] == "train_test_split"
        assert record["inputs"] == [{"file": path.name, "digest": written.digest}]
        y = scan()["ycoords"].values()
        assert record["parameters"] == {
            "part": name,
            "axis": "y",
            "fraction": 0.4,
            "threshold": pytest.approx(y.min() + 0.4 * (y.max() - y.min()), rel=1e-15),
            "train_frames": parts[0].frame_count,
            "test_frames": parts[1].frame_count,
            "parents": [path.name],
        }
    assert parts[0].frame_count + parts[1].frame_count == 32


def test_a_frame_on_the_line_is_for_the_test():
    given = {"xcoords": np.arange(5.0), "ycoords": np.zeros(5)}
    train, test = split(ptystore.dataset_of(given), axis="x")
    assert train["xcoords"].values().tolist() == [0, 1]
    assert test["xcoords"].values().tolist() == [2, 3, 4]


def test_what_can_not_be_split_is_refused():
    line = ptystore.dataset_of({"xcoords": np.arange(5.0), "ycoords": np.zeros(5)})
    with pytest.raises(InputError, match=r"ycoords.*5 frames.*leaves 0 to train and 5 to test"):
        split(line)
    with pytest.raises(InputError, match="empty"):
        split(ptystore.dataset_of({"xcoords": np.empty(0), "ycoords": np.empty(0)}))
    with pytest.raises(InputError, match="not finite"):
        split(ptystore.dataset_of({"ycoords": np.array([0.0, np.nan]), "xcoords": np.zeros(2)}))
    with pytest.raises(InputError, match="ycoords"):
        split(ptystore.dataset_of({"xcoords": np.arange(5.0)}))
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(ParameterError, match="fraction"):
            split(line, fraction=fraction)
    with pytest.raises(ParameterError, match="axis"):
        split(line, axis="z")
