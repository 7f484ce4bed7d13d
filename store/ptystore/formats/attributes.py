"""The attributes that ptystore gives a store's root, alike in Zarr and HDF5."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptystore.errors import InputError, IntegrityError
from ptystore.formats.names import check_name
from ptystore.formats.virtual import Virtual
from ptystore.model.content_digest import combined_digest, dtype_name
from ptystore.model.dataset import Dataset
from ptystore.model.metadata import Metadata
from ptystore.version import software

__all__ = [
    "FORMAT_VERSION",
    "FieldEntry",
    "RootNote",
    "geometry_attributes",
    "geometry_texts",
    "metadata_from_bytes",
    "metadata_to_text",
    "stored_metadata",
]

FORMAT_VERSION = 1

# An attribute of HDF5 holds less than 64 KiB.
_GEOMETRY_LIMIT = 60_000

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FieldEntry:
    """What a store's root says of one field; `dtype` in native byte order."""

    frame_axis: int | None
    dtype: np.dtype[Any]
    digest: str


@dataclass(frozen=True)
class RootNote:
    """The `ptystore` attribute: format version, fields in order, digest of the whole."""

    fields: Mapping[str, FieldEntry]
    digest: str
    virtual: Virtual | None = None

    @classmethod
    def of(cls, stored: Dataset, virtual: Virtual | None, digests: Mapping[str, str]) -> RootNote:
        """The note of what was stored, and of what was not; `digests` by field."""
        fields = {
            field.name: FieldEntry(field.frame_axis, field.dtype, digests[field.name])
            for field in stored.values()
        }
        shown = dict(digests)
        if virtual is not None:
            shown |= virtual.digests(digests)
            shown = {name: shown[name] for name in virtual.order}
        return cls(fields, combined_digest(shown), virtual)

    def to_json(self) -> dict[str, Any]:
        """The attribute's value."""
        fields = {
            name: {
                "role": "global" if entry.frame_axis is None else "per_frame",
                "frame_axis": entry.frame_axis,
                "dtype": dtype_name(entry.dtype),
                "digest": entry.digest,
            }
            for name, entry in self.fields.items()
        }
        return {
            "format": FORMAT_VERSION,
            "software": software(),
            "digest": self.digest,
            "fields": fields,
            **(self.virtual.to_json() if self.virtual else {}),
        }

    @classmethod
    def from_json(cls, note: Any) -> RootNote:
        """Parse the attribute.

        Raises `InputError` for a format version that this release doesn't know and
        `IntegrityError` for what ptystore does not write.
        """
        try:
            if type(note["format"]) is int and note["format"] > FORMAT_VERSION:
                raise InputError(
                    f"has format version {note['format']}, this release reads {FORMAT_VERSION}",
                    advice="pip install --upgrade ptystore",
                )
            if type(note["format"]) is not int or note["format"] != FORMAT_VERSION:
                raise ValueError(f"format version {note['format']!r}")
            fields = {name: _entry(name, entry) for name, entry in note["fields"].items()}
            return cls(fields, _digest(note["digest"]), Virtual.from_json(note))
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IntegrityError(
                f"its ptystore attribute is not what ptystore writes: {error}"
            ) from error


def stored_metadata(attributes: Mapping[str, Any]) -> Metadata | None:
    """The document among a root's attributes, None where there is none."""
    if "metadata_text_base64" in attributes:
        return metadata_from_bytes(attributes["metadata_text_base64"])
    return Metadata(attributes["metadata"]) if "metadata" in attributes else None


def geometry_attributes(metadata: Metadata | None) -> dict[str, Any]:
    """`geometry` and `raw_frame` of a document, for readers that look at a root's attributes.

    Those that are there, as JSON objects. The document is what counts.
    """
    physics = {} if metadata is None else metadata.document.get("physics_parameters")
    if not isinstance(physics, dict):
        return {}
    found = {name: physics.get(name) for name in ("geometry", "raw_frame")}
    return {name: value for name, value in found.items() if isinstance(value, dict) and value}


def geometry_texts(metadata: Metadata | None) -> dict[str, str]:
    """The same as texts, for attributes of HDF5; none that is too long."""
    texts = {
        name: json.dumps(found, ensure_ascii=False, allow_nan=False)
        for name, found in geometry_attributes(metadata).items()
    }
    return {name: text for name, text in texts.items() if len(text.encode()) < _GEOMETRY_LIMIT}


def _entry(name: str, entry: Mapping[str, Any]) -> FieldEntry:
    axis = entry["frame_axis"]
    problem = check_name(name)
    if problem:
        raise ValueError(f"{name!r} {problem}")
    if not (axis is None or (type(axis) is int and 0 <= axis < 32)):
        raise ValueError(f"{name}: frame axis {axis!r}")
    dtype = np.dtype(entry["dtype"])
    if dtype.kind not in "biufcU" or dtype.itemsize > 1 << 30:
        raise ValueError(f"{name}: dtype {entry['dtype']!r}")
    return FieldEntry(axis, dtype.newbyteorder("="), _digest(entry["digest"]))


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("a digest is not 64 hexadecimal digits")
    return value


def metadata_to_text(metadata: Metadata) -> tuple[str, bool]:
    """The document as text that any UTF-8 file can hold, and whether it is in base64.

    Only a text that was kept verbatim may need that: it need not be valid Unicode.
    """
    if metadata.text is None:
        return metadata.to_json(), False
    data = metadata.text.encode("utf-8", "surrogatepass")
    return base64.b64encode(data).decode("ascii"), True


def metadata_from_bytes(encoded: str) -> Metadata:
    """The text that `metadata_to_text` gave in base64, kept verbatim again."""
    try:
        data = base64.b64decode(encoded, validate=True)
        return Metadata.keep_text(data.decode("utf-8", "surrogatepass"))
    except (binascii.Error, ValueError, TypeError) as error:
        raise IntegrityError(
            "is not the base64 text that ptystore writes", member="metadata"
        ) from error
