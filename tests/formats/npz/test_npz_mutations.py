"""Byte-level mutations of small `.npz` files: refused, or read with the right values.

A mutation may hit a byte that says nothing (a timestamp, a local size, padding between the
members); such a file is accepted and must read exactly as the original did. Names count too:
each stands in the local header and in the directory, and the two are compared, so that no
small mutation can change one consistently.

1,500 mutations by default; 100,000 with PTYSTORE_FAULTS_FULL=1.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import DEFLATED, DOCUMENT, STORED, member, pickled, scan_arrays, write_npz
from ptystore.errors import PtystoreError

MUTATIONS = 100_000 if os.environ.get("PTYSTORE_FAULTS_FULL") else 1_500
MEMORY = 64 << 20


def _made(method: int, metadata: Any) -> Callable[[Path], Path]:
    arrays = {**scan_arrays(), "labels": np.array(["a", "bé", ""]), "mask": np.eye(3, dtype=bool)}
    members = [member(name, one, method=method) for name, one in arrays.items()]
    members.insert(2, member("_metadata", metadata, method=method))
    return lambda path: write_npz(path, members)


def _ours(path: Path) -> Path:
    scale = {"diff3d": {"signal": "counts", "amplitude_scale": 0.25}}
    metadata = ptystore.Metadata.from_json(DOCUMENT)
    ptystore.write(ptystore.dataset_of(scan_arrays(), metadata, attrs=scale), path)
    return path


FILES = {
    "stored": _made(STORED, np.array(DOCUMENT)),
    "deflated": _made(DEFLATED, np.array(DOCUMENT)),
    "pickled, stored": _made(STORED, pickled(DOCUMENT)),
    "pickled, deflated": _made(DEFLATED, pickled(DOCUMENT)),
    "ours": _ours,
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, bits flipped, a piece removed, repeated, moved or blanked."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out))
        if rng.random() < 0.4:
            # Half of what matters lies in the directory, at the end.
            at = len(out) - 1 - rng.randrange(min(len(out), 900))
        length = rng.choice((1, 2, 4, 8, 30))
        match rng.randrange(7):
            case 0 | 1:
                out[at] ^= 1 << rng.randrange(8)
            case 2 | 3:
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 4:
                del out[at : at + length]
            case 5:
                out[at:at] = out[at : at + length]
            case 6:
                out[at : at + length] = rng.choice((b"\0", b"\xff")) * len(out[at : at + length])
    return bytes(out)


def content(path: Path) -> dict[str, Any]:
    """All that a reader gets from a file, in a form that compares exactly."""
    scan = ptystore.open(path)
    fields = {
        name: (one.dtype.str, one.shape, one.frame_axis, dict(one.attrs), one.values().tobytes())
        for name, one in scan.fields.items()
    }
    assert scan.metadata is not None
    return {**fields, "_metadata": scan.metadata.to_json()}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_mutations_are_refused_or_harmless(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "scan.npz")
    data, original = path.read_bytes(), content(path)
    rng = random.Random(f"{os.environ.get('PTYSTORE_SEED', 0)}")
    refused = accepted = 0
    tracemalloc.start()
    try:
        for number in range(MUTATIONS // len(FILES)):
            mutant = mutated(data, rng)
            path.write_bytes(mutant)
            try:
                read = content(path)
            except PtystoreError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017
                assert str(error).count("\n") == 0  # noqa: PT017
                refused += 1
                continue
            assert read == original, f"mutation {number}"
            accepted += mutant != data
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"{refused} refused, {accepted} accepted with equal content, peak {peak >> 10} KiB")
    assert refused > accepted > 0
    assert peak < MEMORY
