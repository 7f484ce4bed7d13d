"""The front door: names, paths of any kind, errors that are also the matching builtins."""

from __future__ import annotations

import os
import pickle
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import ptystore
from npz_files import DOCUMENT, STORED, member, pickled, scan_arrays, scan_members, write_npz
from ptystore import errors

NAMES = [
    "FORMATS",
    "AxisOrder",
    "Batches",
    "Compression",
    "Consumer",
    "Damage",
    "Dataset",
    "DestinationError",
    "DestinationExistsError",
    "DiffractionKey",
    "Digests",
    "Field",
    "FieldPlan",
    "Filters",
    "Format",
    "InputError",
    "InputMissingError",
    "IntegrityError",
    "Interpolation",
    "Item",
    "KnownFormat",
    "Layout",
    "MeasuredOverlap",
    "MergeStrategy",
    "Metadata",
    "MetadataMode",
    "Missing",
    "Mover",
    "Negative",
    "OtherTools",
    "OverlapMetrics",
    "ParameterError",
    "Pool",
    "Problem",
    "Product",
    "PtystoreError",
    "RepairReport",
    "SerialPool",
    "Shuffle",
    "Signal",
    "SplitAxis",
    "SplitPart",
    "StorageError",
    "StudyReport",
    "ThreadPool",
    "Transformation",
    "Unpaired",
    "VerifyReport",
    "ViewName",
    "WritePlan",
    "WriteReport",
    "canonicalize",
    "concat",
    "dataset_of",
    "describe",
    "digest",
    "digest_document",
    "export",
    "extract_patches",
    "find_notes",
    "find_problems",
    "ingest",
    "join",
    "list_formats",
    "load_npz",
    "make_demo_scan",
    "materialize",
    "measure_overlap",
    "open",
    "plan",
    "prepare",
    "prepare_options",
    "read_image",
    "repair",
    "run_study",
    "save_npz",
    "select_view",
    "set_facts",
    "set_geometry",
    "simulate",
    "split",
    "verify",
    "with_diffraction_key",
    "write",
]

ERRORS = {
    errors.ParameterError: (ValueError, 2),
    errors.InputError: (ValueError, 3),
    errors.InputMissingError: (FileNotFoundError, 3),
    errors.DestinationError: (OSError, 4),
    errors.DestinationExistsError: (FileExistsError, 4),
    errors.IntegrityError: (ValueError, 5),
    errors.StorageError: (OSError, 6),
}


class Somewhere:
    """A path that is nobody's subclass."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __fspath__(self) -> str:
        return self._path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "raw.npz", scan_members())


def test_the_public_names() -> None:
    assert list(ptystore.__all__) == NAMES
    assert set(ptystore._HOME) == set(NAMES)
    assert dir(ptystore) == sorted([*NAMES, "__version__"])
    for name, home in ptystore._HOME.items():
        module = import_module(f"ptystore.{home}")
        assert getattr(ptystore, name) is getattr(module, name)
        assert name in module.__all__
    assert ptystore.__version__
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        ptystore.opne  # noqa: B018


@pytest.mark.parametrize("kind", [str, Path, Somewhere])
def test_paths_of_any_kind(kind: type, source: Path, tmp_path: Path) -> None:
    scan = ptystore.open(kind(source))
    for suffix in ("npz", "zarr", "h5"):
        target = kind(tmp_path / f"out.{suffix}")
        assert ptystore.plan(scan, target).kind
        report = ptystore.write(scan, target)
        assert report.path == tmp_path / f"out.{suffix}"
        assert ptystore.verify(target).ok
        assert ptystore.digest(target) == (report.digests, report.digest)
    arrays, metadata = ptystore.load_npz(kind(source))
    ptystore.save_npz(kind(tmp_path / "saved.npz"), arrays, metadata)
    ptystore.export(scan, kind(tmp_path / "exported.npz"), diffraction_key="diffraction")
    again, document = ptystore.load_npz(tmp_path / "saved.npz")
    assert document == metadata
    for name, one in scan_arrays().items():
        np.testing.assert_array_equal(again[name], one)
        assert again[name].dtype == one.dtype


def test_relative_paths(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(source.parent)
    scan = ptystore.open("raw.npz")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(scan["diff3d"].values(), scan_arrays()["diff3d"])
    monkeypatch.chdir(tmp_path)
    ptystore.write(scan, "out.zarr")
    assert ptystore.verify("out.zarr").ok


@pytest.mark.parametrize("form", [np.array, pickled])
def test_load_npz_reads_any_metadata(form: type, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "raw.npz", scan_members(_metadata=form(DOCUMENT)))
    metadata = ptystore.load_npz(path)[1]
    assert metadata == ptystore.Metadata.from_json(DOCUMENT)
    assert metadata is not None
    assert metadata.nphotons == 1000.0


def test_load_npz_is_for_npz(source: Path, tmp_path: Path) -> None:
    ptystore.write(ptystore.open(source), tmp_path / "out.zarr")
    with pytest.raises(errors.InputError, match=r"is not a \.npz file"):
        ptystore.load_npz(tmp_path / "out.zarr")


def test_save_npz_is_read_without_pickle(tmp_path: Path) -> None:
    metadata = ptystore.Metadata.create({"N": 64})
    ptystore.save_npz(tmp_path / "a.npz", {"x": [1, 2, 3]}, metadata)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["x"].tolist() == [1, 2, 3]
        assert str(file["_metadata"].item()) == metadata.to_json()
    with pytest.raises(FileExistsError):
        ptystore.save_npz(tmp_path / "a.npz", {"x": [4]})
    ptystore.save_npz(tmp_path / "a.npz", {"x": [4]}, overwrite=True)
    assert ptystore.load_npz(tmp_path / "a.npz")[0]["x"].tolist() == [4]


@pytest.mark.parametrize("bad", ["../x", "", "a/b", "__x", ".x", "zarr.json", "é", "x" * 129])
@pytest.mark.parametrize("suffix", ["npz", "zarr", "h5"])
def test_names_that_no_format_takes_are_not_written(bad: str, suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(errors.PtystoreError):
        ptystore.write(ptystore.dataset_of({bad: np.arange(3)}), folder / f"a.{suffix}")
    assert os.listdir(folder) == []
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("values", [np.array([None]), np.array([b"a"]), np.zeros(2, "M8[s]")])
@pytest.mark.parametrize("suffix", ["npz", "zarr", "h5"])
def test_dtypes_that_no_format_takes_are_not_written(
    values: np.ndarray, suffix: str, tmp_path: Path
) -> None:
    with pytest.raises(errors.PtystoreError):
        ptystore.write(ptystore.dataset_of({"x": values}), tmp_path / f"a.{suffix}")
    assert os.listdir(tmp_path) == []


def test_the_name_of_the_metadata_is_taken(tmp_path: Path) -> None:
    with pytest.raises(errors.PtystoreError):
        ptystore.save_npz(tmp_path / "a.npz", {"_metadata": np.array("{}"), "x": np.arange(3)})
    assert os.listdir(tmp_path) == []


def test_names_that_differ_only_in_case_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(errors.PtystoreError):
        ptystore.save_npz(tmp_path / "a.npz", {"x": np.arange(3), "X": np.arange(3)})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_source_is_no_destination(source: Path, overwrite: bool) -> None:
    before = source.read_bytes()
    other = source.parent / "link.npz"
    os.link(source, other)
    for path in (source, other, source.parent / "." / "raw.npz"):
        with pytest.raises(errors.DestinationError) as caught:
            ptystore.write(ptystore.open(source), path, overwrite=overwrite)
        assert caught.value.exit_code == 4
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["scan", "scan.npy", "scan.zip", "scan.nc", ".zarr"])
def test_an_unknown_suffix(name: str, source: Path) -> None:
    with pytest.raises(errors.ParameterError, match="suffix") as caught:
        ptystore.write(ptystore.open(source), source.parent / name)
    assert isinstance(caught.value, ValueError)
    assert ".zarr" in str(caught.value)


def test_checks_run_before_anything_is_written(tmp_path: Path) -> None:
    x = np.array([1.0, np.nan, 2, 2, 2, 2])
    source = write_npz(tmp_path / "raw.npz", scan_members(method=STORED, xcoords=x))
    with pytest.raises(errors.InputError, match="index 1"):
        ptystore.write(ptystore.canonicalize(ptystore.open(source)), tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == ["raw.npz"]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_are_the_matching_builtins(kind: type[errors.PtystoreError]) -> None:
    builtin, code = ERRORS[kind]
    assert issubclass(kind, errors.PtystoreError)
    assert issubclass(kind, builtin)
    error = kind("is bad", file=Path("a.npz"), member="x", advice="do this")
    assert error.exit_code == code
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    for one in (error, again):
        assert str(one) == "a.npz: x: is bad"
        assert (one.file, one.member, one.reason, one.advice) == (
            "a.npz", "x", "is bad", "do this",
        )  # fmt: skip


def test_an_unreadable_source(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    for name, kind in (
        ("no.npz", FileNotFoundError), ("folder", ValueError), ("text.txt", ValueError),
    ):  # fmt: skip
        with pytest.raises(kind) as caught:
            ptystore.open(tmp_path / name)
        assert isinstance(caught.value, errors.InputError)


def test_frames_in_memory_have_a_signal() -> None:
    domain = ptystore.Metadata({"measurement_domain": "count_intensity"})
    for values, metadata, signal in (
        (np.ones((2, 3, 3), np.uint16), None, "counts"),
        (np.ones((2, 3, 3), np.float32), None, "amplitude"),
        (np.ones((2, 3, 3), np.float32), domain, "counts"),
    ):
        scan = ptystore.dataset_of({"diff3d": values}, metadata)
        assert scan.frames.attrs["signal"] == signal


def test_plan_writes_nothing(source: Path) -> None:
    plan = ptystore.plan(ptystore.open(source), source.parent / "out.zarr")
    assert [field.name for field in plan.fields] == list(scan_arrays())
    assert plan.nbytes == sum(np.asarray(one).nbytes for one in scan_arrays().values())
    assert os.listdir(source.parent) == ["raw.npz"]
    assert member("x", [1]).data.startswith(b"\x93NUMPY")
