"""What is no measured value: negative counts, gaps, saturation, NaN; each told from the others."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import scan_arrays
from ptystore.compute import negative_counts
from ptystore.errors import InputError, ParameterError
from ptystore.transforms.selection import select_frames
from scans import SUFFIXES, pickled

FRAMES, SIZE = 100, 32
GAPS = [(0, 7), (1, 7), (2, 7), (9, 3)]
DEAD = (2, 2)
BLOCKS = dict.fromkeys(("chunk_bytes", "shard_bytes", "block_bytes"), 1)


def stack(dtype: str) -> np.ndarray:
    values = np.random.default_rng(4).poisson(30, (FRAMES, SIZE, SIZE))
    return np.minimum(values, 100).astype(dtype)


def with_gaps(dtype: str, gap: float, dead: float | None = None) -> np.ndarray:
    frames = stack(dtype)
    for pixel in GAPS:
        frames[:, *pixel] = gap
    if dead is not None:
        frames[:, *DEAD] = dead
    return frames


def scan_of(frames: np.ndarray, **more: Any) -> ptystore.Dataset:
    arrays = {**scan_arrays(FRAMES, SIZE), "diff3d": frames, **more}
    return ptystore.dataset_of(arrays, attrs={"diff3d": {"signal": "counts", "units": "counts"}})


def written(scan: ptystore.Dataset, path: Path, **options: Any) -> list[str]:
    return list(ptystore.write(ptystore.canonicalize(scan, **options), path, jobs=2).warnings)


def values_listed(scan: ptystore.Dataset) -> list[str]:
    problems = ptystore.find_problems(scan)
    return [one.message for one in problems if one.kind == "values"]


SENTINELS = {
    dtype: with_gaps(dtype, np.iinfo(dtype).max) for dtype in ("u1", "u2", "u4", "i2", "i4", "u8")
}


@pytest.fixture(params=[False, True], ids=["one block", "blocks"])
def several(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        monkeypatch.setattr(negative_counts.plan, "__kwdefaults__", BLOCKS)
    return bool(request.param)


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("dtype", SENTINELS)
def test_a_pixel_at_the_top_in_every_frame_is_a_gap(dtype: str, tmp_path: Path) -> None:
    scan = scan_of(SENTINELS[dtype])
    (line,) = written(scan, tmp_path / "a.zarr")
    assert line.startswith(f"{np.iinfo(dtype).max} in every frame: 4 pixels, (0, 7), (1, 7)")
    assert "canonicalize --negative mask" in line
    gap, counts = values_listed(scan)
    assert "in every frame: 4 pixels, (0, 7)" in gap
    assert counts.startswith("holds counts")
    assert values_listed(ptystore.open(tmp_path / "a.zarr")) == []


@pytest.mark.usefixtures("several")
def test_saturation_beside_gaps(tmp_path: Path) -> None:
    frames = with_gaps("u2", 0xFFFF)
    frames[[13, 44], 5, 5] = frames[44, 6, 6] = 0xFFFF
    scan = scan_of(frames)
    saturated, gaps = written(scan, tmp_path / "a.zarr")
    assert saturated.startswith("2 frames are saturated: they reach 65535")
    assert saturated.endswith("the first is frame 13")
    assert "65535 in every frame: 4 pixels" in gaps
    assert any("2 frames are saturated" in line for line in values_listed(scan))
    # The gap of some frames is in every frame of a part of them.
    frames[:20, 8, 8] = 0xFFFF
    made = ptystore.canonicalize(scan_of(frames))
    part = ptystore.Dataset(
        {one.name: one for one in select_frames(made, np.arange(12))}, made.metadata,
        remarks=made.remarks,
    )  # fmt: skip
    (line,) = ptystore.write(part, tmp_path / "b.zarr").warnings
    assert "in every frame: 5 pixels" in line


NEGATIVE: dict[str, np.ndarray] = {
    "pilatus": with_gaps("i4", -1, -2), "short": with_gaps("i2", -1), "byte": with_gaps("i1", -2),
    "single": with_gaps("f4", -1, -2), "double": with_gaps("f8", -7.5),
}  # fmt: skip


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("kind", NEGATIVE)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_negative_constants(kind: str, suffix: str, tmp_path: Path) -> None:
    frames = NEGATIVE[kind]
    bad = (frames < 0).all(axis=0)
    scan = scan_of(frames)
    assert not any("counts is negative" in line for line in values_listed(scan))
    assert any("in every frame" in line for line in values_listed(scan))
    with pytest.raises(InputError, match=r"first in frame 0: -.* in all of frames 0 to \d+") as no:
        written(scan, tmp_path / f"no{suffix}")
    assert "--negative mask" in str(no.value.advice)
    (line,) = written(scan, tmp_path / f"mask{suffix}", negative="mask")
    assert line.startswith(f"masked, as they hold no counts in any frame: {bad.sum()} pixels")
    masked = ptystore.open(tmp_path / f"mask{suffix}")
    mask = masked["mask"].values()
    assert (mask.dtype, masked["mask"].role) == (np.uint32, "global")
    np.testing.assert_array_equal(mask != 0, bad)
    words = {-1: 0x200, -2: 0x8, -7.5: 0x80}
    for pixel in np.argwhere(bad):
        assert mask[tuple(pixel)] == words[float(frames[0, *pixel])]
    expected = np.sqrt(np.where(bad, 0, frames).astype(float)).astype(np.float32)
    np.testing.assert_array_equal(masked["diffraction"].values(), expected)
    assert masked.metadata is not None
    assert masked.metadata.history[-1]["parameters"]["negative"] == "mask"
    assert ptystore.find_problems(masked) == []
    lines = written(scan, tmp_path / f"zero{suffix}", negative="zero")
    assert any("negative in every frame, and now zero" in line for line in lines)
    zeroed = ptystore.open(tmp_path / f"zero{suffix}")
    np.testing.assert_array_equal(zeroed["diffraction"].values(), expected)
    assert "mask" not in zeroed


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("signal", ["amplitude", "counts"])
@pytest.mark.parametrize("gap", [-1, 2**31 - 1])
def test_what_is_not_in_every_frame_is_not_masked(gap: int, signal: Any, tmp_path: Path) -> None:
    frames = with_gaps("i4", gap)
    frames[31, *GAPS[0]] = 5
    frames[40, 11, 11] = gap
    scan = scan_of(frames)
    if gap < 0:
        with pytest.raises(InputError, match="negative counts beside the gaps, first in frame 0"):
            written(scan, tmp_path / "a.zarr", negative="mask", signal=signal)
        frames = np.where(frames == gap, 5, frames)
        for pixel in GAPS[1:]:
            frames[:, *pixel] = gap
        scan = scan_of(frames)
    lines = written(scan, tmp_path / "a.zarr", negative="mask", signal=signal)
    assert any("3 pixels, (1, 7), (2, 7) and (9, 3)" in line for line in lines)
    assert any("99 frames are saturated" in line for line in lines) == (gap > 0)
    mask = ptystore.open(tmp_path / "a.zarr")["mask"].values()
    assert [tuple(at) for at in np.argwhere(mask)] == GAPS[1:]


def test_zero_is_for_any_negative_count(tmp_path: Path) -> None:
    frames = stack("i4")
    frames[[3, 17], 4, 4] = (-9, -30)
    (line,) = written(scan_of(frames), tmp_path / "a.zarr", negative="zero")
    assert line == "2 frames had negative counts, now zero; the first is frame 3"
    found = ptystore.open(tmp_path / "a.zarr")["diffraction"].values()
    np.testing.assert_array_equal(found, np.sqrt(np.maximum(frames, 0)).astype(np.float32))
    made = ptystore.canonicalize(scan_of(frames), negative="zero", virtual=True)
    ptystore.write(made, tmp_path / "v.zarr")
    virtual = ptystore.open(tmp_path / "v.zarr")
    assert virtual["diffraction"].recipe is not None
    np.testing.assert_array_equal(virtual["diffraction"].values(), found)


@pytest.mark.parametrize("order", ["frames first", "frames last"])
@pytest.mark.parametrize("method", [np.savez, np.savez_compressed])
def test_from_a_file_with_other_masked_pixels(order: str, method: Any, tmp_path: Path) -> None:
    frames = with_gaps("i4", -1)
    frames = frames if order == "frames first" else np.moveaxis(frames, 0, -1).copy()
    mask = np.zeros((SIZE, SIZE), np.uint16)
    mask[5, 5], mask[0, 7] = 4, 1
    method(tmp_path / "raw.npz", **scan_arrays(FRAMES, SIZE) | {"diff3d": frames, "mask": mask})
    scan = pickled(ptystore.canonicalize(ptystore.open(tmp_path / "raw.npz"), negative="mask"))
    ptystore.write(scan, tmp_path / "a.npz")
    found = ptystore.open(tmp_path / "a.npz")["mask"].values()
    expected = mask.astype(np.uint32)
    for pixel in GAPS:
        expected[pixel] |= 0x200
    np.testing.assert_array_equal(found, expected)


def test_the_pass_for_the_gaps_leaves_the_checksum_to_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negative_counts.plan, "__kwdefaults__", BLOCKS)
    frames = stack("i8")
    # Looked at for three blocks, which are half as long as those written.
    frames[:20, 4, 4] = np.iinfo(np.int64).max
    np.savez(tmp_path / "raw.npz", **scan_arrays(FRAMES, SIZE) | {"diff3d": frames})
    data = bytearray((tmp_path / "raw.npz").read_bytes())
    at = data.index(frames[-1].tobytes())
    data[at] ^= 1
    (tmp_path / "raw.npz").write_bytes(data)
    scan = ptystore.open(tmp_path / "raw.npz")
    with pytest.raises(InputError, match="checksum"):
        ptystore.write(ptystore.canonicalize(scan, negative="mask"), tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((SIZE, SIZE), bool), np.zeros((SIZE, SIZE)), np.zeros((2, SIZE), np.uint32),
        np.zeros((FRAMES, SIZE), np.uint32),
    ],
)  # fmt: skip
def test_a_mask_that_is_none_of_this_kind(mask: np.ndarray) -> None:
    scan = scan_of(with_gaps("i4", -1), mask=mask)
    with pytest.raises(InputError, match="can't take the gaps") as caught:
        ptystore.canonicalize(scan, negative="mask")
    assert caught.value.member == "mask"
    assert ptystore.canonicalize(scan)["mask"].dtype == mask.dtype


def test_what_makes_no_sense_is_refused() -> None:
    counts = scan_of(stack("i4"))
    amplitude = ptystore.canonicalize(counts)
    for scan, options in (
        (counts, {"negative": "clip"}), (counts, {"negative": "mask", "virtual": True}),
        (amplitude, {"negative": "zero"}), (amplitude, {"negative": "mask"}),
    ):  # fmt: skip
        with pytest.raises(ParameterError):
            ptystore.canonicalize(scan, **options)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("other", [np.nan, np.inf])
def test_a_nan_hides_no_negative_count(other: float, dtype: str, tmp_path: Path) -> None:
    frames = stack(dtype)
    frames[20, 5, 5], frames[20, 5, 6] = other, -3
    frames[1] = other
    scan = scan_of(frames)
    with pytest.raises(InputError, match="first in frame 20"):
        written(scan, tmp_path / "a.zarr")
    frames[20, 5, 6] = 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (line,) = written(scan_of(frames), tmp_path / "a.zarr")
    assert line == "2 frames hold NaN or infinity; the first is frame 1"
    expected = np.sqrt(frames.astype(float)).astype(np.float32)
    found = ptystore.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(found["diffraction"].values(), expected)
    assert any("values are not finite" in line for line in values_listed(found))


@pytest.mark.parametrize("signal", ["amplitude", "counts"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_amplitude_that_is_none_is_named(
    bad: float, dtype: str, signal: Any, tmp_path: Path
) -> None:
    frames = np.sqrt(stack(dtype))
    frames[[8, 30], 3, 3] = bad
    arrays = {**scan_arrays(FRAMES, SIZE), "diff3d": frames}
    known = {"diff3d": {"signal": "amplitude", "amplitude_scale": 2.0}}
    scan = ptystore.dataset_of(arrays, attrs=known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (line,) = written(scan, tmp_path / "a.zarr", signal=signal)
    assert line == "2 frames hold NaN or infinity; the first is frame 8"


def test_masked_by_nan(tmp_path: Path) -> None:
    frames = with_gaps("f4", np.nan)
    frames[:, 3, 3] = np.inf
    frames[::2, 3, 3] = np.nan
    scan = scan_of(frames)
    (line,) = written(scan, tmp_path / "a.zarr")
    assert "not finite in every frame: 5 pixels" in line
    assert any("not finite in every frame: 5 pixels" in line for line in values_listed(scan))
    written(scan, tmp_path / "b.zarr", negative="mask")
    masked = ptystore.open(tmp_path / "b.zarr")
    assert np.unique(masked["mask"].values()).tolist() == [0, 1]
    assert ptystore.find_problems(masked) == []


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4"])
def test_dead_pixels_beside_gaps(dtype: str, tmp_path: Path) -> None:
    top = int(np.iinfo(dtype).max)
    frames = with_gaps(dtype, top, top - 1)
    frames[7, 12, 12] = top - 1  # a bright pixel, and no more
    scan = scan_of(frames)
    gap, dead = written(scan, tmp_path / "a.zarr")
    assert gap.startswith(f"{top} in every frame: 4 pixels")
    assert dead.startswith(f"{top - 1} in every frame: pixel (2, 2)")
    assert sum("in every frame" in line for line in values_listed(scan)) == 2
    written(scan, tmp_path / "b.zarr", negative="mask")
    masked = ptystore.open(tmp_path / "b.zarr")
    mask = masked["mask"].values()
    assert {mask[pixel] for pixel in GAPS} == {0x200}
    assert mask[DEAD] == 0x8
    assert np.count_nonzero(mask) == 5
    assert masked["diffraction"][7, 12, 12] == np.float32(np.sqrt(top - 1))


def test_of_a_single_frame_nothing_is_said_of_gaps(tmp_path: Path) -> None:
    frames = SENTINELS["u2"][:1]
    scan = ptystore.dataset_of({**scan_arrays(1, SIZE), "diff3d": frames})
    (line,) = written(scan, tmp_path / "a.zarr")
    assert line.startswith("1 frames are saturated")


def test_numpy_says_nothing_of_large_numbers(tmp_path: Path) -> None:
    frames = np.full((FRAMES, SIZE, SIZE), 1e300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written(scan_of(frames), tmp_path / "a.zarr", signal="counts")
