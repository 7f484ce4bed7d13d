"""What all tests share: the Hypothesis profile and the paths of the reference data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# No example database and no deadline: a run depends on nothing left by an earlier one, and on no
# clock (which `too_slow` is, too). In CI the examples are the same every time.
settings.register_profile(
    "ptystore",
    deadline=None,
    database=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ptystore")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of reference data: PTYSTORE_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("PTYSTORE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}: set PTYSTORE_DATA to their folder")
    return folder


def _reference(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        pytest.skip(f"{folder} has no {name}")
    return path


@pytest.fixture(scope="session")
def reference_raw(data_dir: Path) -> Path:
    """64 frames of 64×64 as the legacy simulation saved them, `_metadata` a pickle."""
    return _reference(data_dir, "reference/simulated_raw.npz")


@pytest.fixture(scope="session")
def reference_patched(data_dir: Path) -> Path:
    """The same scan after the legacy canonicalize and patch tools."""
    return _reference(data_dir, "reference/patched.npz")


@pytest.fixture(scope="session")
def run1084(data_dir: Path) -> Path:
    """A published reconstruction: probe, object and 1,087 positions, no frames."""
    return _reference(data_dir, "run1084.npz")
