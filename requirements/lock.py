"""Writes run.txt, test.txt and dev.txt: exact versions, and the hashes of their wheels.

`make lock` calls it. pip resolves what pyproject.toml asks for, once with each interpreter that is
named, and tells which wheel it would take on each platform and what that wheel's hash is;
nothing is installed. Versions that stand in the files stay, unless `--upgrade` is given.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

# Where the wheels must run: tags of pip's, the newest first.
PLATFORMS = {
    "Linux, x86_64": [f"manylinux_2_{n}_x86_64" for n in range(34, 16, -1)]
    + ["manylinux2014_x86_64"],
    "Linux, aarch64": [f"manylinux_2_{n}_aarch64" for n in range(34, 16, -1)]
    + ["manylinux2014_aarch64"],
    "macOS, arm64": [
        f"macosx_{n}_0_{arch}" for n in (15, 14, 13, 12, 11) for arch in ("arm64", "universal2")
    ],
}

HEAD = """\
# {what}: exact versions, and the hashes of
# their wheels for Python {first} to {last}. Made by `make lock`; not to be edited.
"""

# Each file holds what the one before it does not.
WHAT = {
    "run": "What ptystore needs to be built and to run",
    "test": "What its tests need besides",
    "dev": "What its checks need besides",
}

Versions = dict[str, str]


def asked() -> dict[str, list[str]]:
    """The requirements of each file, from pyproject.toml."""
    table = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text("utf-8"))
    extras = table["project"]["optional-dependencies"]
    run = [*table["build-system"]["requires"], *table["project"]["dependencies"]]
    test = [*run, *extras["test"]]
    return {"run": run, "test": test, "dev": [*test, *_foreign(extras["dev"])]}


def _foreign(requirements: Iterable[str]) -> list[str]:
    return [text for text in requirements if not text.startswith("ptystore")]


def kept() -> list[str]:
    """Constraints: the versions, with their markers, that the files hold now."""
    lines = [line for name in WHAT for line in _lines(FOLDER / f"{name}.txt")]
    return [line.removesuffix("\\").strip() for line in lines if re.match(r"[\w.-]+==", line)]


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def told(python: str, words: Sequence[str], constraints: Iterable[str] = ()) -> list[dict]:
    """What pip would install: one entry a wheel, as its report has them."""
    with tempfile.TemporaryDirectory() as folder:
        report, limits = Path(folder, "report.json"), Path(folder, "constraints.txt")
        limits.write_text("\n".join(constraints), "utf-8")
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--dry-run", "--ignore-installed", "--only-binary", ":all:"]
        command += ["--report", str(report), "--constraint", str(limits)]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr.strip().splitlines()[-1])
        return json.loads(report.read_text("utf-8"))["install"]


def resolved(python: str, constraints: Sequence[str]) -> dict[str, Versions]:
    """The versions that each file's requirements come to, the same in all of them."""
    found: dict[str, Versions] = {}
    limits = constraints
    for name, requirements in reversed(asked().items()):
        found[name] = {
            _name(one): one["metadata"]["version"] for one in told(python, requirements, limits)
        }
        limits = [f"{package}=={version}" for package, version in found[name].items()]
    return found


def _name(entry: Mapping) -> str:
    return re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower()


def hashes(python: str, minor: str, versions: Versions, platform: str) -> dict[str, str]:
    """The hash of each package's wheel for a Python and a platform; what has none is told."""
    words = ["--no-deps", "--python-version", minor, "--target", "nowhere"]
    words += [word for tag in PLATFORMS[platform] for word in ("--platform", tag)]
    wanted = [f"{package}=={version}" for package, version in versions.items()]
    try:
        entries = told(python, [*words, *wanted])
    except ValueError:
        entries = []
        for one in wanted:
            try:
                entries += told(python, [*words, one])
            except ValueError:
                print(f"no wheel of {one} for Python {minor} on {platform}")
    return {_name(one): one["download_info"]["archive_info"]["hashes"]["sha256"] for one in entries}


def marker(minors: Sequence[str], every: Sequence[str]) -> str:
    """The environment marker for some of the Python versions, which are neighbours."""
    first, last = every.index(minors[0]), every.index(minors[-1])
    bounds = [f'python_version >= "{minors[0]}"'] if first else []
    if last + 1 < len(every):
        bounds.append(f'python_version < "{every[last + 1]}"')
    return f"; {' and '.join(bounds)}" if bounds else ""


def lock(pythons: Sequence[str], upgrade: bool) -> None:
    """Write the three files."""
    constraints = [] if upgrade else kept()
    ask = "import sys; print(*sys.version_info[:2], sep='.')"
    by_minor = {
        subprocess.check_output([python, "-c", ask], text=True).strip(): python
        for python in pythons
    }
    numbers = sorted(int(minor.partition(".")[2]) for minor in by_minor)
    every = [f"3.{n}" for n in range(numbers[0], numbers[-1] + 1)]
    sets = {minor: resolved(python, constraints) for minor, python in by_minor.items()}
    places: dict[tuple[str, str], list[str]] = {}
    sums: dict[tuple[str, str], set[str]] = {}
    for minor in every:
        # A version in between that is not here takes what the next one takes.
        stand_in = next(other for other in every[every.index(minor) :] if other in sets)
        versions = sets[stand_in]["dev"]
        for pin in versions.items():
            places.setdefault(pin, []).append(minor)
        for platform in PLATFORMS:
            for package, digest in hashes(by_minor[stand_in], minor, versions, platform).items():
                sums.setdefault((package, versions[package]), set()).add(digest)
    before: set[str] = set()
    for name, what in WHAT.items():
        names = {package for found in sets.values() for package in found[name]} - before
        before |= names
        text = HEAD.format(what=what, first=every[0], last=every[-1])
        for package, version in sorted(pin for pin in places if pin[0] in names):
            pin = (package, version)
            line = f"{package}=={version}{marker(places[pin], every)}"
            text += (
                " \\\n    ".join([line, *(f"--hash=sha256:{one}" for one in sorted(sums[pin]))])
                + "\n"
            )
        (FOLDER / f"{name}.txt").write_text(text, "utf-8")
        print(f"{name}.txt: {len(names)} packages")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="Take the newest versions.")
    parser.add_argument("pythons", nargs="*", default=[sys.executable], help="Interpreters.")
    given = parser.parse_args()
    lock(given.pythons, given.upgrade)
