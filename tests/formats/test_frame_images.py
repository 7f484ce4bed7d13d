"""Frames in image files: EDF, TIFF and CBF, what is refused, and what is missing to read them."""

from __future__ import annotations

import builtins
import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from ptystore.errors import InputError

FRAME = (5, 7)


def stack(count: int, dtype: str = "u2", first: int = 0) -> Any:
    size = FRAME[0] * FRAME[1]
    values = np.arange(first * size, (first + count) * size) % 251
    return values.astype(dtype).reshape(count, *FRAME)


def edf(path: Path, frame: Any, **more: str) -> None:
    kinds = {"u2": "UnsignedShort", "i4": "SignedInteger", "f4": "FloatValue"}
    order = "HighByteFirst" if frame.dtype.byteorder == ">" else "LowByteFirst"
    said = {
        "HeaderID": "EH:000001:000000:000000",
        "ByteOrder": order,
        "DataType": kinds[frame.dtype.str[1:]],
        "Dim_1": str(frame.shape[1]),
        "Dim_2": str(frame.shape[0]),
        **more,
    }
    text = "{\n" + "".join(f"{name} = {value} ;\n" for name, value in said.items())
    path.write_bytes(text.ljust(1022).encode("ascii") + b"}\n" + frame.tobytes())


@pytest.mark.parametrize("dtype", ["<u2", ">i4", "<f4"])
def test_edf(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "f").mkdir()
    frames = stack(3).astype(dtype)
    for k, frame in enumerate(frames):
        edf(tmp_path / "f" / f"{k}.edf", frame)
    found = ptystore.open(tmp_path / "f").frames
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.values(), frames)


def test_edf_is_read_as_fabio_writes_it(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio")
    (tmp_path / "f").mkdir()
    for k, frame in enumerate(stack(3)):
        fabio.edfimage.EdfImage(data=frame).write(str(tmp_path / "f" / f"{k}.edf"))
    np.testing.assert_array_equal(ptystore.open(tmp_path / "f").frames.values(), stack(3))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"EDF_BinaryFileName": "other.bin"}, "in another file, which is never opened"),
        ({"Compression": "ZCompression"}, "compressed by ZCompression"),
        ({"Dim_2": "6"}, "less than 6 by 7"),
        ({"DataType": "Strange"}, "no sound header"),
        ({"Dim_1": "-7"}, "less than"),
    ],
)
def test_edf_that_is_refused(tmp_path: Path, more: Any, words: str) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "other.bin").write_bytes(stack(1).tobytes())
    edf(tmp_path / "f" / "0.edf", stack(1)[0], **more)
    with pytest.raises(InputError, match=words):
        ptystore.open(tmp_path / "f" / "*.edf")


def test_several_frames_of_an_edf_are_refused(tmp_path: Path) -> None:
    edf(tmp_path / "0.edf", stack(1)[0])
    data = (tmp_path / "0.edf").read_bytes()
    (tmp_path / "0.edf").write_bytes(data + data)
    with pytest.raises(InputError, match="holds several frames"):
        ptystore.open(tmp_path / "*.edf")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["u2", ">i4", "f4"])
def test_tiff(tmp_path: Path, compression: Any, dtype: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    (tmp_path / "f").mkdir()
    frames = stack(3).astype(dtype)
    for k, frame in enumerate(frames):
        path = tmp_path / "f" / f"{k}.tif"
        tifffile.imwrite(path, frame, compression=compression, byteorder=">" if k % 2 else "<")
    found = ptystore.open(tmp_path / "f").frames
    np.testing.assert_array_equal(found.values(), frames)
    ptystore.write(ptystore.open(tmp_path / "f"), tmp_path / "out.zarr")


def test_tiff_of_several_pages(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for k in range(2):
        with tifffile.TiffWriter(tmp_path / f"{k}.tif") as file:
            for frame in stack(3, first=3 * k):
                file.write(frame, contiguous=False)
    scan = ptystore.open(tmp_path / "?.tif")
    np.testing.assert_array_equal(scan.frames.values(), stack(6))
    np.testing.assert_array_equal(scan.frames[[4, 1]], stack(6)[[4, 1]])


def test_a_tiff_that_another_library_unpacks_names_it(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    if importlib.util.find_spec("imagecodecs") is not None:
        pytest.skip("imagecodecs is installed")
    tifffile.imwrite(tmp_path / "0.tif", stack(1)[0], byteorder="<")
    data = (tmp_path / "0.tif").read_bytes()
    plain, lzw = (struct.pack("<HHII", 259, 3, 1, value) for value in (1, 5))
    assert data.count(plain) == 1
    (tmp_path / "0.tif").write_bytes(data.replace(plain, lzw))
    with pytest.raises(InputError, match="imagecodecs") as caught:
        ptystore.open(tmp_path / "*.tif").frames.values()
    assert "pip install imagecodecs" in str(caught.value.advice)


def test_damaged_tiff(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "0.tif", stack(1)[0])
    data = (tmp_path / "0.tif").read_bytes()
    (tmp_path / "0.tif").write_bytes(data[:-20])
    with pytest.raises(InputError, match=r"0\.tif"):
        ptystore.write(ptystore.open(tmp_path / "*.tif"), tmp_path / "out.zarr")
    (tmp_path / "0.tif").write_bytes(data[:9])
    with pytest.raises(InputError, match=r"0\.tif"):
        ptystore.open(tmp_path / "*.tif")
    tifffile.imwrite(tmp_path / "0.tif", np.zeros((8, 9, 3), "u1"), photometric="rgb")
    with pytest.raises(InputError, match=r"pages of \(8, 9, 3\) uint8"):
        ptystore.open(tmp_path / "*.tif")


def cbf(path: Path, frame: Any) -> None:
    fabio = pytest.importorskip("fabio")
    fabio.cbfimage.CbfImage(data=frame).write(str(path))


def test_cbf(tmp_path: Path) -> None:
    pytest.importorskip("fabio")
    (tmp_path / "f").mkdir()
    frames = stack(3, "i4")
    frames[0, 0, :5] = [-1, 200, 70_000, 2**31 - 1, -(2**31)]
    for k, frame in enumerate(frames):
        cbf(tmp_path / "f" / f"{k}.cbf", frame)
    found = ptystore.open(tmp_path / "f").frames
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found.values(), frames)


@pytest.mark.parametrize("md5", [True, False])
def test_damaged_cbf(tmp_path: Path, md5: bool) -> None:
    """Values that are missing are never zeros, also where no checksum tells."""
    cbf(tmp_path / "0.cbf", stack(1, "i4")[0])
    data = (tmp_path / "0.cbf").read_bytes()
    at = data.index(b"\x0c\x1a\x04\xd5") + 4
    # Where a value of one byte was, an escape to eight takes up those that follow.
    damaged = data[: at + 5] + b"\x80\x00\x80\x00\x00\x00\x80" + data[at + 12 :]
    if not md5:
        start = damaged.index(b"Content-MD5")
        damaged = damaged[:start] + damaged[damaged.index(b"\r\n", start) + 2 :]
    (tmp_path / "0.cbf").write_bytes(damaged)
    scan = ptystore.open(tmp_path / "*.cbf")
    with pytest.raises(InputError, match="MD5 does not match" if md5 else "announced are 35"):
        scan.frames.values()
    (tmp_path / "0.cbf").write_bytes(data[: at + 20])
    with pytest.raises(InputError, match="ends before the data"):
        ptystore.open(tmp_path / "*.cbf")


@pytest.mark.parametrize(
    ("library", "name", "data"),
    [
        ("tifffile", "0.tif", b"II*\0" + b"\0" * 60),
        ("fabio", "0.cbf", b"###CBF: VERSION 1.5\r\n"),
    ],
)
def test_a_missing_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str, data: bytes
) -> None:
    real = builtins.__import__

    def without(wanted: str, *rest: Any) -> Any:
        if wanted.partition(".")[0] == library:
            raise ImportError(wanted)
        return real(wanted, *rest)

    (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=f"needs {library} to be read") as caught:
        ptystore.open(tmp_path / f"*{name[1:]}")
    assert caught.value.advice == "pip install 'ptystore[images]'"
