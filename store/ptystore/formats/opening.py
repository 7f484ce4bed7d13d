"""From a path to a Dataset, through the row of its format."""

from __future__ import annotations

from pathlib import Path

from ptystore.errors import InputError, located
from ptystore.formats.assemble import ReadOptions, assemble
from ptystore.formats.raster import in_one_row
from ptystore.formats.table import format_of_source
from ptystore.formats.virtual import restored
from ptystore.model.dataset import Dataset

__all__ = ["open_dataset", "read_stored"]


def open_dataset(path: Path, options: ReadOptions) -> Dataset:
    """The scan in `path`, lazily: only headers are read.

    Raises `InputError`, `InputMissingError`, and `IntegrityError` for damage in what ptystore
    wrote.
    """
    with located(file=path):
        contents = in_one_row(format_of_source(path).read(path, options), options)
        stored = assemble(contents, options, path.absolute())
        dataset = restored(stored, contents.virtual)
        if options.max_bytes is not None and dataset.nbytes > options.max_bytes:
            raise InputError(f"declares {dataset.nbytes} bytes, allowed are {options.max_bytes}")
        return dataset


def read_stored(path: Path) -> Dataset:
    """The fields whose values lie in `path`, hidden ones included, virtual ones not."""
    with located(file=path):
        return assemble(format_of_source(path).read(path, ReadOptions()), ReadOptions(), path)
