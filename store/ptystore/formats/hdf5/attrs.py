"""Attributes as plain values for JSON, exact to the bit, and what a dataset's dimensions are.

Runs the HDF5 library; what it makes of a damaged file is for whoever calls.
"""

from __future__ import annotations

import base64
from typing import Any

import h5py
import numpy as np

__all__ = ["DAMAGE", "attributes", "said", "text", "words"]

#: What HDF5's dimension scales keep for themselves, which `said` tells.
SCALE_NAMES = frozenset({"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS"})

# Beyond this an attribute is no remark on an array any more, but an array.
_MOST_BYTES = 1 << 20

#: What h5py raises for something that is damaged.
DAMAGE = (
    *(OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError),
    ArithmeticError,
)


def attributes(node: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Every attribute but those of dimension scales; one that can't be read is told as damaged.

    Each is ``{"text": …}``, ``{"texts": […], "shape": …}``, ``{"dtype", "shape", "data"}`` with
    the values' bytes in base64, ``{"empty": dtype}``, ``{"other": why}`` or ``{"damaged": why}``.
    """
    found: dict[str, Any] = {}
    if not h5py.h5a.get_num_attrs(node.id):
        return found
    for name in node.attrs:
        if name in SCALE_NAMES:
            continue
        try:
            found[text(name)] = _plain(node.attrs[name])
        except DAMAGE as error:
            found[text(name)] = {"damaged": words(error)}
    return found


def _plain(value: Any) -> dict[str, Any]:
    if isinstance(value, h5py.Empty):
        return {"empty": value.dtype.str}
    if isinstance(value, (str, bytes)):
        return {"text": text(value)}
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        items = array.reshape(-1).tolist()
        if not all(isinstance(item, (str, bytes)) for item in items):
            return {"other": "references or lists of various lengths"}
        return {"texts": [text(item) for item in items], "shape": list(array.shape)}
    if array.dtype.kind not in "biufc" or array.dtype.type in (np.longdouble, np.clongdouble):
        return {"other": f"values of dtype {array.dtype}"}
    if array.nbytes > _MOST_BYTES:
        return {"other": f"{array.nbytes} bytes"}
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def _name(node: h5py.Dataset) -> str | None:
    return None if node.name is None else text(node.name)


def words(error: Exception) -> str:
    """What an error says, in one line; a KeyError of its own puts that in quotes."""
    said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(said.split())


def text(value: str | bytes) -> str:
    """A name or text; what is no UTF-8 becomes surrogates, as in h5py's own texts."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def said(node: h5py.Dataset) -> dict[str, Any]:
    """All that a reader can know of a dataset beside its values and their form."""
    try:
        return {"attrs": attributes(node), **_dimensions(node)}
    except DAMAGE as error:
        return {"attrs": {}, "damaged": words(error)}


def _dimensions(node: h5py.Dataset) -> dict[str, Any]:
    """What readers make axes of: labels, attached scales by name, and what a scale says itself."""
    found: dict[str, Any] = {
        "dims": [[text(dim.label), [_name(scale) for scale in dim.values()]] for dim in node.dims]
    }
    if "CLASS" in node.attrs:
        found["scale"] = [_plain(node.attrs[name]) for name in ("CLASS", "NAME")]
        used = node.attrs.get("REFERENCE_LIST", ())
        found["used_by"] = [[_name(node.file[user]), int(axis)] for user, axis in used]
    return found
