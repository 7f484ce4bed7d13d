"""Bytes changed anywhere in HDF5 files, ours and others': refused in a line, or the right values.

Whatever the HDF5 library does with them happens in the helper; what is decoded here is bounded
by what the file announces. A file of ours that is accepted must read as it was written. Another
tool's may have other values where it has no checksums, but of the announced shapes, and the same
at each reading: never what happened to be in memory.

300 mutants by default, 10,000 with PTYSTORE_FAULTS_FULL=1.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

import ptystore
from faults.mutants import mutated, whole_content
from faults.outcomes import FULL
from ptystore.errors import PtystoreError
from ptystore.formats.hdf5 import asking

MUTANTS = 10_000 if FULL else 300

ARRAYS = {
    "diffraction": np.random.default_rng(1).poisson(3, (24, 16, 16)).astype("u2"),
    "xcoords": np.arange(24.0),
    "ycoords": np.arange(24.0) * 2,
    "probeGuess": np.ones((16, 16), "c8"),
}

FILTERS: dict[str, Mapping[str, Any]] = {
    "contiguous": {},
    "gzip": {"compression": "gzip"},
    "gzip, shuffle": {"compression": "gzip", "shuffle": True},
    "fletcher32": {"fletcher32": True},
    "lz4": dict(hdf5plugin.LZ4()),
    "bitshuffle, lz4": dict(hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle, zstd": dict(hdf5plugin.Bitshuffle(cname="zstd")),
    "blosc": dict(hdf5plugin.Blosc()),
    "zstd": dict(hdf5plugin.Zstd()),
    "lzf": {"compression": "lzf"},
    "bzip2": dict(hdf5plugin.BZip2()),
    "scale and offset": {"scaleoffset": 0},
}


def another_tools(path: Path, kind: Mapping[str, Any], version: str) -> Path:
    with h5py.File(path, "w", libver=version) as file:
        for name, values in ARRAYS.items():
            chunks = {"chunks": (4, 16, 16)} if kind and name == "diffraction" else {}
            filters = kind if name == "diffraction" else {}
            file.create_dataset(name, data=values, **chunks, **filters)
        file["words"] = np.array(["a", "bb"], object)
        file["diffraction"].attrs["names"] = ["x", "yy"]
        file["xcoords"].attrs["units"] = "pixel"
    return path


def ours(path: Path) -> Path:
    words = {"words": np.array(["a", "bb"])}
    ptystore.write(ptystore.dataset_of({**ARRAYS, **words}, ptystore.Metadata.create()), path)
    return path


def made(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield "ours", ours(folder / "ours.h5").read_bytes()
    for name, kind in FILTERS.items():
        version = "latest" if name == "gzip, shuffle" else "earliest"
        yield name, another_tools(folder / "other.h5", kind, version).read_bytes()
        (folder / "other.h5").unlink()


def test_mutants_are_refused_or_read_right(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    count: Callable[..., None],
) -> None:
    monkeypatch.setattr(asking, "SECONDS", 2)  # some keep the library busy for ever
    asking._end()
    path, rng = tmp_path / "mutant.h5", random.Random(f"{os.environ.get('PTYSTORE_SEED', 0)}")
    originals = dict(made(tmp_path))
    wanted = {}
    for kind, data in originals.items():
        path.write_bytes(data)
        wanted[kind] = whole_content(path)
    refused = the_same = others = contained = 0
    kinds = list(originals)
    for number in range(MUTANTS):
        kind = kinds[number % len(kinds)]
        path.unlink()
        path.write_bytes(mutated(originals[kind], rng))
        try:
            read = whole_content(path)
            again = whole_content(path)
        except PtystoreError as error:
            assert error.file == str(path)  # noqa: PT017
            # Names are the file's own, whatever is in them.
            assert "\n" not in error.reason  # noqa: PT017
            refused += 1
            contained += "the HDF5 library" in error.reason
            continue
        assert read == again, f"{kind}, mutant {number}"
        assert kind != "ours" or read == wanted[kind], f"mutant {number}"
        the_same += read == wanted[kind]
        others += read != wanted[kind]
    asking._end()
    assert capfd.readouterr() == ("", "")
    count(
        "mutants of HDF5 files",
        mutants=MUTANTS,
        refused=refused,
        of_them_native_crashes_or_hangs=contained,
        read_as_before=the_same,
        other_values_of_other_tools=others,
        silent_in_ours=0,
    )
    assert refused > MUTANTS / 4


def test_verify_finds_what_reading_finds_in_ours(tmp_path: Path) -> None:
    path, rng = ours(tmp_path / "a.h5"), random.Random(7)
    data, wanted = path.read_bytes(), whole_content(path)
    for number in range(1000 if FULL else 40):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            sound = ptystore.verify(path).ok
        except PtystoreError:
            continue
        assert not sound or whole_content(path) == wanted, f"mutant {number}"
