"""What Zarr and HDF5 files of other tools share: which dtypes, attributes, metadata we take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import ReadOptions, metadata_from_text
from ptystore.model.metadata import Metadata
from ptystore.model.strict_json import normalise

__all__ = ["foreign_metadata", "json_attrs", "supported_dtype"]


def supported_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The native-order dtype to keep; `InputError` naming one that is not supported."""
    if dtype.kind in ("O", "T"):
        return np.dtype("U1")
    plain = dtype.kind in "biufcU" and dtype.fields is None and dtype.itemsize <= 16
    if not (plain or dtype.kind == "U") or dtype.name in ("longdouble", "float96", "float128"):
        raise InputError(f"has dtype {dtype}, which is not supported")
    return dtype.newbyteorder("=")


def json_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Those attributes that can be JSON; others (references, NaN) are left out."""
    kept = {}
    for name, value in attrs.items():
        plain = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        try:
            kept[str(name)] = normalise(plain)
        except InputError:
            continue
    return kept


def foreign_metadata(attrs: Mapping[str, Any], options: ReadOptions) -> Metadata | None:
    """The metadata document among a file's attributes, or one that keeps the attributes."""
    plain = json_attrs(attrs)
    found = plain.pop("metadata", None) or plain.pop("_metadata", None)
    if isinstance(found, str):
        return metadata_from_text(found, options)
    if isinstance(found, dict):
        return Metadata(found)
    if plain:
        return Metadata.create(additional={"source_attributes": plain})
    return None
