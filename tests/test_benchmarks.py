"""The benchmarks run, on almost nothing: that none of them rots, not how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorstore")

ROOT = Path(__file__).resolve().parent.parent


def run(module: str, folder: Path, *options: str) -> str:
    """A benchmark in a process of its own: tensorstore must not be loaded into this one."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--quick", "--dir", str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def every_run(results: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (case["name"], who, one)
        for part in ("cases", "scaling")
        for case in results[part]
        for who, runs in case["runs"].items()
        for one in runs
    ]


def test_every_case_can_be_measured(tmp_path: Path) -> None:
    printed = run("benchmarks", tmp_path, "--in-process")
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    runs = every_run(results)
    assert len({name for name, _, _ in runs}) > 15
    assert not [one for one in runs if "failed" in one[2]]
    # All that the table promises exists: a feature that went missing is not "not there yet".
    assert not [one for one in runs if "missing" in one[2]]
    assert all(one["seconds"] > 0 and one["peak_bytes"] > 0 for _, _, one in runs)
    for name, who, _ in runs:
        assert name in printed
        assert who in printed


def test_participants_run_alternately_in_their_own_processes(tmp_path: Path) -> None:
    run("benchmarks", tmp_path, "--only", "export, stored", "--no-scaling", "--rounds", "2")
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    (case,) = results["cases"]
    places = {who: [one["place"] for one in runs] for who, runs in case["runs"].items()}
    assert places == {"ptystore": [0, 1], "np.savez from memory": [1, 0]}
    assert results["machine"]["cores"] >= 1
    assert results["machine"]["versions"]["numpy"]


def test_a_failing_participant_is_named_and_fails_the_run(tmp_path: Path) -> None:
    code = (
        "from benchmarks import __main__ as main; from benchmarks.case import *; "
        "main.CASES = (Case('broken', Operation('with_numpy.savez', "
        "{'source': 'nothing.npz', 'compressed': False}), (), ()),); "
        f"main.main(['--quick', '--no-scaling', '--dir', {str(tmp_path)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "FileNotFoundError" in done.stdout


def test_every_chunk_and_shard_size_can_be_measured(tmp_path: Path) -> None:
    printed = run("benchmarks.layout_tuning", tmp_path, "--mb", "0.1", "--in-process")
    layouts = json.loads((tmp_path / "layouts.json").read_text("utf-8"))["layouts"]
    assert {one["name"].split("-")[0] for one in layouts} == {"uint16", "float32", "complex64"}
    assert len({one["chunk_bytes"] for one in layouts}) > 1
    assert all(one["write"] > 0 and one["read"] > 0 and one["batch"] > 0 for one in layouts)
    assert "| 64×64" in printed


def test_the_readme_has_the_table() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    _, begin, rest = text.partition("<!-- table -->")
    table, end, _ = rest.partition("<!-- end of table -->")
    assert begin
    assert end
    assert "| ingest, deflated NPZ" in table
