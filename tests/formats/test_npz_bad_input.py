"""Bad `.npz` input: one clear line, nothing executed, nothing left at the destination."""

from __future__ import annotations

import bz2
import os
import pickle
import shutil
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
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
    scan_arrays,
    scan_members,
    write_npz,
    zip_bytes,
)

import ptystore
from ptystore.errors import InputError, InputMissingError, PtystoreError
from ptystore.formats import open_dataset, spool

HUGE = 2**40


class Bait:
    """What a pickle would run: makes the folder named by the environment."""

    def __reduce__(self) -> Any:
        return os.system, ('mkdir "$PTYSTORE_BAIT"',)


def refusal(source: Path, destination: str = "out.zarr", **options: Any) -> PtystoreError:
    """The error of ingesting `source`; asserts that only the source is there afterwards."""
    before = sorted(os.listdir(source.parent))
    with pytest.raises(PtystoreError) as caught:
        scan = ptystore.open(source, **options)
        ptystore.write(ptystore.ingest(scan), source.parent / destination, jobs=1)
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
    "empty file": Case(lambda: b"", None, "not a complete .npz"),
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
        _plus(Member("x.npy", npy_claiming("'<f8'", f"({HUGE},)"), DEFLATED, size=HUGE, zip64=True)),
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
    "empty member": Case(_plus(Member("x.npy", b"")), "x", "is not a .npy array"),
    "object array": Case(_object_array, "extra", "pickled object array"),
    "structured": Case(
        _with(x=np.zeros(3, [("a", "f4"), ("b", "i2")])), "x", r"structured dtype .*<f4"
    ),
    "void": Case(_with(x=np.zeros(3, "V5")), "x", r"dtype '\|V5'"),
    "bytes": Case(_with(x=np.array([b"abc"])), "x", r"dtype '\|S3'"),
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
    "metadata of plain bytes": Case(_with(_metadata=np.array(b"{}")), "_metadata", "dtype"),
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


@pytest.fixture
def bait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pickle that is run would make."""
    folder = tmp_path / "bait"
    monkeypatch.setenv("PTYSTORE_BAIT", str(folder))
    return folder


@pytest.mark.parametrize("case", PATHOLOGIES.values(), ids=PATHOLOGIES)
def test_pathology_is_one_clear_line(case: Case, tmp_path: Path, bait: Path) -> None:
    source = tmp_path / "in" / "bad.npz"
    source.parent.mkdir()
    source.write_bytes(case.make())
    error = refusal(source)
    assert isinstance(error, InputError)
    assert isinstance(error, ValueError)
    assert error.exit_code == 3
    if case.member is not None:
        assert error.member == case.member
    pytest.raises(InputError, _raise, error).match(case.words)
    assert not bait.exists()


def _raise(error: Exception) -> None:
    raise error


def test_the_bait_would_be_taken(tmp_path: Path, bait: Path) -> None:
    source = write_npz(tmp_path / "bad.npz", scan_members(_metadata=pickled(Bait())))
    with np.load(source, allow_pickle=True) as file:
        file["_metadata"]
    assert bait.is_dir()


@pytest.mark.parametrize("destination", ["out.npz", "out.h5", "out.zarr"])
@pytest.mark.parametrize("name", ["bad CRC, stored", "deflate damage", "NaN position"])
def test_faults_found_while_writing_leave_nothing(
    name: str, destination: str, tmp_path: Path
) -> None:
    source = tmp_path / "bad.npz"
    source.write_bytes(PATHOLOGIES[name].make())
    assert refusal(source, destination).exit_code == 3


@pytest.mark.parametrize("name", ["a\x01b.npy", "a\nb.npy", "a\x1b[31m.npy", b"a\0b.npy", "a\x7f.npy"])
def test_control_characters_in_a_name(name: str | bytes, tmp_path: Path) -> None:
    error = refusal(write_npz(tmp_path / "bad.npz", [Member(name, npy(np.arange(3)))]))
    assert error.exit_code == 3
    assert "name" in error.reason or "not a .npy member" in error.reason


@pytest.mark.parametrize(
    "name", ["x" * 128, "a b", "a.b-c+d_e", "_private", "1", "-", "zarr.jsonx", "manifest.npy"]
)
def test_names_that_are_accepted(name: str, tmp_path: Path) -> None:
    source = write_npz(tmp_path / "good.npz", [member(name, np.arange(3))])
    ptystore.write(ptystore.open(source), tmp_path / "out.zarr")
    assert list(ptystore.open(tmp_path / "out.zarr")) == [name]


@pytest.mark.parametrize("form", [np.array, pickled], ids=["unicode", "pickled"])
@pytest.mark.parametrize(("text", "where"), BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json_is_refused_or_kept(text: str, where: str, form: Any, tmp_path: Path) -> None:
    source = write_npz(tmp_path / "bad.npz", scan_members(_metadata=form(text)))
    error = refusal(source)
    assert error.member == "_metadata"
    assert error.exit_code == 3
    assert error.advice
    assert "keep-text" in error.advice
    pytest.raises(InputError, _raise, error).match(where)
    for suffix in ("zarr", "h5", "npz"):
        kept = tmp_path / f"kept.{suffix}"
        ptystore.write(ptystore.ingest(ptystore.open(source, metadata="keep-text")), kept)
        metadata = ptystore.open(kept, metadata="keep-text").metadata
        assert metadata is not None
        assert metadata.to_json() == text


@pytest.mark.parametrize("values", [np.array(["{}"]), np.array(1), pickled([1])])
def test_keep_text_keeps_only_a_text(values: Any, tmp_path: Path) -> None:
    source = write_npz(tmp_path / "bad.npz", scan_members(_metadata=values))
    assert refusal(source, metadata="keep-text").member == "_metadata"


def test_allow_nonfinite(tmp_path: Path) -> None:
    x = np.array([3, 4, np.nan, 4, np.inf, 4])
    source = write_npz(tmp_path / "odd.npz", scan_members(xcoords=x))
    ptystore.write(ptystore.open(source, allow_nonfinite=True), tmp_path / "out.zarr")
    stored = ptystore.open(tmp_path / "out.zarr", allow_nonfinite=True)["xcoords"]
    np.testing.assert_array_equal(stored.values(), x)


def test_max_bytes(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "scan.npz", scan_members())
    total = sum(len(one.data) for one in scan_members())
    ptystore.open(source, max_bytes=total)
    error = refusal(source, max_bytes=total - 1)
    assert error.exit_code == 3
    assert f"{total} bytes" in error.reason


def test_honest_zeros_are_no_bomb(tmp_path: Path) -> None:
    zeros = np.zeros((64, 512, 512), np.uint8)
    source = write_npz(tmp_path / "zeros.npz", [member("x", zeros, method=DEFLATED)])
    assert zeros.nbytes / source.stat().st_size > 900
    assert not ptystore.open(source)["x"].values().any()


def test_a_bomb_is_held_against_the_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = member("x", np.zeros(1 << 22, np.uint8), method=DEFLATED)
    source = write_npz(tmp_path / "bomb.npz", [bomb])
    usage = shutil.disk_usage(tmp_path)._replace(free=(1 << 22) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    error = refusal(source)
    assert isinstance(error, InputError)
    assert "4194304 bytes, but only 4194303 are free" in error.reason


def test_lies_allocate_nothing(tmp_path: Path) -> None:
    names = [name for name in PATHOLOGIES if "2**40" in name or "wrap" in name or "bomb" in name]
    assert len(names) == 6
    for name in names:
        source = tmp_path / "bad.npz"
        source.write_bytes(PATHOLOGIES[name].make())
        tracemalloc.start()
        try:
            refusal(source)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_damaged_frame_is_found_in_a_full_pass_after_partial_reads(
    method: int, tmp_path: Path
) -> None:
    # Over several blocks: pieces read before, in other cuts, must not hide the checksum.
    frames = np.random.default_rng(0).integers(0, 4, (700, 64, 64), np.uint16)
    source = write_npz(tmp_path / "bad.npz", [member("diffraction", frames, method=method, crc=9)])
    scan = ptystore.open(source)
    for key in ([5, 300, 698], slice(3, 9), slice(250, 300), slice(256, 300), 0):
        np.testing.assert_array_equal(scan["diffraction"][key], frames[key])
    for _ in range(2):
        with pytest.raises(InputError, match="don't match the checksum"):
            ptystore.write(scan, tmp_path / "out.zarr", jobs=2)


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_verify_reports_damage_of_an_npz(method: int, tmp_path: Path) -> None:
    good = write_npz(tmp_path / "good.npz", scan_members(method=method))
    assert ptystore.verify(good).ok
    arrays = [member("a", np.arange(9)), member("x", np.arange(5000), method=method, crc=9)]
    report = ptystore.verify(write_npz(tmp_path / "bad.npz", arrays))
    assert not report.ok
    assert report.damage == ("x: its bytes don't match the checksum in the archive",)
    assert list(report.digests) == ["a"]


def test_verify_refuses_what_is_no_npz(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="not a complete"):
        ptystore.verify(tmp_path / "bad.npz")


@pytest.mark.parametrize("kind", ["zip64", "descriptor"])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_zip_forms_that_are_read(kind: str, method: int, tmp_path: Path) -> None:
    arrays = scan_arrays()
    members = [member(name, one, method=method, **{kind: True}) for name, one in arrays.items()]
    read, metadata = ptystore.load_npz(write_npz(tmp_path / "scan.npz", members))
    assert metadata is None
    assert list(read) == list(arrays)
    for name, one in arrays.items():
        np.testing.assert_array_equal(read[name], one)
        assert read[name].dtype == one.dtype


@pytest.mark.parametrize("method", [STORED, DEFLATED])
@pytest.mark.parametrize("dtype", ["u2", "c16", "U3", "?", ">f4"])
@pytest.mark.parametrize("form", ["fortran", "frames last", "frames last, fortran"])
def test_scattered_frames_go_through_scratch(
    form: str, dtype: str, method: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    monkeypatch.setattr(spool, "_SLAB", 700)
    values = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 900, (23, 7, 5))
    frames = values.astype(dtype)
    stack = np.moveaxis(frames, 0, -1) if "last" in form else frames
    stack = np.asfortranarray(stack) if "fortran" in form else np.ascontiguousarray(stack)
    arrays = {"x": stack, "xcoords": np.arange(23.0), "ycoords": np.arange(23.0)}
    members = [member("Y" if "last" in form else n, a) if n == "x" else member(n, a)
               for n, a in arrays.items()]  # fmt: skip
    name = members[0].name.removesuffix(".npy")
    members[0] = member(name, stack, method=method)
    scan = ptystore.open(write_npz(tmp_path / "scan.npz", members))
    field = scan[name]
    assert field.frame_axis == (2 if "last" in form else 0)
    assert field.shape == stack.shape
    np.testing.assert_array_equal(field.values(), stack)
    picked = [22, 3, 4, 3]
    key = (..., picked) if "last" in form else picked
    np.testing.assert_array_equal(field[key], stack[key])
    ptystore.write(scan, tmp_path / "out.zarr", jobs=2)
    np.testing.assert_array_equal(ptystore.open(tmp_path / "out.zarr")[name].values(), stack)
    assert sorted(os.listdir(tmp_path)) == ["out.zarr", "scan.npz"]


def test_scratch_space_is_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    frames = np.asfortranarray(np.arange(400.0).reshape(4, 10, 10))
    source = write_npz(tmp_path / "scan.npz", [member("diffraction", frames)])
    scan = ptystore.open(source)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1))
    with pytest.raises(ptystore.StorageError, match="3200 bytes of scratch space"):
        scan["diffraction"].values()


def test_spooling_keeps_one_slab_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 1 << 20)
    monkeypatch.setattr(spool, "_SLAB", 1 << 20)
    stack = np.arange(64 * 64 * 2000, dtype=np.uint32).reshape(64, 64, 2000)
    members = [member("diff3d", stack), member("xcoords", np.zeros(2000))]
    field = ptystore.open(write_npz(tmp_path / "scan.npz", members))["diff3d"]
    tracemalloc.start()
    try:
        frame = field[..., 1500]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(frame, stack[..., 1500])


def test_a_damaged_stack_is_found_while_it_is_spooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 100)
    monkeypatch.setattr(spool, "_SLAB", 700)
    stack = np.asfortranarray(np.arange(4000.0).reshape(40, 10, 10))
    for method in (STORED, DEFLATED):
        bad = member("diffraction", stack, method=method, crc=3)
        error = refusal(write_npz(tmp_path / "bad.npz", [bad]))
        assert error.exit_code == 3
        assert error.member == "diffraction"


def test_a_source_that_changes(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "scan.npz", scan_members())
    scan = pickle.loads(pickle.dumps(ptystore.open(source)))  # as another process gets it
    write_npz(source, scan_members(scan_arrays(seed=1), method=STORED))
    with pytest.raises(InputError, match="has changed since it was opened"):
        ptystore.write(scan, tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == ["scan.npz"]


def test_a_source_that_shrinks_while_open(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 9, (90, 32, 32))
    source = write_npz(tmp_path / "scan.npz", [member("diffraction", frames)])
    scan = ptystore.open(source)
    with open(source, "r+b") as file:
        file.truncate(200_000)
    with pytest.raises(InputError, match="ends before the data"):
        ptystore.write(scan, tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == ["scan.npz"]


def test_a_source_that_is_deleted(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "scan.npz", scan_members())
    scan = ptystore.open(source)
    sent = pickle.dumps(scan)
    source.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        pickle.loads(sent)["diff3d"].values()
    assert isinstance(caught.value, InputMissingError)
    # Whoever has it open still reads it.
    np.testing.assert_array_equal(scan["diff3d"].values(), scan_arrays()["diff3d"])


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    error = refusal(tmp_path / "no.npz")
    assert isinstance(error, InputMissingError)
    assert error.exit_code == 3


def test_a_damaged_comment_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    ptystore.write(ptystore.dataset_of(scan_arrays()), path)
    data = path.read_bytes()
    at = data.rindex(b'"digest"')
    path.write_bytes(data[:at] + b'"dagest"' + data[at + 8 :])
    with pytest.raises(ptystore.IntegrityError, match="comment is damaged") as caught:
        ptystore.open(path)
    assert caught.value.exit_code == 5
    assert not ptystore.verify(path).ok


def test_a_stale_comment_of_ours_is_not_believed(tmp_path: Path) -> None:
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    arrays = scan_arrays()
    ptystore.write(ptystore.dataset_of(arrays, attrs={"diff3d": {"signal": "counts"}}), first)
    data = first.read_bytes()
    comment = data[data.rindex(b"PK\x05\x06") + 22 :]
    assert comment.startswith(b"ptystore")
    # Another array came along, or an array got another number of axes: none of it holds.
    for changed in ({"extra": np.arange(3)}, {"ycoords": np.float64(3)}):
        members = [member(name, one) for name, one in {**arrays, **changed}.items()]
        write_npz(second, members, comment=comment)
        try:
            opened = ptystore.open(second)
        except InputError as error:
            assert error.member == "ycoords"  # noqa: PT017 - judged anew, and refused
        else:
            assert all(one.digest is None for one in opened.values())
    # The same arrays with other values: reading can't know, verify must.
    arrays["xcoords"] = arrays["xcoords"] + 1
    write_npz(second, [member(name, one) for name, one in arrays.items()], comment=comment)
    assert [line.split(":")[0] for line in ptystore.verify(second).damage] == ["xcoords"]


def test_a_comment_of_others_is_ignored(tmp_path: Path) -> None:
    source = write_npz(tmp_path / "scan.npz", scan_members(), comment=b"made by hand")
    assert open_dataset(source)["diff3d"].digest is None
