"""`digest --json` is a file to sign: the same bytes for the same scan, others for another."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from typer.testing import CliRunner

import ptystore
import scans
from ptystore_cli.app import app


def document(path: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["digest", str(path), "--json", *words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def scan() -> ptystore.Dataset:
    arrays = scans.scan(40, 16, 20) | {"names": scans.values("U5", (40,))}
    return ptystore.dataset_of(arrays, scans.document(z=1, a=[2.5, "é"]))


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """The same scan in every format."""
    made = {suffix: tmp_path / f"scan{suffix}" for suffix in scans.SUFFIXES}
    for path in made.values():
        ptystore.write(scan(), path)
    return made


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_the_same_bytes_wherever_it_lies(
    paths: dict[str, Path], tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = document(paths[suffix])
    other = tmp_path / "elsewhere" / f"other name{suffix}"
    (shutil.copytree if paths[suffix].is_dir() else shutil.copy)(paths[suffix], _made(other))
    assert document(other) == here
    assert document(other, "--jobs", "1") == here
    monkeypatch.chdir(other.parent)
    assert document(Path(other.name)) == here
    assert str(tmp_path) not in here
    keys = list(json.loads(here))
    assert keys == sorted(keys)
    # The last line ends, so that a file of it is what the command prints.
    assert here.endswith("}\n")
    assert here.isascii()


def _made(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return path


def test_what_it_says(paths: dict[str, Path]) -> None:
    told = {suffix: json.loads(document(path)) for suffix, path in paths.items()}
    fields, whole = ptystore.digest(paths[".npz"])
    text = json.dumps(
        scan().metadata.document, separators=(",", ":"), sort_keys=True, ensure_ascii=True
    )
    for suffix, found in told.items():
        manifest = None
        if suffix == ".zarr":
            data = (paths[suffix] / "ptystore-manifest.json").read_bytes()
            manifest = blake3(data).hexdigest()
        assert found == {
            "digest": whole,
            "fields": fields,
            "format": "ptystore-digest-1",
            "manifest": manifest,
            "metadata": blake3(b"ptystore-metadata-1\n" + text.encode()).hexdigest(),
            "recorded": False,
        }
        assert json.loads(document(paths[suffix], "--recorded")) == found | {"recorded": True}


@pytest.mark.parametrize("suffix", scans.SUFFIXES)
def test_other_bytes_for_another_scan(paths: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    here = document(paths[suffix])
    more = {"x": np.ones(2)}
    others = {
        "values": (scans.scan(40, 16, 20, seed=1), scan().metadata),
        "fields": ({**{k: f.values() for k, f in scan().items()}, **more}, scan().metadata),
        "metadata": ({k: f.values() for k, f in scan().items()}, scans.document(z=2)),
        "none": ({k: f.values() for k, f in scan().items()}, None),
        "text": (
            {k: f.values() for k, f in scan().items()},
            ptystore.Metadata.keep_text("{no JSON"),
        ),
    }
    for name, (arrays, metadata) in others.items():
        path = tmp_path / f"{name}{suffix}"
        ptystore.write(ptystore.dataset_of(arrays, metadata), path)
        assert document(path, *(["--metadata", "keep-text"] if name == "text" else [])) != here


def test_a_foreign_store_has_no_manifest(tmp_path: Path) -> None:
    import zarr

    zarr.open_group(tmp_path / "a.zarr", mode="w")["x"] = np.ones(3)
    found = json.loads(document(tmp_path / "a.zarr"))
    assert (found["manifest"], found["metadata"]) == (None, None)


def test_a_manifest_that_can_not_be_read_is_told(paths: dict[str, Path]) -> None:
    manifest = paths[".zarr"] / "ptystore-manifest.json"
    dataset = ptystore.open(paths[".zarr"])
    manifest.rename(manifest.with_name("kept"))
    manifest.mkdir()
    with pytest.raises(ptystore.IntegrityError, match=r"manifest\.json: cannot be read"):
        ptystore.digest_document(dataset, {}, None)


def _ssh_keygen(folder: Path) -> tuple[list[str], Callable[[Path], bool]]:
    keygen = shutil.which("ssh-keygen") or ""
    key, signers = folder / "key", folder / "signers"
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    signers.write_text(f"beamline@example.org {key.with_suffix('.pub').read_text()}")
    sign = [keygen, "-Y", "sign", "-q", "-f", str(key), "-n", "ptystore"]

    def verified(signed: Path) -> bool:
        command = [keygen, "-Y", "verify", "-f", signers, "-I", "beamline@example.org"]
        command += ["-n", "ptystore", "-s", f"{signed}.sig"]
        done = subprocess.run(command, input=signed.read_bytes(), capture_output=True, check=False)
        return done.returncode == 0

    return sign, verified


def _minisign(folder: Path) -> tuple[list[str], Callable[[Path], bool]]:
    tool = shutil.which("minisign") or ""
    key, public = folder / "key", folder / "key.pub"
    subprocess.run([tool, "-G", "-W", "-f", "-p", public, "-s", key], check=True)
    sign = [tool, "-S", "-s", str(key), "-m"]

    def verified(signed: Path) -> bool:
        command = [tool, "-V", "-q", "-p", public, "-m", signed]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    return sign, verified


@pytest.mark.parametrize(
    ("tool", "keys"),
    [("ssh-keygen", _ssh_keygen), ("minisign", _minisign)],
    ids=["ssh-keygen", "minisign"],
)
def test_signing_and_checking(
    paths: dict[str, Path],
    tmp_path: Path,
    tool: str,
    keys: Callable[[Path], tuple[list[str], Callable[[Path], bool]]],
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool} here")
    sign, verified = keys(tmp_path)
    signed = tmp_path / "scan.digest"
    signed.write_text(document(paths[".zarr"]))
    subprocess.run([*sign, signed], check=True, capture_output=True)
    # Whoever got a copy makes the file anew, and checks the signature of that.
    copy = tmp_path / "copy.zarr"
    shutil.copytree(paths[".zarr"], copy)
    signed.write_text(document(copy))
    assert verified(signed)
    ptystore.write(ptystore.dataset_of(scans.scan(40, 16, 20, seed=1)), copy, overwrite=True)
    signed.write_text(document(copy))
    assert not verified(signed)
