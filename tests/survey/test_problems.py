"""find_problems: every departure from the contract, not only the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import DEFLATED, member, scan_arrays, write_npz
from ptystore.survey.problems import Problem


def canonical(**changed: Any) -> ptystore.Dataset:
    """A scan without a problem, some of its arrays changed, or removed where None."""
    made = ptystore.canonicalize(
        ptystore.dataset_of(scan_arrays(), ptystore.Metadata.create({"gridsize": 2}))
    )
    made = ptystore.extract_patches(made)
    arrays = {name: field.values() for name, field in made.items()} | changed
    present = {name: one for name, one in arrays.items() if one is not None}
    return ptystore.dataset_of(present, made.metadata)


def found(scan: ptystore.Dataset, **options: Any) -> dict[tuple[str | None, str], str]:
    problems = ptystore.find_problems(scan, **options)
    assert len({(one.field, one.kind) for one in problems}) == len(problems)
    return {(one.field, one.kind): one.message for one in problems}


def test_a_canonical_scan_has_none() -> None:
    assert ptystore.find_problems(canonical(), k_neighbors=7) == []


CASES: dict[str, tuple[dict[str, Any], tuple[str | None, str], str]] = {
    "no positions": ({"xcoords": None}, ("xcoords", "missing"), "missing"),
    "no frames": ({"diffraction": None}, ("diffraction", "missing"), "missing"),
    "double object": (
        {"objectGuess": np.ones((10, 11), np.complex128)},
        ("objectGuess", "dtype"), "is complex128, canonical is complex64",
    ),
    "single positions": (
        {"ycoords": np.full(6, 5, np.float32)}, ("ycoords", "dtype"), "is float32"
    ),
    "4-D patches": (
        {"Y": np.ones((6, 4, 4, 1), np.complex64)}, ("Y", "dims"), "(6, 4, 4, 1)"
    ),
    "patches of another size": (
        {"Y": np.ones((6, 3, 3), np.complex64)}, ("Y", "dims"), "the frames have (6, 4, 4)"
    ),
    "flat probe": ({"probeGuess": np.ones(4, np.complex64)}, ("probeGuess", "dims"), "(4,)"),
    "positions outside": (
        {"xcoords": np.array([5, 5, 99, 5, -1, 5.0])},
        (None, "position"), "2 of 6 frames have windows outside the object, the first is frame 2",
    ),
    "NaN amplitude": (
        {"diffraction": np.full((6, 4, 4), np.nan, np.float32)},
        ("diffraction", "values"), "96 values are not finite",
    ),
    "negative amplitude": (
        {"diffraction": np.full((6, 4, 4), -2, np.float32)},
        ("diffraction", "values"), "negative, down to -2",
    ),
    "counts called amplitude": (
        {"diffraction": np.full((6, 4, 4), 5000, np.float32)},
        ("diffraction", "values"), "looks like counts",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "where", "words"), CASES.values(), ids=CASES)
def test_one_problem(changed: Any, where: tuple[str | None, str], words: str) -> None:
    problems = found(canonical(**changed))
    assert list(problems) == [where]
    assert words in problems[where]


def test_a_raw_scan_has_them_all(tmp_path: Path) -> None:
    arrays = scan_arrays()
    arrays["diff3d"][3] = 0xFFFF
    arrays["xcoords"][1] = np.nan
    source = write_npz(
        tmp_path / "raw.npz", [member(n, a, method=DEFLATED) for n, a in arrays.items()]
    )
    lines = [str(one) for one in ptystore.find_problems(ptystore.open(source))]
    for words in (
        "diffraction: is called diff3d",
        "diff3d: is uint16",
        "diff3d: 1 frames are saturated",
        "diff3d: holds counts",
        "objectGuess: is complex128",
        "probeGuess: is complex128",
        "xcoords: 1 are not finite, the first at 1",
        "1 of 6 frames have windows outside the object, the first is frame 1",
        "there is no metadata document",
    ):
        assert any(line.startswith(words) for line in lines), words


def test_a_legacy_stack(tmp_path: Path) -> None:
    arrays = scan_arrays(9)
    arrays["diff3d"] = np.moveaxis(arrays["diff3d"], 0, -1).copy()
    scan = ptystore.open(write_npz(tmp_path / "r.npz", [member(n, a) for n, a in arrays.items()]))
    problems = found_lines(scan)
    assert "diff3d: has shape (4, 4, 9): frames must come first" in problems


def found_lines(scan: ptystore.Dataset) -> list[str]:
    return [str(one) for one in ptystore.find_problems(scan)]


def test_neighbours_against_gridsize() -> None:
    assert found(canonical(), k_neighbors=3) == {
        (None, "metadata"): "k_neighbors 3 is less than gridsize² = 4"
    }


def test_history_and_metadata() -> None:
    arrays = {name: field.values() for name, field in canonical().items()}
    bare = ptystore.dataset_of(arrays, ptystore.Metadata.create())
    lines = found_lines(bare)
    assert any("canonicalize record" in line for line in lines)
    assert any("patch record" in line for line in lines)
    kept = ptystore.dataset_of(arrays, ptystore.Metadata.keep_text("{"))
    assert "the metadata document is not valid JSON" in found_lines(kept)
    odd = ptystore.dataset_of(arrays, ptystore.Metadata({"data_transformations": "none"}))
    assert any("history is not a list" in line for line in found_lines(odd))


def test_an_empty_scan_is_no_crash() -> None:
    scan = ptystore.dataset_of({"diffraction": np.zeros((0, 4, 4), np.float32)})
    assert ("xcoords", "missing") in found(scan)


def test_as_text() -> None:
    assert str(Problem("Y", "dims", "is odd")) == "Y: is odd"
    assert str(Problem(None, "length", "is odd")) == "is odd"
