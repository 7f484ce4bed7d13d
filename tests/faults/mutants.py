"""Files with a few bytes changed, and all that a reader gets of one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import ptystore

__all__ = ["mutated", "whole_content"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Two bytes anywhere, a flipped bit, a piece of noise, or a byte of the first header."""
    out = bytearray(data)
    at = rng.randrange(len(out))
    match rng.randrange(5):
        case 0:
            out[at], out[rng.randrange(len(out))] = rng.randrange(256), rng.randrange(256)
        case 1:
            out[at] ^= 1 << rng.randrange(8)
        case 2:
            piece = rng.randbytes(rng.randrange(1, 17))
            out[at : at + len(piece)] = piece[: len(out) - at]
        case 3:
            out[rng.randrange(min(3000, len(out)))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 4:
            del out[at:]
    return bytes(out)


def whole_content(path: Path) -> dict[str, Any]:
    """All that a reader gets, the announced shapes checked."""
    found: dict[str, Any] = {}
    for name, field in ptystore.open(path).items():
        values = field.values()
        assert (values.shape, values.dtype) == (field.shape, field.dtype)
        found[name] = (field.dtype.str, field.shape, values.tobytes())
    return found
