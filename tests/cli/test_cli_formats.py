"""`ptystore formats`: the table of what is read and written, and one of them as a tree."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

import ptystore
from ptystore_cli.app import app


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["formats", *words])


def test_all_are_listed() -> None:
    done = run()
    assert done.exit_code == 0, done.stderr
    lines = {line.split()[0]: line for line in done.output.splitlines() if line.strip()}
    for one in ptystore.list_formats():
        assert one.title in lines[one.name]
        assert all(suffix in lines[one.name] for suffix in one.suffixes)
    assert "frames, positions, energy, distance, pixel" in lines["ptylab"]
    told = json.loads(run("--json").stdout)["formats"]
    assert told == [one.to_dict() for one in ptystore.list_formats()]


def test_one_is_shown_as_a_tree() -> None:
    done = run("--show", "cxi")
    assert done.exit_code == 0, done.stderr
    lines = [line.rstrip() for line in done.output.splitlines()]
    detector = next(at for at, line in enumerate(lines) if line.startswith("      detector_1/"))
    # A group stands above what is in it, one step further to the right.
    assert lines[detector].split()[1] == "needed"
    energy = next(line for line in lines if line.startswith("        energy "))
    assert energy.split()[-2:] == ["J", "photon_energy_eV"]
    assert lines[detector + 1].startswith("        data ")
    assert "basis_vectors" in done.output
    assert json.loads(run("--show", "cxi", "--json").stdout)["name"] == "cxi"


@pytest.mark.parametrize("one", ptystore.list_formats(), ids=lambda one: one.name)
def test_every_key_of_each_is_shown(one: ptystore.KnownFormat) -> None:
    done = run("--show", one.name)
    assert done.exit_code == 0, done.stderr
    shown = [line.split("  ")[0] if line[:1] != " " else line for line in done.output.splitlines()]
    for item in one.layout.items:
        name = item.path.rstrip("/").rpartition("/")[2]
        last = f"@{name.partition('@')[2]}" if "@" in name else name
        assert any(line.strip().startswith(last) for line in shown), item.path


def test_an_unknown_one_is_a_usage_error() -> None:
    done = run("--show", "mine")
    assert done.exit_code == 2
    assert "known are npz, zarr, hdf5, files, cxi" in done.stderr
