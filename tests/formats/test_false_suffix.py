"""What a file is, under whatever suffix: named in the one line, whichever verb is asked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import ptystore
from npz_files import npy, scan_members, zip_bytes
from ptystore.errors import InputError, PtystoreError
from scans import SUFFIXES


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x.npy"))
    return file.getvalue()


def _zip(names: list[str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 40)
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1677\n"
SCAN = zip_bytes(scan_members())

WHAT = {
    "git-lfs": (LFS, "git-lfs pointer"),
    "page": (b"<!DOCTYPE html><html><body>404", "HTML page"),
    "page, in capitals, after a mark": (b"\xef\xbb\xbf\r\n  <HTML lang=en>", "HTML page"),
    "error of an object store": (b'<?xml version="1.0"?><Error>', "XML document"),
    "npy": (npy(np.arange(3)), r"single \.npy array"),
    "gzip": (gzip.compress(SCAN), "gzip"),
    "bzip2": (bz2.compress(_tar()), r"bzip2, and what is in it is no \.npz"),
    "xz": (lzma.compress(SCAN), "xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"x" * 50, "zstd"),
    "tar": (_tar(), "tar archive"),
    "pickle 2": (pickle.dumps({"a": 1}, 2), "pickle"),
    "pickle 5": (pickle.dumps(np.arange(3), 5), "pickle"),
    "empty": (b"", "is empty"),
    "zeros": (bytes(9000), "zero bytes"),
    "PyTorch": (_zip(["archive/data.pkl", "archive/data/0", "archive/version"]), "PyTorch"),
    "zipped Zarr 3": (_zip(["zarr.json", "x/zarr.json", "x/c/0"]), "zipped Zarr store: unzip it"),
    "zipped Zarr 2 in a folder": (_zip(["s.zarr/.zgroup", "s.zarr/x/0.0"]), "unzip it"),
    "document": (_zip(["[Content_Types].xml", "word/document.xml"]), "Office"),
}


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".bin", ""])
@pytest.mark.parametrize(("data", "words"), WHAT.values(), ids=WHAT)
def test_it_is_named(data: bytes, words: str, suffix: str, tmp_path: Path) -> None:
    source = tmp_path / f"scan{suffix}"
    source.write_bytes(data)
    asked: list[Callable[[Path], object]] = [ptystore.open, ptystore.describe, ptystore.verify]
    for verb in asked:
        with pytest.raises(InputError, match=words) as caught:
            verb(source)
        assert caught.value.exit_code == 3
        assert str(caught.value).count("\n") == 0


def test_a_zarr_store_that_zarr_zipped(tmp_path: Path) -> None:
    store = zarr.storage.ZipStore(tmp_path / "scan.zip", mode="w")
    zarr.open_group(store, mode="w").create_array("x", data=np.arange(3))
    store.close()
    with pytest.raises(InputError, match="unzip it"):
        ptystore.open(tmp_path / "scan.zip")


def test_what_tells_nothing_is_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no zip at all")
    with pytest.raises(InputError, match=r"not a complete \.npz"):
        ptystore.open(tmp_path / "a.npz")
    (tmp_path / "a.h5").write_bytes(b"no hdf5 at all")
    with pytest.raises(InputError, match="is neither"):
        ptystore.open(tmp_path / "a.h5")
    (tmp_path / "b.npz").write_bytes(SCAN[:-30])
    with pytest.raises(InputError, match=r"not a complete \.npz"):
        ptystore.open(tmp_path / "b.npz")


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".bin"])
def test_a_scan_under_a_false_suffix_is_a_scan(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_bytes(SCAN)
    assert "diff3d" in ptystore.open(tmp_path / f"a{suffix}")


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_one_line(data: bytes) -> None:
    from ptystore.formats.false_suffix import foreign_file

    told = foreign_file(data)
    assert told is None or "\n" not in told.reason
    assert told is not None or any(data)


@pytest.mark.parametrize("lines", [1, 2])
def test_no_verb_overwrites_it(lines: int, tmp_path: Path) -> None:
    source = tmp_path / "out.npz"
    source.write_bytes(LFS * lines)
    with pytest.raises(PtystoreError):
        ptystore.save_npz(source, {"x": np.ones(3)}, overwrite=True)
    assert source.read_bytes() == LFS * lines
