"""validate before a reconstruction, on scans of older tools, and on what documents claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import scan_arrays
from ptystore.errors import ParameterError

LEGACY = [
    {
        "tool": "transpose_rename_convert", "operation": "canonicalize",
        "parameters": {"flipx": False, "flipy": False},
    },
    {
        "tool": "generate_patches", "operation": "generate_patches",
        "parameters": {"patch_size": 4, "k_neighbors": 7, "nsamples": 6},
    },
]  # fmt: skip


def single() -> dict[str, Any]:
    """A scan as a legacy pipeline leaves it, in the contract's dtypes."""
    arrays = scan_arrays()
    frames = np.sqrt(arrays.pop("diff3d")).astype(np.float32)
    arrays = {
        name: one.astype(np.complex64) if one.dtype.kind == "c" else one
        for name, one in arrays.items()
    }
    return {**arrays, "diffraction": frames, "Y": np.ones((6, 4, 4), np.complex64)}


def lines(scan: ptystore.Dataset, **options: Any) -> list[str]:
    return [str(one) for one in ptystore.find_problems(scan, **options)]


@pytest.mark.parametrize(
    ("tool", "operation", "known"),
    [
        ("generate_patches", "generate_patches", True),
        ("generate_patches_tool.py", "generate_patches", True),
        ("generate_patches_tool.py", "patch", True),
        ("ptystore", "generate_patches", True),
        ("somebody", "something", False),
    ],
)
def test_records_of_older_tools(tool: str, operation: str, known: bool) -> None:
    records = [LEGACY[0], {"tool": tool, "operation": operation}]
    scan = ptystore.dataset_of(single(), ptystore.Metadata({"data_transformations": records}))
    assert lines(scan) == ([] if known else ["has no patch record (generate_patches_tool.py)"])


def test_a_legacy_scan_has_no_problem() -> None:
    scan = ptystore.dataset_of(single(), ptystore.Metadata({"data_transformations": LEGACY}))
    assert lines(scan) == lines(scan, consumer="legacy", k_neighbors=7) == []


def test_the_reference_scan_after_its_legacy_tools(reference_patched: Path) -> None:
    found = ptystore.find_problems(ptystore.open(reference_patched))
    # What departs from the contract really: double precision, and patches of four axes.
    assert {(one.field, one.kind) for one in found} == {
        ("probeGuess", "dtype"), ("objectGuess", "dtype"), ("Y", "dims"),
    }  # fmt: skip


def test_the_reference_scan_canonicalized(reference_patched: Path, tmp_path: Path) -> None:
    scan = ptystore.canonicalize(ptystore.open(reference_patched))
    ptystore.write(scan, tmp_path / "a.zarr")
    assert lines(ptystore.open(tmp_path / "a.zarr"), consumer="legacy") == []


@pytest.mark.parametrize("missing", [("probeGuess",), ("objectGuess", "probeGuess"), ()])
def test_a_scan_before_its_reconstruction(missing: tuple[str, ...], tmp_path: Path) -> None:
    raw = {name: one for name, one in scan_arrays().items() if name not in missing}
    ptystore.write(ptystore.canonicalize(ptystore.dataset_of(raw)), tmp_path / "a.zarr")
    scan = ptystore.open(tmp_path / "a.zarr")
    assert lines(scan) == []
    assert [one.field for one in ptystore.find_notes(scan)] == list(missing)
    for_legacy = ptystore.find_problems(scan, consumer="legacy")
    assert [(one.field, one.kind) for one in for_legacy] == [(name, "missing") for name in missing]


def test_an_unknown_consumer_is_refused() -> None:
    with pytest.raises(ParameterError, match="legacy"):
        ptystore.find_problems(ptystore.dataset_of(single()), consumer="nobody")  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["top", "physics"])
@pytest.mark.parametrize("signal", ["amplitude", "counts"])
def test_a_document_that_is_not_true_of_its_frames(place: str, signal: Any) -> None:
    made = ptystore.canonicalize(ptystore.dataset_of(scan_arrays()), signal=signal)
    assert made.metadata is not None
    document = made.metadata.document
    other = {"amplitude": "count_intensity", "counts": "normalized_amplitude"}[signal]
    del document["physics_parameters"]["measurement_domain"]
    (document if place == "top" else document["physics_parameters"])["measurement_domain"] = other
    torn = ptystore.Dataset(made.fields, ptystore.Metadata(document))
    assert f"measurement_domain is {other}, the frames are {signal}" in lines(torn)
    assert not any("measurement_domain" in line for line in lines(made))
    document["measurement_domain"] = "count_intensity"
    document["physics_parameters"]["measurement_domain"] = "normalized_amplitude"
    torn = ptystore.Dataset(made.fields, ptystore.Metadata(document))
    assert any("contradicts" in line for line in lines(torn))
