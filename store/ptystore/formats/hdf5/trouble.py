"""What the HDF5 library says or does with a file that it can't read, in one line of our own."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from ptystore.errors import DamagedInputError, InputError, InputMissingError, StorageError

__all__ = ["crashed", "library_error", "no_helper", "took_too_long"]

_SWITCH = "PTYSTORE_HDF5_HELPER=off"

# Names of our own making, in which the library looks for nothing that we look for.
_DESCRIPTOR = re.compile(r"'?/(?:proc/self|dev)/fd/\d+'?")


def library_error(kind: str, text: str, path: Path, member: str | None) -> InputError:
    """The error for what h5py raised, by its class's name, on opening `path` or its `member`."""
    text = _DESCRIPTOR.sub("the file", " ".join(text.split()))
    plain = text.replace(str(path), "")
    if kind == "FileNotFoundError":
        return InputMissingError("there is no such file", file=path)
    if "unable to lock file" in plain:
        return InputError(
            "is locked: another program has it open for writing",
            file=path,
            advice="close it there, or set HDF5_USE_FILE_LOCKING=FALSE if nothing writes it",
        )
    if "already open for write" in plain:
        return InputError(
            "is being written, or its writer died",
            file=path,
            advice="close it there; --partial takes the frames that are there, where the writer "
            "lets others read (SWMR); if nothing writes it any more, h5clear -s clears its mark",
        )
    if kind == "MemoryError" or "memory allocation failed" in plain:
        return DamagedInputError(
            "is damaged, or needs more memory to be looked at than the HDF5 helper may have",
            file=path,
            member=member,
            advice=f"{_SWITCH} reads a file that you trust without its limits",
        )
    if member is None and "truncated file" in plain:
        return DamagedInputError("is not a complete HDF5 file: it is cut short", file=path)
    if "filter returned failure" in plain:
        return DamagedInputError(
            "its data are damaged: they can't be decoded", file=path, member=member
        )
    reason = "is no HDF5 file that can be read" if member is None else "can't be read"
    return InputError(f"{reason}: {text}", file=path, member=member)


def crashed(code: int, path: Path, member: str | None) -> DamagedInputError:
    """The error for a file on which the helper ended with exit code `code`."""
    how = f"exit code {code}"
    if code < 0:
        try:
            how = signal.Signals(-code).name
        except ValueError:
            how = f"signal {-code}"
    return DamagedInputError(
        f"is damaged so that the HDF5 library crashes on it ({how})",
        file=path,
        member=member,
        advice="get the file anew from where it was written; h5dump tells what is left of it",
    )


def took_too_long(seconds: int, path: Path, member: str | None) -> DamagedInputError:
    """The error for a file that keeps the helper busy."""
    return DamagedInputError(
        f"is damaged so that the HDF5 library does not come back from it in {seconds} s",
        file=path,
        member=member,
        advice=f"get the file anew; {_SWITCH} reads one that you trust without a limit on time",
    )


def no_helper(reason: str) -> StorageError:
    """The error where no helper can be started."""
    return StorageError(
        f"the process that opens HDF5 files can't be started: {reason}",
        advice=f"{_SWITCH} does without, for files that you trust",
    )
