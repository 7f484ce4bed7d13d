"""What a file is that is none of ours, whatever its suffix says: named, so that it is found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["TAR", "Told", "foreign_archive", "foreign_file"]


class Told(NamedTuple):
    """What it is, and what to do about it."""

    reason: str
    advice: str | None = None


_DOWNLOAD = "download the file itself: this is what a server says instead of it"

# How a file begins that is often met in a scan's place.
_HEADS = [
    (
        b"version https://git-lfs.github.com/spec/",
        Told("is a git-lfs pointer, not the file itself", "fetch the file: git lfs pull"),
    ),
    (
        b"\x93NUMPY",
        Told(
            "is a single .npy array, without a name",
            "put it into an .npz: np.savez(FILE, NAME=array)",
        ),
    ),
    (b"\x1f\x8b", Told("is compressed by gzip", "decompress it: gunzip")),
    (b"BZh", Told("is compressed by bzip2", "decompress it: bunzip2")),
    (b"\xfd7zXZ\x00", Told("is compressed by xz", "decompress it: unxz")),
    (b"\x28\xb5\x2f\xfd", Told("is compressed by zstd", "decompress it: unzstd")),
    (b"Rar!", Told("is a RAR archive", "unpack it")),
    (b"7z\xbc\xaf\x27\x1c", Told("is a 7-Zip archive", "unpack it")),
    (b"%PDF-", Told("is a PDF document")),
    (b"II*\x00", Told("is a TIFF image")),
    (b"MM\x00*", Told("is a TIFF image")),
    (b"\x89PNG", Told("is a PNG image")),
]

_PICKLE = Told(
    "is a Python pickle, or a file of an old PyTorch: it could run anything, and is never loaded",
    "save the arrays with np.savez where they were made",
)
_TAR_AT = 257

TAR = Told("is a tar archive", "unpack it: tar xf")


def foreign_file(head: bytes) -> Told | None:
    """What a file is by its first bytes, None where they tell nothing."""
    if not head:
        return Told("is empty", "copy or save the file again")
    for start, told in _HEADS:
        if head.startswith(start):
            return told
    text = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        what = "an XML document" if text.startswith(b"<?xml") else "an HTML page"
        return Told(f"is {what}, not the file itself", _DOWNLOAD)
    # Protocols 2 to 5; a pickle says so first, and ends its first opcodes by a global or a mark.
    if head[0] == 0x80 and len(head) > 2 and head[1] in (2, 3, 4, 5):
        return _PICKLE
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return TAR
    if not any(head):
        return Told("begins with nothing but zero bytes: it was never filled", "copy it again")
    return None


def foreign_archive(names: Iterable[str]) -> Told | None:
    """What a zip archive is by the names in it, None where they tell nothing."""
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        return Told(
            "is a PyTorch file: a pickle, which could run anything and is never loaded",
            "save its arrays with np.savez where it was made",
        )
    if last & {"zarr.json", ".zgroup", ".zarray"}:
        return Told("is a zipped Zarr store: unzip it", "unzip FILE -d STORE.zarr")
    if "[Content_Types].xml" in last:
        return Told("is an Office document")
    return None
