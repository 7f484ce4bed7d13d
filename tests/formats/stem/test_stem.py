"""4D-STEM files of detectors, written byte by byte by their layout and read by rosettasciio."""

from __future__ import annotations

import pickle
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from foreign import opened
from ptystore import InputError
from scans import assert_same

RNG = np.random.default_rng(9)
FRAMES = RNG.integers(0, 4000, (3, 5, 7, 9)).astype(np.uint16)
SQUARE = RNG.integers(0, 200, (3, 5, 8, 8)).astype(np.uint8)


def mib(path: Path, frames: Any = FRAMES, hdr: str | None = None) -> Path:
    """Frames behind headers of 384 bytes, as Merlin writes them."""
    height, width = frames.shape[-2:]
    with open(path, "wb") as file:
        for at, frame in enumerate(frames.reshape(-1, height, width)):
            words = ["MQ1", f"{at + 1:06d}", "00384", "01", f"{width:04d}", f"{height:04d}", "U16"]
            time = f"2024-05-01T10:00:{at // 5:02d}.{at % 5:03d}000Z"
            words += [
                "   1x1",
                "01",
                "2024-05-01",
                "0.001",
                "0",
                "0",
                "0",
                time,
                "1000000ns",
                "12",
                "",
            ]
            file.write(",".join(words).encode().ljust(384, b"\0"))
            file.write(frame.astype(">u2").tobytes())
    if hdr is not None:
        path.with_suffix(".hdr").write_text(hdr)
    return path


def header(per_line: int, frames: int) -> str:
    return (
        f"HDR,\nFrames in Acquisition (Number):\t{frames}\n"
        f"Frames per Trigger (Number):\t{per_line}\nEnd\t\n"
    )


def blo(path: Path, spread: int = 5000) -> Path:
    """A blockfile: a header, pictures, then frames behind 6 bytes each."""
    slow, fast, size, _ = SQUARE.shape
    begin, behind = 0x1000, 0x1000 + 64
    head = struct.pack(
        "<6sHIIIHHHHH", b"IMGBLO", 0x102, begin, behind, 131141, size, 0, fast, slow, 0
    )
    head += struct.pack("<ddIHId", 2.0, 3.0, 200_000, spread, 0, 40000.0) + bytes(22 * 8)
    body = b"".join(
        b"\xaa\x55" + struct.pack("<I", at) + frame.tobytes()
        for at, frame in enumerate(SQUARE.reshape(-1, size, size))
    )
    path.write_bytes(head.ljust(behind, b"\0") + body)
    return path


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rsciio", "rsciio.quantumdetector", "rsciio.blockfile"):
        monkeypatch.setitem(sys.modules, name, None)
    for path, options in (
        (mib(tmp_path / "a.mib"), {"scan_shape": (3, 5)}),
        (blo(tmp_path / "b"), {}),
    ):
        with pytest.raises(InputError, match="needs rosettasciio") as caught:
            opened(path, **options)
        assert caught.value.advice == "pip install 'ptystore[stem]'"


def test_a_raster_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no a\.hdr beside it says") as caught:
        opened(mib(tmp_path / "a.mib"))
    assert "--scan-shape" in str(caught.value.advice)


def test_merlin(tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    scan = opened(mib(tmp_path / "a.dat"), scan_shape=(3, 5), electron_energy=200e3)
    flat = FRAMES.reshape(15, 7, 9)
    assert_same(scan.frames.values(), flat)
    assert_same(scan.frames.array.read(4, 8), flat[4:8])
    assert_same(pickle.loads(pickle.dumps(scan.frames.array)).read(9, 11), flat[9:11])
    assert scan.frames.attrs["signal"] == "counts"
    assert scan.geometry["scan_shape"].value == [3, 5]
    assert {*scan.geometry} == {"scan_shape", "electron_energy_eV", "wavelength_m", "radiation"}
    assert scan.source is not None
    assert any("upside down" in line for line in scan.source.remarks)
    assert any("--positions FILE" in line for line in scan.source.remarks)
    report = ptystore.write(scan, tmp_path / "b.zarr")
    assert_same(ptystore.open(report.path).frames.values(), flat)
    with pytest.raises(InputError, match=r"holds 15 frames, .* not on a raster of \(3, 4\)"):
        opened(tmp_path / "a.dat", scan_shape=(3, 4))
    scan = opened(mib(tmp_path / "c.mib", FRAMES[1:2]), scan_shape=(1, 5))
    assert_same(scan.frames.values(), FRAMES[1])


@pytest.mark.parametrize(("per_line", "is_known"), [(5, True), (1, False), (0, False), (4, False)])
def test_merlin_with_its_header(tmp_path: Path, per_line: int, is_known: bool) -> None:
    pytest.importorskip("rsciio")
    path = mib(tmp_path / "a.mib", hdr=header(per_line, 15))
    if not is_known:
        with pytest.raises(InputError, match=r"no a\.hdr beside it says"):
            opened(path)
        return
    scan = opened(path)
    assert scan.geometry["scan_shape"].value == [3, 5]
    assert_same(scan.frames.values(), FRAMES.reshape(15, 7, 9))


def test_blockfile(tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    scan = opened(blo(tmp_path / "a.h5"))
    assert_same(scan.frames.values(), SQUARE.reshape(15, 8, 8))
    facts = {name: fact.value for name, fact in scan.geometry.items()}
    wavelength = facts.pop("wavelength_m")
    assert wavelength == pytest.approx(2.5079e-12, rel=1e-4)
    assert facts == {
        "radiation": "electron",
        "electron_energy_eV": 200e3,
        "detector_pixel_size_m": pytest.approx([2e-4, 2e-4]),
        "scan_shape": [3, 5],
    }
    rows, columns = np.indices((3, 5)).reshape(2, -1)
    np.testing.assert_allclose(scan["position_y_m"].values(), rows * 3e-9, atol=1e-18)
    np.testing.assert_allclose(scan["position_x_m"].values(), columns * 2e-9, atol=1e-18)
    assert "detector_pixel_size_m" not in opened(blo(tmp_path / "b", spread=0)).geometry


@pytest.mark.parametrize("cut", [10, 400, 0x1000 + 100])
# The library leaves files open where it raises.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_file_is_refused(tmp_path: Path, cut: int) -> None:
    pytest.importorskip("rsciio")
    for path, options in ((mib(tmp_path / "a"), {"scan_shape": (3, 5)}), (blo(tmp_path / "b"), {})):
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(InputError):
            opened(path, **options).frames.values()
