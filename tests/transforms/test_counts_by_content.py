"""Whole-number floats are counts by their content: said, refused, listed, until someone says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
from npz_files import scan_arrays
from ptystore.compute import whole_numbers
from ptystore.compute.whole_numbers import counts_by_content
from ptystore.errors import InputError
from ptystore.model.lazy_array import MemoryArray
from scans import SUFFIXES

FRAMES, SIZE = 40, 32
# As small as they can be: 16 frames of single precision.
BLOCKS = dict.fromkeys(("chunk_bytes", "shard_bytes", "block_bytes"), 1)


def stack(dtype: str = "f4", top: int = 900) -> np.ndarray:
    return np.random.default_rng(4).integers(0, top + 1, (FRAMES, SIZE, SIZE)).astype(dtype)


def with_value(value: float, frame: int) -> np.ndarray:
    frames = stack()
    frames[frame, 1, 2] = value
    return frames


COUNTS: dict[str, np.ndarray] = {
    "single": stack("f4"), "double": stack("f8"), "half": stack("f2"),
    "up to 11": stack(top=11), "dark at first": stack() * (np.arange(FRAMES) > 30)[:, None, None],
    "a NaN": with_value(np.nan, 7), "infinite": with_value(-np.inf, 0), "negative": stack() - 40,
}  # fmt: skip
AMPLITUDE: dict[str, np.ndarray] = {
    "none": np.zeros((FRAMES, SIZE, SIZE), np.float32), "ones": np.ones((FRAMES, SIZE, SIZE)),
    "up to 10": stack(top=10), "one fraction at last": with_value(0.5, FRAMES - 1),
    "roots": np.sqrt(stack()), "all NaN": np.full((FRAMES, SIZE, SIZE), np.nan, np.float32),
    "no fractions": np.full((FRAMES, SIZE, SIZE), 2.0**23, np.float32),
    "nor so many digits": np.full((FRAMES, SIZE, SIZE), 1500, np.float16),
    "infinity alone": np.full((FRAMES, SIZE, SIZE), np.inf), "halves": stack() / 2,
}  # fmt: skip


def saved(path: Path, frames: np.ndarray, name: str = "diff3d", **more: Any) -> Path:
    arrays = {**scan_arrays(FRAMES, SIZE), "diff3d": frames}
    arrays[name] = arrays.pop("diff3d")
    np.savez(path, **arrays, **more)
    return path


def listed(scan: ptystore.Dataset) -> list[str]:
    return [str(one) for one in ptystore.find_problems(scan)]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", COUNTS)
def test_counts_are_not_stamped_amplitude(
    kind: str, several: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = COUNTS[kind]
    if several:
        monkeypatch.setattr(whole_numbers.plan, "__kwdefaults__", BLOCKS)
    source = saved(tmp_path / "raw.npz", frames)
    scan = ptystore.open(source)
    with pytest.raises(InputError, match="holds whole numbers up to") as caught:
        ptystore.write(ptystore.canonicalize(scan), tmp_path / "out.zarr")
    assert (caught.value.file, caught.value.member) == (str(source), "diff3d")
    assert "--input-signal counts" in str(caught.value.advice)
    assert [one.name for one in tmp_path.iterdir()] == ["raw.npz"]
    assert sum("looks like counts" in line for line in listed(scan)) == 1
    said = ptystore.canonicalize(ptystore.open(source, signal="amplitude"))
    ptystore.write(said, tmp_path / "amplitude.zarr")
    again = ptystore.open(tmp_path / "amplitude.zarr")
    np.testing.assert_array_equal(again["diffraction"].values(), frames.astype(np.float32))
    assert not any("looks like" in line for line in listed(again))
    if kind not in ("negative", "infinite"):
        said = ptystore.canonicalize(ptystore.open(source, signal="counts"))
        ptystore.write(said, tmp_path / "counts.zarr")
        again = ptystore.open(tmp_path / "counts.zarr")
        np.testing.assert_array_equal(
            again["diffraction"].values(), np.sqrt(frames.astype(float)).astype(np.float32)
        )
        assert not any("looks like" in line for line in listed(again))


@pytest.mark.parametrize("kind", AMPLITUDE)
def test_amplitude_needs_no_word(kind: str, tmp_path: Path) -> None:
    scan = ptystore.open(saved(tmp_path / "raw.npz", AMPLITUDE[kind]))
    assert not any("looks like counts, not amplitude: whole" in line for line in listed(scan))
    for made in (ptystore.ingest(scan), ptystore.canonicalize(scan)):
        report = ptystore.write(made, tmp_path / "out.zarr", overwrite=True)
        assert not any("whole numbers" in line for line in report.warnings)
    written = ptystore.open(tmp_path / "out.zarr")["diffraction"].values()
    np.testing.assert_array_equal(written, AMPLITUDE[kind].astype(np.float32))


@pytest.mark.parametrize("name", ["diff3d", "diffraction"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ingest_says_so_and_decides_nothing(name: str, suffix: str, tmp_path: Path) -> None:
    scan = ptystore.open(saved(tmp_path / "raw.npz", stack(), name))
    stored = tmp_path / f"in{suffix}"
    (line,) = ptystore.write(ptystore.ingest(scan), stored).warnings
    assert line.startswith(f"{name} holds whole numbers up to 900")
    again = ptystore.open(stored)
    with pytest.raises(InputError, match="holds whole numbers"):
        ptystore.write(ptystore.canonicalize(again), tmp_path / f"out{suffix}")
    said = ptystore.open(stored, signal="counts")
    assert ptystore.write(ptystore.ingest(said), tmp_path / f"b{suffix}").warnings == ()
    counts = ptystore.open(tmp_path / f"b{suffix}")
    assert counts.frames.attrs["signal"] == "counts"
    ptystore.write(ptystore.canonicalize(counts), tmp_path / f"c{suffix}")
    found = ptystore.open(tmp_path / f"c{suffix}")["diffraction"].values()
    np.testing.assert_array_equal(found, np.sqrt(stack()))


@pytest.mark.parametrize("said", ["document", "history"])
def test_what_the_file_says_is_enough(said: str, tmp_path: Path) -> None:
    record = {
        "tool": "transpose_rename_convert", "operation": "canonicalize_dataset",
        "parameters": {"signal": "amplitude"},
    }  # fmt: skip
    documents: dict[str, dict[str, Any]] = {
        "document": {"measurement_domain": "normalized_amplitude"},
        "history": {"data_transformations": [record]},
    }
    arrays = {**scan_arrays(FRAMES, SIZE), "diff3d": stack(top=30)}
    scan = ptystore.dataset_of(arrays, ptystore.Metadata(documents[said]))
    assert ptystore.write(ptystore.ingest(scan), tmp_path / "a.zarr").warnings == ()
    ptystore.write(ptystore.canonicalize(scan), tmp_path / "b.zarr")
    assert not any("looks like" in line for line in listed(scan))


def test_the_refusal_stays_through_other_transforms(tmp_path: Path) -> None:
    scan = ptystore.dataset_of({**scan_arrays(FRAMES, SIZE), "diff3d": stack()})
    made = ptystore.extract_patches(ptystore.canonicalize(ptystore.ingest(scan)))
    seen: list[str] = []
    with pytest.raises(InputError, match="holds whole numbers"):
        ptystore.write(made, tmp_path / "out.zarr", warn=seen.append)
    assert seen == []
    with pytest.raises(InputError, match="holds whole numbers"):
        ptystore.write(ptystore.canonicalize(scan, virtual=True), tmp_path / "out.zarr")


def test_frames_last(tmp_path: Path) -> None:
    moved = np.moveaxis(stack(), 0, -1).copy()
    scan = ptystore.open(saved(tmp_path / "raw.npz", moved))
    with pytest.raises(InputError, match="whole numbers"):
        ptystore.write(ptystore.canonicalize(scan), tmp_path / "out.zarr")


class Counted(MemoryArray):
    """Counts what is read."""

    blocks = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        Counted.blocks += 1
        return super().read(start, stop)


@pytest.mark.parametrize(
    ("frames", "blocks"), [(np.sqrt(stack()), 1), (stack(), 2), (stack(top=10), 3)]
)
def test_only_what_is_needed_is_read(
    frames: np.ndarray, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_numbers.plan, "__kwdefaults__", BLOCKS)
    monkeypatch.setattr(whole_numbers, "_SURE_BYTES", 20 * 4 * SIZE**2)
    monkeypatch.setattr(Counted, "blocks", 0)
    counts_by_content(Counted(frames.astype(np.float32)))
    assert Counted.blocks == blocks
