"""Preparing from the command line: in one pass with ingest, by a preset, like another scan."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from ptystore.model.geometry import RawFrame
from ptystore_cli.app import app

COUNT, HEIGHT, WIDTH = 9, 22, 27


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words):
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def stack():
    return np.random.default_rng(1).poisson(9, (COUNT, HEIGHT, WIDTH)).astype(np.uint16)


@pytest.fixture
def raw(tmp_path, stack):
    path = tmp_path / "raw.npz"
    np.savez(path, diffraction=stack, xcoords=np.arange(COUNT) * 1.5, ycoords=np.ones(COUNT))
    return path


def cut(stack, y, x, height, width):
    top, left = y - height // 2, x - width // 2
    return stack[:, top : top + height, left : left + width]


def test_ingest_prepares_and_canonicalizes_in_one_pass(tmp_path, raw, stack):
    dst = tmp_path / "scan.zarr"
    done("ingest", raw, dst, "--center", "12,13", "--crop", "8,10", "--canonicalize")
    scan = ptystore.open(dst)
    expected = np.sqrt(cut(stack, 12, 13, 8, 10)).astype("f4")
    np.testing.assert_array_equal(scan["diffraction"].values(), expected)
    operations = [record["operation"] for record in scan.metadata.history]
    assert operations == ["ingest", "prepare", "canonicalize_dataset"]
    plain = tmp_path / "plain.zarr"
    done("ingest", raw, plain)
    assert ptystore.open(plain)["diffraction"].shape == stack.shape


def test_prepare_estimates_the_centre_and_warns(tmp_path, raw):
    result = done("prepare", raw, tmp_path / "scan.h5", "--crop", "8", "--bin", "2,4")
    assert "the centre is not known" in result.stderr
    assert "--center" in result.stderr
    assert ptystore.open(tmp_path / "scan.h5")["diffraction"].shape == (COUNT, 4, 2)


def test_masks_come_from_files_of_every_kind(tmp_path, raw, stack):
    bad = np.zeros((HEIGHT, WIDTH), bool)
    bad[3, 4] = bad[20, 11] = True
    np.save(tmp_path / "bad.npy", bad)
    np.savez(tmp_path / "both.npz", good=~bad, other=bad)
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["entry/mask"] = bad.astype("u4")
    done("ingest", raw, tmp_path / "own.zarr", "--map", f"mask={tmp_path / 'bad.npy'}")
    expected = np.where(bad, 0, stack)
    for number, words in enumerate(
        [
            ("--mask", tmp_path / "bad.npy"),
            ("--mask", f"{tmp_path / 'both.npz'}:good", "--mask-good"),
            ("--mask", f"{tmp_path / 'mask.h5'}:/entry/mask"),
            ("--mask", f"{tmp_path / 'own.zarr'}:mask"),
        ]
    ):
        dst = tmp_path / f"{number}.zarr"
        done("prepare", raw, dst, *words)
        scan = ptystore.open(dst)
        np.testing.assert_array_equal(scan["diffraction"].values(), expected)
        np.testing.assert_array_equal(scan["mask"].values(), bad)
        record = scan.metadata.history[-1]["parameters"]
        assert "/" not in record["mask"]
    assert run("prepare", raw, tmp_path / "no.zarr", "--mask", tmp_path / "gone.npy").exit_code == 3
    several = run("prepare", raw, tmp_path / "no.zarr", "--mask", tmp_path / "both.npz")
    assert several.exit_code == 3
    assert "several arrays" in several.stderr


def test_a_preset_keeps_options_and_the_command_line_counts_more(tmp_path, raw, stack):
    preset = tmp_path / "beamline.toml"
    preset.write_text(
        'crop = [8, 10]\ncenter = [12, 13]\nthreshold = [2, 100.5]\nenergy = "8.8keV"\n'
        'canonicalize = true\norientation = 1\nskip_first = 2\nskip = ["ycoords"]\n'
    )
    dst = tmp_path / "scan.zarr"
    done("ingest", raw, dst, "--preset", preset, "--crop", "6", "--orientation", "0")
    scan = ptystore.open(dst)
    part = cut(stack, 12, 13, 6, 6)[2:]
    expected = np.sqrt(np.where((part < 2) | (part > 100.5), 0, part)).astype("f4")
    np.testing.assert_array_equal(scan["diffraction"].values(), expected)
    assert "ycoords" not in scan
    assert scan.geometry.number("photon_energy_eV") == 8800
    done(
        "prepare",
        raw,
        tmp_path / "flat.h5",
        "--preset",
        _preset(tmp_path, "crop = 4\ncenter=[9,9]"),
    )
    assert ptystore.open(tmp_path / "flat.h5")["diffraction"].shape == (COUNT, 4, 4)


def _preset(folder, text):
    path = folder / "other.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cropp = 4", "cropp is no option of ptystore prepare"),
        ("canonicalize = true", "canonicalize is no option of ptystore prepare"),
        ("src = 'x'", "src is no option"),
        ("crop = ", "Invalid value"),
        ("orientation = 9", "less than or equal to 7"),
        ("find-bad = 'perhaps'", "unable to interpret input"),
    ],
)
def test_a_preset_of_something_else_is_refused(tmp_path, raw, text, said):
    result = run("prepare", raw, tmp_path / "no.zarr", "--preset", _preset(tmp_path, text))
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "no.zarr").exists()


def test_like_repeats_what_a_record_says(tmp_path, raw, stack):
    first, second, third = (tmp_path / f"{name}.zarr" for name in "abc")
    np.save(tmp_path / "bad.npy", np.eye(HEIGHT, WIDTH, dtype=bool))
    words = ("--center", "12,13", "--crop", "8,12", "--bin", "2,3", "--orientation", "5")
    done("prepare", raw, first, *words, "--threshold", "3,", "--pad", "6")
    done("prepare", raw, second, "--like", first)
    one, other = ptystore.open(first), ptystore.open(second)
    np.testing.assert_array_equal(one["diffraction"].values(), other["diffraction"].values())
    assert RawFrame.of(one.metadata) == RawFrame.of(other.metadata)
    done("prepare", raw, third, "--like", first, "--pad", "8", "--mask", tmp_path / "bad.npy")
    assert ptystore.open(third)["diffraction"].shape == (COUNT, 8, 8)
    without = run("prepare", raw, tmp_path / "d.zarr", "--like", third)
    assert without.exit_code == 3
    assert "bad.npy" in without.stderr
    assert "--mask FILE" in without.stderr
    never = run("prepare", raw, tmp_path / "d.zarr", "--like", raw)
    assert never.exit_code == 3
    assert "was never prepared" in never.stderr


def test_like_takes_passes_that_follow_one_another_for_one(tmp_path, raw):
    np.save(tmp_path / "bad.npy", np.eye(HEIGHT, WIDTH, dtype=bool))
    mask = ("--mask", tmp_path / "bad.npy")
    noted, masked, cut_out, again = (tmp_path / f"{name}.zarr" for name in "abcd")
    done("ingest", raw, noted, "--center", "12,13")
    done("prepare", noted, masked, *mask, "--threshold", "3,")
    done("prepare", masked, cut_out, "--crop", "8,12", "--bin", "2,3", "--orientation", "6")
    done("prepare", raw, again, "--like", cut_out, *mask)
    one, other = ptystore.open(cut_out), ptystore.open(again)
    assert one["diffraction"].shape == (COUNT, 4, 4)
    for name in ("diffraction", "mask", "xcoords"):
        np.testing.assert_array_equal(one[name].values(), other[name].values())
    assert RawFrame.of(one.metadata) == RawFrame.of(other.metadata)
    assert "--mask FILE" in run("prepare", raw, tmp_path / "e.zarr", "--like", cut_out).stderr
    # A crop of a crop is none of the raw frames.
    done("prepare", cut_out, tmp_path / "f.zarr", "--crop", "2")
    twice = run("prepare", raw, tmp_path / "e.zarr", "--like", tmp_path / "f.zarr")
    assert twice.exit_code == 3
    assert "was prepared 4 times, of which one pass does not do the same" in twice.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--crop", "a"),
        ("--crop", "1,2,3"),
        ("--center", "5"),
        ("--threshold", "x,2"),
        ("--bin", "0"),
    ],
)
def test_what_can_not_be_read_is_a_usage_error(tmp_path, raw, words):
    assert run("prepare", raw, tmp_path / "no.zarr", *words).exit_code == 2


def test_json_and_plan(tmp_path, raw):
    dst = tmp_path / "scan.zarr"
    told = done("prepare", raw, dst, "--crop", "8", "--center", "9,9", "--dry-run", "--json")
    assert not dst.exists()
    fields = {field["name"]: field for field in json.loads(told.stdout)["fields"]}
    assert fields["diffraction"]["shape"] == [COUNT, 8, 8]
