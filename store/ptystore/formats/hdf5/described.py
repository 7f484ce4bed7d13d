"""What the HDF5 library told of a file, and what of it is refused before a value is read.

HDF5 has links into other files, datasets whose values lie in other files, and datasets made
up of pieces of others. From a file that is not to be trusted each would be a path to open.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptystore.errors import DamagedInputError, InputError
from ptystore.formats.chunk_codec import BLOSC_RATIO
from ptystore.formats.hdf5.asking import ask
from ptystore.formats.hdf5.filters import Filter
from ptystore.formats.text import TEXT_LIMIT
from ptystore.storage.local import SourceFile

__all__ = ["Group", "Place", "Stored", "attribute_value", "described"]

_CHUNK_LIMIT = (1 << 31) - 1  # what Blosc can hold
_MOST_HOPS = 32  # soft links to soft links


@dataclass(frozen=True)
class Stored:
    """A dataset of a file, as its header tells.

    kind : plain (bytes as numpy has them), values (to be converted), text or references.
    dtype : in the file's byte order; None for what numpy has no simple dtype for.
    stored_bytes, offset : how many lie in the file, and where, if in one piece.
    data : the bytes of one that lies in its own header.
    longest, text : of another tool's text, the characters of the longest, or the only one.
    virtual : of one that is put together from others, what `mappings` tells.
    """

    path: str
    shape: tuple[int, ...] | None
    kind: str
    dtype: np.dtype[Any] | None
    shown: str
    layout: str
    stored_bytes: int
    offset: int | None
    chunks: tuple[int, ...] | None
    filters: tuple[Filter, ...]
    fill: bytes
    data: bytes | None
    longest: int | None
    text: str | None
    attrs: Mapping[str, Any]
    virtual: Mapping[str, Any] | None = None
    is_external: bool = False

    @classmethod
    def of(cls, path: str, found: Mapping[str, Any]) -> Stored:
        chunks, data, shape, dtype = (found.get(n) for n in ("chunks", "data", "shape", "dtype"))
        return cls(
            path=path,
            shape=None if shape is None else tuple(shape),
            kind=found["type"],
            dtype=None if dtype is None else np.dtype(dtype),
            shown=found["shown"],
            layout=found["layout"],
            stored_bytes=found.get("stored", 0),
            offset=found.get("offset"),
            chunks=None if chunks is None else tuple(chunks),
            filters=tuple(Filter.of(entry) for entry in found.get("filters", ())),
            fill=base64.b64decode(found.get("fill", "")),
            data=None if data is None else base64.b64decode(data),
            longest=found.get("longest"),
            text=found.get("text"),
            attrs=found["attrs"],
            virtual=found.get("virtual"),
            is_external=bool(found["external"]),
        )

    def attribute(self, name: str) -> Any:
        """The value of an attribute, None where there is none. Raises `InputError`."""
        return attribute_value(self.attrs[name]) if name in self.attrs else None

    def check_size(self, dtype: np.dtype[Any]) -> None:
        """Raise ValueError where a dataset of ours can't hold what it announces as `dtype`.

        Before anything is allocated: an HDF5 header of a few bytes may announce any size.
        """
        shape, own = self.shape, self.dtype
        if shape is None or own is None:
            raise ValueError(f"{self.path}: no array")
        count, size = math.prod(shape), self.stored_bytes
        if dtype.kind == "U":
            if count * max(4, dtype.itemsize) > TEXT_LIMIT:
                raise ValueError(f"{self.path}: more text than can be")
        elif own.newbyteorder("=") != dtype or self.kind != "plain":
            raise ValueError(f"{self.path}: two dtypes, {self.shown} and {dtype}")
        if self.chunks is None:
            if size != count * own.itemsize:
                raise ValueError(f"{self.path}: {size} bytes can't hold an array of {shape}")
            return
        if math.prod(self.chunks) * dtype.itemsize > _CHUNK_LIMIT:
            raise ValueError(f"{self.path}: impossible chunk sizes")
        if count * dtype.itemsize > BLOSC_RATIO * size:
            raise ValueError(f"{self.path}: {size} bytes can't hold an array of {shape}")

    def read_whole(self, source: SourceFile) -> bytes:
        """The bytes of one that is not chunked. Raises `InputError` where they are not there."""
        if self.data is not None:
            return self.data
        if self.layout != "contiguous" or self.filters:
            raise ValueError(f"{self.path}: not in one piece")
        if not self.stored_bytes:
            return b""
        if self.offset is None:
            raise ValueError(f"{self.path}: its values are nowhere")
        return source.read(self.offset, self.stored_bytes)


@dataclass(frozen=True)
class Place:
    """Where a path leads: to what is at `path` of the same file, which no link is part of.

    outside : of a link into another file, its name and the path in it; then there is no node.
    """

    path: str
    node: Mapping[str, Any]
    outside: tuple[str, str] | None = None


@dataclass(frozen=True)
class Group:
    """A group of a file, and what is in it as `walk` describes it."""

    path: str
    attrs: Mapping[str, Any]
    members: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, root: Mapping[str, Any]) -> Group:
        """The root group as `walk` describes it."""
        return cls("/", root["attrs"], root["members"])

    def find(self, path: str) -> Place | None:
        """What is at a path such as ``/entry/data``, links within the file followed; else None.

        HDF5 has no ``..``: it is a name like any other. A circle of links leads nowhere.
        """
        pending, hops = _parts(path), 0
        names: list[str] = []
        here: list[Mapping[str, Any]] = [
            {"kind": "group", "attrs": self.attrs, "members": self.members}
        ]
        while pending:
            part = pending.pop(0)
            node = here[-1].get("members", {}).get(part)
            if node is None:
                return None
            if node["kind"] == "link":
                hops += 1
                if hops > _MOST_HOPS:
                    return None
                if "outside" in node:
                    file, inside = node["outside"]
                    return Place(path, node, (file, "/".join([inside.rstrip("/"), *pending])))
                if "target" not in node:
                    return None
                target = node["target"]
                if target.startswith("/"):
                    here, names = here[:1], []
                pending = _parts(target) + pending
                continue
            here.append(node)
            names.append(part)
        return Place("/" + "/".join(names), here[-1])

    def has(self, *names: str) -> bool:
        """Whether there is a member of that path, whatever it is; no link is followed."""
        members: Mapping[str, Any] = self.members
        for name in names:
            if name not in members:
                return False
            if members[name]["kind"] == "link":
                return True
            members = members[name].get("members", {})
        return True

    def dataset(self, *names: str) -> Stored:
        """The dataset at a path of names, of any shape and dtype, which lies in this very file.

        Raises `InputError` for what lies in another file and for a link, KeyError where there
        is nothing, TypeError for what is no dataset and for a path through what is no group.
        """
        node: Mapping[str, Any] = {"kind": "group", "members": self.members}
        path = ""
        for name in names:
            if node["kind"] != "group":
                raise TypeError(f"{path}: not a group")
            path += f"/{name}"
            if name not in node["members"]:
                raise KeyError(f"{path}: there is no such array")
            node = node["members"][name]
            if node["kind"] == "link":
                raise InputError(
                    "is a link, which could lead to any other file: it is never followed",
                    member=name,
                    advice="copy the values themselves into one file",
                )
        if node["kind"] == "damaged":
            raise DamagedInputError(f"can't be read: {node['why']}", member=names[-1])
        if node["kind"] != "dataset":
            raise TypeError(f"{path}: a {node['kind']}, not an array")
        stored = Stored.of(path, node)
        if node["external"] or stored.layout == "virtual":
            raise InputError(
                "has its values in other files, which are never opened",
                member=names[-1],
                advice="copy the values themselves into one file",
            )
        return stored


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def described(source: SourceFile) -> Group:
    """The root group of an HDF5 file; only headers and text are read.

    Raises what `ask` raises.
    """
    return Group.of(ask(source, "describe")[0]["root"])


def attribute_value(found: Mapping[str, Any]) -> Any:
    """What `attrs` told of an attribute: text, a list, numbers as numpy has them, None if empty.

    Raises `InputError` for what has no such form.
    """
    if "text" in found:
        return _readable(found["text"])
    if "texts" in found:
        texts = np.array([_readable(text) for text in found["texts"]], object)
        return texts.reshape(found["shape"]).tolist()
    if "dtype" in found:
        values = np.frombuffer(base64.b64decode(found["data"]), np.dtype(found["dtype"]))
        return values.reshape(found["shape"])[()]
    if "empty" in found:
        return None
    raise InputError(found.get("other") or f"can't be read: {found.get('damaged')}")


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
