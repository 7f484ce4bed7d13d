"""What the HDF5 library says of a file that it can't read, in one line of our own."""

from __future__ import annotations

from pathlib import Path

from ptystore.errors import DamagedInputError, InputError, InputMissingError

__all__ = ["as_input_error"]


def as_input_error(error: Exception, path: Path, member: str | None) -> InputError:
    """The error to raise for what h5py raised on opening `path` or reading its `member`."""
    text = str(error)
    if isinstance(error, FileNotFoundError):
        return InputMissingError("there is no such file", file=path)
    if "unable to lock file" in text:
        return InputError(
            "is locked: another program has it open for writing",
            file=path,
            advice="close it there, or set HDF5_USE_FILE_LOCKING=FALSE if nothing writes it",
        )
    if member is None and "truncated file" in text:
        return DamagedInputError("is not a complete HDF5 file: it is cut short", file=path)
    if "filter returned failure" in text:
        return DamagedInputError(
            "its data are damaged: they can't be decoded", file=path, member=member
        )
    reason = "is no HDF5 file that can be read" if member is None else "can't be read"
    return InputError(f"{reason}: {text}", file=path, member=member)
