"""The table of formats: one row each, and how the row of a path is found.

A row is light; what its methods need is imported when they are called. Nothing else in
ptystore knows one format from another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ptystore.errors import InputError, InputMissingError, ParameterError
from ptystore.formats.false_suffix import foreign_file
from ptystore.formats.hdf5.row import Hdf5
from ptystore.formats.mat5.row import Mat5
from ptystore.formats.npz.row import Npz
from ptystore.formats.stem.row import StemFile
from ptystore.formats.zarr.row import Zarr

if TYPE_CHECKING:
    from ptystore.formats.assemble import Contents, ReadOptions
    from ptystore.formats.attributes import RootNote
    from ptystore.formats.dialects.tree import Tree
    from ptystore.model.dataset import Dataset
    from ptystore.model.results import VerifyReport
    from ptystore.transfer.one_pass import Sink
    from ptystore.transfer.options import CheckOptions, WriteOptions

__all__ = [
    "FORMATS",
    "READ_ONLY",
    "Format",
    "ReadFormat",
    "format_of_destination",
    "format_of_source",
    "suffixes",
]

_HEAD_BYTES = 4096


class ReadFormat(Protocol):
    """One format that is read, as everything outside its folder knows it.

    name : what reports call it.
    suffixes : of destinations, in lower case; the first is the usual one.
    """

    @property
    def name(self) -> str: ...
    @property
    def suffixes(self) -> tuple[str, ...]: ...

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether what is there is of this format; `head` begins a file, and is b"" for a folder.

        Damaged things are recognised too, where something tells what they were.
        """
        ...

    def read(self, path: Path, options: ReadOptions) -> Contents | Tree:
        """What headers tell; of another tool's file, where groups are in it, a tree.

        Raises `InputError`, or `IntegrityError` for damage in our own.
        """
        ...

    def is_ours(self, path: Path) -> bool:
        """Whether what is there carries ptystore's mark, and so may be replaced where asked for.

        Reads no values. Raises `DestinationError` where things of others lie in it.
        """
        ...

    def check(self, path: Path, options: CheckOptions) -> VerifyReport | None:
        """Compare with everything that it records of itself; None for another tool's file.

        Damage is reported, not raised.
        """
        ...


class Format(ReadFormat, Protocol):
    """One that is written too.

    is_folder : whether a scan is a folder of files, or one file.
    keeps_recipes : whether a virtual field can be kept as its recipe, or is written as values.
    write_options : those members of `WriteOptions` that not every format takes.
    plan_columns : the cuts that a plan shows, of "chunk" and "shard".
    """

    @property
    def is_folder(self) -> bool: ...
    @property
    def keeps_recipes(self) -> bool: ...
    @property
    def write_options(self) -> frozenset[str]: ...
    @property
    def plan_columns(self) -> tuple[str, ...]: ...

    def sink(self, staging: Path, dataset: Dataset, options: WriteOptions) -> Sink[Any, RootNote]:
        """What takes the dataset's values into a new file, or an empty folder, at `staging`."""
        ...


#: In the order in which they are asked what a path is.
FORMATS: list[Format] = [Npz(), Zarr(), Hdf5()]

#: Those that are only read. They know their files by the first bytes, and are asked before others.
READ_ONLY: list[ReadFormat] = [Mat5(), StemFile()]


def suffixes() -> list[str]:
    """All suffixes of destinations, those of one format together."""
    return [suffix for row in FORMATS for suffix in row.suffixes]


def format_of_source(path: Path) -> ReadFormat:
    """The row of what is there, by its content.

    Raises `InputMissingError` where there is nothing or it can't be read, `InputError` where
    it is no scan.
    """
    if not path.exists():
        raise InputMissingError("there is no such file or folder", file=path)
    head = b""
    if not path.is_dir():
        from ptystore.storage.local import open_regular

        try:
            with os.fdopen(open_regular(path), "rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError as error:
            raise InputMissingError(f"can't be read: {error.strerror}", file=path) from error
    for row in (*READ_ONLY, *FORMATS):
        if row.recognises(path, head):
            return row
    if path.is_dir():
        raise InputError("is a folder, but no Zarr store", file=path)
    told = foreign_file(head)
    if told is not None:
        raise InputError(told.reason, file=path, advice=told.advice)
    raise InputError("is neither .npz, nor Zarr, nor HDF5", file=path)


def format_of_destination(path: Path) -> Format:
    """The row that a destination's suffix asks for; `ParameterError` for an unknown one."""
    for row in FORMATS:
        if path.suffix.lower() in row.suffixes:
            return row
    known = ", ".join(suffixes())
    raise ParameterError(f"the suffix says no format; known are {known}", file=path)
