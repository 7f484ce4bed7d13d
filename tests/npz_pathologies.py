"""Every bad `.npz` that readers are tried with, and how to try one."""

from __future__ import annotations

import bz2
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import ptystore
from npz_files import (
    DEFLATED,
    STORED,
    Member,
    deflate,
    member,
    npy,
    npy_claiming,
    npy_head,
    pickled,
    scan_members,
    zip_bytes,
)
from ptystore.errors import PtystoreError

HUGE = 2**40


class Bait:
    """What a pickle would run: makes the folder named by the environment."""

    def __reduce__(self) -> Any:
        return os.system, ('mkdir "$PTYSTORE_BAIT"',)


def _ingest(source: Path, destination: Path, options: dict[str, Any]) -> None:
    scan = ptystore.open(source, **options)
    ptystore.write(ptystore.ingest(scan), destination, jobs=1)


def refusal(source: Path, destination: str = "out.zarr", **options: Any) -> PtystoreError:
    """The error of ingesting `source`; asserts that only the source is there afterwards."""
    before = sorted(os.listdir(source.parent))
    with pytest.raises(PtystoreError) as caught:
        _ingest(source, source.parent / destination, options)
    assert sorted(os.listdir(source.parent)) == before
    line = str(caught.value)
    assert "\n" not in line
    assert line.isprintable()
    assert line.startswith(f"{source}: ")
    return caught.value


class Case(NamedTuple):
    """A pathology: the file, and the member and the words that its message must name."""

    make: Callable[[], bytes]
    member: str | None
    words: str


def _with(**changed: Any) -> Callable[[], bytes]:
    return lambda: zip_bytes(scan_members(**changed))


def _plus(*members: Member, **how: Any) -> Callable[[], bytes]:
    return lambda: zip_bytes([*scan_members(), *members], **how)


def _frames(descr: str, shape: str, data: bytes = b"", method: int = STORED) -> Callable[[], bytes]:
    """A scan whose frames' header makes these claims."""
    return _plus(Member("x.npy", npy_claiming(descr, shape, data=data), method))


def _named(name: str | bytes) -> Callable[[], bytes]:
    return _plus(Member(name, npy(np.arange(3))))


def _lying_inner_size() -> bytes:
    # The header claims fewer elements than there are, which hides a bad CRC from `zipfile`.
    data = npy_claiming("'<i8'", "(2,)", data=np.arange(5000).tobytes())
    return zip_bytes([Member("x.npy", data, crc=1)])


def _bad_crc(method: int, count: int = 5000) -> bytes:
    return zip_bytes([Member("x.npy", npy(np.arange(count)), method, crc=0x12345678)])


def _flipped_deflate() -> bytes:
    data = npy(np.random.default_rng(0).integers(0, 50, 5000))
    packed = bytearray(deflate(data))
    packed[len(packed) // 2] ^= 0x10
    return zip_bytes([Member("x.npy", data, DEFLATED, packed=bytes(packed))])


def _short_deflate() -> bytes:
    data = npy(np.arange(5000))
    return zip_bytes([Member("x.npy", data, DEFLATED, packed=deflate(data[:-8]))])


def _long_deflate() -> bytes:
    data = npy(np.arange(5000))
    return zip_bytes([Member("x.npy", data, DEFLATED, packed=deflate(data + b"12345678"))])


def _tail_after_deflate() -> bytes:
    data = npy(np.arange(5000))
    return zip_bytes([Member("x.npy", data, DEFLATED, packed=deflate(data) + b"hidden")])


def _overlap_bomb() -> bytes:
    """Many members that all claim the same bytes (CVE-2024-0450)."""
    kernel = member("a", np.zeros(4096))
    others = [member(f"b{n}", np.zeros(4096), offset=0) for n in range(50)]
    return zip_bytes([kernel, *others])


def _quoted_overlap_bomb() -> bytes:
    """Each member's stored bytes hold the next member, header and all."""
    inner = npy(np.zeros(64))
    head = struct.Struct("<4s5H3I2H")
    local = head.pack(
        b"PK\x03\x04", 20, 0, 0, 0, 0x21, zlib.crc32(inner), len(inner), len(inner), 5, 0
    )
    outer = npy_claiming("'|u1'", f"({len(local) + 5 + len(inner)},)")
    at = head.size + 5 + len(outer)
    outer += local + b"b.npy" + inner
    return zip_bytes([Member("a.npy", outer), Member("b.npy", inner, offset=at)])


def _object_array() -> bytes:
    return zip_bytes(scan_members(extra=np.array([Bait(), 1], dtype=object)))


def _bait_metadata() -> bytes:
    return zip_bytes(scan_members(_metadata=pickled(Bait())))


def _raw_pickle_metadata() -> bytes:
    data = npy_claiming("'|O'", "()", data=pickle.dumps(Bait()))
    return zip_bytes([member("x", np.arange(3)), Member("_metadata.npy", data)])


COUNTED = b"\0" * 24
PATHOLOGIES = {
    "no zip": Case(lambda: b"this is no archive at all" * 9, None, "not a complete .npz"),
    "empty file": Case(lambda: b"", None, "is empty"),
    "truncated": Case(lambda: _with()()[:-30], None, "not a complete .npz"),
    "no central directory": Case(
        lambda: _with()().split(b"PK\x01\x02")[0], None, "not a complete .npz"
    ),
    "half": Case(lambda: (lambda d: d[: len(d) // 2])(_with()()), None, "not a complete .npz"),
    "empty zip": Case(lambda: zip_bytes([]), None, "holds no arrays"),
    "bad CRC, stored": Case(lambda: _bad_crc(STORED), "x", "don't match the checksum"),
    "bad CRC, deflated": Case(lambda: _bad_crc(DEFLATED), "x", "don't match the checksum"),
    "bad CRC, no elements": Case(lambda: _bad_crc(STORED, 0), "x", "don't match the checksum"),
    "bad CRC behind a short header": Case(_lying_inner_size, "x", "header announces"),
    "bad CRC of the metadata": Case(
        _plus(member("_metadata", np.array("{}"), crc=7)), "_metadata", "twice"
    ),
    "deflate damage": Case(_flipped_deflate, "x", "(damaged|checksum|data end|more data)"),
    "deflate ends early": Case(_short_deflate, "x", "data end after 4012[0-9] of 40128"),
    "deflate goes on": Case(_long_deflate, "x", "more data than the 40128"),
    "bytes after deflate": Case(_tail_after_deflate, "x", "more data than"),
    "2**40 elements": Case(_frames("'<f8'", f"({HUGE},)", COUNTED), "x", "header announces"),
    "2**40 elements, deflated": Case(
        _frames("'<f8'", f"({HUGE},)", COUNTED, DEFLATED), "x", "header announces"
    ),
    "2**40 elements, declared": Case(
        _plus(
            Member("x.npy", npy_claiming("'<f8'", f"({HUGE},)"), DEFLATED, size=HUGE, zip64=True)
        ),
        "x", "declares 1099511627776 bytes, more than",
    ),
    "sizes that wrap around": Case(
        _frames("'<f8'", f"({2**32}, {2**32})"), "x", "impossible shape"
    ),
    "negative size": Case(_frames("'<f8'", "(-1, -3)", COUNTED), "x", "does not write"),
    "boolean size": Case(_frames("'<f8'", "(True, 3)", COUNTED), "x", "np.save does not write"),
    "0×huge": Case(_frames("'<c16'", f"(0, {2**60})"), "x", "impossible shape"),
    "33 dimensions": Case(_frames("'|u1'", f"({'1, ' * 33})", b"1"), "x", "33 dimensions"),
    "size with exponent": Case(_frames("'<f8'", "(1e3,)", COUNTED), "x", "does not write"),
    "shape no tuple": Case(_frames("'<f8'", "(3)", COUNTED), "x", "shape is not a tuple"),
    "header calls a function": Case(
        _plus(Member("x.npy", npy_head("{'descr': __import__('os').system('id')}\n"))),
        "x", "np.save does not write",
    ),
    "header nested 4000 deep": Case(
        _plus(Member("x.npy", npy_head("(" * 4000))), "x", "np.save does not write"
    ),
    "header of 5 kB": Case(
        _plus(Member("x.npy", npy_head(" " * 5000))), "x", "header of 5000 bytes, allowed are 4096"
    ),
    "header unended": Case(
        _plus(Member("x.npy", b"\x93NUMPY\x01\x00\x80\x00{'descr':")), "x", "ends inside its header"
    ),
    "header not UTF-8": Case(
        _plus(Member("x.npy", npy_head(b"\xff\xfe", 3))), "x", "header that is not text"
    ),
    "npy version 4": Case(_plus(Member("x.npy", npy_head("{}", 4))), "x", "format version 4"),
    "no npy": Case(_plus(Member("x.npy", b"hello, world")), "x", "is not a .npy array"),
    "empty member": Case(_plus(Member("x.npy", b"")), "x", "is cut short"),
    "object array": Case(_object_array, "extra", "pickled object array"),
    "structured": Case(
        _with(x=np.zeros(3, [("a", "f4"), ("b", "i2")])), "x", r"structured dtype .*<f4"
    ),
    "void": Case(_with(x=np.zeros(3, "V5")), "x", r"dtype '\|V5'"),
    "bytes that are no text": Case(_with(x=np.array([b"a\xff"])), "x", "text that is not UTF-8"),
    "datetime": Case(_with(x=np.zeros(3, "M8[us]")), "x", r"dtype '<M8\[us\]'"),
    "timedelta": Case(_with(x=np.zeros(3, "m8[s]")), "x", r"dtype '<m8\[s\]'"),
    "longdouble": Case(_with(x=np.zeros(3, np.longdouble)), "x", "dtype '<f16'"),
    "complex longdouble": Case(_with(x=np.zeros(3, np.clongdouble)), "x", "dtype '<c32'"),
    "text of 4 GB an element": Case(_frames("'<U999999999'", "(0,)"), "x", "dtype '<U999999999'"),
    "no Unicode": Case(
        _frames("'<U1'", "(2,)", b"\xff\xff\xff\x7f" * 2), "x", "no Unicode characters"
    ),
    "overlap bomb": Case(_overlap_bomb, "b0", "local header names another member"),
    "nested overlap bomb": Case(_quoted_overlap_bomb, "b", "overlaps another member"),
    "twice the same member": Case(
        _plus(Member("x.npy", npy(np.arange(3))), Member("x.npy", npy(np.arange(4)))),
        "x", "is there twice",
    ),
    "two in one place": Case(
        lambda: zip_bytes([member("a", np.arange(3)), member("a", np.arange(3), offset=0)]),
        "a", "is there twice",
    ),
    "differ only in case": Case(
        _plus(member("mask", np.arange(3)), member("Mask", np.arange(3))),
        "Mask", "differs from mask only in case",
    ),
    "bytes before the zip": Case(_plus(prefix=b"#!/bin/sh\n" + b"x" * 40), "diff3d", "50 bytes"),
    "gap before the directory": Case(_plus(gap=b"x" * 25), "zip directory", "25 bytes before it"),
    "member not listed": Case(
        lambda: zip_bytes(
            [member("a", np.arange(3)), member("b", [1], listed=False), member("c", [2])]
        ),
        "c", "bytes before it belong to no member",
    ),
    "last member not listed": Case(
        _plus(member("hidden", [1], listed=False)), "zip directory", "belong to no member"
    ),
    "encrypted": Case(_plus(member("x", [1], flags=1)), "x", "is encrypted"),
    "strongly encrypted": Case(_plus(member("x", [1], flags=0x41)), "x", "is encrypted"),
    "bzip2": Case(
        _plus(member("x", [1], method=12, packed=bz2.compress(npy([1])))), "x", "by method 12"
    ),
    "lzma": Case(_plus(member("x", [1], method=14)), "x", "by method 14"),
    "stored with two sizes": Case(
        _plus(member("x", [1], size=5)), "x", "stored, but with two different sizes"
    ),
    "local header damaged": Case(
        _plus(member("x", [1], local_magic=b"PK\x03\x05")), "x", "local header is damaged"
    ),
    "local header of another": Case(
        _plus(member("x", [1], local_name="y.npy")), "x", "local header names another member"
    ),
    "parent folder": Case(_named("../x.npy"), "../x", "not an acceptable name"),
    "absolute path": Case(_named("/etc/x.npy"), "/etc/x", "not an acceptable name"),
    "slash": Case(_named("a/b.npy"), "a/b", "not an acceptable name"),
    "backslash": Case(_named("a\\b.npy"), "a\\b", "not an acceptable name"),
    "leading dot": Case(_named(".x.npy"), ".x", "not an acceptable name"),
    "nothing but the suffix": Case(_named(".npy"), "", "not an acceptable name"),
    "leading space": Case(_named(" x.npy"), " x", "not an acceptable name"),
    "colon": Case(_named("C:x.npy"), "C:x", "not an acceptable name"),
    "umlaut": Case(_named("ö.npy"), None, "not an acceptable name"),
    "129 characters": Case(_named("a" * 129 + ".npy"), "a" * 129, "at most 128"),
    "reserved zarr.json": Case(_named("zarr.json.npy"), "zarr.json", "reserved name"),
    "reserved in capitals": Case(_named("Zarr.JSON.npy"), "Zarr.JSON", "reserved name"),
    "bytes after the end": Case(lambda: _with()() + b"x" * 30, None, "followed by bytes"),
    "reserved manifest": Case(
        _named("ptystore-manifest.json.npy"), "ptystore-manifest.json", "reserved name"
    ),
    "reserved __x": Case(_named("__class__.npy"), "__class__", "reserved name"),
    "not .npy": Case(_named("readme.txt"), "readme.txt", "not a .npy member"),
    "folder": Case(_named("folder/"), "folder/", "not a .npy member"),
    "lengths disagree": Case(
        _with(ycoords=np.arange(7.0), scan_index=np.arange(5)),
        None, "diff3d 6, xcoords 6, ycoords 7, scan_index 5",
    ),
    "NaN position": Case(
        _with(xcoords=np.array([3, 4, np.nan, 4, np.nan, 4])),
        "xcoords", "2 of 6 scan positions are not finite, the first at index 2",
    ),
    "infinite position": Case(
        _with(ycoords_start=np.array([3, 4, 4, 4, 4, -np.inf])),
        "ycoords_start", "1 of 6 .* the first at index 5",
    ),
    "metadata runs a command": Case(_bait_metadata, "_metadata", "never needs"),
    "metadata runs it at once": Case(_raw_pickle_metadata, "_metadata", "never needs"),
    "metadata an array": Case(
        _with(_metadata=np.array(["{}", "{}"])), "_metadata", "not a single text"
    ),
    "metadata a number": Case(_with(_metadata=np.array(3.0)), "_metadata", "not a single text"),
    "metadata a pickled dict": Case(_with(_metadata=pickled({"a": 1})), "_metadata", "its pickle"),
    "metadata of pickled bytes": Case(_with(_metadata=pickled(b"{}")), "_metadata", "its pickle"),
    "metadata of bytes that are no text": Case(
        _with(_metadata=np.array(b"{\xff}")), "_metadata", "text that is not UTF-8"
    ),
    "metadata over 16 MiB": Case(
        _with(_metadata=np.array('{"a": "' + "x" * (16 << 20) + '"}')), "_metadata", "allowed"
    ),
    "metadata domain unknown": Case(
        _with(diff3d=np.ones((6, 4, 4)), _metadata=np.array('{"measurement_domain": "furlongs"}')),
        "_metadata", "furlongs",
    ),
}  # fmt: skip

BAD_JSON = {
    "malformed": ('{"a": [1, 2,, 3]}', "a.2.*not JSON"),
    "not an object": ("[1, 2]", "not an object"),
    "empty": ("", "not JSON"),
    "NaN": ('{"a": {"b": NaN}}', "a.b"),
    "infinity": ('{"a": [0, -Infinity]}', "a.1"),
    "duplicate key": ('{"a": {"b": 1, "b": 2}}', "b"),
    "too deep": ('{"a": ' + "[" * 70 + "]" * 70 + "}", "deep|levels|64"),
    "lone surrogate": ('{"a": "\\ud800"}', "surrogate"),
}
