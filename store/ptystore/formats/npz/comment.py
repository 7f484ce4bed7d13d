"""What ptystore notes in a `.npz` beside its arrays, in the archive's comment.

An `.npz` has no place for roles, attributes such as `amplitude_scale`, or digests. The
zip comment holds them as one line, out of sight of `np.load`: a marker, the CRC-32 of what
follows, and JSON. A file without it, or one that others rewrote, is read as any other.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ptystore.errors import IntegrityError
from ptystore.formats.assemble import FieldNotes

__all__ = ["Notes", "read_comment", "write_comment"]

_MARKER = b"ptystore-1 "
# How the JSON begins and ends: by either a comment is known for ours if the marker is damaged.
_SIGNS = (b'{"fields":{', b'},"digest":"')
_LIMIT = 0xFFFF
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Notes:
    """The notes of a whole file; `fields` is None where it has none of ours."""

    fields: Mapping[str, FieldNotes] | None = None
    digest: str | None = None


def write_comment(notes: Notes) -> bytes:
    """The comment, or an empty one where it would exceed what a zip archive can hold."""
    fields = {
        name: [field.frame_axis, field.digest, dict(field.attrs)]
        for name, field in (notes.fields or {}).items()
    }
    text = json.dumps({"fields": fields, "digest": notes.digest}, separators=(",", ":"))
    body = text.encode("ascii")
    comment = _MARKER + f"{zlib.crc32(body):08x} ".encode() + body
    return comment if len(comment) <= _LIMIT else b""


def read_comment(comment: bytes, shapes: Mapping[str, tuple[int, ...]], *, file: Path) -> Notes:
    """The notes in a comment; none where it is not ours or speaks of other arrays.

    Raises `IntegrityError` where it is ours and damaged.
    """
    if not comment.startswith(_MARKER) and not any(sign in comment for sign in _SIGNS):
        return Notes()
    head, _, body = comment[len(_MARKER) :].partition(b" ")
    if not comment.startswith(_MARKER) or head != f"{zlib.crc32(body):08x}".encode():
        raise IntegrityError("the archive's comment is damaged", file=file, member="zip comment")
    try:
        document = json.loads(body)
        fields = {name: _field_notes(*entry) for name, entry in document["fields"].items()}
        digest = _digest(document["digest"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise IntegrityError(
            "the archive's comment does not hold what ptystore writes",
            file=file,
            member="zip comment",
        ) from None
    if fields.keys() != shapes.keys():
        # Somebody added or removed arrays and kept the comment.
        return Notes()
    for name, notes in fields.items():
        if notes.frame_axis is not None and not 0 <= notes.frame_axis < len(shapes[name]):
            return Notes()
    return Notes(fields, digest)


def _field_notes(frame_axis: object, digest: object, attrs: object) -> FieldNotes:
    if not (frame_axis is None or type(frame_axis) is int) or type(attrs) is not dict:
        raise ValueError("wrong types")
    return FieldNotes(frame_axis, attrs, _digest(digest))


def _digest(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("no digest")
    return value
