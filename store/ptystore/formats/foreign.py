"""What Zarr and HDF5 files of other tools share: which dtypes, attributes, metadata we take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import ReadOptions, metadata_from_text
from ptystore.formats.text import text_dtype
from ptystore.model.metadata import Metadata
from ptystore.model.strict_json import normalise

__all__ = ["foreign_metadata", "json_attrs", "supported_dtype"]


def supported_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The native-order dtype to keep; `InputError` naming one that is not supported."""
    if dtype.kind in ("O", "T"):
        return np.dtype("U1")
    dtype = text_dtype(dtype)
    plain = dtype.kind in "biufcU" and dtype.fields is None and dtype.itemsize <= 16
    if not (plain or dtype.kind == "U") or dtype.name in ("longdouble", "float96", "float128"):
        raise InputError(f"has dtype {dtype}, which is not supported")
    return dtype.newbyteorder("=")


def json_attrs(
    attrs: Mapping[str, Any], left_out: list[str] | None = None, of: str | None = None
) -> dict[str, Any]:
    """The attributes as JSON values; what can't be one, such as a reference, is left out.

    A complex number becomes ``{"complex": [re, im]}``, an array of them the same with a list of
    pairs; NaN and infinities become the texts "NaN", "Infinity" and "-Infinity", bytes text.
    The names of what is left out, behind the name of the array that they are `of`, are added to
    the list `left_out`.
    """
    kept = {}
    for name, value in attrs.items():
        try:
            kept[str(name)] = normalise(_encoded(value))
        except (InputError, RecursionError):
            if left_out is not None:
                left_out.append(f"{of}: {name}" if of else str(name))
    return kept


def _encoded(value: Any) -> Any:
    if isinstance(value, (bytes, np.bytes_)):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        return {"complex": _encoded(np.stack([value.real, value.imag], -1).tolist())}
    if isinstance(value, (np.ndarray, np.generic)):
        return _encoded(value.tolist())
    if isinstance(value, complex):
        return {"complex": _encoded([value.real, value.imag])}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _encoded(item) for name, item in value.items()}
    return value


def foreign_metadata(
    attrs: Mapping[str, Any], options: ReadOptions, left_out: list[str] | None = None
) -> Metadata | None:
    """The metadata document among a file's attributes, or one that keeps the attributes.

    `left_out` as for `json_attrs`.
    """
    plain = json_attrs(attrs, left_out)
    found = plain.pop("metadata", None) or plain.pop("_metadata", None)
    if isinstance(found, str):
        return metadata_from_text(found, options)
    if isinstance(found, dict):
        return Metadata(found)
    if plain:
        return Metadata.create(additional={"source_attributes": plain})
    return None
