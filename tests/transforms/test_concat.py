"""Scans after one another: values, scan indices, what must agree, metadata, files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
from ptystore.errors import InputError, ParameterError
from ptystore_cli.app import app
from scans import SUFFIXES, contents, document, pickled, same, scan

HEIGHT, WIDTH = 6, 10


def arrays_of(seed: int, frames: int, **changed: Any) -> dict[str, Any]:
    """A scan of its own frames and positions, with the probe and object of all."""
    shared = scan(1, HEIGHT, WIDTH, seed=0)
    own = scan(frames, HEIGHT, WIDTH, seed=seed)
    made = {**own, "probeGuess": shared["probeGuess"], "objectGuess": shared["objectGuess"]}
    return {name: values for name, values in {**made, **changed}.items() if values is not None}


def three(**changed: Any) -> list[dict[str, Any]]:
    return [arrays_of(seed, frames, **changed) for seed, frames in ((1, 5), (2, 1), (3, 7))]


def opened(arrays: list[dict[str, Any]], folder: Path, suffix: str) -> list[ptystore.Dataset]:
    for number, one in enumerate(arrays):
        made = ptystore.dataset_of(one, document())
        ptystore.write(ptystore.ingest(made), folder / f"{number}{suffix}")
    return [ptystore.open(folder / f"{number}{suffix}") for number in range(len(arrays))]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_frames_are_after_one_another(suffix: str, target: str, tmp_path: Path) -> None:
    arrays = three()
    joined = pickled(ptystore.concat(opened(arrays, tmp_path, suffix)))
    assert joined.frame_count == 13
    ptystore.write(joined, tmp_path / f"all{target}")
    stored = ptystore.open(tmp_path / f"all{target}")
    assert set(stored) == set(arrays[0])
    for name in ("diff3d", "xcoords", "ycoords"):
        assert same(stored[name].values(), np.concatenate([one[name] for one in arrays]))
        assert stored[name].attrs == ptystore.dataset_of(arrays[0])[name].attrs
    for name in ("probeGuess", "objectGuess"):
        assert same(stored[name].values(), arrays[0][name])
    assert stored["scan_index"].values().tolist() == [0] * 5 + [1] + [2] * 7
    assert stored["scan_index"].dtype == np.int64
    assert ptystore.verify(tmp_path / f"all{target}").ok


def test_nothing_is_read_but_what_must_agree(tmp_path: Path) -> None:
    scans = opened(three(), tmp_path, ".zarr")
    for number in range(3):  # without their frames the stores can be joined, but not be written
        (tmp_path / f"{number}.zarr" / "diff3d" / "c.0.0.0").unlink()
    joined = ptystore.concat(scans)
    assert joined["diff3d"].shape == (13, HEIGHT, WIDTH)
    with pytest.raises(ptystore.IntegrityError):
        ptystore.write(joined, tmp_path / "all.npz")


def test_any_transform_can_follow() -> None:
    arrays = three()
    joined = ptystore.concat([ptystore.dataset_of(one) for one in arrays])
    whole = {**arrays[0], "scan_index": np.repeat([0, 1, 2], [5, 1, 7])}
    for name in ("diff3d", "xcoords", "ycoords"):
        whole[name] = np.concatenate([one[name] for one in arrays])
    plain = ptystore.dataset_of(whole)
    for work in (
        ptystore.canonicalize,
        lambda one: ptystore.extract_patches(ptystore.canonicalize(one)),
        lambda one: ptystore.split(one)[1],
        lambda one: ptystore.select_view(one, fraction=0.5),
        lambda one: ptystore.simulate(one, dose=100.0),
        lambda one: ptystore.concat([one, one]),
    ):
        expected = contents(work(plain))
        for name, values in contents(work(joined)).items():
            assert same(values, expected[name]), name


def test_a_stack_whose_frames_come_last_goes_with_one_whose_frames_come_first() -> None:
    first, second = arrays_of(1, 5), arrays_of(2, 3)
    turned = {**second, "diff3d": np.moveaxis(second["diff3d"], 0, 2)}
    both = [ptystore.dataset_of(first), ptystore.dataset_of(turned)]
    assert both[1]["diff3d"].frame_axis == 2
    expected = np.concatenate([first["diff3d"], second["diff3d"]])
    assert same(ptystore.concat(both)["diff3d"].values(), expected)
    last = ptystore.concat([both[1], both[1]])["diff3d"]
    assert last.frame_axis == 2
    assert same(last.values(), np.concatenate([turned["diff3d"]] * 2, 2))


@pytest.mark.parametrize("dtypes", [("u1", "u2"), ("u4", "i2"), ("f4", "f8"), ("U2", "U9")])
def test_the_wider_of_two_dtypes_is_taken(dtypes: tuple[str, str]) -> None:
    values = [np.arange(4).astype(dtype) for dtype in dtypes]
    scans = [ptystore.dataset_of(arrays_of(1, 4, extra=own)) for own in values]
    assert same(ptystore.concat(scans)["extra"].values(), np.concatenate(values))


def test_indices_of_scans_that_were_joined_before_stay_apart() -> None:
    one, two = (ptystore.dataset_of(arrays_of(seed, 2)) for seed in (1, 2))
    both = ptystore.concat([one, two])
    index = np.array([7, 7, -1, 7])
    own = ptystore.dataset_of(arrays_of(3, 4, scan_index=index))
    bare = ptystore.dataset_of(arrays_of(4, 1, scan_index=None))
    joined = ptystore.concat([both, own, bare, both])
    expected = [0, 0, 1, 1, 3, 3, 2, 3, 4, 5, 5, 6, 6]
    assert joined["scan_index"].values().tolist() == expected
    assert joined["scan_index"][[12, 6, 0]].tolist() == [6, 2, 0]
    assert joined.metadata is not None
    parameters = joined.metadata.history[-1]["parameters"]
    assert parameters["scan_index"] == [[0, 1], [2, 3], [4, 4], [5, 6]]
    assert parameters["frames"] == [4, 4, 1, 4]


def test_another_probe_is_refused_until_it_is_said_which() -> None:
    other = scan(1, HEIGHT, WIDTH, seed=9)["probeGuess"]
    scans = [ptystore.dataset_of(one) for one in (arrays_of(1, 3), arrays_of(2, 4))]
    odd = ptystore.dataset_of(arrays_of(3, 2, probeGuess=other))
    with pytest.raises(InputError, match="is another one than in scan 0") as caught:
        ptystore.concat([*scans, odd])
    assert caught.value.member == "probeGuess"
    assert caught.value.advice
    for option in ("--take probeGuess=0", "--each probeGuess", "--leave-out probeGuess"):
        assert option in caught.value.advice
    taken = ptystore.concat([*scans, odd], take={"probeGuess": 2})
    assert same(taken["probeGuess"].values(), other)
    kept = ptystore.concat([*scans, odd], each=["probeGuess"])
    assert [name for name in kept if name.startswith("probe")] == [
        "probeGuess_0", "probeGuess_1", "probeGuess_2"
    ]  # fmt: skip
    assert same(kept["probeGuess_2"].values(), other)
    assert {kept[f"probeGuess_{number}"].role for number in range(3)} == {"global"}
    assert "probeGuess" not in ptystore.concat([*scans, odd], leave_out=["probeGuess"])
    # As bits and as shapes: a probe that is equal, NaN and all, is the same.
    nan = np.where(np.eye(HEIGHT, WIDTH) > 0, np.nan, other)
    twice = [ptystore.dataset_of(arrays_of(seed, 2, probeGuess=nan.copy())) for seed in (1, 2)]
    assert same(ptystore.concat(twice)["probeGuess"].values(), nan)
    wide = ptystore.dataset_of(arrays_of(1, 2, probeGuess=nan[None]))
    with pytest.raises(InputError, match="another one"):
        ptystore.concat([twice[0], wide])


REFUSED: dict[str, tuple[Mapping[str, Any], str, str]] = {
    "a field of one alone": ({"extra": np.ones(4)}, "extra", "is not in scan 0"),
    "a probe of one alone": ({"probeGuess": None}, "probeGuess", "is not in scan 1"),
    "positions of one alone": ({"xcoords": None}, "xcoords", "is not in scan 1"),
    "frames of another size": (
        {"diff3d": np.ones((4, HEIGHT, WIDTH + 1), np.uint16)}, "diff3d", "other shapes"
    ),
    "a column of positions": (
        {"ycoords": np.ones((4, 1))}, "ycoords", r"\(3,\) in scan 0, \(4, 1\) in scan 1"
    ),
    "floats and integers": (
        {"ycoords": np.arange(4)}, "ycoords", "float64 in scan 0, int64 in scan 1"
    ),
    "amplitude and counts": (
        {"diff3d": np.ones((4, HEIGHT, WIDTH), np.float32)}, "diff3d", "don't go together"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "member", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_go_together(changed: Mapping[str, Any], member: str, words: str) -> None:
    scans = [ptystore.dataset_of(one) for one in (arrays_of(1, 3), arrays_of(2, 4, **changed))]
    with pytest.raises(InputError, match=words) as caught:
        ptystore.concat(scans)
    assert caught.value.member == member
    advice = caught.value.advice or ""
    # No advice names what would leave no scan, or would not help.
    assert ("--leave-out" in advice) == (member in ("extra", "probeGuess"))
    if "--leave-out" in advice:
        assert member not in ptystore.concat(scans, leave_out=[member])
    if "canonicalize each" in advice:
        ptystore.concat([ptystore.canonicalize(one) for one in scans])


def test_two_names_of_frames_two_signals_and_two_roles() -> None:
    plain = ptystore.dataset_of(arrays_of(1, 4))
    for other, words in (
        (ptystore.canonicalize(ptystore.dataset_of(arrays_of(2, 4))), "two names"),
        (ptystore.dataset_of(arrays_of(2, 4, extra=np.ones(4))), "leave it out"),
    ):
        with pytest.raises(InputError) as caught:
            ptystore.concat([plain, other])
        assert words in str(caught.value.advice)
    floats = [arrays_of(seed, 3, diff3d=np.full((3, HEIGHT, WIDTH), 2.5)) for seed in (1, 2)]
    signals = [
        ptystore.dataset_of(one, attrs={"diff3d": {"signal": signal}})
        for one, signal in zip(floats, ("amplitude", "counts"), strict=True)
    ]
    with pytest.raises(InputError, match="amplitude and counts"):
        ptystore.concat(signals)
    roles = [ptystore.dataset_of(arrays_of(1, frames, extra=np.ones(4))) for frames in (4, 5)]
    with pytest.raises(InputError, match="per frame in scan 0, global in scan 1"):
        ptystore.concat(roles)


def test_arguments_that_make_no_sense() -> None:
    scans = [ptystore.dataset_of(one) for one in (arrays_of(1, 3), arrays_of(2, 4))]
    with pytest.raises(ParameterError, match="no scans"):
        ptystore.concat([])
    for options, words in (
        ({"take": {"probeGuess": 2}}, "there are 0 to 1"),
        ({"take": {"probeGuess": -1}}, "there are 0 to 1"),
        ({"take": {"nothing": 0}}, "no such field"),
        ({"each": ["xcoords"]}, "all are kept"),
        ({"take": {"probeGuess": 0}, "each": ["probeGuess"]}, "two ways"),
        ({"merge": "best"}, "unknown merge strategy"),
    ):
        with pytest.raises(ParameterError, match=words):
            ptystore.concat(scans, **options)
    with pytest.raises(InputError, match="no per-frame field"):
        ptystore.concat([ptystore.dataset_of({"objectGuess": np.ones((4, 5))})])


def test_metadata_are_merged_and_no_history_is_lost(tmp_path: Path) -> None:
    documents = [
        document(physics_parameters={"nphotons": dose, "gridsize": 1}) for dose in (1e3, 1e4)
    ]
    for number, one in enumerate(documents):
        made = ptystore.dataset_of(arrays_of(number, 3), one)
        for _ in range(number + 1):
            made = ptystore.ingest(made)
        ptystore.write(made, tmp_path / f"{number}.h5")
    scans = [ptystore.open(tmp_path / f"{number}.h5") for number in range(2)]
    metadata = ptystore.concat(scans).metadata
    assert metadata is not None
    merged = metadata.document
    assert merged["merge_info"]["sources"] == ["0.h5", "1.h5"]
    assert merged["merge_info"]["differences"][0]["physics_parameters"]["nphotons"] == 1e4
    (history,) = merged["merge_info"]["histories"]
    assert (history["source"], len(history["data_transformations"])) == (1, 2)
    record = metadata.history[-1]
    assert (record["tool"], record["operation"]) == ("ptystore", "concat")
    assert [ref["file"] for ref in record["inputs"]] == ["0.h5", "1.h5"]
    assert [ref["digest"] for ref in record["inputs"]] == [one.source.digest for one in scans
                                                           if one.source]  # fmt: skip
    with pytest.raises(InputError, match="nphotons"):
        ptystore.concat(scans, merge="validate_consistent")


def test_scales_that_differ_are_not_told_of_all_frames(tmp_path: Path) -> None:
    simulated = [
        ptystore.simulate(ptystore.dataset_of(arrays_of(seed, 4, diff3d=None)), dose=dose)
        for seed, dose in ((1, 50.0), (2, 5000.0))
    ]
    for number, one in enumerate(simulated):
        ptystore.write(one, tmp_path / f"{number}.zarr")
        opened_again = ptystore.open(tmp_path / f"{number}.zarr")
        assert opened_again.metadata is not None
        assert "amplitude_scale" in opened_again.metadata.physics
    stored_ones = [ptystore.open(tmp_path / f"{number}.zarr") for number in range(2)]
    joined_metadata = ptystore.concat(stored_ones).metadata
    assert joined_metadata is not None
    assert "amplitude_scale" not in joined_metadata.physics
    joined = ptystore.concat(simulated)
    said: list[str] = []
    ptystore.write(joined, tmp_path / "a.npz", warn=said.append)
    assert any("left out: diffraction: amplitude_scale" in line for line in said)
    stored = ptystore.open(tmp_path / "a.npz")
    assert "amplitude_scale" not in stored["diffraction"].attrs
    expected = np.concatenate([one["diffraction"].values() for one in simulated])
    assert same(stored["diffraction"].values(), expected)
    assert stored.metadata is not None
    assert "amplitude_scale" not in stored.metadata.physics
    counts = [
        ptystore.simulate(
            ptystore.dataset_of(arrays_of(seed, 4, diff3d=None)), dose=dose, signal="counts"
        )
        for seed, dose in ((1, 50.0), (2, 5000.0))
    ]
    with pytest.raises(InputError, match="another amplitude_scale"):
        ptystore.concat(counts)
    canonical = ptystore.concat([ptystore.canonicalize(one) for one in counts])
    assert canonical["diffraction"].shape == (8, HEIGHT, WIDTH)


def test_checks_and_sources_are_those_of_all(tmp_path: Path) -> None:
    arrays = three()
    arrays[1]["xcoords"][:] = np.nan
    scans = _written(arrays, tmp_path)
    with pytest.raises(InputError, match="not finite") as caught:
        ptystore.write(ptystore.concat(scans), tmp_path / "all.zarr")
    assert caught.value.file == str(tmp_path / "1.npz")
    fine = ptystore.concat([scans[0], scans[2]])
    for number in (0, 2):
        before = (tmp_path / f"{number}.npz").read_bytes()
        with pytest.raises(ptystore.DestinationError):
            ptystore.write(fine, tmp_path / f"{number}.npz", overwrite=True)
        assert (tmp_path / f"{number}.npz").read_bytes() == before


def _written(arrays: list[dict[str, Any]], folder: Path) -> list[ptystore.Dataset]:
    for number, one in enumerate(arrays):
        np.savez(folder / f"{number}.npz", **one)
    return [ptystore.open(folder / f"{number}.npz") for number in range(len(arrays))]


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_verb(tmp_path: Path) -> None:
    arrays = three()
    arrays[2]["probeGuess"] = scan(1, HEIGHT, WIDTH, seed=9)["probeGuess"]
    _written(arrays, tmp_path)
    sources = [tmp_path / f"{number}.npz" for number in range(3)]
    refused = run("join", *sources, tmp_path / "all.zarr")
    assert refused.exit_code == 3
    assert "--take probeGuess=0" in refused.stderr
    done = run("join", *sources, tmp_path / "all.zarr", "--take", "probeGuess=2", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 13
    stored = ptystore.open(tmp_path / "all.zarr")
    assert same(stored["probeGuess"].values(), arrays[2]["probeGuess"])
    assert stored.metadata is not None
    assert stored.metadata.history[-1]["operation"] == "join"
    apart = run("join", *sources, tmp_path / "b.h5", "--each", "probeGuess",
                "--leave-out", "objectGuess", "--skip", "scan_index")  # fmt: skip
    assert apart.exit_code == 0, apart.stderr
    assert {"probeGuess_0", "probeGuess_2", "scan_index"} < set(ptystore.open(tmp_path / "b.h5"))
    for wrong in (
        [sources[0]], [*sources, tmp_path / "c.zarr", "--take", "probeGuess"],
        [*sources, tmp_path / "c.zarr", "--take", "probeGuess=x"],
        [*sources, tmp_path / "c.zarr", "--take", "probeGuess=3"],
        [*sources, tmp_path / "c.zarr", "--merge", "best"],
    ):  # fmt: skip
        assert run("join", *wrong).exit_code == 2
