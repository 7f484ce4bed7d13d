"""Everything that is installed is pinned by hash and named with its licence; nothing else is."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SETS = ("run", "test", "dev")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

if not (ROOT / "requirements").is_dir():
    pytest.skip("the sources are not here", allow_module_level=True)


def entries(name: str) -> list[tuple[Requirement, list[str]]]:
    """What a lock file pins, and the hashes of each; anything else in it fails."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    found = []
    for block in re.sub(r" \\\n", " ", text).splitlines():
        if not block.startswith("#"):
            told, *hashes = re.split(r" +--hash=sha256:", block)
            assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in hashes), block
            found.append((Requirement(told), hashes))
    return found


def here(name: str) -> dict[str, str]:
    """The versions that a lock file has for this Python."""
    chosen = [pin for pin, _ in entries(name) if pin.marker is None or pin.marker.evaluate()]
    assert len({pin.name for pin in chosen}) == len(chosen)
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in chosen}


def asked(name: str) -> list[Requirement]:
    """What pyproject.toml asks for."""
    own = PROJECT["project"]
    told = {
        "run": [*PROJECT["build-system"]["requires"], *own["dependencies"]],
        **own["optional-dependencies"],
    }[name]
    return [need for need in map(Requirement, told) if need.name != "ptystore"]


@pytest.mark.parametrize("name", SETS)
def test_every_line_pins_one_version_by_hash(name: str) -> None:
    for pin, hashes in entries(name):
        assert [one.operator for one in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert pin.url is None


@pytest.mark.parametrize("name", SETS)
def test_what_is_asked_for_is_pinned_and_fits(name: str) -> None:
    pinned = {
        key: value for one in SETS[: SETS.index(name) + 1] for key, value in here(one).items()
    }
    for need in asked(name):
        assert need.specifier.contains(pinned[canonicalize_name(need.name)]), need


def test_nothing_is_pinned_twice() -> None:
    pins = [str(pin) for name in SETS for pin, _ in entries(name)]
    assert len(set(pins)) == len(pins)
    for name in SETS:
        assert sorted(pins_of := [pin.name for pin, _ in entries(name)]) == pins_of


def needs_of(name: str, seen: set[str]) -> set[str]:
    """The names of what an installed package needs, and what that needs."""
    if name in seen:
        return seen
    seen.add(name)
    for told in importlib.metadata.requires(name) or []:
        need = Requirement(told)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            needs_of(canonicalize_name(need.name), seen)
    return seen


@pytest.fixture
def locked() -> None:
    """Skips where other versions are installed, as for `make test-oldest`."""
    for name, version in here("run").items():
        if name != "setuptools" and importlib.metadata.version(name) != version:
            pytest.skip(f"{name} is not the {version} of requirements/run.txt")


@pytest.mark.usefixtures("locked")
def test_what_runs_is_all_pinned() -> None:
    needed: set[str] = set()
    for need in asked("run"):
        for name in {canonicalize_name(need.name)}:
            needs_of(name, needed)
    assert needed <= here("run").keys()


def listed() -> dict[str, dict[str, str]]:
    """The packages and licences of each table of THIRD_PARTY.md."""
    text = (ROOT / "THIRD_PARTY.md").read_text("utf-8")
    tables = {}
    for part in text.split("\n## ")[1:]:
        rows = re.findall(r"^\| ([\w.-]+) \| ([^|]+?) \|", part, re.MULTILINE)
        tables[part.partition("\n")[0]] = dict(
            row for row in rows if row[0] not in ("package", "---")
        )
    return tables


def test_licences_are_listed() -> None:
    tables = listed()
    own = {
        canonicalize_name(need.name)
        for need in map(Requirement, PROJECT["project"]["dependencies"])
    }
    assert tables["Dependencies"].keys() == own
    everything = {name for table in tables.values() for name in table}
    assert everything == {pin.name for pin, _ in entries("run")}
    assert tables["To build it"].keys() == {need.name for need in asked("run")} - own


@pytest.mark.usefixtures("locked")
def test_licences_are_those_that_the_packages_state() -> None:
    for table in listed().values():
        for name, licence in table.items():
            try:
                told = importlib.metadata.metadata(name).get("License-Expression")
            except importlib.metadata.PackageNotFoundError:
                continue  # another Python's
            assert told in (None, licence), name
