"""Where a field's encoded values lie in a file or store, found by each format's specification."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from ptystore.formats.table import format_of_source
from ptystore.storage.local import SourceFile
from toy_format import read_document

#: One piece: (file, offset, length).
Place = tuple[Path, int, int]


def chunk_places(path: Path, name: str) -> list[Place]:
    """The pieces of a field: chunks in order where the format has chunks, else one piece."""
    return PLACES[format_of_source(path).name](path, name)


def _in_npz(path: Path, name: str) -> list[Place]:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    head = path.read_bytes()[info.header_offset : info.header_offset + 30]
    name_length, extra_length = struct.unpack("<2H", head[26:])
    begin = info.header_offset + 30 + name_length + extra_length
    return [(path, begin, info.compress_size)]


def _in_hdf5(path: Path, name: str) -> list[Place]:
    with h5py.File(path) as file:
        stored = file[name].id
        infos = [stored.get_chunk_info(at) for at in range(stored.get_num_chunks())]
    return [(path, info.byte_offset, info.size) for info in infos]


def _in_zarr(path: Path, name: str) -> list[Place]:
    document = json.loads((path / name / "zarr.json").read_text("utf-8"))
    shard_shape = document["chunk_grid"]["configuration"]["chunk_shape"]
    codec = document["codecs"][0]
    files = sorted((path / name).glob("c*"), key=lambda file: int(file.name.split(".")[1]))
    if codec["name"] != "sharding_indexed":
        return [(file, 0, file.stat().st_size) for file in files]
    count = math.prod(shard_shape) // math.prod(codec["configuration"]["chunk_shape"])
    places = []
    for file in files:
        index = np.frombuffer(file.read_bytes()[-16 * count - 4 : -4], "<u8").reshape(count, 2)
        places += [(file, int(at), int(size)) for at, size in index if at != 2**64 - 1]
    return places


def _in_toy(path: Path, name: str) -> list[Place]:
    chunks = read_document(SourceFile(path))["fields"][name]["chunks"]
    return [(path, offset, length) for offset, length, _ in chunks]


#: By the name of the format.
PLACES: dict[str, Callable[[Path, str], list[Place]]] = {
    "npz": _in_npz,
    "hdf5": _in_hdf5,
    "zarr": _in_zarr,
    "toy": _in_toy,
}
