"""Signals, negative counts, gaps and consumers on the command line: exit codes and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import ptystore
from npz_files import scan_arrays
from ptystore_cli.app import app


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def saved(path: Path, **changed: Any) -> Path:
    arrays = scan_arrays(12, 8) | changed
    np.savez(path, **{name: one for name, one in arrays.items() if one is not None})
    return path


def gaps() -> np.ndarray:
    frames = scan_arrays(12, 8)["diff3d"].astype(np.int32)
    frames[:, :, 3], frames[:, 1, 1] = -1, -2
    return frames


@pytest.mark.parametrize("verb", [("canonicalize",), ("ingest", "--canonicalize")])
def test_whole_number_floats(verb: tuple[str, ...], tmp_path: Path) -> None:
    raw = saved(tmp_path / "raw.npz", diff3d=scan_arrays(12, 8)["diff3d"].astype(np.float32))
    refused = run(*verb, raw, tmp_path / "a.zarr")
    assert refused.exit_code == 3
    reason, advice = refused.stderr.splitlines()
    assert reason.startswith(f"ptystore: {raw}: diff3d: holds whole numbers")
    assert "--input-signal counts" in advice
    assert not (tmp_path / "a.zarr").exists()
    for signal in ("counts", "amplitude"):
        made = tmp_path / f"{signal}.zarr"
        assert run(*verb, raw, made, "--input-signal", signal).exit_code == 0
        assert run("validate", made).exit_code == 0
    told = run("ingest", raw, tmp_path / "b.zarr")
    assert told.exit_code == 0
    assert "holds whole numbers up to" in told.stderr
    listed = run("validate", raw)
    assert listed.exit_code == 1
    assert "looks like counts" in listed.stdout


@pytest.mark.parametrize("verb", [("canonicalize",), ("ingest", "--canonicalize")])
def test_negative_counts(verb: tuple[str, ...], tmp_path: Path) -> None:
    raw = saved(tmp_path / "raw.npz", diff3d=gaps())
    refused = run(*verb, raw, tmp_path / "a.zarr")
    assert refused.exit_code == 3
    assert "--negative mask" in refused.stderr
    masked = run(*verb, raw, tmp_path / "a.zarr", "--negative", "mask")
    assert masked.exit_code == 0
    assert "masked, as they hold no counts in any frame: 9 pixels" in masked.stderr
    mask = ptystore.open(tmp_path / "a.zarr")["mask"].values()
    assert (mask[0, 3], mask[1, 1], mask[0, 0]) == (0x200, 0x8, 0)
    assert run(*verb, raw, tmp_path / "b.zarr", "--negative", "zero").exit_code == 0
    assert run("validate", tmp_path / "b.zarr").exit_code == 0
    assert run(*verb, raw, tmp_path / "c.zarr", "--negative", "clip").exit_code == 2


def test_negative_is_of_the_canonical_form(tmp_path: Path) -> None:
    raw = saved(tmp_path / "raw.npz", diff3d=gaps())
    virtual = run("canonicalize", raw, tmp_path / "a.zarr", "--negative", "mask", "--virtual")
    verbatim = run("ingest", raw, tmp_path / "a.zarr", "--negative", "zero")
    assert virtual.exit_code == verbatim.exit_code == 2
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"diff3d": np.ones((12, 8, 8), np.complex64)},
        {"diff3d": None, "data": np.ones((12, 8, 8), np.uint16)},
        {"xcoords": np.ones(12, np.complex64)},
    ],
)
def test_what_is_not_understood_is_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    raw = saved(tmp_path / "raw.npz", **changed)
    refused = run("canonicalize", raw, tmp_path / "a.zarr")
    assert refused.exit_code == 3
    assert len(refused.stderr.splitlines()) <= 2
    assert not (tmp_path / "a.zarr").exists()


def test_validate_for_a_consumer(tmp_path: Path) -> None:
    raw = saved(tmp_path / "raw.npz", probeGuess=None)
    store = tmp_path / "a.zarr"
    assert run("canonicalize", raw, store).exit_code == 0
    bare = run("validate", store)
    assert bare.exit_code == 0
    note, verdict = bare.stdout.splitlines()
    assert note.startswith("note: probeGuess: is missing")
    assert verdict == f"{store}: no problems"
    told = json.loads(run("validate", store, "--json").stdout)
    assert told["ok"] is True
    assert [one["field"] for one in told["notes"]] == ["probeGuess"]
    legacy = run("validate", store, "--for", "legacy")
    assert legacy.exit_code == 1
    assert legacy.stdout.splitlines()[-1] == f"{store}: 1 problem"
    assert run("validate", store, "--for", "nobody").exit_code == 2


def test_simulated_counts_by_way_of_a_plain_rewrite(tmp_path: Path) -> None:
    raw = saved(tmp_path / "raw.npz")
    found = {}
    for signal in ("amplitude", "counts"):
        made, plain = tmp_path / f"{signal}.npz", tmp_path / f"{signal}-plain.npz"
        assert run("simulate", raw, made, "--dose", 500, "--signal", signal).exit_code == 0
        with np.load(made) as file:
            np.savez(plain, **{name: file[name] for name in file.files})
        canonical = tmp_path / f"{signal}.zarr"
        assert run("canonicalize", plain, canonical).exit_code == 0
        found[signal] = ptystore.open(canonical)["diffraction"].values()
    np.testing.assert_array_equal(found["amplitude"], found["counts"])
