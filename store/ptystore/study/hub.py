"""The folder of a study: its documents, logs and archive. Nothing is written outside it."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from ptystore.errors import DestinationError, DestinationExistsError, IntegrityError
from ptystore.model.anonymity import without_folders
from ptystore.storage.held_folder import HeldFolder, LinkInTheWay
from ptystore.storage.system import lock_exclusively
from ptystore.transfer.destination import os_errors_told
from ptystore.transfer.publish import clear_litter

__all__ = ["BLOCKER", "MANIFEST", "PLAN", "SUMMARY", "TODO", "Hub", "StepLog", "now"]

PLAN: Final = "plan/plan.json"
BLOCKER: Final = "analysis/blocker.log"
TODO: Final = "analysis/metrics_todo.md"
SUMMARY: Final = "summary/summary.md"
MANIFEST: Final = "run_manifest.json"

_ARCHIVE: Final = "archive"


def now() -> str:
    """The time in UTC, to the second: 2025-01-31T12:00:00Z."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Hub:
    """A study's folder, and everything that is written into it besides the products.

    `root` is absolute; other paths are relative to it, with forward slashes. Nothing is written
    through a link, whatever lies in the folder: `DestinationError`. Other methods than `opened`
    are for within its block.
    """

    def __init__(self, path: Path, anonymous: bool = False) -> None:
        self.root = Path(os.path.realpath(path))
        self._anonymous = anonymous
        self._held: HeldFolder | None = None
        # The base file by each of its paths.
        self._told_as: dict[str, str] = {}

    @property
    def _folder(self) -> HeldFolder:
        assert self._held is not None
        return self._held

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
                advice=f"make the folder first: mkdir -p {shlex.quote(str(self.root.parent))}",
            )
        if self.root.exists() and not self.root.is_dir():
            raise DestinationError("is not a folder", file=self.root)
        with os_errors_told(self.root):
            self.root.mkdir(exist_ok=True)
            self._held = HeldFolder(self.root)
        self._told_as = {os.fspath(base): base.name, os.fspath(origin): base.name}
        try:
            self._lock(self._held.descriptor)
            # A run that ended before its plan was whole left an empty folder for it.
            found = set(self._held.names()) - {_ARCHIVE, "plan"}
            if found and not (self.root / PLAN).is_file():
                raise DestinationError(
                    "is a folder with other things in it, but no study's hub",
                    file=self.root,
                    advice="name a new folder",
                )
            yield
        finally:
            self._held.close()
            self._held = None

    @contextmanager
    def _told(self, relative: str) -> Iterator[None]:
        """Say what the system said of something in the hub."""
        path = self.root / relative
        with os_errors_told(path):
            try:
                yield
            except LinkInTheWay as error:
                raise DestinationError(
                    "is a link: a study follows none, which could lead out of the hub",
                    file=error.filename,
                    advice="put a folder or file of that name in its place",
                ) from error
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENXIO):  # what is no file
                    raise DestinationError("is not a file", file=path) from error
                raise

    def text(self, text: str) -> str:
        """A text to be kept in the hub: paths in it are relative to it, the base's is its name."""
        for path, name in sorted(self._told_as.items(), key=lambda item: -len(item[0])):
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", lambda _: name, text)  # noqa: B023
        root = rf"(?<![\w./-]){re.escape(os.fspath(self.root))}"
        text = re.sub(rf"{root}(?![\w./-])", ".", re.sub(rf"{root}/(?=\S)", "", text))
        return without_folders(text) if self._anonymous else text

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
        names = set(self._folder.names()) - {_ARCHIVE}
        folder = self._new_archive()
        for name in sorted(names, key=lambda name: (name == "plan", name)):
            self.archive(name, folder)
        self.write_json(PLAN, {"format": 1, **notes, "plan": plan})
        return False

    def _held_plan(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.read(PLAN).decode("utf-8"))["plan"])
        except DestinationError:
            raise
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"can't be read: {error}",
                file=self.root / PLAN,
                advice="--overwrite-hub moves the whole study to the archive",
            ) from error

    def make_way(self, product: str, warn: Callable[[str], None]) -> None:
        """Make the folder of a product, and clear what a run that was cut short left beside it.

        That may be there although the product is whole: of a run that was killed at its very end.
        """
        with self._told(product):
            self._folder.make_room(product)
            clear_litter(self.root / product, warn)

    def is_link(self, relative: str) -> bool:
        """Whether something in the hub is itself a link."""
        with self._told(relative):
            return self._folder.is_link(relative)

    def archive(self, relative: str, folder: str | None = None) -> str:
        """Move something aside, into `folder` or a new one under today's time; its new path."""
        moved = f"{folder or self._new_archive()}/{relative}"
        with self._told(relative):
            self._folder.move(relative, moved)
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
        with self._told(relative):
            self._folder.write(relative, text.encode("utf-8"))

    def append(self, relative: str, text: str) -> None:
        """Add to a text."""
        with self._told(relative):
            self._folder.append(relative, text.encode("utf-8"))

    def read_json(self, relative: str) -> dict[str, Any]:
        """A document that an earlier run wrote; {} where there is none that can be read."""
        try:
            document = json.loads(self._folder.read(relative).decode("utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def read(self, relative: str) -> bytes:
        """All of a document."""
        with self._told(relative):
            return self._folder.read(relative)

    def size(self, relative: str) -> int:
        """Bytes on disk of a file, or of all files in a folder."""
        path = self.root / relative
        with self._told(relative):
            if not path.is_dir():
                return os.lstat(path).st_size
            return sum(
                os.lstat(os.path.join(here, name)).st_size
                for here, _, names in os.walk(path)
                for name in names
            )


class StepLog:
    """Lines of one log file, each written as it comes, with its time."""

    def __init__(self, hub: Hub, name: str, echo: Callable[[str], None]) -> None:
        self._hub = hub
        self._name = f"cli/{name}.log"
        self._echo = echo

    def __call__(self, line: str) -> None:
        line = self._hub.text(line)
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._hub.append(self._name, f"{stamp} {line}\n")
        self._echo(line)
