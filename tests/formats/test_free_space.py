"""A disk that may be too small: told before anything is written, and not in the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

import ptystore
from ptystore_cli.app import app
from reconstructions import reconstruction
from scans import SUFFIXES

FRAMES = 64
Free = Callable[[int], None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Says how much is free, wherever one asks."""

    def say(nbytes: int) -> None:
        usage = shutil.disk_usage("/")._replace(free=nbytes)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    return say


def sparse() -> dict[str, np.ndarray]:
    """Frames that compress well, as most of a detector's do."""
    frames = np.zeros((FRAMES, 64, 64), np.uint16)
    frames[:, 30:34, 30:34] = np.random.default_rng(0).poisson(9, (FRAMES, 4, 4))
    return {"diff3d": frames, "xcoords": np.arange(64.0), "ycoords": np.arange(64.0)}


def in_npz(path: Path) -> None:
    np.savez_compressed(path, **sparse())


def in_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in sparse().items():
            file.create_dataset(name, data=values, compression="gzip")


def in_ours(path: Path) -> None:
    ptystore.write(ptystore.dataset_of(sparse()), path)


SOURCES = [("a.npz", in_npz), ("a.h5", in_hdf5), ("b.h5", in_ours), ("b.zarr", in_ours)]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("name", "make"), SOURCES)
def test_what_its_source_takes_is_what_is_asked_for(
    tmp_path: Path, free: Free, name: str, make: Callable[[Path], None], suffix: str
) -> None:
    make(tmp_path / name)
    scan = ptystore.open(tmp_path / name)
    stored = sum(field.storage.stored_bytes for field in scan.values())  # type: ignore[union-attr,misc]
    assert stored < scan.nbytes / 4
    path = tmp_path / f"out{suffix}"
    free(stored)
    assert ptystore.plan(scan, path).warnings == ()
    assert ptystore.write(scan, path).warnings == ()
    free(stored - 1)
    (told,) = ptystore.plan(scan, path, overwrite=True).warnings
    assert f"may need {stored} bytes, and {stored - 1} are free at {tmp_path}" in told
    said: list[str] = []
    report = ptystore.write(scan, path, overwrite=True, warn=said.append)
    assert said == [told] == list(report.warnings)
    assert ptystore.verify(path).ok


def test_where_nothing_tells_it_is_the_values(tmp_path: Path, free: Free) -> None:
    scan = ptystore.dataset_of(sparse())
    free(scan.nbytes)
    assert ptystore.plan(scan, tmp_path / "a.zarr").warnings == ()
    free(scan.nbytes - 1)
    assert f"may need {scan.nbytes} bytes" in ptystore.plan(scan, tmp_path / "a.zarr").warnings[0]
    # A group of another tool's, whose arrays don't say what they take.
    group = zarr.open_group(tmp_path / "other.zarr", mode="w")
    for name, values in sparse().items():
        group.create_array(name, data=values)
    other = ptystore.open(tmp_path / "other.zarr")
    known = {field.storage.stored_bytes for field in other.values() if field.storage}
    assert ptystore.plan(other, tmp_path / "a.npz").warnings or known != {None}


def test_computed_fields_count_where_they_are_written(tmp_path: Path, free: Free) -> None:
    given = reconstruction()
    del given["detector_mask"]
    made = ptystore.extract_patches(ptystore.dataset_of(given), virtual=True)
    ptystore.write(made, tmp_path / "recipe.zarr")
    scan = ptystore.open(tmp_path / "recipe.zarr")
    assert scan["Y"].recipe is not None
    free(scan["Y"].nbytes - 1)
    assert ptystore.plan(scan, tmp_path / "recipe2.zarr").warnings == ()
    (line,) = ptystore.plan(scan, tmp_path / "values.npz").warnings
    assert "may need" in line


def test_on_the_command_line(tmp_path: Path, free: Free) -> None:
    source, path = tmp_path / "a.npz", tmp_path / "a.zarr"
    in_npz(source)
    free(100)
    for words, made in ((["--dry-run"], False), ([], True)):
        result = CliRunner().invoke(app, ["ingest", str(source), str(path), *words])
        assert result.exit_code == 0
        assert result.stderr.startswith("ptystore: warning: may need ")
        assert path.exists() is made


def test_a_stack_of_zeros_larger_than_the_disk(tmp_path: Path, free: Free) -> None:
    zeros = np.zeros((64, 512, 512), np.uint8)
    np.savez_compressed(tmp_path / "zeros.npz", x=zeros)
    free(zeros.nbytes // 100)
    assert ptystore.write(ptystore.open(tmp_path / "zeros.npz"), tmp_path / "z.zarr").warnings == ()
    assert ptystore.verify(tmp_path / "z.zarr").ok
