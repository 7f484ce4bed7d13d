"""Nothing that is written tells the host, the user or a folder, where that is asked for."""

from __future__ import annotations

import gzip
import platform
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ptystore
import scans
from ptystore_cli.app import app

HOST, USER = "beamline7.example", "ada-lovelace"

VERBS = {
    "ingest": ["ingest", "SRC", "DST"],
    "canonicalize": ["canonicalize", "SRC", "DST"],
    "patch": ["patch", "SRC", "DST"],
    "export": ["export", "SRC", "out.npz"],
    "materialize": ["materialize", "SRC", "DST"],
    "simulate": ["simulate", "SRC", "DST", "--dose", "100"],
    "split": ["split", "SRC", "DST", "out.h5"],
    "view": ["view", "SRC", "DST", "--fraction", "0.5"],
    "join": ["join", "SRC", "SRC", "DST"],
    "study": ["study", "out", "--base", "SRC", "--dose", "100"],
    "demo": ["demo", "out", "--frames", "60"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose name is the user's, on a host that has another name than ours."""
    home = tmp_path / USER
    home.mkdir()
    monkeypatch.setattr(platform, "node", lambda: HOST)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.delenv("PTYSTORE_ANONYMOUS", raising=False)
    return home


def source(folder: Path, metadata: ptystore.Metadata | None) -> Path:
    arrays = scans.scan(40, 16, 60)
    path = folder / "source.npz"
    ptystore.write(ptystore.dataset_of(arrays, metadata), path, anonymous=False)
    return path


def named(folder: Path) -> ptystore.Metadata:
    record = {"tool": "old", "operation": "x", "parameters": {"input": f"{folder}/raw.npz"}}
    document = ptystore.Metadata.create({"nphotons": 1e4}, script=f"{folder}/make.py").document
    return ptystore.Metadata({**document, "data_transformations": [record]})


def texts(path: Path) -> Iterator[bytes]:
    """Every file's bytes and name, and those of the members of archives."""
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        yield file.name.encode()
        if file.is_file():
            yield file.read_bytes()
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    data = archive.read(name)
                    yield name.encode() + data + data.replace(b"\0", b"")
        if file.suffix == ".gz":
            yield gzip.decompress(file.read_bytes())


def told(folder: Path, source: Path) -> set[str]:
    """What the written files tell of host and user; text in numpy's four bytes a letter too."""
    found = set()
    for path in folder.iterdir():
        for data in texts(path) if path != source else ():
            found |= {word for word in (HOST, USER) if word.encode() in data}
    return found


@pytest.mark.parametrize("how", ["option", "variable"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, how: str
) -> None:
    src = source(folder, named(folder))
    suffix = scans.SUFFIXES[list(VERBS).index(verb) % len(scans.SUFFIXES)]
    places = {
        "SRC": str(src),
        "DST": str(folder / f"out{suffix}"),
    }
    words = [
        places.get(word, str(folder / word) if word.startswith("out") else word)
        for word in VERBS[verb]
    ]
    more = []
    if how == "option":
        more = ["--anonymous"]
    else:
        monkeypatch.setenv("PTYSTORE_ANONYMOUS", "1")
    result = CliRunner().invoke(app, [*words, *more, "--quiet"])
    assert result.exit_code == 0, result.stderr
    assert len(list(folder.iterdir())) > 1
    assert told(folder, src) == set()


def test_without_it_the_host_is_told(folder: Path) -> None:
    src = source(folder, named(folder))
    assert CliRunner().invoke(app, ["ingest", str(src), str(folder / "a.zarr")]).exit_code == 0
    assert told(folder, src) == {HOST, USER}


def test_a_study_goes_on_from_anonymous_products(folder: Path) -> None:
    src = source(folder, named(folder))
    words = ["study", str(folder / "hub"), "--base", str(src), "--dose", "100", "--anonymous"]
    assert CliRunner().invoke(app, words).exit_code == 0
    again = ptystore.run_study(folder / "hub", src, doses=[100], anonymous=True)
    assert set(again.reused) == {product.path for product in again.products}


def test_a_failed_study_tells_nothing_either(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src = source(folder, named(folder))

    def fail(*given: object, **named: object) -> None:
        raise RuntimeError(f"no {folder}/x/y on {src}")

    monkeypatch.setattr("ptystore.api.write", fail)
    with pytest.raises(RuntimeError):
        ptystore.run_study(folder / "hub", src, doses=[100], anonymous=True)
    blocker = (folder / "hub" / "analysis" / "blocker.log").read_text()
    assert "RuntimeError: no " in blocker
    assert USER not in blocker
    assert str(Path(ptystore.__file__).parent) not in blocker


def test_the_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = ptystore.dataset_of({"a": np.ones(3)}, named(folder))
    for name, given in (("a", {"anonymous": True}), ("b", {})):
        if not given:
            monkeypatch.setenv("PTYSTORE_ANONYMOUS", "1")
        ptystore.export(scan, folder / f"{name}.npz", **given)
        made = ptystore.open(folder / f"{name}.npz").metadata
        assert made is not None
        assert made.document["creation_info"]["hostname"] is None
        assert made.history[0]["parameters"] == {"input": "raw.npz"}
    assert ptystore.Metadata.create().document["creation_info"]["hostname"] is None
    assert ptystore.Metadata.create(host="x").document["creation_info"]["hostname"] == "x"
    ptystore.write(scan, folder / "c.npz", anonymous=False)
    assert told(folder, folder / "a.npz") == {HOST, USER}


def test_a_kept_text_is_refused(folder: Path) -> None:
    scan = ptystore.dataset_of({"a": np.ones(3)}, ptystore.Metadata.keep_text("{oops"))
    with pytest.raises(ptystore.InputError, match="names and paths can't be taken out"):
        ptystore.write(scan, folder / "a.npz", anonymous=True)
    assert not list(folder.iterdir())
