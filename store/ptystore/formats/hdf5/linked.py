"""The files that the links and virtual datasets of a master lead to.

Only what lies below the master's own folder is opened: a file that is not to be trusted could name
any other.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from ptystore.errors import InputError, InputMissingError, located, shown_name
from ptystore.formats.hdf5.described import Group, Place, described
from ptystore.formats.hdf5.places import OWN_GROUP
from ptystore.storage.base import Snapshot
from ptystore.storage.local import SourceFile

__all__ = ["Files", "Found"]

_MOST_HOPS = 16  # links to links of other files


class OpenFile(NamedTuple):
    """A file that is held open, and what is in it."""

    source: SourceFile
    root: Group


class Found(NamedTuple):
    """What a path leads to, and in which file."""

    file: OpenFile
    place: Place


@dataclass(frozen=True)
class _Held:
    """Every file that was opened so far, held as it was."""

    sources: list[SourceFile]

    def check(self) -> None:
        for source in self.sources:
            source.check()


class Files:
    """A master and the files below its folder, each opened when it is first needed, and held."""

    def __init__(self, master: SourceFile, root: Group) -> None:
        self.master = OpenFile(master, root)
        self._path = master.path.resolve()
        self._open: dict[Path, OpenFile | InputError] = {self._path: self.master}
        self._held = _Held([master])
        #: What the user should know of what was found, a line each.
        self.remarks: list[str] = []

    @property
    def snapshot(self) -> Snapshot:
        """All that was opened so far, and what will be."""
        return self._held

    def find(self, path: str, start: OpenFile | None = None) -> Found | None:
        """What is at a path of the master, or of another file, every link followed; else None.

        Raises `InputError` for a link that is not followed, `InputMissingError` where its file is
        not there.
        """
        file = start or self.master
        for _ in range(_MOST_HOPS):
            place = file.root.find(path)
            if place is None:
                return None
            if place.outside is None:
                return Found(file, place)
            name, path = place.outside
            file = self.beside(name, file)
        raise InputError("leads from one link to the next, round in a circle")

    def beside(self, name: str, near: OpenFile) -> OpenFile:
        """The file that one of ours calls `name`. Raises as `find` does."""
        if name == ".":
            return near
        path = self._resolved(name, near)
        if path not in self._open:
            try:
                self._open[path] = self._opened(path)
            except InputError as error:
                self._open[path] = error
        found = self._open[path]
        if isinstance(found, InputError):
            raise copy.copy(found)  # whoever catches it adds words of his own
        return found

    def _opened(self, path: Path) -> OpenFile:
        with located(file=path):
            source = SourceFile(path, growing=self.master.source.growing)
            root = described(source)
            if OWN_GROUP in root.members:
                raise InputError("was written by ptystore: no link of another tool's leads to it")
        self._held.sources.append(source)
        return OpenFile(source, root)

    def _resolved(self, name: str, near: OpenFile) -> Path:
        shown = shown_name(name)
        windows, master = PureWindowsPath(name), self._path.parent
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if name.startswith("/") or windows.drive or windows.root:
            raise InputError(
                f"leads to another file, {shown}: an absolute path, which is never opened",
                advice=_move(windows.name, master),
            )
        if ".." in parts or "\0" in name or not parts:
            raise InputError(
                f"leads to another file, {shown}, out of the folder: it is never opened",
                advice=_move(windows.name, master),
            )
        begin = (self._path if near is self.master else near.source.path).parent
        try:
            path = begin.joinpath(name).resolve()
            is_there = path.exists()
        except (OSError, RuntimeError):  # links in a circle, a name that is too long
            is_there = False
        if not is_there:
            raise InputMissingError(
                f"leads to another file, {shown}, which is not there",
                advice=f"put {shown} into {begin}",
            )
        if not path.is_relative_to(master):
            raise InputError(
                f"leads to another file, {shown}, by a link out of the folder: it is never opened",
                advice=_move(windows.name, begin),
            )
        return path


def _move(name: str, folder: Path) -> str:
    told = f"put {shown_name(name) or 'the file'} itself into {folder}, and let the name say that"
    return f"{told}; --map FIELD=FILE:PATH takes an array of any file"
