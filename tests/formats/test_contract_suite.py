"""What every format must do alike: one suite, run over each of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ptystore
from chunk_places import chunk_places
from ptystore import FORMATS, Compression, Dataset, Format, IntegrityError, Metadata
from ptystore.errors import DamagedInputError
from scans import (
    DTYPES,
    Array,
    Hammer,
    assert_same,
    bytes_read,
    contents,
    document,
    flip,
    forked,
    native,
    overwrite,
    pickled,
    plain_digest,
    scan,
    spawned,
    values,
)
from toy_format import Toy


@dataclass(frozen=True)
class Form:
    """A row of the table under test, in one of the ways that it can write."""

    row: Format
    compression: Compression = "deflate"

    @property
    def suffix(self) -> str:
        return self.row.suffixes[0]

    def write(self, dataset: Dataset, folder: Path, name: str = "scan") -> Path:
        path = folder / f"{name}{self.suffix}"
        ptystore.write(dataset, path, compression=self.compression)
        return path

    def put(
        self, arrays: Mapping[str, Array], folder: Path, metadata: Metadata | None = None
    ) -> Path:
        return self.write(ptystore.dataset_of(arrays, metadata), folder)


# A damaged store is an integrity error; an `.npz` is an input that was not to be trusted.
DAMAGE = (IntegrityError, DamagedInputError)


def forms() -> dict[str, Form]:
    """Every row of the table, the toy's too; twice where it can write compressed or not."""
    found = {}
    for row in (*FORMATS, Toy()):
        found[row.name] = Form(row)
        if "compression" in row.write_options:
            found[f"{row.name}-stored"] = Form(row, "store")
    return found


@pytest.fixture(scope="module", autouse=True)
def toy_row() -> Iterator[None]:
    """The toy format is one file and this one row."""
    FORMATS.append(Toy())
    yield
    FORMATS.pop()


@pytest.fixture(params=forms().values(), ids=forms(), scope="module")
def form(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("suite")


def everything() -> Dataset:
    """A scan with a field of every dtype, in no alphabetical order, and with attributes."""
    arrays = {f"per_{dtype.strip('?')}_": values(dtype, (21, 3)) for dtype in DTYPES}
    arrays |= {f"glob {dtype.strip('?')}.x": values(dtype, (4, 5)) for dtype in DTYPES}
    arrays |= {f"0d+{dtype.strip('?')}": values(dtype, ()) for dtype in DTYPES}
    arrays |= {"empty": np.zeros((3, 0, 2), "u2"), "no text": np.zeros((0, 2), "U3")}
    attrs = {"diff3d": {"signal": "counts", "units": "counts", "exposure": 2.5, "µ": ["é"]}}
    return ptystore.dataset_of({**arrays, **scan()}, document(), attrs=attrs)


def test_what_is_written_is_what_is_opened(form: Form, tmp_path: Path) -> None:
    given_ = everything()
    report = ptystore.write(given_, tmp_path / f"a{form.suffix}", compression=form.compression)
    found = ptystore.open(report.path)
    assert list(found) == list(given_)
    for name, one in given_.fields.items():
        other = found[name]
        assert (other.shape, other.dtype) == (one.shape, one.dtype), name
        assert (other.role, other.frame_axis) == (one.role, one.frame_axis), name
        assert dict(other.attrs) == dict(one.attrs), name
        assert_same(other.values(), one.values())
        assert other.digest == report.digests[name]
        assert other.digest == plain_digest(name, one.values(), one.frame_axis), name
    assert found.metadata == given_.metadata
    assert found.metadata is not None
    assert given_.metadata is not None
    assert found.metadata.to_json() == given_.metadata.to_json()
    assert found.source is not None
    assert found.source.digest == report.digest == ptystore.digest(given_)[1]
    assert ptystore.verify(report.path).ok
    assert ptystore.verify(report.path).recorded == len(given_)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        Metadata({}),
        Metadata({"a": "x" * 200_000, "µ": [1e300, -0.0, 2**70]}),
        Metadata.keep_text('{"a": NaN, "a": 1}'),
        Metadata.keep_text("not JSON \ud800 \udfff \U0001f52c \r\n\t \x01 \0 end"),
        Metadata.keep_text(""),
    ],
    ids=["none", "empty", "large", "kept", "surrogates", "empty text"],
)
def test_metadata_come_back_whole(form: Form, tmp_path: Path, metadata: Metadata | None) -> None:
    path = form.put({"a": np.ones(3)}, tmp_path, metadata)
    found = ptystore.open(path, metadata="keep-text").metadata
    assert found == metadata
    if metadata is not None and found is not None:
        assert found.text == metadata.text
        assert found.to_json() == metadata.to_json()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 127, 129, 300])
@pytest.mark.parametrize("last", [False, True], ids=["frames first", "frames last"])
def test_any_number_of_frames(form: Form, tmp_path: Path, count: int, last: bool) -> None:
    frames = values("u2", (count, 9, 7))
    positions = np.arange(float(count))
    arrays = {
        "diff3d": np.moveaxis(frames, 0, -1) if last else frames,
        "probeGuess": np.ones((9, 7), np.complex64),
        "xcoords": positions,
        "ycoords": positions,
        "names": np.array([f"frame {at}" for at in range(count)], "U9"),
    }
    found = ptystore.open(form.put(arrays, tmp_path))
    assert found["diff3d"].frame_axis == (2 if last else 0)
    assert found["names"].role == "per_frame"
    for name, value in contents(found).items():
        assert_same(value, arrays[name])
    canonical = form.write(ptystore.canonicalize(found), tmp_path, "canonical")
    assert_same(ptystore.open(canonical)["diffraction"].values(), np.sqrt(frames, dtype="f4"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_byte_and_memory_order_of_the_input(form: Form, tmp_path: Path, dtype: str) -> None:
    value = values(dtype, (5, 4, 3))
    swapped = value.astype(value.dtype.newbyteorder("S"))
    arrays = {"big": swapped, "fortran": np.asfortranarray(value), "strided": swapped[::-2, ::-1]}
    found = contents(ptystore.open(form.put(arrays, tmp_path)))
    for name, given_ in arrays.items():
        assert_same(found[name], native(given_))


def test_fields_of_many_shards_of_frames_of_no_power_of_two(form: Form, tmp_path: Path) -> None:
    arrays = {
        "large": values("f4", (3, 1500, 1499)),  # 9 MB a row: each its own chunk and shard
        "diffraction": values("u2", (2500, 61, 67)),  # shards of 2048 frames, chunks of 2
        "frames last": values("u1", (50, 40, 12)),
    }
    report = ptystore.write(ptystore.dataset_of(arrays), tmp_path / f"a{form.suffix}", jobs=3)
    found = ptystore.open(report.path)
    for name, value in arrays.items():
        assert_same(found[name].values(), value)
        assert report.digests[name] == plain_digest(name, value, found[name].frame_axis)
    picked = [2499, 0, 2047, 2048, 2047]
    assert_same(found["diffraction"][picked], arrays["diffraction"][picked])
    assert_same(found["large"][::-2, 5], arrays["large"][::-2, 5])


@pytest.mark.parametrize(
    ("options", "roles"),
    [
        ({"per_frame": ("odd",)}, {"odd": "per_frame", "a": "per_frame"}),
        ({"global_": ("a",)}, {"odd": "global", "a": "global"}),
        ({"per_frame": ("odd",), "global_": ("a",)}, {"odd": "per_frame", "a": "global"}),
    ],
)
def test_roles_are_decided_once(
    form: Form, tmp_path: Path, options: dict[str, Any], roles: dict[str, str]
) -> None:
    # `odd` has the frame's own shape, so it is taken for global unless somebody says otherwise.
    arrays = {**scan(6, 6, 10), "odd": np.ones((6, 10)), "a": np.ones(6)}
    np.savez(tmp_path / "raw.npz", **arrays)
    path = form.write(ptystore.open(tmp_path / "raw.npz", **options), tmp_path)
    for again in (tmp_path / "2.zarr", tmp_path / "3.npz", tmp_path / "4.h5"):
        found = ptystore.open(path)
        assert {name: found[name].role for name in roles} == roles
        path = ptystore.write(found, again).path
    # Speaking of one array leaves what was decided of the others.
    other = ptystore.open(path, per_frame=("scan_index",))
    assert {name: other[name].role for name in roles} == roles


def test_a_recorded_axis_order_is_kept(form: Form, tmp_path: Path) -> None:
    """n = N: both axes would do; the caller said which at ingest."""
    arrays = scan(6, 6, 6)
    np.savez(tmp_path / "raw.npz", **arrays)
    raw = ptystore.open(tmp_path / "raw.npz", axis_order="hwn")
    found = ptystore.open(form.write(raw, tmp_path))
    assert found["diff3d"].frame_axis == 2
    assert_same(found["diff3d"].values(), arrays["diff3d"])
    first = ptystore.canonicalize(found)["diffraction"].values()
    assert_same(first, np.sqrt(np.moveaxis(arrays["diff3d"], 2, 0), dtype="f4"))


def test_opening_reads_no_frame(form: Form, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    form.put(scan(), tmp_path)  # what is imported on the way is imported now
    ptystore.open(tmp_path / f"scan{form.suffix}")
    path = form.put({"diffraction": values("u2", (400, 64, 64))}, tmp_path / "new")
    for place in chunk_places(path, "diffraction"):
        overwrite(place, b"\x55" * min(64, place[2] // 4))
    before = bytes_read()
    found = ptystore.open(path)
    ready = ptystore.canonicalize(found)
    assert (found["diffraction"].shape, ready["diffraction"].dtype) == ((400, 64, 64), "f4")
    # The first bytes of a deflated member are inflated from a piece of 256 KiB.
    assert bytes_read() - before < 400_000, "more than headers was read of 3.3 MB"
    with pytest.raises(DAMAGE) as caught:
        found["diffraction"].values()
    assert caught.value.member == "diffraction"
    assert caught.value.file == str(path)


@pytest.fixture(scope="module")
def frames_field(form: Form, folder: Path) -> tuple[Dataset, Array]:
    """Fields cut into several chunks along the first axis and along the last."""
    frames = values("u2", (37, 48, 50))
    arrays = {
        "diffraction": frames,
        "xcoords": np.arange(37.0),
        "flat": values("f8", (5000,)),
        "empty": np.zeros((37, 0, 3)),
    }
    path = form.write(ptystore.dataset_of(arrays), folder, f"indexed {form.compression}")
    return ptystore.open(path), frames


KEYS: dict[str, Any] = {
    "int": 0,
    "last": -1,
    "numpy int": np.int64(5),
    "slice": slice(3, 30),
    "backwards": slice(None, None, -3),
    "part backwards": slice(30, 5, -7),
    "empty slice": slice(9, 9),
    "empty list": [],
    "list": [36, 0, 7, 7, -2],
    "2-D indices": np.array([[1, 2], [36, 0]]),
    "mask": np.arange(37) % 5 == 0,
    "empty mask": np.zeros(37, bool),
    "full mask": [True] * 37,
    "ellipsis first": (Ellipsis, 4),
    "new axes": (None, 3, Ellipsis, None),
    "mixed": (slice(2, 20, 4), 5, slice(None, None, -1)),
    "points": ([5, 3], [1, 2], [0, 49]),
    "list on another axis": (slice(None), [3, 1], 0),
    "nothing": (),
    "ellipsis": Ellipsis,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_indexing_is_numpys(frames_field: tuple[Dataset, Array], key: Any) -> None:
    dataset, frames = frames_field
    found = dataset["diffraction"][key]
    assert np.shape(found) == np.shape(frames[key])
    np.testing.assert_array_equal(found, frames[key])
    assert found.dtype == frames.dtype


@given(st.lists(st.integers(-5000, 4999), max_size=40), st.slices(5000))
def test_any_elements_of_a_long_field(
    frames_field: tuple[Dataset, Array], picked: list[int], part: slice
) -> None:
    flat = frames_field[0]["flat"]
    expected = values("f8", (5000,))
    assert_same(flat[picked], expected[np.array(picked, int)])
    assert_same(flat[part], expected[part])


def test_take_gives_all_per_frame_fields(frames_field: tuple[Dataset, Array]) -> None:
    dataset, frames = frames_field
    for indices in ([], [4], [36, 0, 36]):
        got = dataset.take(np.array(indices, int))
        assert got.keys() == {"diffraction", "xcoords", "empty"}
        assert_same(got["diffraction"], frames[np.array(indices, int)])
        assert got["xcoords"].tolist() == indices
    with pytest.raises(IndexError):
        dataset.take(np.array([37]))


def test_reads_only_what_it_needs(form: Form, folder: Path) -> None:
    frames = values("u2", (600, 64, 64))
    path = form.write(ptystore.dataset_of({"a": frames}), folder, f"few {form.compression}")
    one = ptystore.open(path)["a"]
    if one.array.sequential:
        pytest.skip("a deflated member can only be read from its start")
    one[300]
    before = bytes_read()
    assert_same(one[[17, 450]], frames[[17, 450]])
    assert bytes_read() - before < 60_000, "far more was read than two frames of 8 KiB"


def test_damage_is_an_error_that_names_the_field(form: Form, tmp_path: Path) -> None:
    frames = values("u2", (100, 32, 32))
    path = form.put({"diffraction": frames, "other": np.arange(50.0)}, tmp_path)
    places = chunk_places(path, "diffraction")
    flip(places[len(places) // 2])
    found = ptystore.open(path)
    assert_same(found["other"].values(), np.arange(50.0))
    with pytest.raises(DAMAGE) as caught:
        found["diffraction"].values()
    assert (caught.value.member, caught.value.file) == ("diffraction", str(path))
    copy = tmp_path / f"copy{form.suffix}"
    with pytest.raises(DAMAGE, match="diffraction"):
        ptystore.write(found, copy)
    assert not copy.exists()
    report = ptystore.verify(path)
    assert not report.ok
    assert any("diffraction" in line for line in report.damage)


def pipeline(path: Path) -> Dataset:
    return ptystore.extract_patches(ptystore.canonicalize(ptystore.open(path)))


READ = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    dataset, expected = pickle.load(file)
for name, field in dataset.fields.items():
    assert field.values().tobytes() == expected[name].tobytes(), name
    assert field[[3, 1]].tobytes() == expected[name][[3, 1]].tobytes(), name
assert dataset.metadata.history[-1]["operation"] == "generate_patches"
"""


def test_a_pipeline_pickles_into_a_spawned_process(form: Form, tmp_path: Path) -> None:
    dataset = pipeline(form.put(scan(), tmp_path, document()))
    expected = contents(dataset)
    with open(tmp_path / "pickled", "wb") as file:
        pickle.dump((dataset, expected), file)
    spawned(READ, tmp_path / "pickled")
    assert_same(pickled(dataset["Y"]).values(), expected["Y"])
    array = pickled(ptystore.open(tmp_path / f"scan{form.suffix}")["diff3d"].array)
    assert_same(array.read(0, 21), scan()["diff3d"])


def check(dataset: Dataset, expected: Mapping[str, Array]) -> Callable[[], None]:
    def read() -> None:
        for name, value in expected.items():
            assert_same(dataset[name].values(), value)

    return read


def test_works_in_a_forked_child_of_a_busy_parent(form: Form, tmp_path: Path) -> None:
    path = form.put({**scan(), "text": np.array(["a"] * 21)}, tmp_path, document())
    dataset = pipeline(path)
    expected = contents(dataset)
    frames = ptystore.open(path)["diff3d"]

    def work() -> None:
        check(dataset, expected)()
        check(pipeline(path), expected)()
        copy = form.write(pipeline(path), tmp_path, "from child")
        check(ptystore.open(copy), expected)()
        copy.rename(tmp_path / f"done {len(list(tmp_path.iterdir()))}{form.suffix}")

    forked(work)
    with Hammer(lambda: (frames.values(), check(dataset, expected)())):
        for _ in range(4):
            forked(work)
