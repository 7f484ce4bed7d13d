"""A folder or a file to publish, once old and once new, and what is then at its destination."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ptystore.transfer import publish

OLD, NEW = b"old" * 1000, b"new" * 1000
INNER = ("zarr.json", "diffraction/zarr.json", "diffraction/c/0")
FOLDERS = pytest.mark.parametrize("folder", [True, False], ids=["folder", "file"])
KERNELS = pytest.mark.parametrize("kernel", [True, False], ids=["renameat2", "without"])
OVERWRITE = pytest.mark.parametrize("overwrite", [True, False], ids=["overwrite", "fresh"])


def fill(path: Path, data: bytes, folder: bool) -> None:
    if not folder:
        path.write_bytes(data)
        return
    (path / "diffraction" / "c").mkdir(parents=True)
    for name in INNER:
        (path / name).write_bytes(data + name.encode())


def put(
    destination: Path,
    folder: bool = True,
    overwrite: bool = False,
    data: bytes = NEW,
    then: Callable[[], object] = lambda: None,
) -> list[str]:
    """Publish `data`, calling `then` once it is staged; the warnings given."""
    said: list[str] = []
    stage = publish.stage_folder if folder else publish.stage_file
    with stage(
        destination, overwrite=overwrite, is_ours=lambda path: True, warn=said.append
    ) as staging:
        fill(staging, data, folder)
        scratch = (staging if folder else staging.parent) / publish.SCRATCH_NAME
        scratch.mkdir()
        (scratch / "spool").write_bytes(b"scratch")
        then()
    return said


def state(destination: Path) -> str:
    """absent, old, new, or the reason why it is none of them; names, contents, all of it."""
    if not os.path.lexists(destination):
        return "absent"
    for word, data in (("old", OLD), ("new", NEW)):
        if destination.is_file():
            if destination.read_bytes() == data:
                return word
            continue
        found = {
            path.relative_to(destination).as_posix(): path.read_bytes()
            for path in destination.rglob("*")
            if path.is_file()
        }
        if found == {name: data + name.encode() for name in INNER}:
            return word
    return f"damaged: {destination}"


def litter(destination: Path) -> list[str]:
    return sorted(name for name in os.listdir(destination.parent) if name != destination.name)


def without_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "_libc_renameat2", None)


def fail(code: int) -> Callable[[], object]:
    def action() -> None:
        raise OSError(code, os.strerror(code))

    return action
