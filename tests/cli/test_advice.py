"""What is advised can be done: every option and command that advice, help or messages name."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import ptystore
import ptystore_cli.app
from ptystore_cli.advice import fitting_advice, options_in
from ptystore_cli.app import app
from ptystore_cli.registry import options_of_verbs

ROOTS = [Path(module.__file__ or "").parent for module in (ptystore, ptystore_cli.app)]
OPTIONS = options_of_verbs()
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands

# What an f-string puts in: a word that any option and argument takes.
FILLED = "3"

# Commands of others, options included.
OTHERS = re.compile(
    r"pip install --upgrade ptystore|mkdir -p \S+|h5clear -s|ulimit -\w"
    r"|(?<!ptystore )set [A-Z\d_]+\b"
)


class Text(NamedTuple):
    """A text that users may see, and where it stands."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def texts() -> Iterator[Text]:
    """Every text in the sources that names an option or a command; no docstrings, no names."""
    for root in ROOTS:
        for path in sorted(root.rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            skipped = set(_no_advice(tree))
            for node in ast.walk(tree):
                text = _text(node)
                if text and node not in skipped and re.search(r"(?<!\w)--\w|ptystore \w", text):
                    yield Text(f"{root.name}/{path.relative_to(root)}:{node.lineno}", text)


def _no_advice(tree: ast.AST) -> Iterator[ast.AST]:
    """Docstrings, what makes options, and the pieces of texts that are taken whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield from (child for child in ast.walk(node) if child is not node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Option", "Argument")):
            yield from (arg for arg in node.args)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else FILLED for part in node.values)
        return "".join(map(str, parts))
    return ""


ALL = list(texts())


def test_the_texts_are_found() -> None:
    told = "\n".join(map(str, ALL))
    assert "--axis-order nhw or --axis-order hwn" in told  # an argument
    assert "--metadata keep-text stores" in told  # a constant
    assert f"--max-memory {FILLED}MB" in told  # an f-string
    assert len(ALL) > 30


@pytest.mark.parametrize("found", ALL, ids=lambda found: found.where)
def test_every_option_is_some_verbs_and_takes_what_is_given(found: Text) -> None:
    text = OTHERS.sub("", found.text)
    for option in options_in(text):
        takers = [verb for verb in COMMANDS if option in OPTIONS[verb]]
        assert takers or option in ("--help", "--version"), found
        for word in re.findall(rf"{option} ([a-z-]+)", text):
            # What follows a flag is prose; what follows another must be one of its values.
            assert all(takes(verb, option) or takes(verb, option, word) for verb in takers), found


# What a verb can't do without, its arguments aside.
REQUIRED = {"study": ["--base", "a", "--dose", "1"], "repair": ["--from", "a"]}


def takes(verb: str, *words: str) -> bool:
    """Whether a command line of the verb may have these words, with any number of arguments."""
    for count in range(4):
        line = [*["a.npz"] * count, *REQUIRED.get(verb, []), *words]
        with suppress(Exception):
            COMMANDS[verb].make_context(verb, line).close()
            return True
    return False


def test_taking_words() -> None:
    assert takes("ingest", "--axis-order", "nhw")
    assert takes("study", "--overwrite-hub")
    for words in (["--axis-order"], ["--axis-order", "nwh"], ["--dose", "1"]):
        assert not takes("ingest", *words)


# A command with arguments: words in capitals, options and their values, up to the sentence's end.
COMMAND = re.compile(r"ptystore (\w+)((?: (?:--[a-z-]+(?: [a-z0-9]+)?|[A-Z][A-Z.a-z0-9]*))+)")


@pytest.mark.parametrize(
    ("found", "verb", "rest"),
    [(found, *match) for found in ALL for match in COMMAND.findall(found.text)],
    ids=lambda part: part.where if isinstance(part, Text) else str(part),
)
def test_every_command_parses(found: Text, verb: str, rest: str) -> None:
    assert verb in COMMANDS, found
    words = shlex.split(rest)
    takes_values = {option for option in OPTIONS[verb] if not takes(verb, option)}
    # Prose may follow a flag or a value: what is neither in capitals nor an option's value ends it.
    kept: list[str] = []
    for word in words:
        if word[0] != "-" and word[0].islower() and not (kept and kept[-1] in takes_values):
            break
        kept.append(word)
    if not any(word[0].isupper() for word in kept):
        assert set(kept) & OPTIONS[verb], found
        return
    COMMANDS[verb].make_context(verb, kept).close()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_the_help_parses(name: str) -> None:
    examples = [line for line in COMMANDS[name].epilog.split("\n\n") if line]
    assert examples
    for example in examples:
        words = shlex.split(example.removeprefix("Example: ptystore "))
        words = words[: words.index(">")] if ">" in words else words
        assert words[0] == name
        COMMANDS[name].make_context(name, words[1:]).close()


@pytest.mark.parametrize("verb", COMMANDS)
def test_what_a_verb_advises_is_its_own_or_says_whose(verb: str) -> None:
    for found in ALL:
        advice = fitting_advice(found.text, verb, OPTIONS)
        assert advice.startswith(found.text)
        for option in options_in(OTHERS.sub("", found.text)):
            takers = {name for name in COMMANDS if option in OPTIONS[name]}
            named = {name for name in COMMANDS if re.search(rf"\b{name}\b", advice)}
            assert verb in takers or named & takers or option in ("--help", "--version"), advice


def test_fitting_advice() -> None:
    options = {"ingest": {"--axis-order", "--skip"}, "study": {"--dose"}, "patch": {"--skip"}}
    text = "say so with --axis-order nhw, or --skip it"
    assert fitting_advice(text, "ingest", options) == text
    assert fitting_advice(text, "patch", options) == (
        f"{text} (--axis-order is an option of ptystore ingest)"
    )
    for own in ("ptystore ingest SRC DST --axis-order nhw", "pip install --upgrade ptystore"):
        assert fitting_advice(own, "study", options) == own


def run(*words: object) -> list[str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code
    return result.stderr.splitlines()


@pytest.fixture
def ambiguous(tmp_path: Path) -> Path:
    path = tmp_path / "stack.npz"
    there = np.ones(5)
    probe = np.ones((9, 9), complex)
    np.savez(path, diffraction=np.ones((5, 6, 5)), xcoords=there, ycoords=there, probeGuess=probe)
    return path


def test_a_verb_without_the_option_names_one_that_has_it(ambiguous: Path, tmp_path: Path) -> None:
    (line,) = (line for line in run("info", ambiguous) if "advice" in line)
    assert line.endswith("with --axis-order nhw or --axis-order hwn")
    told = run("study", tmp_path / "hub", "--base", ambiguous, "--dose", "9")
    (line,) = (line for line in told if "advice" in line)
    assert line.endswith("(--axis-order is an option of ptystore ingest)")


@pytest.mark.parametrize("name", ["a b", "it's", "$HOME", "a;b", "-x"])
def test_the_folder_to_make_is_quoted(tmp_path: Path, ambiguous: Path, name: str) -> None:
    scan = tmp_path / "a.npz"
    np.savez(scan, x=np.ones(3))
    missing = tmp_path / name / "deeper"
    for words in (["ingest", scan, missing / "b.zarr"], ["study", missing / "hub"]):
        more = ["--base", scan, "--dose", "9"] if words[0] == "study" else []
        told = run(*words, *more)
        if words[0] == "study" and "mkdir" not in told[-1]:
            continue  # the base is refused first
        assert shlex.split(told[-1].partition("first: ")[2]) == ["mkdir", "-p", str(missing)]


def test_the_least_memory_is_named_and_does(tmp_path: Path) -> None:
    scan = tmp_path / "a.npz"
    np.savez(scan, diffraction=np.ones((300, 64, 64), np.float32))
    for words in (["ingest", scan, tmp_path / "b.zarr"], ["export", scan, tmp_path / "b.npz"]):
        for more in (["--overwrite"], ["--overwrite", "--dry-run"]):
            line, advice = run(*words, "--max-memory", "1MB", *more)
            assert "1000000 bytes of memory are too few" in line
            least = re.search(r"--max-memory (\d+)MB", advice)
            assert least
            less = f"{int(least[1]) - 1}MB"
            assert run(*words, "--max-memory", less, *more)
            given = [*map(str, words), "--max-memory", f"{least[1]}MB", *more]
            assert CliRunner().invoke(app, given).exit_code == 0


def test_a_dose_is_asked_for_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    scan = tmp_path / "a.npz"
    ones = np.ones((8, 8), np.complex64)
    there = np.full(3, 10.0)
    np.savez(scan, probeGuess=ones, objectGuess=np.ones((40, 40)), xcoords=there, ycoords=there)
    assert "--no-noise" in run("simulate", scan, tmp_path / "b.npz")[-1]
