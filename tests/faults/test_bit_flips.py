"""Single flipped bits, and files deleted or swapped, all over a store: none is silent."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import ptystore
from faults.outcomes import FULL, SUFFIXES, content, small_scan
from ptystore.errors import PtystoreError

FLIPS = 1000 if FULL else 60


def files_of(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def read(path: Path) -> object:
    """All that can be read, or None where reading raises."""
    try:
        return content(path)
    except PtystoreError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_flipped_bit_is_silent(tmp_path: Path, suffix: str, count: Callable[..., None]) -> None:
    path = tmp_path / f"scan{suffix}"
    ptystore.write(small_scan(frames=2000), path)
    original, files, rng = content(path), files_of(path), random.Random(4)
    raised = harmless = only_verify = 0
    for number in range(FLIPS):
        # Every file in turn, so that the small ones are not left out.
        file = files[number % len(files)]
        data = bytearray(file.read_bytes())
        at, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        data[at] ^= bit
        file.write_bytes(data)
        where = f"bit {bit} of byte {at} of {file.relative_to(tmp_path)}"
        got, report = read(path), verified(path)
        # Bytes that say nothing (unused space of an HDF5 file, dates in a zip) may be others.
        assert got is None or got == original, where
        if suffix == ".zarr":
            assert not report, where
        else:
            assert got is not None or not report, where
        raised += got is None
        only_verify += got is not None and not report
        harmless += got is not None and report
        data[at] ^= bit
        file.write_bytes(data)
    assert verified(path)
    assert content(path) == original
    count(
        f"bit flips, {suffix}",
        flips=FLIPS,
        raised_in_reading=raised,
        found_by_verify_alone=only_verify,
        in_bytes_that_say_nothing=harmless,
        silent=0,
    )
    assert raised > FLIPS / 3


def verified(path: Path) -> bool:
    """Whether verify finds nothing; what it refuses as no scan at all is found, too."""
    try:
        return ptystore.verify(path).ok
    except PtystoreError:
        return False


def test_every_file_deleted_or_swapped(tmp_path: Path, count: Callable[..., None]) -> None:
    path, aside = tmp_path / "scan.zarr", tmp_path / "aside"
    ptystore.write(small_scan(frames=2000), path)
    original, files = content(path), files_of(path)
    for file in files:
        shutil.move(file, aside)
        assert not verified(path), f"{file} deleted"
        # Zarr libraries go by the root alone; without the manifest it is no store of ours.
        assert read(path) is None, f"{file} deleted"
        shutil.move(aside, file)
    swapped = silent_in_reading = 0
    for one in files:
        for other in files:
            if one >= other or one.read_bytes() == other.read_bytes():
                continue
            swap(one, other, aside)
            assert not verified(path), f"{one} and {other} swapped"
            got = read(path)
            # Sound chunks of as many values: no codec can tell, manifest and digests do.
            alike = one.stat().st_size and one.name.startswith("c") and other.name.startswith("c")
            assert got is None or alike, f"{one} and {other} swapped"
            silent_in_reading += got is not None
            swapped += 1
            swap(one, other, aside)
        if not FULL and swapped > 40:
            break
    assert verified(path)
    assert content(path) == original
    count(
        "files of a store, .zarr",
        deleted=len(files),
        pairs_swapped=swapped,
        found_by_verify_alone=silent_in_reading,
        silent=0,
    )


def swap(one: Path, other: Path, aside: Path) -> None:
    shutil.move(one, aside)
    shutil.move(other, one)
    shutil.move(aside, other)


@pytest.mark.parametrize("name", ["xcoords/c.0", "diff3d/c.0.0.0"])
def test_a_swapped_file_of_another_field_of_the_same_kind(tmp_path: Path, name: str) -> None:
    """Sound chunks in the wrong place: the codec can't tell, manifest and digest do."""
    path, other = tmp_path / "scan.zarr", tmp_path / "other.zarr"
    ptystore.write(small_scan(0), path)
    ptystore.write(small_scan(1), other)
    shutil.copy(other / name, path / name)
    (line,) = ptystore.verify(path).damage
    field = name.partition("/")[0]
    assert line.startswith(f"{field}: ")
    assert "CRC-32" in line
    (path / "ptystore-manifest.json").unlink()
    changed = f"{field}: the values are not those that were written"
    assert any(one.startswith(changed) for one in ptystore.verify(path).damage)
