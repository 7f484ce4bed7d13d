"""The demo: a raw scan made on the spot, and the whole path taken with the verbs themselves."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from ptystore_cli.options import Output
from ptystore_cli.printing.words import print_json
from ptystore_cli.terminal import format_bytes, printable, say

__all__ = ["run_demo"]

# Takes the words of a command line after `ptystore`, gives its exit code, or None for 0.
Run = Callable[[list[str]], int | None]

_NAMES = ("raw.npz", "scan.zarr", "canonical.zarr", "patched.zarr", "patched.npz", "study")


def run_demo(
    folder: Path, frames: int, overwrite: bool, anonymous: bool, output: Output, run: Run
) -> None:
    """Make the scan in `folder` and `run` each command on it.

    Raises `DestinationError` for a folder that is not there to be written or is not empty.
    """
    import ptystore

    nameless = ["--anonymous"] if anonymous else []
    writing = [*(["--overwrite"] if overwrite else []), *nameless]
    raw, scan, canonical, patched, exported, hub = (folder / name for name in _NAMES)
    with _made(folder, overwrite):
        say(f"# a raw scan of {frames} frames, as legacy tools save one", output)
        began = time.monotonic()
        ptystore.make_demo_scan(raw, frames, overwrite=overwrite, anonymous=anonymous or None)
        seconds = time.monotonic() - began
        say(
            f"made {printable(raw)}: {format_bytes(raw.stat().st_size)} deflated, {seconds:.2f} s",
            output,
        )
        _try_plain_load(raw, output)
        steps = [
            _step(["ingest", str(raw), str(scan), *writing], output, run),
            _step(["canonicalize", str(scan), str(canonical), *writing], output, run),
            _step(["patch", str(canonical), str(patched), *writing], output, run),
            _step(["export", str(patched), str(exported), *writing], output, run),
        ]
        loaded = _try_plain_load(exported, output)
        _step(["history", str(exported)], output, run)
        study = ["study", str(hub), "--base", str(exported), "--dose", "1000", "--view", "dense"]
        again = ["--overwrite-hub"] if overwrite else []
        steps.append(_step([*study, *again, *nameless], output, run))
    print_json(
        {
            "folder": str(folder),
            "frames": frames,
            "steps": steps,
            "files": {name: _size(folder / name) for name in _NAMES},
            "loaded": loaded,
            "history": (ptystore.open(exported).metadata or ptystore.Metadata({})).history,
        },
        output,
    )


@contextmanager
def _made(folder: Path, overwrite: bool) -> Iterator[None]:
    """The folder; when the demo fails, what was not there before is removed again."""
    import ptystore

    before = [path for path in (folder, *(folder / name for name in _NAMES)) if path.exists()]
    try:
        if folder in before and any(folder.iterdir()) and not overwrite:
            raise ptystore.DestinationExistsError(
                "is not empty",
                file=folder,
                advice="name a new folder, or --overwrite what an earlier demo made",
            )
        folder.mkdir(exist_ok=True)
    except ptystore.PtystoreError:
        raise
    except OSError as error:
        raise ptystore.DestinationError(error.strerror or str(error), file=folder) from error
    try:
        yield
    except BaseException:
        for path in (*(folder / name for name in _NAMES), folder):
            if path not in before:
                _remove(path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _step(words: list[str], output: Output, run: Run) -> dict[str, Any]:
    """Print a command as it would be typed, run it, and stop the demo if it fails."""
    say(f"\n$ ptystore {shlex.join(words)}", output)
    began = time.monotonic()
    silent = ["--quiet"] if output.quiet or output.json else []
    code = run([*words, *silent, *(["--debug"] if output.debug else [])])
    if code:
        raise typer.Exit(code)
    return {"command": ["ptystore", *words], "seconds": round(time.monotonic() - began, 3)}


def _try_plain_load(path: Path, output: Output) -> dict[str, str]:
    """Load every member with plain numpy, as any user would; how far it comes is the result."""
    import numpy as np

    call = f"numpy.load({json.dumps(str(path))}, allow_pickle=False)"
    program = f"import numpy; print(*dict({call}))"
    say(f"\n$ python -c {shlex.quote(program)}", output)
    try:
        with np.load(path, allow_pickle=False) as members:
            loaded = {name: f"{members[name].dtype}{members[name].shape}" for name in members.files}
    except ValueError as error:
        say(f"ValueError: {error}", output)
        return {}
    say(printable(" ".join(loaded)), output)
    return loaded


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
