"""A hub and what lies in it: nothing is written outside it, and its texts say no more than they
must."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from ptystore import DestinationError
from ptystore.storage import held_folder
from ptystore.storage.held_folder import HeldFolder, LinkInTheWay
from studies import digests, save_base, small, tree


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """That files are made durable is tested with the formats; here it would be most of the time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base and a finished study of it."""
    folder = tmp_path_factory.mktemp("made")
    save_base(folder / "recon.npz")
    small(folder / "hub", folder / "recon.npz")
    return folder


@pytest.fixture
def place(tmp_path, made):
    """A copy of both, and a folder outside with a file in it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    return tmp_path


FOLDERS = [
    *("cli", "data", "plan", "analysis", "summary", "archive"),
    *("data/phase_c", "data/phase_c/dose_200", "data/phase_d/dose_200/dense"),
]
FILES = [
    *("cli/phase_c_dose_200.log", "cli/phase_d_dose_200_dense.log", "plan/plan.json"),
    *("run_manifest.json", "summary/summary.md", "analysis/metrics_todo.md"),
    *("analysis/blocker.log", "data/phase_d/dose_200/dense/metrics.json"),
]
PARTS = [
    *(".run_manifest.json.partial", "summary/.summary.md.partial", "plan/.plan.json.partial"),
    "data/phase_d/dose_200/dense/.metrics.json.partial",
]


def outside_is_as_it_was(place, before):
    assert tree(place / "outside") == before


@pytest.mark.parametrize("options", [{}, {"seed": 1, "overwrite_hub": True}])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_a_link(place, name, options):
    hub, outside = place / "hub", place / "outside"
    if os.path.lexists(hub / name):
        shutil.move(hub / name, outside / "moved")
    else:
        (outside / "moved").mkdir()
    (hub / name).symlink_to(outside / "moved")
    before = tree(outside)
    # With another plan all is moved to the archive, links as links; else they are refused.
    moved = options and name != "archive"
    if moved:
        small(hub, place / "recon.npz", **options)
        assert (hub / "archive").is_dir()
    elif name in ("archive", "analysis") and not options:
        with_a_need_of(name, hub, place)
    else:
        with pytest.raises(DestinationError, match="is a link") as caught:
            small(hub, place / "recon.npz", **options)
        assert caught.value.exit_code == 4
        assert str(hub / name) in str(caught.value)
    assert tree(outside) == before


def with_a_need_of(name, hub, place):
    """Runs for whom something has to go into the folder."""
    (hub / "data/phase_c/dose_200/train.npz").write_bytes(b"damaged")
    with pytest.raises(DestinationError, match="is a link"):
        small(hub, place / "recon.npz")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_a_link(place, name):
    hub, target = place / "hub", place / "outside" / "precious"
    (hub / name).unlink(missing_ok=True)
    (hub / name).symlink_to(target)
    if name == "analysis/blocker.log":
        small(hub, place / "recon.npz")  # an earlier run's goes to the archive
    else:
        with pytest.raises(DestinationError, match="is a link"):
            small(hub, place / "recon.npz")
    assert target.read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "dangling", "second name"])
@pytest.mark.parametrize("name", PARTS)
def test_what_lies_where_a_file_is_made(place, name, kind):
    hub, target = place / "hub", place / "outside" / "precious"
    (hub / name).parent.mkdir(exist_ok=True)
    if kind == "second name":
        (hub / name).hardlink_to(target)
    else:
        (hub / name).symlink_to(target if kind == "link" else place / "outside" / "nothing")
    if "plan" in name:
        small(hub, place / "recon.npz", overwrite_hub=True)
    else:
        (hub / name.replace(".partial", "").replace("/.", "/").lstrip(".")).unlink()
        small(hub, place / "recon.npz")
    assert target.read_text() == "precious"
    assert os.listdir(place / "outside") == ["precious"]


@pytest.mark.parametrize("name", ["cli/phase_c_dose_200.log", "run_manifest.json"])
def test_a_second_name_of_a_file_keeps_what_it_had(place, name):
    hub, kept = place / "hub", place / "outside" / "kept"
    kept.hardlink_to(hub / name)
    before = kept.read_bytes()
    small(hub, place / "recon.npz")
    assert kept.read_bytes() == before
    assert (hub / name).read_bytes() != before


def test_a_product_that_is_a_link_is_made_anew(place):
    hub, name = place / "hub", "data/phase_c/dose_200/patched.zarr"
    shutil.move(hub / name, place / "outside" / "patched.zarr")
    (hub / name).symlink_to(place / "outside" / "patched.zarr")
    before = tree(place / "outside")
    report = small(hub, place / "recon.npz")
    assert name not in report.reused
    assert tree(place / "outside") == before
    assert not (hub / name).is_symlink()
    assert digests(hub)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_not_waited_for(place, name, make):
    (place / "hub" / name).unlink(missing_ok=True)
    make(place / "hub" / name)
    before = tree(place / "outside")
    with suppress(DestinationError):  # no hub, no file; an old document is replaced
        small(place / "hub", place / "recon.npz")
    assert tree(place / "outside") == before


@pytest.mark.parametrize("relative", [False, True])
def test_its_texts_name_no_folder_outside_it(tmp_path, monkeypatch, relative):
    folder = tmp_path / "far a way"
    folder.mkdir()
    base = save_base(folder / "recon.npz")
    monkeypatch.chdir(tmp_path)
    given = Path(os.path.relpath(base)) if relative else base
    hub = tmp_path / "hub"
    small(hub, given)
    # A run with something to tell: a damaged product, and a failure that names its file.
    (hub / "data/phase_c/dose_200/train.npz").write_bytes(b"damaged")
    (hub / "data/phase_d/dose_200/dense/metrics.json").unlink()
    (hub / "data/phase_d/dose_200/dense/metrics.json").mkdir()
    with pytest.raises(DestinationError):
        small(hub, given)
    documents = {name: data for name, data in tree(hub).items() if ".zarr/" not in name}
    texts = {name: data.decode() for name, data in documents.items() if name[-4:] != ".npz"}
    assert "analysis/blocker.log" in texts
    for name, text in texts.items():
        assert str(tmp_path) not in text, name
        assert "far a way" not in text, name
    log = texts["cli/phase_c_dose_200.log"]
    assert "ptystore simulate recon.npz data/phase_c/dose_200/simulated.zarr" in log
    blocker = texts["analysis/blocker.log"]
    assert "data/phase_d/dose_200/dense/metrics.json: " in blocker


def test_texts_of_other_places_are_left_alone(tmp_path):
    from ptystore.study.hub import Hub

    hub = Hub(tmp_path / "hub")
    with hub.opened(tmp_path / "recon.npz"):
        root = hub.root
        for text in (f"{root}2/x", f"{root}.zarr", f"/mnt{root}/x", f"{tmp_path}/recon.npz2"):
            assert hub.text(text) == text
        assert hub.text(f"{root}: {root}/a b, '{root}/c'") == ".: a b, 'c'"
        assert hub.text(f"{tmp_path}/recon.npz: x") == "recon.npz: x"


@pytest.mark.parametrize("descriptors", [True, False])
class TestHeldFolder:
    """The folder itself, also where a system names no files relative to a descriptor."""

    @pytest.fixture(autouse=True)
    def _system(self, descriptors, monkeypatch):
        monkeypatch.setattr(held_folder, "DIR_FD", descriptors)

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "out").mkdir()
        folder = HeldFolder(tmp_path / "in")
        yield folder
        folder.close()

    def test_files_come_and_go(self, folder, tmp_path):
        folder.write("a/b/c", b"one")
        folder.append("a/b/c", b" two")
        folder.append("a/log", b"line")
        assert folder.read("a/b/c") == b"one two"
        folder.move("a/b/c", "x/y")
        assert tree(tmp_path / "in") == {"a/log": b"line", "x/y": b"one two"}
        assert sorted(folder.names()) == ["a", "x"]
        with pytest.raises(FileNotFoundError):
            folder.read("a/b/c")

    def test_no_link_is_followed(self, folder, tmp_path):
        (tmp_path / "in" / "way").symlink_to(tmp_path / "out")
        (tmp_path / "in" / "file").symlink_to(tmp_path / "out" / "new")
        (tmp_path / "in" / "mine").write_text("mine")
        refused = [
            lambda: folder.write("way/x", b""),
            lambda: folder.append("way/x", b""),
            lambda: folder.append("file", b""),
            lambda: folder.write("file", b""),
            lambda: folder.read("way/x"),
            lambda: folder.read("file"),
            lambda: folder.move("mine", "way/x"),
            lambda: folder.make_room("way/deep/x"),
            lambda: folder.is_link("way/x"),
        ]
        for call in refused:
            with pytest.raises(LinkInTheWay):
                call()
        assert os.listdir(tmp_path / "out") == []
        assert folder.is_link("way")
        assert not folder.is_link("mine")
        assert not folder.is_link("nothing")
