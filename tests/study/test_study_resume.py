"""A study that was stopped, damaged or asked for otherwise: what is kept, and how it goes on."""

from __future__ import annotations

import json
import socket

import pytest

import ptystore
from ptystore import DestinationExistsError, Metadata, StorageError
from studies import digests, save_base, small, tree


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """That files are made durable is tested with the formats; here it would be most of the time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def base(tmp_path):
    return save_base(tmp_path / "recon.npz")


def test_run_again_it_uses_what_verifies(tmp_path, base):
    hub = tmp_path / "hub"
    small(hub, base)
    before = tree(hub / "data")
    lines = []
    report = small(hub, base, log=lines.append)
    assert set(report.reused) == digests(hub).keys()
    assert tree(hub / "data") == before
    assert sum("reused, verified" in line for line in lines) == 11


@pytest.mark.parametrize("name", ["canonical.zarr", "test.npz"])
def test_what_a_killed_run_left_beside_a_product_goes(tmp_path, base, name):
    """The product itself is whole and is used again."""
    hub = tmp_path / "hub"
    small(hub, base)
    folder = hub / "data/phase_c/dose_200"
    left_beside = folder / f".{name}.ptystore-{socket.gethostname()}-0123456789abcdef"
    left_beside.mkdir()
    lines = []
    report = small(hub, base, log=lines.append)
    assert set(report.reused) == digests(hub).keys()
    assert not left_beside.exists()
    assert sum(f"warning: data/phase_c/dose_200/{name}: removed" in line for line in lines) == 1


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 64
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("product", ["canonical.zarr/diffraction/zarr.json", "train.npz"])
def test_a_damaged_product_is_made_again_and_kept_aside(product, tmp_path, base):
    hub = tmp_path / "hub"
    small(hub, base)
    before = digests(hub)
    flip(hub / "data/phase_c/dose_200" / product)
    report = small(hub, base)
    name = f"data/phase_c/dose_200/{product.partition('/')[0]}"
    assert before.keys() - set(report.reused) == {name}
    assert digests(hub) == before
    assert len(list((hub / "archive").glob(f"*/{name}"))) == 1
    assert ptystore.verify(hub / name).ok


def test_a_product_of_other_parameters_is_not_used(tmp_path, base):
    hub = tmp_path / "hub"
    small(hub, base)
    before = digests(hub)
    name = "data/phase_d/dose_200/dense/train.zarr"
    whole = ptystore.open(hub / "data/phase_c/dose_200/train.zarr")
    kept = ptystore.open(hub / name).frame_count
    other = ptystore.select_view(whole, fraction=kept / whole.frame_count)
    assert other.frame_count == kept  # a sound scan of the same form, and yet not the plan's
    ptystore.write(other, hub / name, overwrite=True)
    report = small(hub, base)
    assert name not in report.reused
    assert digests(hub) == before


def test_another_plan_is_refused_or_archived(tmp_path, base):
    hub = tmp_path / "hub"
    small(hub, base)
    before = tree(hub)
    with pytest.raises(DestinationExistsError, match="another plan: seed differ") as caught:
        small(hub, base, seed=1)
    assert caught.value.exit_code == 4
    assert tree(hub) == before
    small(hub, base, seed=1, overwrite_hub=True)
    (archived,) = (hub / "archive").iterdir()
    assert tree(archived) == before
    assert json.loads((hub / "plan/plan.json").read_text())["plan"]["seed"] == 1
    small(hub, base, seed=1, overwrite_hub=True)
    assert len(list((hub / "archive").iterdir())) == 2


def test_a_base_that_changed_is_another_plan(tmp_path, base):
    hub = tmp_path / "hub"
    small(hub, base)
    arrays, _ = ptystore.load_npz(base)
    base.unlink()
    ptystore.save_npz(base, arrays, Metadata.create({"gridsize": 2}))
    with pytest.raises(DestinationExistsError, match="base_metadata"):
        small(hub, base)
    arrays["xcoords"][0] += 1
    base.unlink()
    ptystore.save_npz(base, arrays)
    with pytest.raises(DestinationExistsError, match="base_digest"):
        small(hub, base)


def fail_at(monkeypatch, name, turn):
    """Let the `turn`th call of a function that a study uses fail, after which it works again."""
    module, _, function = name.rpartition(".")
    original = getattr(__import__(module, fromlist=[function]), function)
    calls = []

    def failing(*args, **kwargs):
        calls.append(args)
        if len(calls) == turn:
            raise StorageError("disk full", file="somewhere")
        return original(*args, **kwargs)

    monkeypatch.setattr(name, failing)


WRITES = [
    *("simulate", "canonicalize", "patch", "split train", "split train npz", "split test"),
    *("split test npz", "view dense train", "view dense train npz", "view dense test"),
    "view dense test npz",
]
FAILURES = [("ptystore.api.write", turn + 1, step) for turn, step in enumerate(WRITES)]
FAILURES += [
    ("ptystore.study.run.find_problems", 1, "validate train"),
    ("ptystore.study.run.find_problems", 2, "validate test"),
    ("ptystore.study.hub.Hub.write_json", 13, "metrics dense"),
    ("ptystore.study.run.measure_overlap", 2, "metrics dense"),
    ("ptystore.study.run.mean_photons", 1, "summary"),
    ("ptystore.study.run.summary", 1, "summary"),
]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Digests of a study that nothing disturbed, of the same base."""
    folder = tmp_path_factory.mktemp("clean")
    small(folder / "hub", save_base(folder / "recon.npz"))
    return digests(folder / "hub")


@pytest.mark.parametrize(("name", "turn", "step"), FAILURES)
def test_a_failure_halts_and_the_next_run_completes(name, turn, step, tmp_path, base, clean):
    hub = tmp_path / "hub"
    with pytest.MonkeyPatch.context() as monkeypatch:
        if "Hub" in name:
            fail_hub_write(monkeypatch, turn)
        else:
            fail_at(monkeypatch, name, turn)
        with pytest.raises(StorageError, match="disk full") as caught:
            small(hub, base)
    assert caught.value.exit_code == 6
    blocker = (hub / "analysis/blocker.log").read_text()
    assert f"step: {step}\n" in blocker
    assert "command: ptystore " in blocker
    assert "error: StorageError: somewhere: disk full\n" in blocker
    assert "exit code: 6" in blocker
    log = "".join(path.read_text() for path in (hub / "cli").iterdir())
    assert f"{step}: failed: somewhere: disk full" in log
    assert not (hub / "summary").exists()
    finished = digests(hub) if (hub / "run_manifest.json").exists() else {}
    kept = tree(hub / "data") if (hub / "data").exists() else {}
    report = small(hub, base)
    assert finished.keys() <= set(report.reused)
    assert kept.items() <= tree(hub / "data").items()
    assert not (hub / "analysis/blocker.log").exists()
    assert len(list((hub / "archive").glob("*/analysis/blocker.log"))) == 1
    assert digests(hub) == clean


def fail_hub_write(monkeypatch, turn):
    from ptystore.study.hub import Hub

    original, calls = Hub.write_json, []

    def failing(self, *args):
        calls.append(args)
        if len(calls) == turn:
            raise StorageError("disk full", file="somewhere")
        original(self, *args)

    monkeypatch.setattr(Hub, "write_json", failing)


def test_an_interrupt_leaves_a_study_that_goes_on(tmp_path, base, clean, monkeypatch):
    hub = tmp_path / "hub"
    original, calls = ptystore.api.write, []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr("ptystore.api.write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small(hub, base)
    assert not (hub / "analysis/blocker.log").exists()
    assert len(small(hub, base).reused) == 2
    assert digests(hub) == clean


def test_an_error_of_no_known_kind_is_in_the_blocker_whole(tmp_path, base, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("never thought of")

    monkeypatch.setattr("ptystore.study.run.measure_overlap", broken)
    with pytest.raises(RuntimeError):
        small(tmp_path / "hub", base)
    blocker = (tmp_path / "hub/analysis/blocker.log").read_text()
    assert "RuntimeError: never thought of" in blocker
    assert "Traceback" in blocker


def test_a_manifest_that_somebody_changed_does_not_matter(tmp_path, base, clean):
    hub = tmp_path / "hub"
    small(hub, base)
    (hub / "run_manifest.json").write_text('{"products": [{"path": 1}]}')
    assert len(small(hub, base).reused) == len(clean)
    assert digests(hub) == clean
