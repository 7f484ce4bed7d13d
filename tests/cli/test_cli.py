"""Every verb, as a user calls it: what is written, printed, and what it exits with."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from typer.testing import CliRunner, Result

import ptystore
from ptystore_cli.app import app

FRAMES = 12

# In the order in which a user works.
VERBS = (
    *("ingest", "canonicalize", "patch", "export", "materialize", "prepare", "set"),
    *("info", "history", "validate", "verify", "repair", "digest", "formats"),
    *("simulate", "split", "view", "join", "study", "demo"),
)


def run(*words: object) -> Result:
    """A command line after `ptystore`."""
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words: object) -> Result:
    """The same, and it must succeed."""
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result


def json_of(*words: object) -> dict[str, Any]:
    """Its --json: exactly one object on stdout, nothing on stderr."""
    result = done(*words, "--json")
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def arrays(signal: int = 40, shape: Sequence[int] = (FRAMES, 16, 16)) -> dict[str, Any]:
    """A raw scan: uint16 counts called diff3d, everything in double precision."""
    made = np.random.default_rng(5)
    wave = made.standard_normal((2, 48, 48)) + 1j * made.standard_normal((2, 48, 48))
    return {
        "diff3d": made.poisson(signal, shape).astype(np.uint16),
        "probeGuess": wave[0, :16, :16],
        "objectGuess": wave[1],
        "xcoords": made.uniform(10, 38, FRAMES),
        "ycoords": made.uniform(10, 38, FRAMES),
        "notes": np.array(["a", "bc"]),
    }


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The raw scan as a legacy file: its metadata is a pickled object array."""
    path = tmp_path / "raw.npz"
    text = json.dumps({"physics_parameters": {"nphotons": 1000, "N": 16, "gridsize": 2}})
    np.savez_compressed(path, **arrays(), _metadata=np.array(text, dtype=object))
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("suffix", [".zarr", ".h5", ".npz"])
def test_the_whole_path(raw: Path, tmp_path: Path, suffix: str) -> None:
    scan, canonical, patched = (tmp_path / f"{name}{suffix}" for name in "abc")
    exported = tmp_path / "out.npz"
    said = done("ingest", raw, scan)
    assert re.fullmatch(
        rf"wrote \S+a\{suffix}: 12 frames, 6 fields, [\d.]+ kB in [\d.]+ kB .*\d s\n", said.stdout
    )
    assert said.stderr == ""
    done("canonicalize", scan, canonical)
    done("patch", canonical, patched)
    done("export", patched, exported)
    source = arrays()
    with np.load(exported, allow_pickle=False) as members:
        np.testing.assert_array_equal(
            members["diffraction"], np.sqrt(source["diff3d"].astype(np.float32))
        )
        assert members["Y"].shape == (FRAMES, 16, 16)
        assert members["notes"].tolist() == ["a", "bc"]
        document = json.loads(str(members["_metadata"].item()))
    assert [
        (record["tool"], record["operation"]) for record in document["data_transformations"]
    ] == [
        ("ptystore", "ingest"),
        ("transpose_rename_convert", "canonicalize_dataset"),
        ("generate_patches_tool.py", "generate_patches"),
    ]
    assert document["physics_parameters"] == {
        "nphotons": 1000, "N": 16, "gridsize": 2, "measurement_domain": "normalized_amplitude",
    }  # fmt: skip


def test_json_of_a_write(raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.zarr"
    document = json_of("ingest", raw, target)
    written = ptystore.open(target)
    assert document["digest"] == written.source.digest
    assert document["fields"] == {field.name: field.digest for field in written.fields.values()}
    assert document["stored_bytes"] == sum(
        path.stat().st_size for path in target.rglob("*") if path.is_file()
    )
    assert (document["format"], document["frames"], document["warnings"]) == ("zarr", FRAMES, [])


def test_options_of_canonicalize(raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.npz"
    result = done(
        "canonicalize", raw, target, "--signal", "counts", "--flipx", "--flipy", "--keep-dtypes"
    )
    assert "12 of 12 frames have windows" in result.stderr
    assert all(line.startswith("ptystore: warning: ") for line in result.stderr.splitlines())
    source = arrays()
    with np.load(target) as members:
        np.testing.assert_array_equal(members["diffraction"], source["diff3d"].astype(np.float32))
        np.testing.assert_array_equal(members["xcoords"], -source["xcoords"])
        np.testing.assert_array_equal(members["ycoords"], -source["ycoords"])
        np.testing.assert_array_equal(members["probeGuess"], source["probeGuess"])


def test_options_of_patch(raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.h5"
    done("patch", raw, target, "--size", 6, "--k-neighbors", 5, "--interpolation", "nearest")
    scan = ptystore.open(target)
    assert scan["Y"].shape == (FRAMES, 6, 6)
    parameters = scan.metadata.history[-1]["parameters"]
    assert (parameters["k_neighbors"], parameters["interpolation"]) == (5, "nearest")


def test_too_few_neighbours_are_refused(raw: Path, tmp_path: Path) -> None:
    result = run("patch", raw, tmp_path / "a.zarr", "--k-neighbors", 3)
    assert result.exit_code == 2
    assert "k_neighbors is 3, but gridsize 2 needs at least 4" in result.stderr
    assert names(tmp_path) == {"raw.npz"}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("as-is", {"diff3d"}),
        ("diffraction", {"diffraction"}),
        ("diff3d", {"diff3d"}),
        ("both", {"diff3d", "diffraction"}),
    ],
)
def test_diffraction_key_of_export(raw: Path, tmp_path: Path, key: str, expected: set[str]) -> None:
    target = tmp_path / "a.npz"
    done("export", raw, target, "--diffraction-key", key, "--compression", "store")
    with np.load(target, allow_pickle=False) as members:
        assert {"diff3d", "diffraction"} & set(members.files) == expected
        for name in expected:
            np.testing.assert_array_equal(members[name], arrays()["diff3d"])
    assert target.stat().st_size > sum(array.nbytes for array in arrays().values())


def test_level_of_export(raw: Path, tmp_path: Path) -> None:
    sizes = []
    for level in (0, 9):
        done("export", raw, tmp_path / f"{level}.npz", "--level", level)
        sizes.append((tmp_path / f"{level}.npz").stat().st_size)
    assert sizes[1] < sizes[0]
    for wrong in (["--level", 10], ["--level", 1, "--compression", "store"]):
        result = run("export", raw, tmp_path / "wrong.npz", *wrong)
        assert result.exit_code == 2
        assert "level" in result.stderr
    assert names(tmp_path) == {"raw.npz", "0.npz", "9.npz"}


def test_export_writes_npz_only(raw: Path, tmp_path: Path) -> None:
    result = run("export", raw, tmp_path / "a.zarr")
    assert result.exit_code == 2
    assert ".npz" in result.stderr
    assert names(tmp_path) == {"raw.npz"}


def test_reading_options(tmp_path: Path) -> None:
    source = tmp_path / "odd.npz"
    members = arrays() | {
        "diff3d": np.ones((12, 12, 12)),
        "probeGuess": np.ones((12, 12), complex),
        "ring_current": np.ones((FRAMES, 2)),
        "mask": np.ones((3, 3)),
        "xcoords": np.full(FRAMES, np.nan),
    }
    np.savez(source, **members, _metadata=np.array('{"a": NaN}'))
    target = tmp_path / "a.zarr"
    options = ("--axis-order", "hwn", "--input-signal", "counts", "--global", "ring_current")
    for refused in ("--allow-nonfinite", "--metadata=keep-text"):
        assert run("ingest", source, target, *options, refused).exit_code == 3
    done("ingest", source, target, *options, "--allow-nonfinite", "--metadata=keep-text")
    scan = ptystore.open(target)
    assert (scan["diff3d"].frame_axis, scan["diff3d"].attrs["signal"]) == (2, "counts")
    assert (scan["ring_current"].role, scan["mask"].role) == ("global", "global")
    assert scan.metadata.text == '{"a": NaN}'
    assert "kept as text" in done("info", target).stdout


def test_max_bytes(raw: Path, tmp_path: Path) -> None:
    declared = ptystore.open(raw).nbytes
    assert run("ingest", raw, tmp_path / "a.zarr", "--max-bytes", declared).exit_code == 3
    assert names(tmp_path) == {"raw.npz"}
    done("ingest", raw, tmp_path / "a.zarr", "--max-bytes", "1MB")


def test_a_stored_axis_is_not_reinterpreted(tmp_path: Path) -> None:
    raw, store = tmp_path / "raw.npz", tmp_path / "a.zarr"
    np.savez(raw, **arrays(shape=(FRAMES, FRAMES, FRAMES)))
    assert run("ingest", raw, store).exit_code == 3  # any axis could count the frames
    done("ingest", raw, store, "--axis-order", "nhw")
    result = run("canonicalize", store, tmp_path / "b.zarr", "--axis-order", "hwn")
    assert result.exit_code == 3
    assert "diff3d: is stored along axis 0" in result.stderr
    assert names(tmp_path) == {"raw.npz", "a.zarr"}


@pytest.mark.parametrize("verb", ["ingest", "canonicalize", "patch", "export"])
def test_dry_run_creates_nothing(raw: Path, tmp_path: Path, verb: str) -> None:
    target = tmp_path / "a.npz"
    before = raw.stat().st_mtime_ns
    told = done(verb, raw, target, "--dry-run").stdout
    assert "objectGuess" in told
    assert re.search(r"peak memory \d+ MB", told)
    document = json_of(verb, raw, target, "--dry-run")
    assert document["peak_bytes"] > document["bytes"] > 0
    assert names(tmp_path) == {"raw.npz"}
    assert raw.stat().st_mtime_ns == before


def test_dry_run_of_a_store_shows_the_cuts(raw: Path, tmp_path: Path) -> None:
    document = json_of("ingest", raw, tmp_path / "a.zarr", "--dry-run", "--jobs", 1)
    (frames,) = (field for field in document["fields"] if field["name"] == "diff3d")
    assert frames["bytes"] == FRAMES * 16 * 16 * 2
    assert frames["chunk"][1:] == [16, 16]
    assert document["jobs"] == 1


def test_overwrite(raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.zarr"
    done("ingest", raw, target)
    again = run("canonicalize", raw, target)
    assert again.exit_code == 4
    assert (
        again.stderr == f"ptystore: {target}: already exists\n  advice: --overwrite replaces it\n"
    )
    assert "diff3d" in ptystore.open(target)
    done("canonicalize", raw, target, "--overwrite")
    assert "diffraction" in ptystore.open(target)


def test_quiet_prints_nothing(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    for words in (
        ("canonicalize", raw, store, "--flipx"),  # which warns
        ("info", store),
        ("history", store),
        ("verify", store),
        ("digest", store),
    ):
        result = done(*words, "--quiet")
        assert (result.stdout, result.stderr) == ("", "")


def test_info(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    done("canonicalize", raw, store)
    text = done("info", store).stdout
    for part in ("12 frames", "zarr", "nphotons 1000, N 16, gridsize 2", "1 transformation"):
        assert part in text
    row = next(line for line in text.splitlines() if line.startswith("diffraction"))
    assert " ".join(row.split()) == (
        "diffraction per frame scan 12, ky 16, kx 16 float32 sqrt(counts) amplitude"
    )
    document = json_of("info", store)
    fields = {field["name"]: field for field in document["fields"]}
    assert fields["objectGuess"]["dims"] == ["object_y", "object_x"]
    assert fields["diffraction"]["digest"] == ptystore.open(store)["diffraction"].digest
    assert fields["diffraction"]["codec"] == "blosc-lz4"
    assert document["metadata"] == ptystore.open(store).metadata.document
    assert document["bytes"] == sum(field["bytes"] for field in document["fields"])


def test_history(raw: Path, tmp_path: Path) -> None:
    assert done("history", raw).stdout == "no transformation is recorded\n"
    store, target = tmp_path / "a.zarr", tmp_path / "b.npz"
    done("ingest", raw, store)
    done("patch", store, target)
    first, second = done("history", target).stdout.splitlines()
    whole = ptystore.open(store).source.digest
    assert "  ptystore  ingest  " in first
    assert "frames=12" in first
    assert "  generate_patches_tool.py  generate_patches  patch_size=16" in second
    assert second.endswith(f"from a.zarr ({whole[:10]})")
    records = json_of("history", target)["history"]
    assert records == ptystore.open(target).metadata.history
    assert records[1]["inputs"] == [{"file": "a.zarr", "digest": whole}]


def test_history_of_odd_records(tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    records: list[Any] = [{}, {"tool": 3, "inputs": [7, {"digest": 5}], "parameters": [1]}]
    text = json.dumps({"data_transformations": records})
    np.savez(path, x=np.ones(3), _metadata=np.array(text))
    assert len(done("history", path).stdout.splitlines()) == 2


def test_validate(raw: Path, tmp_path: Path) -> None:
    found = run("validate", raw)
    assert found.exit_code == 1
    assert "diffraction: is called diff3d: canonicalize renames it\n" in found.stdout
    assert "probeGuess: is complex128, canonical is complex64\n" in found.stdout
    as_json = run("validate", raw, "--json")
    assert as_json.exit_code == 1
    problems = json.loads(as_json.stdout)["problems"]
    listed = [
        ": ".join(filter(None, (problem["field"], problem["message"]))) for problem in problems
    ]
    assert found.stdout.splitlines() == [*listed, f"{raw}: {len(problems)} problems"]
    store = tmp_path / "a.zarr"
    done("canonicalize", raw, store)
    assert done("validate", store).stdout == f"{store}: no problems\n"
    few = run("validate", store, "--k-neighbors", 3)
    assert few.exit_code == 1
    assert "k_neighbors 3 is less than gridsize² = 4" in few.stdout


def test_verify(raw: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    done("ingest", raw, store)
    assert "6 fields read whole, all as their recorded digests say" in done("verify", store).stdout
    assert "no recorded digests" in done("verify", raw).stdout
    chunk = next((store / "diff3d").glob("c*"))
    data = bytearray(chunk.read_bytes())
    data[len(data) // 3] ^= 1
    chunk.write_bytes(data)
    damaged = run("verify", store)
    assert damaged.exit_code == 5
    assert re.search(r"^diff3d: frames \d+ to \d+: ", damaged.stdout, re.MULTILINE)
    assert json.loads(run("verify", store, "--json").stdout)["ok"] is False
    (store / "zarr.json").unlink()
    assert run("verify", store).exit_code == 5


def test_digest(raw: Path, tmp_path: Path) -> None:
    store, target = tmp_path / "a.zarr", tmp_path / "b.npz"
    done("ingest", raw, store)
    done("export", store, target)
    lines = done("digest", store).stdout.splitlines()
    assert done("digest", store, "--recorded").stdout.splitlines() == lines
    assert sorted(done("digest", target).stdout.splitlines()) == sorted(lines)
    assert done("digest", raw).stdout.splitlines() == lines
    assert all(re.fullmatch(r"[0-9a-f]{64}  \S+", line) for line in lines)
    digests = {name: digest for digest, name in (line.split("  ") for line in lines)}
    whole = digests.pop("(all)")
    listed = json.dumps(sorted(digests.items()), separators=(",", ":")).encode()
    assert whole == blake3(b"ptystore-scan-1\n" + listed).hexdigest()
    document = json_of("digest", store)
    assert (document["digest"], document["fields"]) == (whole, digests)
    assert set(json_of("digest", raw, "--recorded")["fields"].values()) == {None}


def test_version_and_help() -> None:
    assert done("--version").stdout == f"ptystore {ptystore.__version__}\n"
    for verb in VERBS:
        assert f"Example: ptystore {verb} " in done(verb, "--help").stdout


def test_the_help_lists_the_verbs_in_the_order_of_work() -> None:
    told = done("--help").stdout
    commands = told[told.index("Commands") :]
    assert tuple(re.findall(r"^│ (\w+) ", commands, re.MULTILINE)) == VERBS


def test_the_help_names_suffixes_that_are_taken(raw: Path, tmp_path: Path) -> None:
    told = " ".join(re.findall(r"[^\s│]+", done("ingest", "--help").stdout))
    named = re.search(r"its suffix says the format: ([^\s,]+(?:, [^\s,]+)*)\. ", told)
    assert named is not None, told
    suffixes = named[1].split(", ")
    assert suffixes == [".npz", ".zarr", ".h5", ".hdf5"]
    for suffix in suffixes:
        done("ingest", raw, tmp_path / f"a{suffix}", "--dry-run")
