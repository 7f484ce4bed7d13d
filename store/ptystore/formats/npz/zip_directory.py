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
from typing import NamedTuple

from ptystore.errors import InputError, shown_name
from ptystore.formats.false_suffix import foreign_archive
from ptystore.formats.litter import is_litter
from ptystore.formats.names import MemberNames, another_name, check_name, leave_out
from ptystore.storage.local import SourceFile

__all__ = ["Directory", "Member", "read_directory"]

_LOCAL = struct.Struct("<4s5H3I2H")

# What ends an archive, before its comment.
_END_SIZE = 22

# A data descriptor is at most this long; a hidden member's header alone is longer.
_GAP = 24

# Flags of a member.
_ENCRYPTED, _UTF8 = 0x2041, 0x800

# Deflate spends at least two bits on 258 bytes; what declares more than that lies.
_DEFLATE_LIMIT = 1032


@dataclass(frozen=True)
class Member:
    """One array of the archive: where its bytes lie and what the directory says of them.

    `name` is its own, without the suffix, `taken_as` the one of the field that it becomes.
    """

    name: str
    taken_as: str
    deflated: bool
    offset: int
    stored_size: int
    size: int
    crc32: int


@dataclass(frozen=True)
class Directory:
    """The arrays that are taken, in the archive's order, and all else that it tells.

    `listed` are the names of all members but those `passed_over`, which nobody means as arrays.
    """

    members: list[Member]
    comment: bytes
    listed: list[str]
    passed_over: list[str]


def read_directory(file: SourceFile, names: MemberNames) -> Directory:
    """What the archive holds, of those members that `names` does not leave out.

    Raises `InputError`, naming the member, for whatever is no plain `.npz`, `ParameterError` for
    a name to be skipped or renamed that is not there.
    """
    infos, directory_start, comment = _central_directory(file)
    if not infos:
        raise InputError("holds no arrays", file=file.path)
    _check_end(file, comment)
    spans = [_span(file, info) for info in infos]
    own = [_own_name(info) for info in infos]
    names.require_all_in([*own, *(info.orig_filename for info in infos)])
    members, listed, passed_over = [], [], []
    for info, name, span in zip(infos, own, spans, strict=True):
        if _is_litter(info):
            passed_over.append(info.orig_filename)
            continue
        listed.append(name)
        taken_as = _taken_as(info, names)
        if taken_as is not None:
            members.append(_member(file, info, span.data, taken_as, infos))
    _check_names(file.path, [member.taken_as for member in members])
    _check_spans(file.path, spans, own, directory_start)
    return Directory(members, comment, listed, passed_over)


def _own_name(info: zipfile.ZipInfo) -> str:
    # zipfile cuts names at a NUL and maps separators; the raw name is what must be judged.
    return info.orig_filename.removesuffix(".npy")


def _taken_as(info: zipfile.ZipInfo, names: MemberNames) -> str | None:
    """The name of the field that a member becomes; it may be spoken of with its suffix."""
    name = names.of(info.orig_filename)
    return names.of(_own_name(info)) if name == info.orig_filename else name


def _is_litter(info: zipfile.ZipInfo) -> bool:
    """Whether it is a folder's own entry, or what file managers put beside files."""
    name = info.orig_filename
    if name.startswith("__MACOSX/"):
        return True
    return is_litter(name) or (name.endswith("/") and info.file_size == 0)


def _central_directory(file: SourceFile) -> tuple[list[zipfile.ZipInfo], int, bytes]:
    try:
        with zipfile.ZipFile(file.stream()) as archive:
            # start_dir is not documented, but has been there since Python 2 and says where
            # the last member must have ended.
            return archive.infolist(), int(archive.start_dir), archive.comment
    except InputError:
        raise
    except Exception as error:  # zipfile raises a dozen types on damaged directories
        raise InputError(
            "is not a complete .npz: its zip directory is missing or damaged",
            file=file.path,
            advice="copy or save the file again; a partly transferred file looks like this",
        ) from error


class _Span(NamedTuple):
    """Where a member lies: its own header, its stored bytes, and where they end."""

    header: int
    data: int
    end: int


def _span(file: SourceFile, info: zipfile.ZipInfo) -> _Span:
    encoding = "utf-8" if info.flag_bits & _UTF8 else "cp437"
    named = info.orig_filename.encode(encoding, "replace")
    local = file.read(info.header_offset, _LOCAL.size + len(named))
    magic, _, _, method, _, _, _, _, _, name_length, extra_length = _LOCAL.unpack_from(local)
    start = info.header_offset + _LOCAL.size
    name = shown_name(_own_name(info))
    if magic != b"PK\x03\x04" or method != info.compress_type:
        raise InputError("its local header is damaged", file=file.path, member=name)
    if name_length != len(named) or local[_LOCAL.size :] != named:
        raise InputError("its local header names another member", file=file.path, member=name)
    start += name_length + extra_length
    return _Span(info.header_offset, start, start + info.compress_size)


def _member(
    file: SourceFile,
    info: zipfile.ZipInfo,
    start: int,
    taken_as: str,
    infos: list[zipfile.ZipInfo],
) -> Member:
    own, shown = _own_name(info), shown_name(_own_name(info))
    if not info.orig_filename.endswith(".npy"):
        foreign = foreign_archive(one.orig_filename for one in infos)
        if foreign:
            raise InputError(foreign.reason, file=file.path, advice=foreign.advice)
        raise InputError(
            "is not a .npy member", file=file.path, member=shown, advice=leave_out(shown)
        )
    problem = check_name(taken_as)
    if problem:
        raise InputError(problem, file=file.path, member=shown, advice=another_name(shown))
    try:
        deflated = _packing(info)
    except InputError as error:
        raise error.located(file=file.path, member=shown) from None
    return Member(own, taken_as, deflated, start, info.compress_size, info.file_size, info.CRC)


def _packing(info: zipfile.ZipInfo) -> bool:
    """Whether a member is deflated; `InputError` where its bytes can't be had."""
    own = shown_name(_own_name(info))
    if info.flag_bits & _ENCRYPTED:
        raise InputError("is encrypted", advice=leave_out(own))
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"is compressed by method {info.compress_type}; known are stored and deflate",
            advice=leave_out(own),
        )
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    if not deflated and info.compress_size != info.file_size:
        raise InputError("is stored, but with two different sizes")
    if info.file_size > _DEFLATE_LIMIT * info.compress_size:
        raise InputError(
            f"declares {info.file_size} bytes, more than its {info.compress_size} can hold"
        )
    return deflated


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


def _check_spans(path: Path, spans: list[_Span], own: list[str], directory_start: int) -> None:
    """Members lie one after another, from the start of the file to the directory."""
    end = 0
    placed = sorted((span.header, span.end, name) for span, name in zip(spans, own, strict=True))
    for start, stop, name in [*placed, (directory_start, directory_start, "")]:
        if start < end:
            raise InputError("overlaps another member", file=path, member=shown_name(name) or None)
        if start > end + _GAP:
            raise InputError(
                f"{start - end} bytes before it belong to no member",
                file=path,
                member=shown_name(name) or "zip directory",
            )
        end = stop
