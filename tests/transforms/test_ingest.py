"""Ingest: everything as it is, and one record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import DEFLATED, DOCUMENT, STORED, member, pickled, scan_arrays, write_npz


def odd_arrays() -> dict[str, Any]:
    return {
        **scan_arrays(), "mask": np.eye(4, dtype=bool), "half": np.arange(3, dtype=np.float16),
        "big": np.arange(6, dtype=">i8"), "label": np.array("µm"), "none": np.zeros((0, 3)),
        "odd name-1.+": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    }  # fmt: skip


@pytest.mark.parametrize("metadata", [np.array, pickled], ids=["unicode", "pickled"])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("suffix", ["zarr", "h5", "npz"])
def test_verbatim(suffix: str, method: int, metadata: Any, tmp_path: Path) -> None:
    arrays = odd_arrays()
    members = [member(name, one, method=method) for name, one in arrays.items()]
    members.append(member("_metadata", metadata(DOCUMENT), method=method))
    source = ptystore.open(write_npz(tmp_path / "raw.npz", members))
    ptystore.write(ptystore.ingest(source), tmp_path / f"out.{suffix}")
    stored = ptystore.open(tmp_path / f"out.{suffix}")
    assert list(stored) == list(arrays)
    for name, one in arrays.items():
        assert stored[name].dtype == one.dtype.newbyteorder("="), name
        assert stored[name].shape == one.shape
        assert stored[name].role == source[name].role
        np.testing.assert_array_equal(stored[name].values(), one, err_msg=name)
    assert stored.metadata is not None
    assert source.metadata is not None
    (record,) = stored.metadata.history
    assert {**stored.metadata.document, "data_transformations": []} == {
        **source.metadata.document, "data_transformations": [],
    }  # fmt: skip
    assert (record["tool"], record["operation"]) == ("ptystore", "ingest")
    assert record["parameters"]["frames"] == 6
    assert set(record["parameters"]["per_frame"]) >= {"diff3d", "xcoords", "ycoords", "big"}
    assert "mask" in record["parameters"]["global"]


def test_the_input_digest_is_that_of_the_values(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "raw.npz", [member(n, a) for n, a in scan_arrays().items()])
    report = ptystore.write(ptystore.ingest(ptystore.open(source)), tmp_path / "out.zarr")
    assert report.digest == ptystore.digest(source)[1]
    metadata = ptystore.open(tmp_path / "out.zarr").metadata
    assert metadata is not None
    assert metadata.history[0]["inputs"] == [{"file": "raw.npz", "digest": report.digest}]


def test_a_kept_text_gets_no_record(tmp_path: Path) -> None:
    members = [member(n, a) for n, a in scan_arrays().items()]
    members.append(member("_metadata", np.array("{not JSON")))
    scan = ptystore.open(write_npz(tmp_path / "raw.npz", members), metadata="keep-text")
    kept = ptystore.ingest(scan).metadata
    assert kept is not None
    assert kept.text == "{not JSON"


def test_overridden_roles_are_stored_and_not_guessed_again(tmp_path: Path) -> None:
    arrays = {**scan_arrays(), "gain": np.arange(6.0)}
    source = write_npz(tmp_path / "raw.npz", [member(n, a) for n, a in arrays.items()])
    assert ptystore.open(source)["gain"].role == "per_frame"
    scan = ptystore.open(source, global_=("gain",))
    for suffix in ("zarr", "h5", "npz"):
        ptystore.write(ptystore.ingest(scan), tmp_path / f"out.{suffix}")
        assert ptystore.open(tmp_path / f"out.{suffix}")["gain"].role == "global"


def test_a_probe_forced_per_frame_can_be_written(tmp_path: Path) -> None:
    arrays = {**scan_arrays(), "probeGuess": np.ones((6, 4))}
    source = write_npz(tmp_path / "raw.npz", [member(n, a) for n, a in arrays.items()])
    scan = ptystore.open(source, per_frame=("probeGuess",))
    ptystore.write(scan, tmp_path / "out.zarr")
    assert ptystore.open(tmp_path / "out.zarr")["probeGuess"].role == "per_frame"
