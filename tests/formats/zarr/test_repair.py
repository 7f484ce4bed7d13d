"""Repair: damage, verify, repair, and the same bytes as before."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptystore
import scans
from chunk_places import chunk_places
from faults.calls import FaultAt, watched
from faults.outcomes import command, in_child, litter, wait
from ptystore.errors import DestinationError, InputError, IntegrityError

FRAMES = 3000
MANIFEST = "ptystore-manifest.json"


def arrays() -> dict[str, np.ndarray]:
    return scans.scan(FRAMES, 64, 64) | {"labels": np.array(["a", "bé"]), "s": np.array(2.5)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same scan in each format."""
    folder = tmp_path_factory.mktemp("made")
    for suffix in scans.SUFFIXES:
        scans.put(folder, suffix, arrays(), scans.document())
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "scan.zarr", tmp_path / "damaged.zarr"))


def files(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def flip(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.unlink()  # copies may share their files
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_damage_repair_and_the_same_bytes(made: Path, store: Path, suffix: str) -> None:
    before = files(store)
    (store / "diff3d/c.0.0.0").unlink()
    shutil.rmtree(store / "ycoords")
    for key in ("diff3d/c.1.0.0", "xcoords/c.0", "labels/c.0", "s/c", "probeGuess/zarr.json"):
        flip(store / key)
    report = ptystore.repair(store, made / f"scan{suffix}")
    assert report.ok
    assert report.verified.ok
    assert set(report.rewritten) == {
        *("diff3d/c.0.0.0", "diff3d/c.1.0.0", "xcoords/c.0", "labels/c.0", "s/c"),
        *("probeGuess/zarr.json", "ycoords/c.0", "ycoords/zarr.json"),
    }
    assert files(store) == before
    assert litter(store) == []
    assert ptystore.verify(store).digests == ptystore.verify(made / "scan.zarr").digests


def test_any_damage_at_random(made: Path, store: Path) -> None:
    before, rng = files(store), random.Random(4)
    for _ in range(6):
        keys = rng.sample(sorted(set(before) - {"zarr.json"}), 5)
        for key in keys:
            if rng.random() < 0.4:
                (store / key).unlink()
            else:
                flip(store / key, rng.randrange((store / key).stat().st_size))
        assert not ptystore.verify(store).ok
        assert ptystore.repair(store, made / "scan.npz").ok
        assert files(store) == before


def test_undamaged_chunks_are_kept_and_the_manifest_follows(
    made: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another encoder, what is written anew has other bytes, all else has not."""
    from ptystore.formats.zarr import repair

    places = chunk_places(store, "diff3d")
    before = [file.read_bytes()[at : at + size] for file, at, size in places]
    scans.flip(places[5])
    monkeypatch.setattr(repair, "encode", stored_only)
    report = ptystore.repair(store, made / "scan.npz")
    assert report.ok
    assert report.rewritten == ("diff3d/c.0.0.0", MANIFEST)
    after = [f.read_bytes()[at : at + n] for f, at, n in chunk_places(store, "diff3d")]
    assert [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [5]


def stored_only(chunk: np.ndarray) -> bytes:
    from numcodecs import blosc

    return bytes(blosc.compress(chunk, b"lz4", 0, blosc.NOSHUFFLE, 0))


def test_sound_chunks_in_the_wrong_place(made: Path, store: Path, tmp_path: Path) -> None:
    other = scans.put(tmp_path, ".zarr", scans.scan(FRAMES, 64, 64, seed=1))
    before = files(store)
    for key in ("xcoords/c.0", "diff3d/c.1.0.0"):
        shutil.copy(other / key, store / key)
    assert not ptystore.verify(store).ok
    assert ptystore.repair(store, made / "scan.h5").ok
    assert files(store) == before


def test_a_store_that_shares_files_is_untouched(made: Path, tmp_path: Path) -> None:
    first = Path(shutil.copytree(made / "scan.zarr", tmp_path / "first.zarr"))
    second = tmp_path / "second.zarr"
    ptystore.write(ptystore.open(first), second)
    key = "diff3d/c.0.0.0"
    assert (first / key).samefile(second / key)
    scans.flip(chunk_places(first, "diff3d")[3])
    damaged = (second / key).read_bytes()
    assert ptystore.repair(first, made / "scan.npz").ok
    assert (second / key).read_bytes() == damaged
    assert not (first / key).samefile(second / key)
    assert ptystore.repair(second, first).ok


def test_a_manifest_that_is_lost_is_made_again(made: Path, store: Path) -> None:
    before = files(store)
    for data in (None, b"{"):
        (store / MANIFEST).unlink()
        if data is not None:
            (store / MANIFEST).write_bytes(data)
        flip(store / "diff3d/c.1.0.0")
        report = ptystore.repair(store, made / "scan.npz")
        assert report.ok
        assert files(store) == before


def test_a_sound_store_is_left_alone(made: Path, store: Path) -> None:
    before = {p: p.stat().st_ino for p in store.rglob("*")}
    assert ptystore.repair(store, made / "scan.npz").rewritten == ()
    assert {p: p.stat().st_ino for p in store.rglob("*")} == before


def test_extra_files_are_told_and_kept(made: Path, store: Path) -> None:
    (store / "notes.txt").write_text("mine")
    flip(store / "xcoords/c.0")
    report = ptystore.repair(store, made / "scan.npz")
    assert report.verified.damage == ("notes.txt: is not in the manifest",)
    assert report.rewritten == ("xcoords/c.0",)
    assert (store / "notes.txt").read_text() == "mine"


def test_a_source_with_other_values_is_refused(store: Path, tmp_path: Path) -> None:
    flip(store / "diff3d/c.0.0.0")
    damaged = files(store)
    for suffix in scans.SUFFIXES:
        other = scans.put(tmp_path, suffix, scans.scan(FRAMES, 64, 64, seed=1))
        with pytest.raises(InputError, match="diff3d: is not what the store had"):
            ptystore.repair(store, other)
        scans_without = scans.put(tmp_path / "..", suffix, {"xcoords": np.arange(3.0)})
        with pytest.raises(InputError, match="diff3d: there is no such field"):
            ptystore.repair(store, scans_without)
        scans_without.unlink() if scans_without.is_file() else shutil.rmtree(scans_without)
    assert files(store) == damaged


def test_a_source_that_lies_about_its_digest_is_refused(store: Path, tmp_path: Path) -> None:
    """Its chunks are sound and its manifest agrees; only the values say that they are others."""
    source = Path(shutil.copytree(store, tmp_path / "source.zarr"))
    other = scans.put(tmp_path, ".zarr", scans.scan(FRAMES, 64, 64, seed=1))
    shutil.copy(other / "xcoords/c.0", source / "xcoords/c.0")
    assert ptystore.open(source)["xcoords"].digest == ptystore.open(store)["xcoords"].digest
    flip(store / "xcoords/c.0")
    damaged = files(store)
    with pytest.raises(InputError, match="xcoords: is not what the store had"):
        ptystore.repair(store, source)
    assert files(store) == damaged


def test_a_damaged_source_is_refused(made: Path, store: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(store, tmp_path / "source.zarr"))
    for path in (source, store):
        flip(path / "diff3d/c.0.0.0")
    with pytest.raises(IntegrityError, match="is damaged too: diff3d: frames"):
        ptystore.repair(store, source)


def test_a_damaged_root_can_not_be_repaired(made: Path, store: Path) -> None:
    flip(store / "zarr.json")
    with pytest.raises(IntegrityError, match=r"zarr\.json: is damaged") as caught:
        ptystore.repair(store, made / "scan.npz")
    assert "ptystore ingest" in str(caught.value.advice)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_single_file_is_to_be_written_anew(made: Path, suffix: str) -> None:
    with pytest.raises(DestinationError, match="single file") as caught:
        ptystore.repair(made / f"scan{suffix}", made / "scan.zarr")
    assert "ptystore ingest" in str(caught.value.advice)


def test_the_source_is_never_the_store(store: Path) -> None:
    with pytest.raises(DestinationError, match="is the source"):
        ptystore.repair(store, store)


def test_on_the_command_line(made: Path, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flip(store / "xcoords/c.0")
    words = ("repair", store, "--from", made / "scan.npz")
    assert wait(in_child(lambda: command(*words))) == 0
    said = capfd.readouterr().out
    assert "was damaged: xcoords: frames 0 to 2047: the checksum does not match (file c.0)" in said
    assert "wrote xcoords/c.0" in said
    assert wait(in_child(lambda: command("verify", store, "--fast"))) == 0
    (store / "notes.txt").write_text("mine")
    assert wait(in_child(lambda: command(*words))) == 5
    assert "still damaged: notes.txt: is not in the manifest" in capfd.readouterr().out
    assert wait(in_child(lambda: command("repair", made / "scan.h5", *words[2:]))) == 4


class KillAtChange(FaultAt):
    """Kills before the call number `at` of those that change something."""

    def __call__(self, name: str, args: tuple[Any, ...]) -> None:
        if name in ("mkdir", "create", "write", "fsync", "replace", "unlink", "rmdir"):
            super().__call__(name, args)


def test_killed_at_any_change_it_can_be_run_again(tmp_path: Path) -> None:
    source = scans.put(tmp_path, ".zarr", scans.scan(300), scans.document())
    keys = ("diff3d/c.0.0.0", "xcoords/c.0", "probeGuess/zarr.json")
    before, at, ended = files(source), 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        store = Path(shutil.copytree(source, tmp_path / f"{at}.zarr"))
        for key in keys:
            flip(store / key)

        def run(at: int = at, store: Path = store) -> None:
            with watched(tmp_path, KillAtChange(at, lambda: os.kill(os.getpid(), signal.SIGKILL))):
                ptystore.repair(store, source, jobs=1)

        ended = wait(in_child(run))
        now = files(store)
        # Each file is as it was damaged, or right; and nothing else is there.
        assert now.keys() == before.keys()
        assert {key for key in before if now[key] != before[key]} <= set(keys)
        assert ptystore.repair(store, source).ok
        assert files(store) == before
        at += 1
    assert at > 12
