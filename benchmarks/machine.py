"""What a result has to say of the machine and the versions it was measured with."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["describe", "sentence"]

_PACKAGES = (
    "ptystore",
    "numpy",
    "scipy",
    "zarr",
    "numcodecs",
    "isal",
    "blake3",
    "google-crc32c",
    "h5py",
    "hdf5plugin",
    "tensorstore",
)


def describe(folder: Path) -> dict[str, Any]:
    """The machine, how busy it is, the filesystem of `folder` and all versions."""
    return {
        "processor": _after_colon("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": os.getloadavg()[0],
        "kernel": f"{platform.system()} {platform.release()}",
        "filesystem": _filesystem(folder),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def sentence(machine: dict[str, Any]) -> str:
    """The description in words."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 1e9:.0f} GB of memory, {machine['kernel']}, "
        f"{machine['filesystem']}; load {machine['load']:.1f} when it began. "
        f"Python {machine['python']}, {versions}."
    )


def _after_colon(file: str, key: str) -> str:
    for line in Path(file).read_text("utf-8", "replace").splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(folder: Path) -> str:
    """The type of the filesystem that holds `folder`: that of the longest mount point above."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    above = [one for one in mounts if folder.resolve().is_relative_to(one[1])]
    return max(above, key=lambda one: len(one[1]))[2]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "uninstalled"
