"""Who may read and write what replaces something: nobody who could not before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ptystore.storage.system import give_to

__all__ = ["Permissions"]

_FILE_BITS, _FOLDER_BITS = 0o777, 0o7777


@dataclass(frozen=True)
class Permissions:
    """The mode that folders get, the mode that files get, and whose they are."""

    folder: int
    file: int
    user: int
    group: int

    @classmethod
    def of(cls, path: str | os.PathLike[str], *, dir_fd: int | None = None) -> Permissions | None:
        """Those of a file, or of a folder and what all files in it allow; None for anything else.

        Raises OSError.
        """
        try:
            status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISREG(status.st_mode):
            # Whoever may read a file may look into a folder that takes its place.
            return cls(mode | (mode & 0o444) >> 2, mode, status.st_uid, status.st_gid)
        if not stat.S_ISDIR(status.st_mode):
            return None
        file = mode & 0o666
        modes = [stat.S_IMODE(os.lstat(one).st_mode) for one in _files(Path(path))]
        if modes:
            file = _FILE_BITS
            for one in modes:
                file &= one
        return cls(mode, file, status.st_uid, status.st_gid)

    def give(self, path: str | os.PathLike[str], *, dir_fd: int | None = None) -> None:
        """Make them those of a file, or of a folder and all that is in it. Raises OSError.

        Only a file may be named relative to `dir_fd`. Files that have a second name are left as
        they are: they are another store's too.
        """
        if dir_fd is None and os.path.isdir(path):
            for here, _, names in os.walk(path, topdown=False):
                for name in names:
                    self._give(os.path.join(here, name), None)
                self._give(here, None)
        else:
            self._give(os.fspath(path), dir_fd)

    def _give(self, path: str, dir_fd: int | None) -> None:
        status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and status.st_nlink > 1:
            return
        mode = self.folder & _FOLDER_BITS if is_folder else self.file & _FILE_BITS
        if not give_to(path, self.user, self.group, dir_fd):
            # It is another group's: that may do what anybody may.
            mode = mode & ~0o070 | mode & (mode & 0o007) << 3
        now = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_IMODE(now.st_mode) != mode:
            os.chmod(path, mode, dir_fd=dir_fd)


def _files(folder: Path) -> Iterator[str]:
    for here, _, names in os.walk(folder):
        yield from (os.path.join(here, name) for name in names)
