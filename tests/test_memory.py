"""Peak resident memory, measured in child processes: bounded, whatever the number of frames."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scans import spawned

MIB = 1 << 20
LIMIT = 400 * MIB
FLAT = 1.15
# Of a small scan the few shards rarely are all at their largest at once; growth with the
# number of frames would still show as four times as much.
NEARLY_FLAT = 1.25
FRAME = 64 * 64 * 2

# What is freed goes back at once: the peak is what is in use, not what glibc keeps for later,
# which is a matter of timing.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10), "MALLOC_TRIM_THRESHOLD_": str(128 << 10)}

# One verb after another in processes of their own; each prints its peak.
WORK = """
import json, re, sys
import ptystore

verb, source, target = sys.argv[1:]
dataset = ptystore.open(source)
if verb != "export":
    transform = {"patch": "extract_patches"}.get(verb, verb)
    dataset = getattr(ptystore, transform)(dataset)
ptystore.write(dataset, target, jobs=2)
status = open("/proc/self/status").read()
print(json.dumps(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024))
"""


def raw_scan(path: Path, nbytes: int, *, deflated: bool, last: bool = False) -> Path:
    """A raw scan of 64×64 uint16 counts, `nbytes` of frames; made without holding them."""
    count = nbytes // FRAME
    made = np.random.default_rng(0)
    block = made.poisson(20, (512, 64, 64)).astype("u2")
    small = {
        "xcoords": made.uniform(40, 160, count),
        "ycoords": made.uniform(40, 160, count),
        "probeGuess": np.ones((64, 64), np.complex128),
        "objectGuess": np.ones((200, 200), np.complex128),
    }
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, value in small.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, value)
        with archive.open("diff3d.npy", "w", force_zip64=True) as member:
            shape = (64, 64, count) if last else (count, 64, 64)
            header = {"descr": "<u2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            if last:
                row = np.tile(block[:, 0, :].T.copy(), -(-count // 512))[:, :count].tobytes()
                for _ in range(64):
                    member.write(row)
            else:
                for start in range(0, count, 512):
                    member.write(block[: count - start].tobytes())
    return path


def peaks(folder: Path, nbytes: int, steps: list[tuple[str, str, str]]) -> dict[str, int]:
    """The peak of each step `(verb, source, target)`, in bytes."""
    folder.mkdir()
    for name in {source for _, source, _ in steps if source.startswith("raw")}:
        raw_scan(folder / name, nbytes, deflated="deflated" in name, last="last" in name)
    found = {}
    for verb, source, target in steps:
        made = spawned(WORK, verb, folder / source, folder / target, env=GIVEN_BACK)
        found[f"{verb} {source} {target}"] = json.loads(made)
    return found


CHAIN = [
    ("ingest", "raw deflated.npz", "a.zarr"),
    ("ingest", "raw stored.npz", "a.h5"),
    ("canonicalize", "a.zarr", "b.zarr"),
    ("patch", "b.zarr", "c.zarr"),
    ("export", "c.zarr", "d.npz"),
]
LAST = [
    ("canonicalize", "raw last deflated.npz", "e.zarr"),
    ("canonicalize", "raw last stored.npz", "f.h5"),
]
FUSED = [
    ("canonicalize", "raw deflated.npz", "g.zarr"),
    ("canonicalize", "raw stored.npz", "g.npz"),
    ("patch", "a.h5", "c.h5"),
]


def assert_flat(small: dict[str, Any], large: dict[str, Any], flat: float) -> None:
    shown = {name: (small[name] // MIB, large[name] // MIB) for name in large}
    too_high = {name: one for name, one in shown.items() if large[name] >= LIMIT}
    assert not too_high, f"peaks (MiB) of a quarter and the whole: {shown}"
    growing = {name: one for name, one in shown.items() if large[name] > flat * small[name]}
    assert not growing, f"peaks (MiB) of a quarter and the whole: {shown}"


@pytest.mark.parametrize("steps", [CHAIN, LAST], ids=["chain", "frames last"])
def test_the_peak_does_not_grow_with_the_number_of_frames(
    tmp_path: Path, steps: list[tuple[str, str, str]]
) -> None:
    small = peaks(tmp_path / "small", 32 * MIB, steps)
    assert_flat(small, peaks(tmp_path / "large", 128 * MIB, steps), NEARLY_FLAT)


@pytest.mark.full
@pytest.mark.parametrize("steps", [CHAIN + FUSED, LAST], ids=["chain", "frames last"])
def test_the_peak_for_a_gigabyte(tmp_path: Path, steps: list[tuple[str, str, str]]) -> None:
    small = peaks(tmp_path / "small", 256 * MIB, steps)
    assert_flat(small, peaks(tmp_path / "large", 1024 * MIB, steps), FLAT)
