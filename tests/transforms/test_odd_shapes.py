"""Axes of length 1, positions in columns and rows, objects of several slices: every verb."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptystore
from ptystore.errors import InputError, ParameterError, PtystoreError
from scans import same, scan

FRAMES, HEIGHT, WIDTH = 7, 6, 10

#: Every function of the front door that uses positions, each reading all that it makes.
VERBS: dict[str, Callable[[ptystore.Dataset], Any]] = {
    "canonicalize": lambda one: read(ptystore.canonicalize(one)),
    "validate": ptystore.find_problems,
    "patch": lambda one: read(ptystore.extract_patches(one, size=4)),
    "split": lambda one: [read(part) for part in ptystore.split(one)],
    "view": lambda one: read(ptystore.select_view(one, overlap=0.9)),
    "simulate": lambda one: read(ptystore.simulate(one, noise=False)),
    "overlap": lambda one: ptystore.measure_overlap(one, 5.0),
    "ingest": lambda one: read(ptystore.ingest(one)),
    "info": ptystore.describe,
}


def read(dataset: ptystore.Dataset) -> dict[str, np.ndarray]:
    for check in dataset.checks:
        list(check())
    return {name: field.values() for name, field in dataset.fields.items()}


def arrays_of(**changed: Any) -> dict[str, Any]:
    return {**scan(FRAMES, HEIGHT, WIDTH), **changed}


def reshaped(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    arrays = arrays_of()
    return {
        name: array.reshape(shapes[name]) if name in shapes else array
        for name, array in arrays.items()
    }


def lines_of(dataset: ptystore.Dataset) -> list[str]:
    return [line for check in dataset.checks for line in check()]


FORMS = {
    "columns": {name: (FRAMES, 1) for name in ("xcoords", "ycoords", "scan_index")},
    "rows": {name: (1, FRAMES) for name in ("xcoords", "ycoords", "scan_index")},
    "one of each": {"xcoords": (1, FRAMES), "ycoords": (FRAMES, 1, 1)},
    "probe (N, N, 1)": {"probeGuess": (HEIGHT, WIDTH, 1)},
    "probe (N, N, 1, 1)": {"probeGuess": (HEIGHT, WIDTH, 1, 1)},
    "probe (1, 1, N, N)": {"probeGuess": (1, 1, HEIGHT, WIDTH)},
    "probe (1, N, N, 1)": {"probeGuess": (1, HEIGHT, WIDTH, 1)},
    "probe of six axes": {"probeGuess": (1, 1, 1, 1, HEIGHT, WIDTH)},
    "object (1, H, W)": {"objectGuess": (1, 5 * HEIGHT, 4 * WIDTH)},
    "object (H, W, 1)": {"objectGuess": (5 * HEIGHT, 4 * WIDTH, 1)},
    "object (1, 1, H, W)": {"objectGuess": (1, 1, 5 * HEIGHT, 4 * WIDTH)},
    "frames (n, H, W, 1)": {"diff3d": (FRAMES, HEIGHT, WIDTH, 1)},
    "frames (n, 1, H, W)": {"diff3d": (FRAMES, 1, HEIGHT, WIDTH)},
    "frames (1, n, H, W)": {"diff3d": (1, FRAMES, HEIGHT, WIDTH)},
    "all of it": {
        "xcoords": (FRAMES, 1), "ycoords": (1, FRAMES), "probeGuess": (HEIGHT, WIDTH, 1),
        "objectGuess": (1, 5 * HEIGHT, 4 * WIDTH), "diff3d": (FRAMES, HEIGHT, WIDTH, 1),
    },
}  # fmt: skip


@pytest.mark.parametrize("shapes", FORMS.values(), ids=FORMS)
def test_all_verbs_take_an_odd_form_as_the_plain_one(
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    plain, odd = ptystore.dataset_of(arrays_of()), ptystore.dataset_of(reshaped(shapes))
    canonical = ptystore.canonicalize(odd)
    expected = read(ptystore.canonicalize(plain))
    for name, values in read(canonical).items():
        assert same(values, expected[name]), name
    (said,) = [line for line in lines_of(canonical) if "length 1" in line]
    for name, shape in shapes.items():
        assert f"{name} {shape}" in said
    told = {problem.field for problem in ptystore.find_problems(odd) if problem.kind == "dims"}
    assert told == set(shapes)
    assert not [one for one in ptystore.find_problems(canonical) if one.kind == "dims"]
    for work in (
        lambda one: ptystore.extract_patches(one)["Y"].values(),
        lambda one: ptystore.simulate(one, noise=False)["diffraction"].values(),
        lambda one: ptystore.split(one)[0]["scan_index"].values().reshape(-1),
        lambda one: ptystore.select_view(one, overlap=0.5)["scan_index"].values().reshape(-1),
        lambda one: np.array(ptystore.measure_overlap(one).metrics.diameter),
    ):
        assert same(work(odd), work(plain))


@pytest.mark.parametrize("suffix", [".npz", ".zarr", ".h5"])
def test_odd_forms_are_ingested_as_they_are_and_canonicalized_from_any_format(
    suffix: str, tmp_path: Path
) -> None:
    arrays = reshaped(FORMS["all of it"])
    ptystore.write(ptystore.ingest(ptystore.dataset_of(arrays)), tmp_path / f"in{suffix}")
    opened = ptystore.open(tmp_path / f"in{suffix}")
    for name, values in arrays.items():
        assert same(opened[name].values(), values)
    said: list[str] = []
    made = ptystore.extract_patches(ptystore.canonicalize(opened), virtual=suffix != ".npz")
    ptystore.write(pickle.loads(pickle.dumps(made)), tmp_path / f"out{suffix}", warn=said.append)
    assert sum("length 1" in line for line in said) == 1
    plain = ptystore.extract_patches(ptystore.canonicalize(ptystore.dataset_of(arrays_of())))
    expected = read(plain)
    for name, values in read(ptystore.open(tmp_path / f"out{suffix}")).items():
        assert same(values, expected[name]), name


def test_what_the_table_has_is_left_as_it_is() -> None:
    for probe in [(HEIGHT, WIDTH), (1, HEIGHT, WIDTH), (3, HEIGHT, WIDTH), (2, 1, HEIGHT, WIDTH)]:
        made = ptystore.dataset_of(arrays_of(probeGuess=np.ones(probe, np.complex64)))
        canonical = ptystore.canonicalize(made)
        assert canonical["probeGuess"].shape == probe
        assert not any("length 1" in line for line in lines_of(canonical))


def test_frames_of_one_column_have_a_probe_of_one_column() -> None:
    arrays = arrays_of(
        diff3d=np.ones((FRAMES, HEIGHT, 1), np.uint16),
        probeGuess=np.ones((2, HEIGHT, 1), np.complex64),
        objectGuess=np.ones((3, 30, 1), np.complex64),
        Y=np.ones((FRAMES, 1, HEIGHT, 1), np.complex64),
    )
    canonical = ptystore.canonicalize(ptystore.dataset_of(arrays))
    assert canonical["probeGuess"].shape == (2, HEIGHT, 1)
    assert canonical["objectGuess"].shape == (3, 30, 1)
    assert canonical["Y"].shape == (FRAMES, HEIGHT, 1)


def test_a_probe_with_two_readings_names_both() -> None:
    made = ptystore.dataset_of(arrays_of(probeGuess=np.ones((16, 12, 1), np.complex64)))
    with pytest.raises(
        InputError, match=r"\(16, 12, 1\): one probe of 16×12, or .* 12×1"
    ) as caught:
        ptystore.canonicalize(made)
    assert caught.value.member == "probeGuess"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("diff3d", (FRAMES, 2, HEIGHT, WIDTH)), ("Y", (FRAMES, HEIGHT, WIDTH, 2)),
        ("probeGuess", (2, 2, 2, HEIGHT, WIDTH)), ("objectGuess", (2, 2, 30, 40)),
    ],
)  # fmt: skip
def test_other_axes_are_never_dropped(name: str, shape: tuple[int, ...]) -> None:
    made = ptystore.dataset_of(arrays_of(**{name: np.ones(shape, np.float32)}))
    with pytest.raises(InputError, match="has shape") as caught:
        ptystore.canonicalize(made)
    assert caught.value.member == name


def sliced() -> tuple[ptystore.Dataset, np.ndarray]:
    rng = np.random.default_rng(3)
    obj = (rng.normal(size=(3, 30, 40)) + 1j * rng.normal(size=(3, 30, 40))).astype(np.complex64)
    return ptystore.dataset_of(arrays_of(objectGuess=obj)), obj


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("number", [0, 2])
def test_one_slice_of_several_is_chosen(number: int, virtual: bool, tmp_path: Path) -> None:
    made, obj = sliced()
    alone = ptystore.dataset_of(arrays_of(objectGuess=obj[number]))
    patched = ptystore.extract_patches(made, slice=number, virtual=virtual)
    assert patched.metadata is not None
    assert patched.metadata.history[-1]["parameters"]["slice"] == number
    ptystore.write(patched, tmp_path / "out.zarr")
    stored = ptystore.open(tmp_path / "out.zarr")
    assert same(stored["Y"].values(), ptystore.extract_patches(alone)["Y"].values())
    assert same(stored["objectGuess"].values(), obj)
    frames = ptystore.simulate(made, noise=False, slice=number)["diffraction"].values()
    assert same(frames, ptystore.simulate(alone, noise=False)["diffraction"].values())


@pytest.mark.parametrize("verb", [ptystore.extract_patches, ptystore.simulate])
def test_a_slice_must_be_chosen_and_be_there(verb: Callable[..., Any]) -> None:
    made, obj = sliced()
    more = {"noise": False} if verb is ptystore.simulate else {}
    with pytest.raises(InputError, match="has 3 slices") as caught:
        verb(made, **more)
    assert caught.value.advice
    assert "--slice K" in caught.value.advice
    for number in (-1, 3):
        with pytest.raises(ParameterError, match=f"no slice {number}"):
            verb(made, slice=number, **more)
    alone = ptystore.dataset_of(arrays_of(objectGuess=obj[:1]))
    with pytest.raises(ParameterError, match="slice 0 alone"):
        verb(alone, slice=1, **more)
    verb(alone, slice=0, **more)


@pytest.mark.parametrize("values", [np.array(["a", "b"] * 4)[:FRAMES], np.ones(FRAMES, complex)])
@pytest.mark.parametrize("verb", ["canonicalize", "patch", "split", "view", "simulate", "overlap"])
def test_positions_are_real_numbers(verb: str, values: np.ndarray) -> None:
    made = ptystore.dataset_of(arrays_of(xcoords=values, ycoords=values))
    with pytest.raises(InputError, match=f"has dtype {values.dtype}: scan positions are real"):
        VERBS[verb](made)
    assert any(problem.kind == "dtype" for problem in ptystore.find_problems(made))


SIZE = st.sampled_from([1, 2, 3, FRAMES])
SHAPE = st.one_of(
    st.lists(SIZE, max_size=3).map(tuple),
    st.sampled_from([(FRAMES,), (FRAMES, 1), (1, FRAMES), (FRAMES, 2), (1, 1, FRAMES), (0,)]),
)
DTYPE = st.sampled_from(["f8", "i4", "U3", "c8", "?"])


@settings(max_examples=200)
@given(SHAPE, SHAPE, DTYPE, st.booleans(), st.sampled_from(sorted(VERBS)))
def test_any_shape_of_positions_is_taken_or_refused_in_one_line(
    x: tuple[int, ...], y: tuple[int, ...], dtype: str, with_frames: bool, verb: str
) -> None:
    arrays = arrays_of(xcoords=np.ones(x).astype(dtype), ycoords=np.ones(y).astype(dtype))
    if not with_frames:
        del arrays["diff3d"], arrays["scan_index"]
    try:
        VERBS[verb](ptystore.dataset_of(arrays))
    except PtystoreError as error:
        assert "\n" not in str(error)  # noqa: PT017
