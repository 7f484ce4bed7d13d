"""What lies in a zip archive, checked before anything in it is believed.

The standard library parses the central directory; the checks are ours: members must lie
one after another from the start of the file to the directory, without overlap and without
room for anything that the directory does not list.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ptystore.errors import InputError
from ptystore.formats.names import check_name
from ptystore.storage.local import SourceFile

__all__ = ["Member", "read_directory"]

_LOCAL = struct.Struct("<4s5H3I2H")

# What ends an archive, before its comment.
_END_SIZE = 22

# A data descriptor is at most this long; a hidden member's header alone is longer.
_GAP = 24

# Deflate spends at least two bits on 258 bytes; what declares more than that lies.
_DEFLATE_LIMIT = 1032


@dataclass(frozen=True)
class Member:
    """One array of the archive: where its bytes lie and what the directory says of them."""

    name: str
    deflated: bool
    offset: int
    stored_size: int
    size: int
    crc32: int


def read_directory(file: SourceFile) -> tuple[list[Member], bytes]:
    """The members in the directory's order, and the archive's comment.

    Raises `InputError`, naming the member, for whatever is no plain `.npz`.
    """
    infos, directory_start, comment = _central_directory(file.path)
    if not infos:
        raise InputError("holds no arrays", file=file.path)
    _check_end(file, comment)
    members = [_member(file, info) for info in infos]
    _check_names(file.path, [member.name for member in members])
    _check_spans(file.path, infos, members, directory_start)
    return members, comment


def _central_directory(path: Path) -> tuple[list[zipfile.ZipInfo], int, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            # start_dir is not documented, but has been there since Python 2 and says where
            # the last member must have ended.
            return archive.infolist(), int(archive.start_dir), archive.comment
    except InputError:
        raise
    except Exception as error:  # zipfile raises a dozen types on damaged directories
        raise InputError(
            "is not a complete .npz: its zip directory is missing or damaged",
            file=path,
            advice="copy or save the file again; a partly transferred file looks like this",
        ) from error


def _member(file: SourceFile, info: zipfile.ZipInfo) -> Member:
    name = info.filename
    # zipfile cuts names at a NUL and maps separators; the raw name is what must be judged.
    if info.orig_filename != name or not name.endswith(".npy"):
        raise InputError("is not a .npy member", file=file.path, member=_shown(info.orig_filename))
    name = name.removesuffix(".npy")
    problem = check_name(name)
    if problem:
        raise InputError(problem, file=file.path, member=_shown(name))
    if info.flag_bits & 0x2041:
        raise InputError("is encrypted", file=file.path, member=name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"is compressed by method {info.compress_type}; known are stored and deflate",
            file=file.path,
            member=name,
        )
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    if not deflated and info.compress_size != info.file_size:
        raise InputError("is stored, but with two different sizes", file=file.path, member=name)
    if info.file_size > _DEFLATE_LIMIT * info.compress_size:
        raise InputError(
            f"declares {info.file_size} bytes, more than its {info.compress_size} can hold",
            file=file.path,
            member=name,
        )
    local = file.read(info.header_offset, _LOCAL.size)
    magic, _, _, method, _, _, _, _, _, name_length, extra_length = _LOCAL.unpack(local)
    start = info.header_offset + _LOCAL.size
    if magic != b"PK\x03\x04" or method != info.compress_type:
        raise InputError("its local header is damaged", file=file.path, member=name)
    if file.read(start, name_length) != info.orig_filename.encode("ascii", "replace"):
        raise InputError("its local header names another member", file=file.path, member=name)
    start += name_length + extra_length
    return Member(name, deflated, start, info.compress_size, info.file_size, info.CRC)


def _shown(name: str) -> str:
    """A refused name for a message of one line: it may hold anything, up to 64 KiB."""
    shown = name if name.isprintable() else name.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= 140 else f"{shown[:140]}…"


def _check_end(file: SourceFile, comment: bytes) -> None:
    """The file must end with its comment: a shortened one would hide what it told of fields."""
    end = file.read(file.size - _END_SIZE - len(comment), _END_SIZE)
    if not end.startswith(b"PK\x05\x06") or int.from_bytes(end[-2:], "little") != len(comment):
        raise InputError("is followed by bytes that do not belong to it", file=file.path)


def _check_names(path: Path, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.get(name.lower())
        if other is not None:
            reason = "is there twice" if other == name else f"differs from {other} only in case"
            raise InputError(reason, file=path, member=name)
        seen[name.lower()] = name


def _check_spans(
    path: Path, infos: list[zipfile.ZipInfo], members: list[Member], directory_start: int
) -> None:
    spans = sorted(
        (info.header_offset, member.offset + member.stored_size, member.name)
        for info, member in zip(infos, members, strict=True)
    )
    end = 0
    for start, stop, name in [*spans, (directory_start, directory_start, "")]:
        if start < end:
            raise InputError("overlaps another member", file=path, member=name or None)
        if start > end + _GAP:
            raise InputError(
                f"{start - end} bytes before it belong to no member",
                file=path,
                member=name or "zip directory",
            )
        end = stop
