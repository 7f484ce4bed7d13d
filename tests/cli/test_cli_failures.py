"""What goes wrong on the command line: one line, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import ptystore
from faults.outcomes import heed_signals
from ptystore_cli.app import app
from ptystore_cli.failures import Stopped
from ptystore_cli.options import parse_size
from ptystore_cli.terminal import format_bytes, printable, table

SOURCES = [
    str(Path(module.__file__ or "").parents[1])
    for module in (ptystore, sys.modules["ptystore_cli.app"])
]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def one_line(result: Result) -> str:
    """The only line of stderr, its advice aside; stdout is empty."""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("ptystore: ")
    assert all(line.startswith("  advice: ") for line in lines[1:])
    assert len(lines) <= 2
    assert result.stdout == ""
    return lines[0]


def command(code: str, *words: object) -> list[str]:
    """A command line for a process of its own, after `code`."""
    program = (
        f"import sys; sys.argv[0] = 'ptystore'; {code}\nfrom ptystore_cli.start import main; main()"
    )
    return [sys.executable, "-c", program, *map(str, words)]


def environment() -> dict[str, str]:
    # Buffered, as a user has it: a small output fails only when it is flushed.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return buffered | {"PYTHONPATH": os.pathsep.join(SOURCES)}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.npz"
    np.savez(
        path,
        diffraction=np.ones((9, 8, 8), np.float32),
        probeGuess=np.ones((8, 8), complex),
        objectGuess=np.ones((30, 30), complex),
        xcoords=np.linspace(8, 20, 9),
        ycoords=np.linspace(8, 20, 9),
    )
    return path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"raw.npz"}


@pytest.mark.parametrize("verb", ["ingest", "canonicalize", "patch", "export"])
def test_missing_source(tmp_path: Path, verb: str) -> None:
    result = run(verb, tmp_path / "nowhere.npz", tmp_path / "a.npz")
    assert result.exit_code == 3
    assert one_line(result).endswith("nowhere.npz: there is no such file or folder")
    assert left(tmp_path) == set()


@pytest.mark.parametrize("verb", ["info", "history", "validate", "verify", "digest"])
def test_bad_source(tmp_path: Path, verb: str) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(b"PK\x03\x04 not a zip")
    result = run(verb, path, "--json")
    assert result.exit_code == 3
    assert one_line(result).startswith(f"ptystore: {path}: ")


def test_failure_while_writing_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "raw.npz"
    made = np.ones((9, 8, 8), np.int16)
    made[4, 2, 2] = -3
    np.savez(source, diff3d=made)
    for suffix in ("npz", "zarr", "h5"):
        result = run("canonicalize", source, tmp_path / f"a.{suffix}")
        assert result.exit_code == 3
        reason = "diffraction: holds negative counts, first in frame 4"
        assert one_line(result) == f"ptystore: {source}: {reason}"
        assert left(tmp_path) == set()


@pytest.mark.parametrize(
    ("destination", "code"),
    [("raw.npz", 4), ("no/folder/a.zarr", 4), ("a.tif", 2), ("raw.npz/a.zarr", 4)],
)
def test_bad_destination(raw: Path, tmp_path: Path, destination: str, code: int) -> None:
    before = raw.read_bytes()
    result = run("ingest", raw, tmp_path / destination, "--overwrite")
    assert result.exit_code == code
    one_line(result)
    assert left(tmp_path) == set()
    assert raw.read_bytes() == before


def test_not_ours_is_not_overwritten(raw: Path, tmp_path: Path) -> None:
    mine = tmp_path / "thesis.zarr"
    mine.mkdir()
    (mine / "chapter1").write_text("precious")
    result = run("ingest", raw, mine, "--overwrite")
    assert result.exit_code == 4
    assert "was not written by ptystore" in one_line(result)
    assert (mine / "chapter1").read_text() == "precious"


@pytest.mark.parametrize(
    "words",
    [("--max-memory", "much"), ("--max-bytes", "0"), ("--jobs", "0"), ("--axis-order", "nwh")],
)
def test_usage_errors(raw: Path, tmp_path: Path, words: tuple[str, str]) -> None:
    result = run("ingest", raw, tmp_path / "a.zarr", *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr
    assert left(tmp_path) == set()


def test_text_from_files_can_not_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "raw.npz"
    evil = "\x1b]0;owned\x07\x9b2J\u202egpj.exe\n\rptystore: all is well"
    record = {"tool": evil, "operation": evil, "timestamp": evil, "parameters": {evil: evil}}
    document = {"data_transformations": [record], "physics_parameters": {"nphotons": evil}}
    np.savez(path, x=np.ones(3), _metadata=np.array(json.dumps(document)))
    for words in (("history", path), ("info", path), ("patch", path, tmp_path / "a.npz")):
        result = run(*words)
        for text in (result.stdout, result.stderr):
            assert not set(text) & set("\x1b\x07\x9b\u202e\r")
            assert "\nptystore: all is well" not in text
    assert len(run("history", path).stdout.splitlines()) == 1
    exact = json.loads(run("history", path, "--json").stdout)
    assert exact["history"] == [record]


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    path = tmp_path / "raw.npz"
    np.savez(path, x=np.ones(3), _metadata=np.array('{"physics_parameters": {"N": "[red]:x:"}}'))
    assert "[red]:x:" in run("info", path).stdout
    assert "[red]:x:[/red] [/]" in table(["field"], [["[red]:x:[/red] [/]"]])


def test_printable() -> None:
    assert printable("Å [b] 1×2 …") == "Å [b] 1×2 …"
    assert printable("a\x1b[0m\x85\u2066\u2028\udcff\tb") == (
        "a\\x1b[0m\\x85\\u2066\\u2028\\udcff\\tb"
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("400MB", 400_000_000),
        ("1.5 GiB", 3 << 29),
        ("64k", 64_000),
        ("2gb", 2 * 10**9),
        ("1B", 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "MB", "1e9", "4 PB", "0.1", "9" * 30, "٣MB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (999_999, "1.00 MB"),
        (10**10, "10.0 GB"),
    ],
)
def test_format_bytes(size: int, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (RuntimeError("odd\nthing"), 70, "ptystore: internal error: RuntimeError: odd\\nthing"),
        (MemoryError(), 6, "ptystore: there is not enough memory"),
        (OSError(5, "Input/output error", "x.npz"), 6, "ptystore: x.npz: Input/output error"),
        (KeyboardInterrupt(), 130, "ptystore: interrupted"),
    ],
)
def test_anything_raised_is_one_line(
    raw: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, line: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(ptystore, "describe", fail)
    result = run("info", raw)
    assert result.exit_code == code
    assert one_line(result) == line
    debugged = run("info", raw, "--debug")
    assert debugged.exit_code == code
    assert "Traceback (most recent call last)" in debugged.stderr
    assert line in debugged.stderr.splitlines()


@pytest.mark.parametrize(
    ("signalled", "code"), [(KeyboardInterrupt(), 130), (Stopped(signal.SIGTERM), 143)]
)
def test_a_signal_while_a_class_is_made(
    raw: Path, monkeypatch: pytest.MonkeyPatch, signalled: BaseException, code: int
) -> None:
    """As when a library is being imported: Python 3.11 raises RuntimeError from it."""

    class Member:
        def __set_name__(self, owner: type, name: str) -> None:
            raise signalled

    def imported(*_: Any, **__: Any) -> None:
        type("Owner", (), {"member": Member()})

    monkeypatch.setattr(ptystore, "describe", imported)
    result = run("info", raw)
    assert result.exit_code == code
    assert one_line(result) in ("ptystore: interrupted", "ptystore: stopped by SIGTERM")


def test_closed_pipe_is_quiet(raw: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("", "info", raw),
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(),
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_full_disk_under_stdout(raw: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("", "info", raw),
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    assert done.returncode == 6
    assert done.stderr == b"ptystore: No space left on device\n"


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_clean_up(raw: Path, tmp_path: Path, signum: int, code: int) -> None:
    # The signal comes when the first block has been written: staging is there by then.
    hook = (
        "import os, ptystore.transfer.one_pass as w; real = w.FieldDigest.add\n"
        "def add(self, leaves):\n"
        "    assert any('ptystore-' in name for name in os.listdir(os.environ['FOLDER']))\n"
        f"    os.kill(os.getpid(), {int(signum)}); real(self, leaves)\n"
        "w.FieldDigest.add = add"
    )
    done = subprocess.run(
        command(hook, "ingest", raw, tmp_path / "a.zarr"),
        capture_output=True,
        text=True,
        env=environment() | {"FOLDER": str(tmp_path)},
        preexec_fn=heed_signals,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert left(tmp_path) == set()


def test_ctrl_c_while_the_command_is_still_loading() -> None:
    hook = (
        "import os, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())"
    )
    done = subprocess.run(
        command(hook, "--version"),
        capture_output=True,
        env=environment(),
        preexec_fn=heed_signals,
        check=False,
    )
    assert done.returncode == -signal.SIGINT  # which a shell calls 130
    assert done.stdout == done.stderr == b""


def test_an_encoding_that_lacks_characters(raw: Path) -> None:
    done = subprocess.run(
        command("", "info", raw),
        capture_output=True,
        env=environment() | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\xd7" in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["patch", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    check = (
        "import atexit; heavy = ('numpy', 'zarr', 'h5py', 'scipy', 'numcodecs')\n"
        "atexit.register(lambda: print(*[n for n in heavy if n in sys.modules], file=sys.stderr))"
    )
    done = subprocess.run(
        command(check, *words), capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "\n"
    assert done.stdout


def _on_a_terminal(words: list[str]) -> str:
    """What a command prints on stderr when that is a terminal."""
    import pty

    primary, secondary = pty.openpty()
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=secondary, env=environment() | {"TERM": "xterm"}
    ) as process:
        os.close(secondary)
        shown = b""
        while True:
            try:
                data = os.read(primary, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            shown += data
    os.close(primary)
    assert process.returncode == 0, shown
    return shown.decode()


def test_progress_on_a_terminal_only(raw: Path, tmp_path: Path) -> None:
    target: Callable[[int], Path] = lambda k: tmp_path / f"a{k}.zarr"  # noqa: E731
    assert "kB" in _on_a_terminal(command("", "ingest", raw, target(0)))
    assert _on_a_terminal(command("", "ingest", raw, target(1), "--quiet")) == ""
    assert _on_a_terminal(command("", "ingest", raw, target(2), "--json")) == ""
    assert run("ingest", raw, target(3)).stderr == ""
