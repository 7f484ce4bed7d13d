"""The study from end to end: what it leaves, that its figures are true, and how it goes on."""

from __future__ import annotations

import fcntl
import json
import os
import re

import numpy as np
import pytest
from blake3 import blake3

import ptystore
from ptystore import (
    DestinationError,
    InputError,
    IntegrityError,
    Metadata,
    ParameterError,
    PtystoreError,
    run_study,
)
from ptystore.study.report import mean_photons
from ptystore.survey.overlap import overlap_metrics, probe_fwhm
from reconstructions import reconstruction
from studies import digests, save_base, small, tree

PHASE_C = [f"{name}.zarr" for name in ("simulated", "canonical", "patched", "train", "test")]
PHASE_C += ["train.npz", "test.npz"]
PHASE_D = ["train.zarr", "train.npz", "test.zarr", "test.npz", "metrics.json"]
RECORDS = ["simulate", "canonicalize_dataset", "generate_patches", "train_test_split"]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """That files are made durable is tested with the formats; here it would be most of the time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def base(tmp_path):
    return save_base(tmp_path / "recon.npz")


def tables(text):
    """The rows of every Markdown table under its heading, as dicts."""
    found = {}
    for heading, body in re.findall(r"^#+ (.*?)\n(.*?)(?=^#|\Z)", text, re.S | re.M):
        lines = [line for line in body.splitlines() if line.startswith("|")]
        cells = [[cell.strip(" `") for cell in line.strip("| ").split(" | ")] for line in lines]
        if cells:
            found[heading] = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    return found


def check_figures(hub, doses, views, splits=("train", "test")):
    """Everything that the summary, the metrics and the manifest say, computed again."""
    summary = tables((hub / "summary/summary.md").read_text())
    manifest = json.loads((hub / "run_manifest.json").read_text())
    known = {one["path"]: one for one in manifest["products"]}
    rows = {row["product"]: row for row in summary["Products"]}
    assert rows.keys() == known.keys()
    for path, entry in known.items():
        product, row = hub / path, rows[path]
        size = (
            product.stat().st_size
            if product.is_file()
            else sum(one.stat().st_size for one in product.rglob("*") if one.is_file())
        )
        assert int(row["bytes"]) == entry["bytes"] == size
        if path.endswith(".json"):
            assert row["digest"] == blake3(product.read_bytes()).hexdigest()
        else:
            assert row["digest"] == entry["digest"] == ptystore.digest(product)[1]
            assert int(row["frames"]) == entry["frames"] == ptystore.open(product).frame_count
        for parent in entry["parents"]:
            wanted = known.get(parent["path"], manifest["base"])
            assert (parent["path"], parent["digest"]) == (wanted["path"], wanted["digest"])
    for row, dose in zip(summary["Dose"], doses, strict=True):
        frames = ptystore.open(hub / f"data/phase_c/dose_{dose}/simulated.zarr")["diffraction"]
        scale = frames.attrs["amplitude_scale"]
        counts = (scale * frames.values().astype(np.float64)) ** 2
        assert float(row["photons a frame"]) == pytest.approx(counts.sum() / len(counts), abs=1e-3)
    expected = []
    for dose in doses:
        for view in views:
            for part in splits:
                scan = ptystore.open(hub / f"data/phase_d/dose_{dose}/{view}/{part}.npz")
                x, y = scan["xcoords"].values(), scan["ycoords"].values()
                width = scan["diffraction"].shape[-1]
                diameters = [probe_fwhm(scan["probeGuess"].values())]
                spacing = (1 - {"dense": 0.7, "sparse": 0.2}[view]) * width
                if diameters[0] < spacing:
                    diameters.append(0.6 * width)
                for diameter in diameters:
                    expected.append((str(dose), view, part, overlap_metrics(x, y, diameter)))
    for row, (*names, metrics) in zip(summary["Overlap"], expected, strict=True):
        assert [row["dose"], row["view"], row["split"]] == names
        assert int(row["frames"]) == metrics.frames
        assert float(row["D"]) == pytest.approx(metrics.diameter, rel=1e-5)
        for k in (1, 2, 3):
            value = getattr(metrics, f"metric{k}")
            shown = row[f"metric {k}"]
            assert shown == "–" if value is None else float(shown) == pytest.approx(value, abs=1e-6)


def test_a_study_leaves_what_it_promises(tmp_path, base):
    hub = tmp_path / "hub"
    lines = []
    before = tree(tmp_path)
    report = small(hub, base, doses=[200, 1000], views=["dense", "sparse"], log=lines.append)
    assert {name: data for name, data in tree(tmp_path).items() if "hub/" not in name} == before
    assert {path.name for path in tmp_path.iterdir()} == {"hub", "recon.npz"}
    assert {path.name for path in hub.iterdir()} == {
        *("plan", "data", "cli", "analysis", "summary", "run_manifest.json")
    }
    for dose in (200, 1000):
        folder = hub / f"data/phase_c/dose_{dose}"
        assert {path.name for path in folder.iterdir()} == set(PHASE_C)
        assert (hub / f"cli/phase_c_dose_{dose}.log").is_file()
        for view in ("dense", "sparse"):
            folder = hub / f"data/phase_d/dose_{dose}/{view}"
            assert {path.name for path in folder.iterdir()} == set(PHASE_D)
            log = (hub / f"cli/phase_d_dose_{dose}_{view}.log").read_text()
            assert f"view {view} train: done" in log
            metrics = json.loads((folder / "metrics.json").read_text())
            assert metrics["splits"]["train"]["diameter_from"] == "probe FWHM"
            for part in ("train", "test"):
                with np.load(folder / f"{part}.npz", allow_pickle=False) as npz:
                    document = json.loads(str(npz["_metadata"].item()))
                    assert npz["Y"].shape == npz["diffraction"].shape
                done = [one["operation"] for one in document["data_transformations"]]
                assert done == [*RECORDS, "select_view"]
                assert document["physics_parameters"]["nphotons"] == dose
    assert not (hub / "analysis/blocker.log").exists()
    todo = (hub / "analysis/metrics_todo.md").read_text()
    paths = re.findall(r"`(data/[^`]*)`", todo)
    assert len(paths) == 16
    assert all((hub / path).exists() for path in paths)
    plan = json.loads((hub / "plan/plan.json").read_text())["plan"]
    assert plan["doses"] == [200, 1000]
    assert plan["views"] == {"dense": 0.7, "sparse": 0.2}
    assert plan["seed"] == 42
    assert plan["base_digest"] == ptystore.digest(base)[1]
    assert report.reused == ()
    assert {one.path for one in report.products} == digests(hub).keys()
    assert sum("done in" in line for line in lines) == len(report.products)
    check_figures(hub, [200, 1000], ["dense", "sparse"])
    history = (hub / "summary/summary.md").read_text().partition("## History")[2]
    assert all(name in history for name in [*RECORDS, "select_view"])


def test_the_real_study(tmp_path, run1084):
    hub = tmp_path / "hub"
    report = run_study(hub, run1084, doses=[1000], views=["dense", "sparse"])
    frames = {one.path.removeprefix("data/"): one.frames for one in report.products}
    assert frames["phase_c/dose_1000/simulated.zarr"] == 1087
    train, test = (frames[f"phase_c/dose_1000/{part}.npz"] for part in ("train", "test"))
    assert train + test == 1087
    for part in ("train", "test"):
        assert 10 <= frames[f"phase_d/dose_1000/dense/{part}.npz"] <= 14
        assert frames[f"phase_d/dose_1000/sparse/{part}.npz"] == 2
    for path in hub.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as npz:
            assert len({len(npz[name]) for name in ("diffraction", "Y", "xcoords")}) == 1
            json.loads(str(npz["_metadata"].item()))
    log = (hub / "cli/phase_d_dose_1000_sparse.log").read_text()
    assert "warning: 2 frames are left" in log
    summary = (hub / "summary/summary.md").read_text()
    assert "metric 3 has no value (2 frames: a group needs 4)" in summary
    assert "metrics 1 and 2 are 0 by construction" in summary
    check_figures(hub, [1000], ["dense", "sparse"])


def test_one_split_alone(tmp_path, base):
    small(tmp_path / "hub", base, splits=["test"], axis="x", fraction=0.3)
    names = {path.name for path in (tmp_path / "hub/data/phase_c/dose_200").iterdir()}
    assert names == set(PHASE_C) - {"train.zarr", "train.npz"}
    check_figures(tmp_path / "hub", [200], ["dense"], ["test"])


def test_workers_change_no_digest(tmp_path, base):
    small(tmp_path / "one", base, jobs=1)
    small(tmp_path / "three", base, jobs=3)
    assert digests(tmp_path / "one") == digests(tmp_path / "three")


def test_products_without_their_records_stop_before_phase_d(tmp_path, base, monkeypatch):
    def without_record(dataset, **options):
        patched = ptystore.extract_patches(dataset, **options)
        return ptystore.Dataset(patched.fields, dataset.metadata, dataset.source)

    monkeypatch.setattr("ptystore.study.plan.extract_patches", without_record)
    with pytest.raises(PtystoreError, match=r"train\.zarr: is no valid scan: .*patch") as caught:
        small(tmp_path / "one", base)
    assert caught.value.exit_code == 1
    monkeypatch.setattr("ptystore.study.run.find_problems", lambda *args, **options: [])
    with pytest.raises(PtystoreError, match=r"patched\.zarr.*generate_patches"):
        small(tmp_path / "two", base)
    assert "step: check phase C" in (tmp_path / "two/analysis/blocker.log").read_text()
    assert not (tmp_path / "two/data/phase_d").exists()


def test_frames_that_look_like_counts_are_not_valid(tmp_path):
    given = reconstruction()
    del given["detector_mask"]
    given["probeGuess"] *= 1e5
    np.savez(tmp_path / "bright.npz", **given)
    with pytest.raises(PtystoreError, match="looks like counts") as caught:
        small(tmp_path / "hub", tmp_path / "bright.npz")
    assert caught.value.exit_code == 1
    assert "step: validate train" in (tmp_path / "hub/analysis/blocker.log").read_text()


def test_windows_outside_the_object_are_a_warning(tmp_path):
    given = reconstruction()
    del given["detector_mask"]
    given["xcoords"][4] = 3.0
    np.savez(tmp_path / "edge.npz", **given)
    lines = []
    small(tmp_path / "hub", tmp_path / "edge.npz", log=lines.append)
    assert any("outside the object" in line for line in lines if line.startswith("validate"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"doses": []}, ParameterError, "at least one dose"),
        ({"doses": [100, 100.0]}, ParameterError, "100 is asked for twice"),
        ({"doses": [-5]}, ParameterError, "dose"),
        ({"doses": [5, float("nan")]}, ParameterError, "dose"),
        ({"views": ["dense", "medium"]}, ParameterError, "dense or sparse"),
        ({"splits": ["validation"]}, ParameterError, "train or test"),
        ({"patch_size": 16}, ParameterError, "16 pixels do not fit frames of 32×32"),
        ({"axis": "z"}, ParameterError, "axis"),
        ({"fraction": 1.5}, ParameterError, "fraction"),
        ({"seed": -1}, ParameterError, "seed"),
        ({"k_neighbors": 0}, ParameterError, "k_neighbors"),
    ],
)
def test_a_plan_that_makes_no_sense_leaves_nothing(options, error, words, tmp_path, base):
    with pytest.raises(error, match=words):
        small(tmp_path / "hub", base, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"recon.npz"}


def test_grouping_needs_enough_neighbours(tmp_path, base):
    arrays, _ = ptystore.load_npz(base)
    ptystore.save_npz(tmp_path / "grid.npz", arrays, Metadata.create({"gridsize": 3}))
    with pytest.raises(ParameterError, match=r"k_neighbors is 7.*gridsize 3"):
        small(tmp_path / "hub", tmp_path / "grid.npz")


def test_places_that_are_no_hub_are_refused(tmp_path, base):
    def refused(hub, words, origin=base, **options):
        before = tree(tmp_path)
        with pytest.raises(DestinationError, match=words) as caught:
            small(hub, origin, **options)
        assert caught.value.exit_code == 4
        assert tree(tmp_path) == before

    refused(tmp_path / "none/hub", "no folder")
    refused(tmp_path, "holds the base file")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    refused(mine, "no study's hub")
    refused(mine, "no study's hub", overwrite_hub=True)
    refused(mine / "notes.txt", "not a folder")
    hub = tmp_path / "hub"
    small(hub, base)
    refused(hub / "inner", "lies inside the study")
    inside = hub / "data/phase_c/dose_200/patched.zarr"
    refused(hub, "holds the base file", inside, overwrite_hub=True)
    handle = os.open(hub, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    refused(hub, "another run")
    os.close(handle)
    with pytest.raises(InputError):
        small(tmp_path / "hub2", tmp_path / "absent.npz")
    (hub / "plan/plan.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"plan\.json"):
        small(hub, base)


def test_photons_are_counted_over_all_blocks(base):
    scan = ptystore.simulate(ptystore.open(base), dose=500)
    field = scan["diffraction"]
    counts = (field.attrs["amplitude_scale"] * field.values().astype(np.float64)) ** 2
    assert mean_photons(scan) == pytest.approx(counts.sum() / 32, rel=1e-12)
