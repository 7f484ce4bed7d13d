"""The verbs of studies, virtual fields and fused passes, as a person would use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import ptystore
import reconstructions
from ptystore_cli.app import app


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A reconstruction: probe, object and positions, no frames."""
    path = tmp_path / "base.npz"
    arrays = reconstructions.reconstruction(frames=40)
    del arrays["detector_mask"]
    ptystore.save_npz(path, arrays, ptystore.Metadata.create({"gridsize": 1}))
    return path


def test_simulate_split_and_view(base: Path, tmp_path: Path) -> None:
    simulated, train, test, view = (tmp_path / f"{name}.zarr" for name in "abcd")
    done("simulate", base, simulated, "--dose", 500, "--seed", 3, "--signal", "counts")
    scan = ptystore.open(simulated)
    assert scan.frames.attrs["signal"] == "counts"
    assert scan.metadata is not None
    assert scan.metadata.nphotons == 500
    done("split", simulated, train, test, "--axis", "x", "--fraction", 0.4)
    x = [ptystore.open(path)["xcoords"].values() for path in (train, test)]
    assert len(x[0]) + len(x[1]) == 40
    assert x[0].max() < x[1].min()
    done("view", train, view, "--overlap", 0.9)
    kept = ptystore.open(view)
    assert kept.metadata is not None
    record = kept.metadata.history[-1]
    assert (record["operation"], record["parameters"]["overlap"]) == ("select_view", 0.9)


def test_simulate_draws_new_positions(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.npz"
    done("simulate", base, path, "--dose", 500, "--frames", 9, "--raster")
    assert ptystore.open(path).frame_count == 9


def test_a_view_needs_exactly_one_choice(base: Path, tmp_path: Path) -> None:
    result = run("view", base, tmp_path / "v.zarr")
    assert result.exit_code == 2
    assert "one of" in result.stderr
    assert not (tmp_path / "v.zarr").exists()


def test_a_split_that_can_not_write_both_writes_neither(base: Path, tmp_path: Path) -> None:
    (tmp_path / "test.zarr").mkdir()
    result = run("split", base, tmp_path / "train.zarr", tmp_path / "test.zarr")
    assert result.exit_code == 4
    assert not (tmp_path / "train.zarr").exists()


def test_study_runs_and_goes_on(base: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    words = ("study", hub, "--base", base, "--dose", 300, "--view", "dense")
    first = done(*words)
    assert "simulate: done" in first.stdout
    assert (hub / "summary" / "summary.md").is_file()
    again = json.loads(done(*words, "--json").stdout)
    stores = [
        product for product in again["products"] if product["path"].endswith((".zarr", ".npz"))
    ]
    assert {product["path"] for product in stores} <= set(again["reused"])
    other = run("study", hub, "--base", base, "--dose", 301)
    assert other.exit_code == 4
    assert "--overwrite-hub" in other.stderr


def test_overlap_of_positions(base: Path) -> None:
    document = json.loads(done("info", base, "--probe-diameter", 20, "--json").stdout)
    assert document["metrics"]["diameter"] == 20
    assert 0 < document["metrics"]["metric1"] < 1
    assert "metric2" in done("info", base, "--overlap").stdout


def test_virtual_then_materialized(base: Path, tmp_path: Path) -> None:
    simulated, virtual, written = (tmp_path / f"{name}.zarr" for name in "abc")
    done("simulate", base, simulated, "--dose", 500, "--signal", "counts")
    done("canonicalize", simulated, virtual, "--virtual")
    assert "virtual: canonical_frames" in done("info", virtual).stdout
    done("materialize", virtual, written)
    expected = ptystore.canonicalize(ptystore.open(simulated))["diffraction"].values()
    for path in (virtual, written):
        np.testing.assert_array_equal(ptystore.open(path)["diffraction"].values(), expected)
    assert "virtual:" not in done("info", written).stdout


def test_one_pass_is_three(base: Path, tmp_path: Path) -> None:
    raw, ingested, canonical, patched, fused = (tmp_path / f"{name}.zarr" for name in "abcde")
    done("simulate", base, raw, "--dose", 500, "--signal", "counts")
    done("ingest", raw, ingested)
    done("canonicalize", ingested, canonical)
    done("patch", canonical, patched)
    done("ingest", raw, fused, "--canonicalize", "--patch")
    assert ptystore.digest(fused) == ptystore.digest(patched)
    histories = []
    for path in (patched, fused):
        metadata = ptystore.open(path).metadata
        assert metadata is not None
        histories.append([record["operation"] for record in metadata.history])
    assert histories[0] == histories[1]
