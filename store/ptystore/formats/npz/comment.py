"""What ptystore notes in a `.npz` beside its arrays, in the archive's comment.

An `.npz` has no place for roles, attributes such as `amplitude_scale`, or digests. The
zip comment holds them as one line, out of sight of `np.load`: a marker, the CRC-32 of what
follows, and JSON. A file without it, or one that others rewrote, is read as any other.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ptystore.errors import IntegrityError
from ptystore.formats.assemble import FieldNotes

__all__ = [
    "BARE_MARK",
    "Notes",
    "is_comment_of_ours",
    "noted_names",
    "read_comment",
    "write_comment",
]

#: The comment of a file whose notes are too long for one: it only says whose the file is.
BARE_MARK = b"ptystore"

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
    """The comment, or a mere mark where it would exceed what a zip archive can hold."""
    fields = {
        name: [field.frame_axis, field.digest, dict(field.attrs)]
        for name, field in (notes.fields or {}).items()
    }
    text = json.dumps({"fields": fields, "digest": notes.digest}, separators=(",", ":"))
    body = text.encode("ascii")
    comment = _MARKER + f"{zlib.crc32(body):08x} ".encode() + body
    return comment if len(comment) <= _LIMIT else BARE_MARK


def is_comment_of_ours(comment: bytes) -> bool:
    """Whether an archive with this comment was written by ptystore, damaged though it may be."""
    return comment == BARE_MARK or _is_noted(comment)


def noted_names(comment: bytes) -> set[str] | None:
    """The fields that a comment speaks of, None where it speaks of none or is damaged."""
    body = _sound_body(comment)
    try:
        return None if body is None else set(json.loads(body)["fields"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _is_noted(comment: bytes) -> bool:
    return comment.startswith(_MARKER) or any(sign in comment for sign in _SIGNS)


def _sound_body(comment: bytes) -> bytes | None:
    """The JSON of a comment with notes, None where its checksum is another one."""
    head, _, body = comment[len(_MARKER) :].partition(b" ")
    sound = comment.startswith(_MARKER) and head == f"{zlib.crc32(body):08x}".encode()
    return body if sound else None


def read_comment(
    comment: bytes, listed: Collection[str], shapes: Mapping[str, tuple[int, ...]], *, file: Path
) -> Notes:
    """The notes in a comment; none where it is not ours or speaks of other arrays.

    `listed` are the arrays that the archive holds, `shapes` those of the arrays that are taken.

    Raises `IntegrityError` where it is ours and damaged.
    """
    if not _is_noted(comment):
        return Notes()
    body = _sound_body(comment)
    if body is None:
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
    if fields.keys() != set(listed):
        # Somebody added or removed arrays and kept the comment.
        return Notes()
    for name, shape in shapes.items():
        axis = fields[name].frame_axis
        if axis is not None and not 0 <= axis < len(shape):
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
