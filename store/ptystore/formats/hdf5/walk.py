"""All that is asked of the HDF5 library about a file that is read, as plain values and bytes.

Runs in the helper process, or in this one where that is switched off. A damaged file may crash
the library, keep it busy for ever or make it raise anything: nothing here guards against that.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from operator import lt
from typing import Any

import h5py
import numpy as np

from ptystore.formats.hdf5.attrs import DAMAGE, attributes, said, text, words
from ptystore.formats.hdf5.mappings import mappings
from ptystore.formats.hdf5.opened_file import opened
from ptystore.formats.hdf5.places import BUILT_IN_FILTERS, OWN_GROUP, TEXT_ENTRIES
from ptystore.formats.names import METADATA_MEMBER
from ptystore.storage.system import libc_function

__all__ = ["answer"]

_LAYOUTS = {
    h5py.h5d.COMPACT: "compact",
    h5py.h5d.CONTIGUOUS: "contiguous",
    h5py.h5d.CHUNKED: "chunked",
    h5py.h5d.VIRTUAL: "virtual",
}

# glibc's name for the byte that fresh and freed memory is filled with.
_M_PERTURB = -6

#: The head of an answer, for JSON, and its bytes.
Answer = tuple[dict[str, Any], bytes]


# A group that holds more than this, with all that is below, is no scan.
_MOST_NODES = 100_000
_DEEPEST = 100


def describe(file: h5py.File) -> Answer:
    """The root group, its attributes and all that is below with theirs; no link is followed.

    Of a file of ours only what is needed to open it: of fields no attributes, of our own group
    the note.
    """
    ours = OWN_GROUP in file
    if ours:
        members = {text(name): _member(file, name, True) for name in file}
    else:
        members = _below(file, "", {_address(file): "/"}, [0])
    if members.get(OWN_GROUP, {}).get("kind") == "group":
        group = file[OWN_GROUP]
        members[OWN_GROUP]["members"] = {
            name: _member(group, name, True) for name in ("note",) if name in group
        }
    return {"root": {"kind": "group", "attrs": attributes(file), "members": members}}, b""


def own_field(file: h5py.File, member: str) -> Answer:
    """Of a field of ours, the table of its chunks, where its checksums lie, and what it says."""
    inside: dict[str, Any] = {}
    root = {"kind": "group", "attrs": {}, "members": inside}
    group: h5py.Group = file
    for name in (OWN_GROUP, "crc32c", member):
        if name not in group:
            break
        inside[name] = _member(group, name, True)
        if name == member or inside[name]["kind"] != "group":
            break
        group = group[name]
        inside[name]["members"] = inside = {}
    head, table = (
        chunk_table(file, member, file[member].shape) if file[member].chunks else ({}, b"")
    )
    return {**head, "root": root, "said": said(file[member])}, table


def say(file: h5py.File) -> Answer:
    """What every field of ours and every scale says of itself, by its path."""
    nodes = [f"/{name}" for name in file if name != OWN_GROUP]
    scales = f"/{OWN_GROUP}/dims"
    nodes += [f"{scales}/{name}" for name in file[scales]] if scales in file else []
    return {"said": {path: _said_at(file, path) for path in nodes}}, b""


def _said_at(file: h5py.File, path: str) -> dict[str, Any]:
    try:
        return said(file[path])
    except DAMAGE as error:
        return {"attrs": {}, "damaged": words(error)}


def _below(
    group: h5py.Group, path: str, groups: dict[int, str], count: list[int]
) -> dict[str, Any]:
    """All that is in a group of another tool's at `path`; `groups` are the paths of those known.

    A group under another name is a link to the first: a hard link may lead round in a circle, and
    a few of them to any number of paths.
    """
    if path.count("/") > _DEEPEST:
        raise ValueError(f"groups more than {_DEEPEST} deep")
    found: dict[str, Any] = {}
    for name in group:
        count[0] += 1
        if count[0] > _MOST_NODES:
            raise ValueError(f"more than {_MOST_NODES} groups and arrays")
        own = text(name)
        member = found[own] = _member(group, name, False)
        if member["kind"] != "group":
            continue
        inner = group[name]
        address = _address(inner)
        if address in groups:
            found[own] = {"kind": "link", "target": groups[address]}
            continue
        groups[address] = f"{path}/{own}"
        members = _below(inner, groups[address], groups, count)
        member |= {"attrs": attributes(inner), "members": members}
    return found


def _address(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def _link(group: h5py.Group, encoded: bytes, kind: int) -> dict[str, Any]:
    """Where a link leads: to a path of this file, to one of another, or nobody knows."""
    if kind == h5py.h5l.TYPE_SOFT:
        return {"kind": "link", "target": text(group.id.links.get_val(encoded))}
    if kind == h5py.h5l.TYPE_EXTERNAL:
        file, path = group.id.links.get_val(encoded)
        return {"kind": "link", "outside": [text(file), text(path)]}
    return {"kind": "link"}


def _member(group: h5py.Group, name: str | bytes, ours: bool) -> dict[str, Any]:
    """What a group has under a name; a group's members are not looked at."""
    # h5py gives names that are no UTF-8 as bytes.
    encoded = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    kind = group.id.links.get_info(encoded).type
    if kind != h5py.h5l.TYPE_HARD:
        return _link(group, encoded, kind)
    try:
        node = h5py.h5o.open(group.id, encoded)
        if isinstance(node, h5py.h5d.DatasetID):
            return _dataset(h5py.Dataset(node), ours, name == METADATA_MEMBER)
        if isinstance(node, h5py.h5g.GroupID):
            return {"kind": "group", "attrs": {}}
        return {"kind": "named datatype"}
    except DAMAGE as error:
        return {"kind": "damaged", "why": words(error)}


def _dataset(node: h5py.Dataset, ours: bool, is_metadata: bool) -> dict[str, Any]:
    stored, plist = node.id.get_type(), node.id.get_create_plist()
    dtype, layout = stored.dtype, _LAYOUTS.get(plist.get_layout(), "other")
    virtual = mappings(plist) if layout == "virtual" else {}
    # Of one without an end HDF5 would look for its files to tell how large it is.
    shape = None if "refused" in virtual else node.shape
    kind = _kind(stored, dtype)
    # As `_values` gives them, and as they are in the file.
    raw, dtype = dtype, _complex(dtype) or dtype
    found: dict[str, Any] = {
        "kind": "dataset",
        "shape": None if shape is None else list(shape),
        "type": kind,
        "dtype": dtype.str if dtype.fields is None and dtype.subdtype is None else None,
        "shown": str(dtype),
        "layout": layout,
        "external": plist.get_external_count(),
    }
    if not ours:
        found["attrs"] = attributes(node)
    elif shape == ():
        found |= said(node)  # texts, whose attributes are needed to read them
    else:
        found["attrs"] = {}
    if layout == "virtual":
        found["virtual"] = virtual
        if kind == "plain":
            found["fill"] = _base64(_fill(plist, raw))
    if shape is None or layout == "virtual" or found["external"]:
        return found
    found |= {
        "stored": node.id.get_storage_size(),
        "offset": node.id.get_offset() if layout == "contiguous" else None,
        "chunks": list(plist.get_chunk()) if layout == "chunked" else None,
        "filters": _filters(plist),
    }
    if kind == "plain":
        if layout == "compact" and node.size:
            found["data"] = _base64(node[()])
        if not ours:
            found["fill"] = _base64(_fill(plist, raw))
    elif kind == "text" and not ours and node.size <= TEXT_ENTRIES:
        if node.size == 1 and (is_metadata or node.ndim < 2):
            found["text"] = str(np.asarray(node.asstr()[...], object).reshape(-1)[0])
        if not (is_metadata and shape == ()):
            texts = np.asarray(node.asstr()[...], object).reshape(-1).tolist()
            found["longest"] = max(map(len, texts), default=1)
    return found


def _kind(stored: Any, dtype: np.dtype[Any]) -> str:
    """plain: the bytes in the file are those of numpy's dtype; text; values: to be converted."""
    if h5py.check_string_dtype(dtype):
        return "text"
    if dtype.kind == "O":
        return "references"
    try:
        if isinstance(stored, h5py.h5t.TypeEnumID) and dtype.kind != "b":
            stored = stored.get_super()
        plain = h5py.h5t.py_create(dtype, logical=dtype.kind == "b")
        return "plain" if plain == stored else "values"
    except (TypeError, ValueError, RuntimeError):
        return "values"


# What tools call the two halves of a complex number; h5py knows the first.
_HALVES = frozenset({("r", "i"), ("real", "imag"), ("re", "im")})


def _complex(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Of two floats of one kind side by side that are called so, the complex dtype; else None."""
    if dtype.names not in _HALVES or dtype.fields is None:
        return None
    (first, begin), (second, middle) = (dtype.fields[name][:2] for name in dtype.names)
    size = first.itemsize
    beside = (begin, middle, dtype.itemsize) == (0, size, 2 * size)
    if first != second or first.kind != "f" or size not in (4, 8) or not beside:
        return None
    return np.dtype(f"{first.byteorder}c{2 * size}")


def _fill(plist: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    value: np.ndarray[Any, Any] = np.zeros((), dtype)
    if plist.fill_value_defined() != h5py.h5d.FILL_VALUE_UNDEFINED:
        plist.get_fill_value(value)
    return value


def _filters(plist: Any) -> list[dict[str, Any]]:
    """The filters in the order in which they encode; from now on those of hdf5plugin are there."""
    filters = []
    for at in range(plist.get_nfilters()):
        code, _, values, label = plist.get_filter(at)
        if code not in BUILT_IN_FILTERS:
            import hdf5plugin  # noqa: F401 - registers its filters

        filters.append(
            {
                "code": code,
                "values": list(values),
                "label": label.decode("utf-8", "replace"),
                "installed": bool(h5py.h5z.filter_avail(code)),
            }
        )
    return filters


def _base64(values: Any) -> str:
    return base64.b64encode(np.asarray(values).tobytes()).decode("ascii")


def chunk_table(file: h5py.File, member: str, shape: Sequence[int]) -> Answer:
    """A row for each chunk that is stored: its first element's indices, offset, size, mask.

    Of an array that grows, those that begin within the shape that it had.
    """
    rows: list[tuple[int, ...]] = []
    # Before 1.14.4 the library counts chunks, but not arrays in one piece, from a user block's end.
    begin = file.userblock_size if h5py.version.hdf5_version_tuple < (1, 14, 4) else 0

    def note(chunk: Any) -> None:
        offset = chunk.byte_offset + begin if chunk.byte_offset else -1
        if all(map(lt, chunk.chunk_offset, shape)):
            rows.append((*chunk.chunk_offset, offset, chunk.size, chunk.filter_mask))

    node = file[member]
    node.id.chunk_iter(note)
    table = np.array(rows, "<i8").reshape(-1, len(node.shape) + 3)
    return {"rows": len(rows)}, table.tobytes()


def texts(file: h5py.File, member: str) -> Answer:
    """All texts of an array one after another as UTF-8, and their lengths in bytes."""
    node = file[member]
    _filters(node.id.get_create_plist())
    values = node.asstr()[...]
    encoded = [str(text).encode("utf-8") for text in np.asarray(values, object).reshape(-1)]
    return {"lengths": [len(text) for text in encoded]}, b"".join(encoded)


def boxes(file: h5py.File, member: str, boxes: list[list[list[int]]]) -> Answer:
    """The values between pairs of corners, one after another, in C and native byte order.

    Read twice, with other bytes in all memory that is not written yet: HDF5 does not compare
    the length of what a filter decoded, and takes for values what lies behind it. Raises OSError
    where the two differ.
    """
    fill = libc_function("mallopt")
    if fill is None:
        return {}, _values(file, member, boxes)
    found = []
    try:
        for byte in (0x55, 0xC3):
            fill(_M_PERTURB, byte)
            found.append(_values(file, member, boxes))
    finally:
        fill(_M_PERTURB, 0)
    if found[0] != found[1]:
        raise OSError("filter returned failure: not all of the announced bytes")
    return {}, found[0]


def _values(file: h5py.File, member: str, boxes: list[list[list[int]]]) -> bytes:
    # The dataset is closed on return, and with it what HDF5 keeps of its chunks.
    node = file[member]
    _filters(node.id.get_create_plist())
    pieces = []
    for start, stop in boxes:
        values = node[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        pieces.append(np.ascontiguousarray(native).tobytes())
    return b"".join(pieces)


_QUESTIONS: Mapping[str, Callable[..., Answer]] = {
    "describe": describe,
    "own_field": own_field,
    "say": say,
    "chunk_table": chunk_table,
    "texts": texts,
    "boxes": boxes,
}


def answer(descriptor: int, request: Mapping[str, Any]) -> Answer:
    """What is asked of a file, or what the library raised, as ``{"error": …, "text": …}``."""
    try:
        with opened(descriptor, growing=bool(request.get("growing"))) as file:
            return _QUESTIONS[request["ask"]](file, **request["about"])
    except MemoryError:
        return {"error": "MemoryError", "text": "there is not enough memory for it"}, b""
    except Exception as error:
        # Whatever it is: a damaged file makes h5py raise nearly everything.
        return {"error": type(error).__name__, "text": words(error)}, b""
