"""Bytes changed anywhere in Zarr stores, ours and others': refused in a line, or the right values.

As with HDF5 files, another tool's store may have other values where it has no checksums, but of
the announced shapes, and the same at each reading.

300 mutants by default, 10,000 with PTYSTORE_FAULTS_FULL=1.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr

import ptystore
from faults.mutants import mutated, whole_content
from faults.outcomes import FULL
from ptystore.errors import PtystoreError

MUTANTS = 10_000 if FULL else 300

ARRAYS = {
    "diffraction": np.random.default_rng(1).poisson(3, (24, 16, 16)).astype("u2"),
    "xcoords": np.arange(24.0),
    "ycoords": np.arange(24.0) * 2,
    "probeGuess": np.ones((16, 16), "c8"),
}

ENCODED: dict[str, dict[str, Any]] = {
    "2, plain": {"zarr_format": 2, "compressors": None},
    "2, zlib": {"zarr_format": 2, "compressors": numcodecs.Zlib(1)},
    "2, lz4": {"zarr_format": 2, "compressors": numcodecs.LZ4()},
    "2, blosc": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
    "3, plain": {"zarr_format": 3, "compressors": None},
    "3, zstd": {"zarr_format": 3},
    "3, blosc": {"zarr_format": 3, "compressors": zarr.codecs.BloscCodec()},
    "3, shards": {"zarr_format": 3, "shards": (12, 16, 16)},
}


def made(folder: Path) -> Iterator[tuple[str, Path]]:
    path = folder / "ours.zarr"
    words = {"words": np.array(["a", "bb"])}
    ptystore.write(ptystore.dataset_of({**ARRAYS, **words}, ptystore.Metadata.create()), path)
    yield "ours", path
    for kind, options in ENCODED.items():
        path = folder / f"{kind}.zarr"
        group = zarr.create_group(path, zarr_format=options["zarr_format"])
        encoding = {name: one for name, one in options.items() if name != "zarr_format"}
        for name, values in ARRAYS.items():
            is_frames = name == "diffraction"
            chunks = {"chunks": (4, 16, 16), **encoding} if is_frames else {}
            group.create_array(name, shape=values.shape, dtype=values.dtype, **chunks)[...] = values
        yield kind, path


def test_mutants_are_refused_or_read_right(tmp_path: Path, count: Callable[..., None]) -> None:
    rng = random.Random(f"{os.environ.get('PTYSTORE_SEED', 0)}")
    stores = dict(made(tmp_path))
    wanted = {kind: whole_content(path) for kind, path in stores.items()}
    refused = the_same = others = 0
    for number in range(MUTANTS):
        kind = list(stores)[number % len(stores)]
        path = stores[kind]
        # Every file in turn: documents are few among the chunks.
        files = sorted(one for one in path.rglob("*") if one.is_file())
        file = files[number // len(stores) % len(files)]
        data = file.read_bytes()
        file.write_bytes(mutated(data, rng))
        try:
            read = whole_content(path)
            again = whole_content(path)
        except PtystoreError as error:
            assert "\n" not in error.reason  # noqa: PT017
            assert str(error.file).startswith(str(path))  # noqa: PT017
            refused += 1
        else:
            assert read == again, f"{kind}, mutant {number}"
            assert kind != "ours" or read == wanted[kind], f"mutant {number}"
            the_same += read == wanted[kind]
            others += read != wanted[kind]
        finally:
            file.write_bytes(data)
    assert {kind: whole_content(path) for kind, path in stores.items()} == wanted
    count(
        "mutants of Zarr stores",
        mutants=MUTANTS,
        refused=refused,
        read_as_before=the_same,
        other_values_of_other_tools=others,
        silent_in_ours=0,
    )
    assert refused > MUTANTS / 4
