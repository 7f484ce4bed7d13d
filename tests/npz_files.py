"""NPZ files built byte by byte, so that tests can make what `np.savez` never would."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STORED, DEFLATED = 0, 8

DOCUMENT = '{"schema_version": "1.0.0", "physics_parameters": {"nphotons": 1000.0, "N": 4}}'


def npy(values: Any) -> bytes:
    """The `.npy` of an array, as NumPy writes it; an object array is pickled."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def npy_head(text: str | bytes, version: int = 1) -> bytes:
    """A `.npy` header that says `text`, whatever that is."""
    body = text.encode("latin-1") if isinstance(text, str) else text
    length = len(body).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + body


def npy_claiming(descr: str, shape: str, fortran: str = "False", data: bytes = b"") -> bytes:
    """A `.npy` whose header makes these claims of the `data` that follow."""
    return (
        npy_head(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n") + data
    )


@dataclass(frozen=True)
class Member:
    """One member; what is None is told truthfully."""

    name: str | bytes
    data: bytes
    method: int = STORED
    packed: bytes | None = None
    crc: int | None = None
    size: int | None = None
    flags: int = 0
    local_name: str | bytes | None = None
    local_magic: bytes = b"PK\x03\x04"
    zip64: bool = False
    descriptor: bool = False
    offset: int | None = None
    listed: bool = True

    def stored(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflate(self.data) if self.method == DEFLATED else self.data


def deflate(data: bytes, level: int = 6) -> bytes:
    """Raw deflate, as in a zip member."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _raw(name: str | bytes) -> bytes:
    return name.encode("utf-8") if isinstance(name, str) else name


def zip_bytes(
    members: Iterable[Member], *, prefix: bytes = b"", gap: bytes = b"", comment: bytes = b""
) -> bytes:
    """A zip archive with `prefix` before it and `gap` between its last member and directory."""
    body, directory = bytearray(prefix), bytearray()
    count = 0
    for one in members:
        offset = len(body) if one.offset is None else one.offset
        stored = one.stored()
        size = len(one.data) if one.size is None else one.size
        crc = zlib.crc32(one.data) if one.crc is None else one.crc
        flags = one.flags | (8 if one.descriptor else 0)
        name = _raw(one.name)
        if one.offset is None:
            local = _raw(one.name if one.local_name is None else one.local_name)
            extra = struct.pack("<2H2Q", 1, 16, size, len(stored)) if one.zip64 else b""
            sizes = (0xFFFFFFFF,) * 2 if one.zip64 else (len(stored), size)
            told = (0, 0, 0) if one.descriptor else (crc, *sizes)
            fixed = (45 if one.zip64 else 20, flags, one.method, 0, 0x21, *told)
            body += one.local_magic + struct.pack("<5H3I2H", *fixed, len(local), len(extra))
            body += local + extra + stored
            if one.descriptor:
                body += b"PK\x07\x08" + struct.pack("<3I", crc, len(stored), size)
        if not one.listed:
            continue
        count += 1
        extra = struct.pack("<2H3Q", 1, 24, size, len(stored), offset) if one.zip64 else b""
        sizes = (0xFFFFFFFF,) * 2 if one.zip64 else (len(stored), size)
        at = 0xFFFFFFFF if one.zip64 else offset
        fixed = (20, 45 if one.zip64 else 20, flags, one.method, 0, 0x21, crc, *sizes)
        directory += b"PK\x01\x02" + struct.pack("<6H3I", *fixed)
        directory += struct.pack("<5H2I", len(name), len(extra), 0, 0, 0, 0, at) + name + extra
    body += gap
    # A prefix is not counted: whoever prepends bytes to an archive does not rewrite it.
    start = len(body)
    end = struct.pack("<4H2IH", 0, 0, count, count, len(directory), start, len(comment))
    return bytes(body + directory) + b"PK\x05\x06" + end + comment


def member(name: str, values: Any, **changes: Any) -> Member:
    """The member `NAME.npy` of an array."""
    return Member(f"{name}.npy", npy(values), **changes)


def pickled(text: Any) -> np.ndarray[Any, Any]:
    """The 0-d object array that legacy tools keep the metadata text in."""
    array = np.empty((), dtype=object)
    array[()] = text
    return array


def scan_arrays(frames: int = 6, size: int = 4, seed: int = 0) -> dict[str, Any]:
    """A small raw scan: uint16 counts, complex128 probe and object, positions inside it."""
    rng = np.random.default_rng(seed)
    shape = (size + 6, size + 7)
    inside = [n - size for n in shape]
    complex_ = lambda *s: rng.normal(size=s) + 1j * rng.normal(size=s)  # noqa: E731
    return {
        "diff3d": rng.integers(0, 1000, (frames, size, size), dtype=np.uint16),
        "objectGuess": complex_(*shape),
        "probeGuess": complex_(size, size),
        "xcoords": size // 2 + rng.random(frames) * inside[1],
        "ycoords": size // 2 + rng.random(frames) * inside[0],
    }


def scan_members(
    arrays: Mapping[str, Any] | None = None, method: int = DEFLATED, **changed: Any
) -> list[Member]:
    """The members of a small scan, its metadata as text; `changed` replaces or adds arrays."""
    values = {**(scan_arrays() if arrays is None else arrays), "_metadata": np.array(DOCUMENT)}
    return [member(name, one, method=method) for name, one in (values | changed).items()]


def write_npz(path: Path, members: Sequence[Member], **how: Any) -> Path:
    path.write_bytes(zip_bytes(members, **how))
    return path


def history_of(path: Path) -> list[dict[str, Any]]:
    """The transformation records in an exported file, read as the legacy reader does."""
    with np.load(path, allow_pickle=False) as file:
        document = json.loads(str(file["_metadata"].item()))
    records: list[dict[str, Any]] = document["data_transformations"]
    return records
