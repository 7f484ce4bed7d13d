"""`info` and `history` of scans with very many members, or very much metadata: linear, bounded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from ptystore.formats.opening import open_tree
from ptystore_cli.app import app
from ptystore_cli.terminal import table


def steps(work: Callable[[], Any]) -> int:
    """How many calls, of Python's and of C's functions, a piece of work takes."""
    count = 0

    def counted(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def info(path: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["info", str(path), *words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def many(folder: Path, members: int) -> Path:
    path = folder / f"{members}.npz"
    np.savez(path, **{f"a{k}": np.zeros((3, 2)) for k in range(members)})
    return path


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_steps_grow_with_the_members_alone(tmp_path: Path, words: list[str]) -> None:
    few, more = many(tmp_path, 300), many(tmp_path, 1200)
    info(few, *words)  # what is loaded once is loaded
    begun, grown = (steps(lambda path=path: info(path, *words)) for path in (few, more))
    assert grown < 4.4 * begun
    # Python's own encoder of indented JSON calls more, but nothing that takes long. What making
    # the verbs' options takes is the same for both.
    opened = [steps(lambda path=path: ptystore.open(path)) for path in (few, more)]
    assert grown - begun < (4 if words else 2.2) * (opened[1] - opened[0])


def test_what_is_not_there_is_found_missing_at_once(tmp_path: Path) -> None:
    """However many members there are: every dialect asks for its names."""
    few, more = (open_tree(many(tmp_path, members)) for members in (3, 1200))
    names = ("/a", "/nothing", "/entry/data")
    assert [more.kind(name) for name in names] == [None] * 3
    taken = [steps(lambda tree=tree: [tree.kind(name) for name in names]) for tree in (few, more)]
    assert taken[0] == taken[1]


def lists(folder: Path, count: int) -> Path:
    path = folder / f"lists-{count}.npz"
    text = json.dumps({"x": [[]] * count, "y": {str(k): {} for k in range(count)}})
    np.savez(path, x=np.ones(3), _metadata=np.array(text))
    return path


def test_metadata_are_parsed_in_one_go_and_copied_once(tmp_path: Path) -> None:
    few, more = lists(tmp_path, 10), lists(tmp_path, 10_000)
    ptystore.open(few)
    opening = [steps(lambda path=path: ptystore.open(path)) for path in (few, more)]
    # The hook and what it calls for each object, nothing for the lists.
    assert opening[1] - opening[0] < 3.1 * 10_000
    info(few)
    told = [steps(lambda path=path: info(path)) for path in (few, more)]
    assert told[1] - told[0] < 4.5 * 20_000


def test_one_line_of_a_record_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "long.npz"
    record = {
        "tool": "t" * 9000,
        "parameters": {"p" * 9000: list(range(9000))} | {str(k): k for k in range(5000)},
        "inputs": [{"file": "f" * 9000, "digest": "d" * 9000}] * 80,
    }
    document = {"data_transformations": [record], "physics_parameters": {"nphotons": "n" * 9000}}
    np.savez(path, x=np.ones(3), _metadata=np.array(json.dumps(document)))
    result = CliRunner().invoke(app, ["history", str(path)])
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert len(line) < 40_000
    assert "…" in line
    assert max(map(len, info(path).splitlines())) < 1000
    whole = json.loads(CliRunner().invoke(app, ["history", str(path), "--json"]).stdout)
    assert whole["history"] == [record]


def test_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["a", 1], ["bc [x]", 22], ["漢", 333]]
    expected = "name      n\n───────────\na         1\nbc [x]   22\n漢      333"
    assert table(["name", ">n"], rows) == expected
    assert table(["name", ">n"], []) == "name  n\n───────"
    assert len(table(["a"], [["x" * 5000]])) < 1000
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    folded = table(
        ["name", "what"], [["abcdefghij", "漢字漢字漢字漢字漢字"], ["k", ""]]
    ).splitlines()
    assert max(len(line) for line in folded) <= 20
    assert "".join(line[:10].strip() for line in folded[2:]) == "abcdefghijk"
    assert "".join(line[10:].strip() for line in folded[2:]) == "漢字漢字漢字漢字漢字"
