"""Bad `.npz` input: one clear line, nothing executed, nothing left at the destination."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import (
    DEFLATED,
    STORED,
    Member,
    member,
    npy,
    pickled,
    scan_members,
    write_npz,
)
from npz_pathologies import BAD_JSON, PATHOLOGIES, Bait, Case, refusal
from ptystore.errors import InputError


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
    assert re.search(case.words, str(error))
    assert not bait.exists()


def test_members_differing_only_in_case_are_refused_at_opening(tmp_path: Path) -> None:
    source = tmp_path / "bad.npz"
    source.write_bytes(PATHOLOGIES["differ only in case"].make())
    with pytest.raises(InputError, match="only in case"):
        ptystore.open(source)


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


@pytest.mark.parametrize(
    "name", ["a\x01b.npy", "a\nb.npy", "a\x1b[31m.npy", b"a\0b.npy", "a\x7f.npy"]
)
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
    assert re.search(where, str(error))
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
    for key in ([5, 300, 698], slice(10, 255), slice(3, 9), slice(250, 300), slice(256, 300), 0):
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
