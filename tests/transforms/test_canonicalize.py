"""Canonicalize against a slow plain implementation of the contract."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import DEFLATED, DOCUMENT, STORED, history_of, member, scan_arrays, write_npz
from ptystore.errors import InputError, ParameterError
from ptystore.model import layout

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u2", ">i4"]


def plain_amplitude(counts: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """The square root of each count, one by one, in double precision, rounded once."""
    out = np.empty(counts.shape, np.float32)
    for index in np.ndindex(*counts.shape):
        out[index] = np.float32(np.sqrt(np.float64(counts[index])) / scale)
    return out


def scan_of(arrays: Mapping[str, Any], **attrs: Mapping[str, Any]) -> ptystore.Dataset:
    return ptystore.dataset_of(arrays, ptystore.Metadata.from_json(DOCUMENT), attrs=attrs)


def counts_of(dtype: str, frames: int = 6) -> np.ndarray:
    rng = np.random.default_rng(5)
    top = np.iinfo(dtype).max
    values = rng.integers(0, top, (frames, 4, 4), dtype=np.dtype(dtype).newbyteorder("="))
    values.reshape(-1)[:4] = (0, 1, 2, top - 1)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_integer_counts_become_amplitude(dtype: str) -> None:
    counts = counts_of(dtype)
    result = ptystore.canonicalize(scan_of({**scan_arrays(), "diff3d": counts}))
    assert next(iter(result)) == "diffraction"
    assert "diff3d" not in result
    frames = result["diffraction"]
    assert frames.dtype == np.float32
    assert frames.attrs["signal"] == "amplitude"
    assert frames.attrs["units"] == "sqrt(counts)"
    np.testing.assert_array_equal(frames.values(), plain_amplitude(counts))


@pytest.mark.parametrize("dtype", DTYPES)
def test_integer_counts_are_kept_on_request(dtype: str) -> None:
    counts = counts_of(dtype)
    scan = scan_of({**scan_arrays(), "diff3d": counts})
    frames = ptystore.canonicalize(scan, signal="counts")["diffraction"]
    assert frames.attrs["signal"] == frames.attrs["units"] == "counts"
    np.testing.assert_array_equal(frames.values(), counts.astype(np.float32))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_floats_are_amplitude_unless_something_says_otherwise(dtype: str, tmp_path: Path) -> None:
    values = (np.random.default_rng(1).random((6, 4, 4)) * 30).astype(dtype)
    arrays = {**scan_arrays(), "diff3d": values}
    frames = ptystore.canonicalize(scan_of(arrays))["diffraction"]
    np.testing.assert_array_equal(frames.values(), values.astype(np.float32))
    said = {
        "the caller": ({"signal": "counts"}, DOCUMENT),
        "the document": ({}, '{"measurement_domain": "count_intensity"}'),
        "its physics": ({}, '{"physics_parameters": {"measurement_domain": "count_intensity"}}'),
    }
    for options, document in said.values():
        members = [member(name, one) for name, one in arrays.items()]
        members.append(member("_metadata", np.array(document)))
        scan = ptystore.open(write_npz(tmp_path / "scan.npz", members), **options)
        frames = ptystore.canonicalize(scan)["diffraction"]
        assert frames.dtype == np.float32
        np.testing.assert_array_equal(frames.values(), plain_amplitude(values))


def test_amplitude_scale_goes_both_ways() -> None:
    counts = counts_of("u4")
    scale = {"signal": "counts", "amplitude_scale": 0.3}
    scan = scan_of({**scan_arrays(), "diff3d": counts}, diff3d=scale)
    frames = ptystore.canonicalize(scan)["diffraction"]
    amplitude = plain_amplitude(counts, 0.3)
    np.testing.assert_array_equal(frames.values(), amplitude)
    assert frames.attrs["amplitude_scale"] == 0.3
    again = {**scan_arrays(), "diff3d": amplitude}
    known = scan_of(again, diff3d={"signal": "amplitude", "amplitude_scale": 0.3})
    back = ptystore.canonicalize(known, signal="counts")["diffraction"]
    assert back.attrs["signal"] == "counts"
    np.testing.assert_allclose(back.values(), counts, rtol=1e-6)


def test_amplitude_to_counts_is_refused_without_a_scale(tmp_path: Path) -> None:
    arrays = {**scan_arrays(), "diff3d": np.ones((6, 4, 4), np.float32)}
    source = write_npz(tmp_path / "scan.npz", [member(n, one) for n, one in arrays.items()])
    with pytest.raises(InputError, match="no amplitude_scale is recorded") as caught:
        ptystore.canonicalize(ptystore.open(source), signal="counts")
    assert (caught.value.file, caught.value.member) == (str(source), "diff3d")


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(ParameterError):
        ptystore.canonicalize(scan_of(scan_arrays()), signal="phase")  # type: ignore[arg-type]


@pytest.mark.parametrize("signal", ["amplitude", "counts"])
@pytest.mark.parametrize("dtype", ["i2", "i8", "f4"])
def test_negative_counts_are_refused_naming_the_frame(
    dtype: str, signal: Any, tmp_path: Path
) -> None:
    counts = counts_of("i2", 700).astype(dtype)
    counts[613, 2, 1] = counts[650, 0, 0] = -1
    arrays = {"diff3d": counts, "xcoords": np.zeros(700), "ycoords": np.zeros(700)}
    source = write_npz(tmp_path / "scan.npz", [member(n, one) for n, one in arrays.items()])
    scan = ptystore.canonicalize(ptystore.open(source, signal="counts"), signal=signal)
    with pytest.raises(InputError, match="negative counts, first in frame 613") as caught:
        ptystore.write(scan, tmp_path / "out.zarr", jobs=2)
    assert caught.value.member == "diffraction"
    with pytest.raises(InputError, match="first in frame 650"):
        scan["diffraction"][[3, 650, 2]]
    assert [one.name for one in tmp_path.iterdir()] == ["scan.npz"]


def test_saturated_frames_are_reported(tmp_path: Path) -> None:
    counts = np.zeros((40, 64, 64), np.uint16)
    counts[[7, 7, 31], [1, 2, 3], 5] = 0xFFFF
    counts[12] = 0xFFFE
    arrays = {"diff3d": counts, "xcoords": np.zeros(40), "ycoords": np.zeros(40)}
    seen: list[str] = []
    report = ptystore.write(
        ptystore.canonicalize(scan_of(arrays)), tmp_path / "out.zarr", warn=seen.append
    )
    (line,) = report.warnings
    assert seen == [line]
    assert line.startswith("2 frames are saturated")
    assert "65535" in line
    assert "frame 7" in line


def test_windows_outside_the_object_are_reported(tmp_path: Path) -> None:
    arrays = scan_arrays()
    fine = ptystore.write(ptystore.canonicalize(scan_of(arrays)), tmp_path / "a.zarr")
    assert fine.warnings == ()
    flipped = ptystore.canonicalize(scan_of(arrays), flipx=True)
    (line,) = ptystore.write(flipped, tmp_path / "b.zarr").warnings
    assert line.startswith("6 of 6 frames have windows")
    arrays["ycoords"][4] = 1.9
    (line,) = ptystore.write(ptystore.canonicalize(scan_of(arrays)), tmp_path / "c.zarr").warnings
    assert line.startswith("1 of 6 frames")
    assert "frame 4" in line


@pytest.mark.parametrize("keep_dtypes", [False, True])
@pytest.mark.parametrize(("flipx", "flipy"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_flips_and_dtypes(flipx: bool, flipy: bool, keep_dtypes: bool) -> None:
    arrays = scan_arrays()
    arrays |= {
        "xcoords": arrays["xcoords"].astype(np.float32),
        "xcoords_start": np.arange(6, dtype=np.int32),
        "ycoords_start": np.arange(6, dtype=np.int16),
        "dark": np.arange(12, dtype=np.uint16).reshape(3, 4),
        "gain": np.arange(6, dtype=np.uint16),
        "scan_index": np.arange(6, dtype=np.uint16),
        "small": np.arange(4, dtype=np.uint8),
        "phase": np.ones((2, 2), np.complex128),
        "label": np.array("sample 7"),
    }
    scan = scan_of(arrays)
    result = ptystore.canonicalize(
        scan, flipx=bool(flipx), flipy=bool(flipy), keep_dtypes=keep_dtypes
    )
    assert set(result) == (set(arrays) - {"diff3d"}) | {"diffraction"}
    for name, values in arrays.items():
        if name == "diff3d":
            continue
        expected = values
        if name in ("xcoords", "ycoords", "xcoords_start", "ycoords_start"):
            expected = values if keep_dtypes else values.astype(np.float64)
            if (flipx, flipy)[name.startswith("y")]:
                expected = -expected
        elif name == "scan_index":
            expected = values.astype(np.int64)
        elif values.dtype == np.complex128 and not keep_dtypes:
            expected = values.astype(np.complex64)
        assert result[name].dtype == expected.dtype, name
        np.testing.assert_array_equal(result[name].values(), expected, err_msg=name)
        assert result[name].role == scan[name].role


def test_flipping_unsigned_coordinates_without_a_cast_is_refused_or_right() -> None:
    arrays = {**scan_arrays(), "xcoords": np.arange(1, 7, dtype=np.uint16)}
    flipped = ptystore.canonicalize(scan_of(arrays), flipx=True, keep_dtypes=True)
    values = flipped["xcoords"].values()
    np.testing.assert_array_equal(values.astype(float), -np.arange(1.0, 7.0))


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_legacy_stacks_come_frames_first(method: int, tmp_path: Path) -> None:
    arrays = scan_arrays(frames=9)
    patches = np.random.default_rng(3).normal(size=(9, 4, 4)).astype(np.complex64)
    stacked = {
        **arrays, "diff3d": np.moveaxis(arrays["diff3d"], 0, -1).copy(),
        "Y": np.moveaxis(patches, 0, -1).copy(),
    }  # fmt: skip
    members = [member(name, one, method=method) for name, one in stacked.items()]
    scan = ptystore.open(write_npz(tmp_path / "scan.npz", members))
    assert scan["diff3d"].shape == (4, 4, 9)
    result = ptystore.canonicalize(scan)
    ptystore.write(result, tmp_path / "out.zarr")
    for read in (result, ptystore.open(tmp_path / "out.zarr")):
        assert read["diffraction"].shape == read["Y"].shape == (9, 4, 4)
        assert read["diffraction"].frame_axis == read["Y"].frame_axis == 0
        expected = plain_amplitude(arrays["diff3d"])
        np.testing.assert_array_equal(read["diffraction"].values(), expected)
        np.testing.assert_array_equal(read["diffraction"][[8, 2]], expected[[8, 2]])
        np.testing.assert_array_equal(read["Y"].values(), patches)


def test_an_axis_order_given_at_opening_is_followed(tmp_path: Path) -> None:
    cube = np.random.default_rng(2).integers(0, 99, (6, 6, 6), np.uint16)
    arrays = {**scan_arrays(6, 6), "diff3d": cube}
    source = write_npz(tmp_path / "scan.npz", [member(n, one) for n, one in arrays.items()])
    for order, expected in (("nhw", cube), ("hwn", np.moveaxis(cube, -1, 0))):
        store = tmp_path / f"{order}.zarr"
        ptystore.write(ptystore.ingest(ptystore.open(source, axis_order=order)), store)
        assert ptystore.open(store)["diff3d"].shape == (6, 6, 6)
        frames = ptystore.canonicalize(ptystore.open(store))["diffraction"]
        np.testing.assert_array_equal(frames.values(), plain_amplitude(expected))


def test_patches_lose_their_fourth_axis() -> None:
    patches = np.random.default_rng(3).normal(size=(6, 4, 4, 1)) * (1 + 1j)
    result = ptystore.canonicalize(scan_of({**scan_arrays(), "Y": patches}))
    assert result["Y"].shape == (6, 4, 4)
    assert result["Y"].dtype == np.complex64
    np.testing.assert_array_equal(result["Y"].values(), patches[..., 0].astype(np.complex64))
    np.testing.assert_array_equal(result["Y"][4], patches[4, ..., 0].astype(np.complex64))


@pytest.mark.parametrize("shape", [(6, 4, 4, 4), (6, 4)])
def test_other_patches_are_refused(shape: tuple[int, ...]) -> None:
    scan = scan_of({**scan_arrays(), "Y": np.zeros(shape, np.complex64)})
    with pytest.raises(InputError, match="one image for each frame") as caught:
        ptystore.canonicalize(scan)
    assert caught.value.member == "Y"


def test_two_stacks_are_refused() -> None:
    arrays = scan_arrays()
    scan = scan_of({**arrays, "diffraction": arrays["diff3d"]})
    with pytest.raises(InputError, match="both diffraction and diff3d"):
        ptystore.canonicalize(scan)


@pytest.mark.parametrize("last", [False, True])
def test_the_same_whatever_the_blocks_and_workers(
    last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = 1100
    counts = counts_of("u2", frames)
    arrays = {
        "diff3d": np.moveaxis(counts, 0, -1).copy() if last else counts,
        "probeGuess": np.ones((4, 4)), "xcoords": np.arange(frames), "ycoords": np.arange(frames),
    }  # fmt: skip
    source = write_npz(
        tmp_path / "scan.npz", [member(n, one, method=DEFLATED) for n, one in arrays.items()]
    )
    digests = set()
    for size, jobs in ((None, 1), (None, 3), (1 << 10, 1), (1 << 12, 2), (1 << 14, 3)):
        if size:
            defaults = {"chunk_bytes": size, "shard_bytes": size * 64, "block_bytes": size}
            monkeypatch.setattr(layout.plan, "__kwdefaults__", defaults)
        scan = ptystore.canonicalize(ptystore.open(source))
        report = ptystore.write(scan, tmp_path / f"{size}-{jobs}.zarr", jobs=jobs)
        digests.add(report.digest)
        written = ptystore.open(tmp_path / f"{size}-{jobs}.zarr")["diffraction"].values()
        np.testing.assert_array_equal(written, np.sqrt(counts, dtype=np.float32))
    assert len(digests) == 1


def test_a_pickled_result_computes_the_same(tmp_path: Path) -> None:
    arrays = scan_arrays()
    source = write_npz(tmp_path / "scan.npz", [member(n, one) for n, one in arrays.items()])
    result = ptystore.canonicalize(ptystore.open(source), flipy=True)
    again = pickle.loads(pickle.dumps(result))
    assert list(again) == list(result)
    for name in result:
        np.testing.assert_array_equal(again[name].values(), result[name].values())


def test_the_record(tmp_path: Path) -> None:
    members = [member(n, one) for n, one in scan_arrays().items()]
    members.append(member("_metadata", np.array(DOCUMENT)))
    source = write_npz(tmp_path / "raw.npz", members)
    digest = ptystore.write(ptystore.ingest(ptystore.open(source)), tmp_path / "in.zarr").digest
    scan = ptystore.canonicalize(ptystore.open(tmp_path / "in.zarr"), flipx=True)
    ptystore.write(scan, tmp_path / "out.npz")
    ingested, record = history_of(tmp_path / "out.npz")
    assert (ingested["tool"], ingested["operation"]) == ("ptystore", "ingest")
    assert ingested["inputs"] == [{"file": "raw.npz", "digest": digest}]
    assert record["tool"] == "transpose_rename_convert"
    assert record["operation"] == "canonicalize_dataset"
    assert record["timestamp"].endswith("Z")
    assert record["software"].startswith("ptystore ")
    assert record["inputs"] == [{"file": "in.zarr", "digest": digest}]
    assert record["parameters"]["signal"] == "amplitude"
    assert record["parameters"]["flipx"] is True
    assert record["parameters"]["flipy"] is False
    assert record["parameters"]["keep_dtypes"] is False
    assert str(tmp_path) not in str(record)


def test_a_file_without_metadata_gets_a_document(tmp_path: Path) -> None:
    members = [member(n, one) for n, one in scan_arrays().items()]
    scan = ptystore.open(write_npz(tmp_path / "raw.npz", members))
    assert scan.metadata is None
    ptystore.write(ptystore.canonicalize(scan), tmp_path / "out.npz")
    (record,) = history_of(tmp_path / "out.npz")
    assert record["inputs"] == [{"file": "raw.npz", "digest": None}]


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 9, (50, 32, 32), np.int16)
    frames[20] = -1
    members = [member("diff3d", frames), member("xcoords", np.zeros(50))]
    result = ptystore.canonicalize(ptystore.open(write_npz(tmp_path / "raw.npz", members)))
    np.testing.assert_array_equal(result["diffraction"][21:], plain_amplitude(frames[21:]))
    with pytest.raises(InputError, match="frame 20"):
        result["diffraction"][20]
