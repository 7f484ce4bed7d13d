"""The reference scan, through every format, and the failure of legacy readers that ends here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import DEFLATED, DOCUMENT, member, pickled, scan_arrays, write_npz

LEGACY_FAILURE = "Object arrays cannot be loaded when allow_pickle=False"
RECORDS = [
    ("ptystore", "ingest"),
    ("transpose_rename_convert", "canonicalize_dataset"),
    ("generate_patches_tool.py", "generate_patches"),
]
MIDDLES = ["zarr", "h5", None]


def converted(source: Path, folder: Path, middle: str | None, keep_dtypes: bool = False) -> Path:
    """Canonicalized and patched, each step through a store; or straight, NPZ to NPZ."""
    suffix = middle or "npz"
    scan = ptystore.open(source)
    if middle:
        ptystore.write(ptystore.ingest(scan), folder / f"a.{suffix}")
        scan = ptystore.open(folder / f"a.{suffix}")
    ptystore.write(ptystore.canonicalize(scan, keep_dtypes=keep_dtypes), folder / f"b.{suffix}")
    patched = ptystore.extract_patches(ptystore.open(folder / f"b.{suffix}"))
    ptystore.write(patched, folder / f"c.{suffix}")
    ptystore.export(ptystore.open(folder / f"c.{suffix}"), folder / "out.npz")
    for step in "bc":
        assert ptystore.verify(folder / f"{step}.{suffix}").ok
    return folder / "out.npz"


def read_plain(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Every member as any reader gets it, and the metadata as the legacy reader does."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
        return arrays, json.loads(str(file["_metadata"].item()))


def check_document(document: dict[str, Any], original: dict[str, Any], middle: str | None) -> None:
    history = document.pop("data_transformations")
    before = original.pop("data_transformations", [])
    # The one thing that canonicalize says beside its record.
    assert document["physics_parameters"].pop("measurement_domain") == "normalized_amplitude"
    assert document == original
    assert history[: len(before)] == before
    added = [(one["tool"], one["operation"]) for one in history[len(before) :]]
    assert added == RECORDS[0 if middle else 1 :]
    assert all(one["inputs"][0]["digest"] for one in history[len(before) + 1 :])


@pytest.mark.parametrize("keep_dtypes", [False, True])
@pytest.mark.parametrize("middle", MIDDLES)
def test_the_reference_scan(
    middle: str | None,
    keep_dtypes: bool,
    tmp_path: Path,
    reference_raw: Path,
    reference_patched: Path,
) -> None:
    arrays, document = read_plain(converted(reference_raw, tmp_path, middle, keep_dtypes))
    # These files are ours: their pickled metadata is known, and not read here.
    with np.load(reference_raw, allow_pickle=False) as raw, np.load(reference_patched) as patched:
        members = {name.removesuffix(".npy") for name in raw.zip.namelist()}
        assert set(arrays) == (members - {"diff3d"}) | {"diffraction", "Y"}
        assert arrays["Y"].shape == (64, 64, 64)
        assert arrays["Y"].dtype == np.complex64
        expected = np.squeeze(patched["Y"])
        assert np.abs(arrays["Y"] - expected).max() <= 1e-6
        assert arrays["diffraction"].dtype == np.float32
        assert arrays["diffraction"].tobytes() == patched["diffraction"].tobytes()
        for name in ("probeGuess", "objectGuess"):
            want = raw[name] if keep_dtypes else raw[name].astype(np.complex64)
            assert arrays[name].dtype == want.dtype
            assert arrays[name].shape == want.shape
            assert arrays[name].tobytes() == want.tobytes()
        truth = "ground_truth_patches"
        want = raw[truth]
        if want.dtype == np.complex128 and not keep_dtypes:
            want = want.astype(np.complex64)
        np.testing.assert_array_equal(arrays[truth], want)
        np.testing.assert_array_equal(arrays["xcoords"], raw["xcoords"])
    original = ptystore.open(reference_raw).metadata
    assert original is not None
    check_document(document, original.document, middle)


def test_the_legacy_failure_on_the_reference_scan(tmp_path: Path, reference_raw: Path) -> None:
    check_legacy_failure(reference_raw, tmp_path)


def test_the_legacy_failure(tmp_path: Path) -> None:
    members = [member(n, a, method=DEFLATED) for n, a in scan_arrays().items()]
    members.append(member("_metadata", pickled(DOCUMENT), method=DEFLATED))
    check_legacy_failure(write_npz(tmp_path / "raw.npz", members), tmp_path)


def check_legacy_failure(source: Path, folder: Path) -> None:
    with np.load(source, allow_pickle=False) as file:
        with pytest.raises(ValueError, match=LEGACY_FAILURE):
            file["_metadata"]
        assert "diff3d" in file or "diffraction" in file
    original = ptystore.load_npz(source)[1]
    assert original is not None
    _, document = read_plain(converted(source, folder, None))
    check_document(document, original.document, None)


@pytest.mark.parametrize("middle", MIDDLES)
def test_64_frames_of_64_pixels(middle: str | None, tmp_path: Path) -> None:
    arrays = scan_arrays(64, 64)
    arrays["ground_truth_patches"] = np.zeros((64, 64, 64), np.complex64)
    members = [member(n, a, method=DEFLATED) for n, a in arrays.items()]
    members.append(member("_metadata", pickled(DOCUMENT)))
    source = write_npz(tmp_path / "raw.npz", members)
    read, document = read_plain(converted(source, tmp_path, middle))
    np.testing.assert_array_equal(read["probeGuess"], arrays["probeGuess"].astype(np.complex64))
    np.testing.assert_array_equal(read["objectGuess"], arrays["objectGuess"].astype(np.complex64))
    np.testing.assert_array_equal(read["diffraction"], np.sqrt(arrays["diff3d"], dtype=np.float32))
    assert read["Y"].shape == read["ground_truth_patches"].shape == (64, 64, 64)
    check_document(document, json.loads(DOCUMENT), middle)
