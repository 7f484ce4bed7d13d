"""Preparing raw frames, against the same steps in plain numpy on the whole stack at once."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import ptystore
from ptystore import InputError, ParameterError, prepare
from ptystore.compute import raw_frames
from ptystore.model.geometry import RawFrame
from ptystore.model.lazy_array import LazyBase
from ptystore.model.source import Storage
from ptystore.transforms.view import select_view
from raw_scans import COUNT, HEIGHT, WIDTH, bad_pixels, frames, plain, plain_turn, scan

MISSING = 0x200

CUTS = [
    {},
    {"crop": (9, 9)},
    {"crop": (12, 8)},
    {"crop": (12, 9), "bin": (2, 3)},
    {"crop": (15, 12), "bin": (3, 2), "pad": (8, 9)},
    {"crop": (29, 31)},
    {"crop": (8, 8), "bin": (4, 2), "pad": (5, 4)},
]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("orientation", range(8))
@pytest.mark.parametrize("center", [(11, 9), (2, 16), (21, 1)])
def test_every_orientation_and_cut_is_the_plain_one(orientation, cut, center):
    stack, bad = frames(), bad_pixels()
    raw = scan(stack, center=center, mask=np.where(bad, 1, 0).astype(np.uint32))
    made = prepare(raw, orientation=orientation, **cut)
    values, wrong = plain(stack, bad, center, orientation=orientation, **cut)
    assert made["diffraction"].shape == values.shape
    np.testing.assert_array_equal(made["diffraction"].values(), values)
    np.testing.assert_array_equal(made["mask"].values() != 0, wrong)
    picked = np.array([7, 0, 7, 3])
    np.testing.assert_array_equal(made["diffraction"][picked], values[picked])
    lies = RawFrame.of(made.metadata)
    assert lies.orientation == orientation
    assert lies.detector_shape == (HEIGHT, WIDTH)
    if "crop" in cut:
        # Zero frequency is in pixel N//2, which the record tells too.
        rows = (lies.center_px[0] - lies.crop[0]) // lies.bin[0] + (lies.pad or (0, 0))[0]
        assert rows == values.shape[1] // 2


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "f4", "f8", "?"])
def test_bins_hold_their_sum_whatever_the_dtype(dtype):
    stack = frames(dtype)
    if stack.dtype.kind in "iu":
        stack[:, ::2] = np.iinfo(stack.dtype).max - 2
    made = prepare(scan(stack, center=(11, 9)), crop=(12, 12), bin=4)
    values, _ = plain(stack, np.zeros((HEIGHT, WIDTH), bool), (11, 9), crop=(12, 12), bin=(4, 4))
    np.testing.assert_array_equal(
        made["diffraction"].values(), values.astype(dtype if dtype == "f4" else "f8")
    )
    if stack.dtype.kind in "iu":
        assert made["diffraction"].dtype.kind == stack.dtype.kind
        assert np.iinfo(made["diffraction"].dtype).max >= values.max()


def test_a_bin_of_uint64_becomes_floating_point():
    stack = np.full((2, 4, 4), 2**63, np.uint64)
    made = prepare(scan(stack, center=(2, 2)), bin=2)
    assert made["diffraction"].dtype == np.float64
    assert (made["diffraction"].values() == 2.0**65).all()


def test_the_steps_come_in_their_order():
    stack = frames("u2")
    made = np.random.default_rng(5)
    dark, flat = made.uniform(0, 3, (HEIGHT, WIDTH)), made.uniform(0.5, 2, (HEIGHT, WIDTH))
    flat[4, 5], flat[20, 2] = 0, np.nan
    wide = (stack - dark) / np.where(flat > 0, flat, 1)
    limited = np.where((wide < 8) | (wide > 40), 0, wide)
    values, bad = plain(limited, ~(flat > 0), (10, 8), orientation=5, crop=(12, 12), bin=(2, 2))
    result = prepare(
        scan(stack, center=(10, 8), background=dark.astype("f8"), flatfield=flat),
        orientation=5,
        dark=True,
        flat=True,
        threshold=(8, 40),
        crop=12,
        bin=2,
    )
    assert result["diffraction"].dtype == np.float32
    np.testing.assert_allclose(result["diffraction"].values(), values, rtol=1e-6)
    np.testing.assert_array_equal(result["mask"].values() != 0, bad)
    lies = RawFrame.of(result.metadata)
    assert (lies.dark, lies.flat, lies.threshold, lies.filled) == (True, True, (8, 40), "zero")
    assert lies.bin == (2, 2)
    # What was taken off lies on the new frames too.
    cut, _ = plain(
        dark[None], np.zeros_like(bad_pixels()), (10, 8), orientation=5, crop=(12, 12), bin=(2, 2)
    )
    np.testing.assert_allclose(result["background"].values(), cut[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4"])
def test_gaps_are_masked_and_overflow_is_zero_in_its_frame(dtype):
    stack = frames(dtype, count=40)
    top = np.iinfo(dtype).max
    stack[:, 10:12] = top
    stack[:, 3, 3] = top - 1
    stack[7, 5, 6] = top
    kept = {"diffraction": {"signal": "counts"}}
    raw = ptystore.dataset_of({"diffraction": stack}, attrs=kept)
    made = prepare(raw)
    bits = made["mask"].values()
    assert (bits[10:12] == MISSING).all()
    assert bits[3, 3] == 8
    assert np.count_nonzero(bits) == 2 * WIDTH + 1
    values = stack.astype("f8")
    values[:, bits != 0] = 0
    values[7, 5, 6] = 0
    np.testing.assert_array_equal(made["diffraction"].values(), values)
    told = " ".join(line for remark in made.remarks for line in remark())
    assert "1 frames hold pixels at" in told
    assert "frame 7" in told
    # In a bin the whole of it is bad in that frame.
    binned = prepare(raw, crop=(20, 18), bin=2, center=(10, 8))["diffraction"].values()
    assert binned[7, 5 // 2, 6 // 2] == 0
    assert binned[6, 5 // 2, 6 // 2] > 0


def test_no_number_in_floats_is_bad_too():
    stack = frames("f4")
    stack[:, 2, 3] = np.nan
    stack[4, 9, 9] = np.inf
    made = prepare(scan(stack, center=(11, 9)))
    assert np.argwhere(made["mask"].values()).tolist() == [[2, 3]]
    values = np.where(np.isfinite(stack), stack, 0)
    np.testing.assert_array_equal(made["diffraction"].values(), values)


def test_masks_of_file_and_caller_are_one():
    own = np.zeros((HEIGHT, WIDTH), np.uint32)
    own[1, 1], own[2, 2] = 4, 0x1000  # the latter has signal, and is good
    given = np.zeros((HEIGHT, WIDTH), bool)
    given[5, 7] = True
    raw = scan(frames(), center=(11, 9), mask=own)
    made = prepare(raw, mask=given)["mask"].values()
    assert np.argwhere(made).tolist() == [[1, 1], [5, 7]]
    assert made[1, 1] == 4
    good = prepare(raw, mask=~given, mask_good=True)["mask"].values()
    np.testing.assert_array_equal(made, good)
    turned = prepare(raw, mask=given, orientation=6)["mask"].values()
    np.testing.assert_array_equal(turned, plain_turn(made[None], 6)[0])


def test_a_mask_the_wrong_way_round_is_told():
    good = np.ones((HEIGHT, WIDTH), bool)
    good[3, 4] = False
    raw = scan(frames(), center=(11, 9))

    def told(**given):
        made = prepare(raw, **given)
        return " ".join(line for lines in made.remarks for line in lines())

    assert "masked" in told(mask=good)
    assert "--mask-good" in told(mask=good)
    assert "--mask-good" not in told(mask=good, mask_good=True)
    has_signal = np.full((HEIGHT, WIDTH), 0x1000, np.uint32)
    assert "--mask-good" not in told(mask=has_signal)
    assert not prepare(raw, mask=has_signal)["mask"].values().any()


def test_hot_and_dead_pixels_are_found_if_asked():
    stack = frames("u4", count=70)
    stack[:, 6, 4] = 5000
    stack[:, 13, 9] = 0
    raw = scan(stack, center=(11, 9))
    assert not prepare(raw)["mask"].values().any()
    bits = prepare(raw, find_bad=True)["mask"].values()
    assert (bits[6, 4], bits[13, 9]) == (4, 8)
    assert np.count_nonzero(bits) == 2


def test_the_centre_is_estimated_and_said():
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    blob = 900 * np.exp(-((rows - 14) ** 2 + (columns - 6) ** 2) / 8)
    stack = np.random.default_rng(0).poisson(blob, (30, HEIGHT, WIDTH)).astype(np.uint16)
    stack[:, 0] = 65535
    made = prepare(scan(stack), crop=8, orientation=3)
    lines = [line for check in made.checks for line in check()]
    assert any("the centre is not known" in line and "(14.0, 6.0)" in line for line in lines)
    values, _ = plain(stack, stack[0] == 65535, (14, 6), orientation=3, crop=(8, 8))
    np.testing.assert_array_equal(made["diffraction"].values(), values)
    record = made.metadata.history[-1]["parameters"]
    assert record["center_from"] == "estimate"
    assert record["center"] == pytest.approx([14, 6], abs=0.3)
    known = prepare(scan(stack, center=(11, 9)), crop=8, center="auto")
    assert known.metadata.history[-1]["parameters"]["center"] == pytest.approx([14, 6], abs=0.3)
    assert not [line for check in prepare(scan(stack)).checks for line in check()]


@pytest.mark.parametrize("name", ["scan.zarr", "scan.h5", "scan.npz"])
def test_it_goes_through_every_format_in_one_pass_with_canonicalize(tmp_path, name):
    stack = frames("u4")
    stack[:, 12] = 2**32 - 1
    ptystore.write(scan(stack, center=(11, 9)), tmp_path / f"raw{name[4:]}")
    raw = ptystore.open(tmp_path / f"raw{name[4:]}")
    ptystore.write(ptystore.canonicalize(prepare(raw, crop=10)), tmp_path / name)
    written = ptystore.open(tmp_path / name)
    values, bad = plain(stack, stack[0] == 2**32 - 1, (11, 9), crop=(10, 10))
    np.testing.assert_array_equal(written["diffraction"].values(), np.sqrt(values).astype("f4"))
    np.testing.assert_array_equal(written["mask"].values() != 0, bad)
    assert RawFrame.of(written.metadata).crop == (6, 16, 4, 14)
    assert [one["operation"] for one in written.metadata.history] == [
        "prepare",
        "canonicalize_dataset",
    ]
    assert ptystore.verify(tmp_path / name).ok


def test_frames_last_and_views_are_prepared_alike():
    stack = frames()
    held = {"diffraction": np.moveaxis(stack, 0, 2), "xcoords": np.arange(COUNT) * 50.0}
    held["ycoords"] = held["xcoords"]
    raw = ptystore.dataset_of(held)
    made = prepare(raw, crop=8, center=(11, 9))
    values, _ = plain(stack, np.zeros((HEIGHT, WIDTH), bool), (11, 9), crop=(8, 8))
    np.testing.assert_array_equal(made["diffraction"].values(), values)
    view = select_view(made, fraction=0.5)
    assert len(view["diffraction"]) < COUNT
    assert view["mask"] is made["mask"]


def test_negative_counts_are_not_hidden_in_a_sum():
    stack = frames("i4")
    stack[6, 11, 9] = -5
    with pytest.raises(InputError, match="negative counts, first in frame 6"):
        prepare(scan(stack, center=(11, 9)), crop=8, bin=2)["diffraction"].values()
    prepare(scan(stack, center=(11, 9)), crop=8, bin=2, threshold=(0, None))["diffraction"].values()
    assert prepare(scan(stack, center=(11, 9)), crop=8)["diffraction"][6, 4, 4] == -5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"orientation": 8}, "--orientation"),
        ({"crop": 0}, "--crop"),
        ({"crop": (3, 4, 5)}, "--crop"),
        ({"crop": 9, "bin": 2, "center": (11, 9)}, "--bin"),
        ({"bin": 2}, "--bin"),
        ({"pad": 4}, "--pad"),
        ({"threshold": (5, 2)}, "--threshold"),
        ({"threshold": (math.nan, 2)}, "--threshold"),
        ({"center": (math.nan, 2)}, "--center"),
        ({"crop": 4, "center": (100, 2)}, "--crop"),
        ({"mask_good": True}, "--mask-good"),
    ],
)
def test_nonsense_names_its_option(wrong, said):
    with pytest.raises(ParameterError, match=said):
        prepare(scan(frames(), center=(11, 9)), **wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mask": np.zeros((3, 3))}, "--mask: has shape"),
        ({"dark": np.zeros((3, 3))}, "--dark: has shape"),
        ({"flat": True}, "flatfield"),
        ({"mask": np.full((HEIGHT, WIDTH), 0.5)}, "--mask: holds numbers that are not whole"),
        ({"mask": np.ones((HEIGHT, WIDTH), bool)}, "--mask: leaves no good pixel"),
        ({"mask": np.zeros((HEIGHT, WIDTH)), "mask_good": True}, "--mask: leaves no good pixel"),
    ],
)
def test_images_must_be_of_the_frames(wrong, said):
    with pytest.raises(InputError, match=said):
        prepare(scan(frames(), center=(11, 9)), **wrong)


def test_amplitude_is_neither_summed_nor_limited():
    raw = ptystore.dataset_of(
        {"diffraction": frames("f4")}, attrs={"diffraction": {"signal": "amplitude"}}
    )
    for option in ({"bin": (1, 2)}, {"threshold": (0, 3)}, {"dark": np.zeros((HEIGHT, WIDTH))}):
        with pytest.raises(InputError, match="passes for amplitude"):
            prepare(raw, **option)
    assert prepare(raw, crop=8, center=(11, 9))["diffraction"].shape == (COUNT, 8, 8)


def test_the_record_says_every_step():
    given = np.zeros((HEIGHT, WIDTH))
    made = prepare(
        scan(frames(), center=(11, 9)),
        mask=given,
        dark=given,
        crop=12,
        bin=2,
        names={"mask": "mask.npy"},
    )
    record = made.metadata.history[-1]
    assert (record["tool"], record["operation"]) == ("ptystore", "prepare")
    told = record["parameters"]
    assert told.pop("raw_frame") == RawFrame.of(made.metadata).to_json()
    assert told == {
        "frames": COUNT,
        "orientation": 0,
        "mask": "mask.npy",
        "dark": "array",
        "flat": None,
        "mask_good": False,
        "find_bad": False,
        "threshold": None,
        "center": [11, 9],
        "center_from": "file",
        "crop": [12, 12],
        "bin": [2, 2],
        "pad": None,
        "fill": "zero",
    }


class Counting(LazyBase):
    """Frames in memory that note which of them were read at once."""

    def __init__(self, values):
        self.values, self.read_at_once = values, []
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, start, stop):
        self.read_at_once.append((start, stop))
        return self.values[start:stop].copy()


def test_few_raw_frames_are_in_memory_and_no_chunk_is_read_twice(monkeypatch):
    stack = frames(count=40)
    monkeypatch.setattr(raw_frames, "PIECE_BYTES", 4 * stack[0].nbytes + 1)
    bare = scan(stack, center=(11, 9))
    field = bare["diffraction"]
    for chunk, pieces in (
        (1, [(5, 8), (8, 12), (12, 14)]),
        (3, [(5, 6), (6, 9), (9, 12), (12, 14)]),
    ):
        source = Counting(stack)
        storage = Storage("test", None, (chunk, HEIGHT, WIDTH))
        counted = dataclasses.replace(field, array=source, storage=storage)
        made = prepare(dataclasses.replace(bare, fields={"diffraction": counted}), crop=8)
        made["mask"].values()
        source.read_at_once.clear()
        np.testing.assert_array_equal(
            made["diffraction"].array.read(5, 14), prepare(bare, crop=8)["diffraction"][5:14]
        )
        assert source.read_at_once == pieces
