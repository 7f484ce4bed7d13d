"""tike: scans with zero frequency in the corner, in `.npz`, `.npz.bz2` and HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from foreign import assert_truth, fixture, opened, plain_patches
from ptystore import Dataset, InputError
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.opening import open_tree
from scans import assert_same, pickled

RNG = np.random.default_rng(11)
HEIGHT, WIDTH = 7, 10
#: Zero frequency at N//2.
COUNTS = RNG.poisson(20, (2, 5, HEIGHT, WIDTH)).astype(np.float32)
CORNERED = np.roll(COUNTS, (-(HEIGHT // 2), -(WIDTH // 2)), (2, 3))
CORNERS = RNG.uniform(1, 9, (2, 5, 2)).astype(np.float32)


def complexes(*shape: int) -> Any:
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(np.complex64)


PROBE = complexes(1, 1, 1, 3, HEIGHT, WIDTH)
PSI = complexes(20, 24)


def put(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    return path


def assert_scan(scan: Dataset, entry: int = 0) -> None:
    assert_same(scan["diffraction"].values(), COUNTS[entry])
    assert_same(scan["diffraction"][[3, 1]], COUNTS[entry, [3, 1]])
    assert scan.frames.attrs["signal"] == "counts"
    assert_same(scan["ycoords"].values(), CORNERS[entry, :, 0].astype(float) + HEIGHT // 2)
    assert_same(scan["xcoords"].values(), CORNERS[entry, :, 1].astype(float) + WIDTH // 2)
    assert not scan.geometry


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_scan(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"a{suffix}", data=CORNERED[:1], scan=CORNERS[:1], probe=PROBE, psi=PSI)
    scan = opened(path)
    assert_scan(scan)
    assert_scan(pickled(scan))
    assert_same(scan["probeGuess"].values(), PROBE[0, 0, 0])
    assert_same(scan["objectGuess"].values(), PSI)
    path = put(tmp_path / f"b{suffix}", data=CORNERED[1], scan=CORNERS[1], psi=PSI[None])
    assert_scan(opened(path), 1)
    assert_same(opened(path)["objectGuess"].values(), PSI)
    path = put(
        tmp_path / f"c{suffix}", data=CORNERED[:1], scan=CORNERS[:1], probe=PROBE[..., :1, :, :]
    )
    assert_same(opened(path)["probeGuess"].values(), PROBE[0, 0, 0, 0])


def test_windows_begin_at_the_corners(tmp_path: Path) -> None:
    """tike cuts its patches from floor(scan) on, both axes bilinearly."""
    whole = np.add.outer(np.arange(30.0) ** 2, 1j * np.arange(30.0))
    path = put(tmp_path / "a.npz", data=CORNERED[:1], scan=np.rint(CORNERS[:1]))
    scan = opened(path)
    y, x = scan["ycoords"].values(), scan["xcoords"].values()
    patches = plain_patches(whole, y, x, (HEIGHT, WIDTH))
    for patch, (row, column) in zip(patches, np.rint(CORNERS[0]).astype(int), strict=True):
        wanted = whole[row : row + HEIGHT, column : column + WIDTH]
        np.testing.assert_allclose(patch, wanted, atol=1e-9)


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz", data=CORNERED[:1], scan=CORNERS[:1], probe=PROBE)
    ptystore.write(opened(path), tmp_path / "b.zarr")
    written = ptystore.open(tmp_path / "b.zarr")
    assert_same(written["diffraction"].values(), COUNTS[0])
    ptystore.write(ptystore.canonicalize(opened(path)), tmp_path / "c.zarr")
    amplitude = ptystore.open(tmp_path / "c.zarr")["diffraction"].values()
    assert_same(amplitude, np.sqrt(COUNTS[0]))


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_one_of_several_scans_must_be_named(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / f"a{suffix}", data=CORNERED, scan=CORNERS)
    with pytest.raises(InputError, match="data: holds 2 scans") as caught:
        opened(path)
    assert "--entry 0 to 1" in str(caught.value.advice)
    for entry in (0, 1):
        assert_scan(opened(path, entry=str(entry)), entry)
    for entry in ("2", "-1", "x"):
        with pytest.raises(InputError, match=f"has no scan {entry}; it has 0 to 1"):
            opened(path, entry=entry)


def probes_of(scan: Dataset, position: int) -> Any:
    """The probe of one position: Σ w P over the OPR axis."""
    weights = scan["opr_weights"].values()[position]
    return np.tensordot(weights, scan["probeGuess"].values(), 1)


@pytest.mark.parametrize("begins_with_shared", [False, True])
@pytest.mark.parametrize("varied", [1, 3])
def test_eigen_probes(tmp_path: Path, begins_with_shared: bool, varied: int) -> None:
    eigen = complexes(1, 2, varied, HEIGHT, WIDTH)
    count = 3 if begins_with_shared else 2
    weights = np.repeat(RNG.normal(size=(5, count, 1)), 3, 2).astype(np.float32)
    own = {"probe": PROBE, "eigen_probe": eigen, "eigen_weights": weights}
    scan = opened(put(tmp_path / "a.npz", data=CORNERED[:1], scan=CORNERS[:1], **own))
    assert scan["probeGuess"].shape == (3, 3, HEIGHT, WIDTH)
    for k in range(5):
        wanted = PROBE[0, 0, 0] * (weights[k, 0, 0] if begins_with_shared else 1)
        for c in range(2):
            of_eigen = weights[k, c + begins_with_shared, 0]
            wanted[:varied] += of_eigen * eigen[0, c]
        np.testing.assert_allclose(probes_of(scan, k), wanted, rtol=0, atol=1e-5)


def test_weights_that_differ_between_modes_are_kept_as_they_are(tmp_path: Path) -> None:
    eigen = complexes(1, 2, 3, HEIGHT, WIDTH)
    weights = RNG.normal(size=(5, 3, 3)).astype(np.float32)
    own = {"probe": PROBE, "eigen_probe": eigen, "eigen_weights": weights}
    scan = opened(put(tmp_path / "a.npz", data=CORNERED[:1], scan=CORNERS[:1], **own))
    assert_same(scan["probeGuess"].values(), PROBE[0, 0, 0])
    assert_same(scan["eigen_probe"].values(), eigen)
    assert_same(scan["eigen_weights"].values(), weights)
    assert "opr_weights" not in scan
    assert scan.source is not None
    assert "eigen" in scan.source.remarks[0]


def test_a_probe_for_each_position_is_kept_under_its_own_name(tmp_path: Path) -> None:
    probe = complexes(1, 5, 1, 1, HEIGHT, WIDTH)
    scan = opened(put(tmp_path / "a.npz", data=CORNERED[:1], scan=CORNERS[:1], probe=probe))
    assert "probeGuess" not in scan
    assert_same(scan["probe"].values(), probe)


@pytest.mark.parametrize(
    "arrays",
    [
        {"data": CORNERED[0], "scan": CORNERS[0, :4]},
        {"data": CORNERED[0], "scan": np.ones((5, 3))},
        {"data": CORNERED[0], "scan": np.ones(5)},
        {"data": CORNERED[0, 0], "scan": np.ones((1, 2))},
        {"data": CORNERED[0]},
    ],
)
def test_near_relatives(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = put(tmp_path / "a.npz", **arrays)
    assert dialect_of(open_tree(path), None) is None
    with pytest.raises(InputError, match=r"has data of shape|is no array"):
        opened(path, dialect="tike")


def test_the_fixture(data_dir: Path) -> None:
    folder = fixture(data_dir, "tike_npz")
    for name in ("scan.npz", "scan.npz.bz2"):
        assert_truth(opened(folder / name), folder, knows=(), positions=1e-3)


def test_a_measured_scan(data_dir: Path) -> None:
    path = data_dir / "real" / "siemens-star-small.npz.bz2"
    if not path.is_file():
        pytest.skip(f"no measured scan at {path}")
    scan = opened(path)
    assert scan["diffraction"].shape == (516, 128, 128)
    assert scan["probeGuess"].shape == (128, 128)
    assert scan["xcoords"].shape == (516,)
    frames = scan["diffraction"][::100]
    assert frames.sum((1, 2)).mean() == pytest.approx(461_000, rel=0.1)
    mean = frames.mean(0)
    y, x = np.indices(mean.shape)
    # Of a measured pattern the middle is bright, and the corners are dark.
    middle = mean[(abs(y - 64) < 32) & (abs(x - 64) < 32)].sum()
    assert middle > 0.9 * mean.sum()
