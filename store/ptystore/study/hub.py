"""The folder of a study: its documents, logs and archive. Nothing is written outside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from ptystore.errors import DestinationError, DestinationExistsError, IntegrityError
from ptystore.storage.system import lock_exclusively, open_folder, sync_folder
from ptystore.transfer.destination import os_errors_told

__all__ = ["BLOCKER", "MANIFEST", "PLAN", "SUMMARY", "TODO", "Hub", "StepLog"]

PLAN: Final = "plan/plan.json"
BLOCKER: Final = "analysis/blocker.log"
TODO: Final = "analysis/metrics_todo.md"
SUMMARY: Final = "summary/summary.md"
MANIFEST: Final = "run_manifest.json"

_ARCHIVE: Final = "archive"


class Hub:
    """A study's folder, and everything that is written into it besides the products.

    `root` is absolute; other paths are relative to it, with forward slashes.
    """

    def __init__(self, path: Path) -> None:
        self.root = Path(os.path.realpath(path))

    @contextmanager
    def opened(self, base: Path) -> Iterator[None]:
        """Make the folder where it is missing, and keep other runs out of it meanwhile.

        Raises `DestinationError` where it can't be made, lies in another study's hub, is no
        study's hub itself, holds the base file, or another run works in it.
        """
        origin = Path(os.path.realpath(base))
        if origin == self.root or self.root in origin.parents:
            raise DestinationError("holds the base file", file=self.root)
        earlier = [folder for folder in self.root.parents if (folder / PLAN).is_file()]
        if earlier:
            raise DestinationError(f"lies inside the study {earlier[0]}", file=self.root)
        if not self.root.parent.is_dir():
            raise DestinationError(
                f"no folder {self.root.parent}",
                file=self.root,
                advice=f"make the folder first: mkdir -p {self.root.parent}",
            )
        if self.root.exists() and not self.root.is_dir():
            raise DestinationError("is not a folder", file=self.root)
        with os_errors_told(self.root):
            self.root.mkdir(exist_ok=True)
            folder = open_folder(self.root)
        try:
            self._lock(folder)
            # A run that ended before its plan was whole left an empty folder for it.
            found = {path.name for path in self.root.iterdir()} - {_ARCHIVE, "plan"}
            if found and not (self.root / PLAN).is_file():
                raise DestinationError(
                    "is a folder with other things in it, but no study's hub",
                    file=self.root,
                    advice="name a new folder",
                )
            yield
        finally:
            if folder is not None:
                os.close(folder)

    def _lock(self, folder: int | None) -> None:
        if folder is None:
            return
        try:
            lock_exclusively(folder)
        except BlockingIOError as error:
            raise DestinationError("another run is working in it", file=self.root) from error
        except OSError:
            pass  # a system or a filesystem without locks loses only this protection

    def adopt(self, plan: Mapping[str, Any], notes: Mapping[str, Any], overwrite: bool) -> bool:
        """Make `plan` the hub's own; True where it was already.

        Another plan is refused, `DestinationExistsError`, unless `overwrite`: then everything
        that is there moves to the archive. `notes` are written beside a new plan.
        """
        path = self.root / PLAN
        if path.is_file() and not overwrite:
            held = self._held_plan()
            differing = [name for name in plan if held.get(name) != plan[name]]
            if not differing:
                return True
            raise DestinationExistsError(
                f"holds a study with another plan: {', '.join(differing)} differ",
                file=self.root,
                advice="--overwrite-hub moves it to the archive; or name a new folder",
            )
        # The plan goes last: until then this is a hub, and a run that was interrupted can go on.
        names = {path.name for path in self.root.iterdir()} - {_ARCHIVE}
        folder = self._new_archive()
        for name in sorted(names, key=lambda name: (name == "plan", name)):
            self.archive(name, folder)
        self.write_json(PLAN, {"format": 1, **notes, "plan": plan})
        return False

    def _held_plan(self) -> dict[str, Any]:
        try:
            document = json.loads((self.root / PLAN).read_text("utf-8"))
            return dict(document["plan"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"can't be read: {error}",
                file=self.root / PLAN,
                advice="--overwrite-hub moves the whole study to the archive",
            ) from error

    def place(self, relative: str) -> Path:
        """The absolute path of something in the hub, its folder made."""
        path = self.root / relative
        if not Path(os.path.realpath(path.parent)).is_relative_to(self.root):
            raise DestinationError("a link leads out of the hub", file=path)
        with os_errors_told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def archive(self, relative: str, folder: str | None = None) -> str:
        """Move something aside, into `folder` or a new one under today's time; its new path."""
        moved = f"{folder or self._new_archive()}/{relative}"
        with os_errors_told(self.root / moved):
            os.rename(self.root / relative, self.place(moved))
        return moved

    def _new_archive(self) -> str:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = (stamp if k == 1 else f"{stamp}-{k}" for k in count(1))
        name = next(name for name in names if not os.path.lexists(self.root / _ARCHIVE / name))
        return f"{_ARCHIVE}/{name}"

    def write_json(self, relative: str, document: Mapping[str, Any]) -> None:
        """Write a document all at once: readers see the old one or the new one."""
        self.write_text(relative, json.dumps(document, indent=1, allow_nan=False) + "\n")

    def write_text(self, relative: str, text: str) -> None:
        """Write a text all at once: readers see the old one or the new one."""
        path = self.place(relative)
        # One run works in a hub at a time, so one name serves, and litter is written over.
        temporary = path.with_name(f".{path.name}.partial")
        with os_errors_told(path):
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(os.fspath(path.parent))

    def read_json(self, relative: str) -> dict[str, Any]:
        """A document that an earlier run wrote; {} where there is none that can be read."""
        try:
            document = json.loads((self.root / relative).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def size(self, relative: str) -> int:
        """Bytes on disk of a file, or of all files in a folder."""
        path = self.root / relative
        with os_errors_told(path):
            if path.is_file():
                return path.stat().st_size
            return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class StepLog:
    """Lines of one log file, each written as it comes, with its time."""

    def __init__(self, hub: Hub, name: str, echo: Callable[[str], None]) -> None:
        self._path = hub.place(f"cli/{name}.log")
        self._echo = echo

    def __call__(self, line: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with os_errors_told(self._path), open(self._path, "a", encoding="utf-8") as file:
            file.write(f"{now} {line}\n")
        self._echo(line)
