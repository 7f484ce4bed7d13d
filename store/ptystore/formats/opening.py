"""From a path to a Dataset, by the row of its format and, of another tool's, of its dialect."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from ptystore.errors import InputError, ParameterError, located
from ptystore.formats.assemble import Contents, ReadOptions, assemble
from ptystore.formats.choosing import chosen
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.flat import FlatTree
from ptystore.formats.dialects.table import dialect_of
from ptystore.formats.dialects.tree import Tree
from ptystore.formats.dialects.understood import (
    nearest_dialect,
    told_of_arrays,
    understood_as,
    understood_as_arrays,
)
from ptystore.formats.frame_files import is_frame_files, read_frame_files
from ptystore.formats.supplement import supplemented
from ptystore.formats.table import format_of_source
from ptystore.formats.virtual import restored
from ptystore.model.contract import DIFFRACTION_NAMES
from ptystore.model.dataset import Dataset
from ptystore.model.source import Understood

#: The dialect of a file whose arrays are taken as they are.
AS_IT_IS = "none"

_OURS = Understood(title="a scan that ptystore wrote", why="it carries its mark", is_ours=True)
_FILES = Understood(title="frames in many files", why="a folder, a pattern or a list of them")

# Containers whose members were skipped and renamed before a dialect saw them: of others its fields
# are.
_NAMED_BY_READERS = ("npz", "mat")

__all__ = ["open_any_tree", "open_contents", "open_dataset", "open_tree", "read_stored"]


def open_dataset(path: Path, options: ReadOptions) -> Dataset:
    """The scan in `path`, lazily: only headers are read.

    Raises `InputError`, `InputMissingError`, and `IntegrityError` for damage in what ptystore
    wrote.
    """
    with located(file=path):
        contents = open_contents(path, options)
        stored = assemble(contents, options, path.absolute())
        dataset = restored(stored, contents.virtual)
        if options.max_bytes is not None and dataset.nbytes > options.max_bytes:
            raise InputError(f"declares {dataset.nbytes} bytes, allowed are {options.max_bytes}")
        return dataset


def open_contents(path: Path, options: ReadOptions) -> Contents:
    """What is in `path`, understood by its dialect where it is another tool's. Raises as above."""
    beside = partial(_any_tree, _beside(options))
    if is_frame_files(path, options):
        _refuse_dialects(options, _FILES)
        contents = read_frame_files(path, options, beside)
        contents = dataclasses.replace(contents, understood=_FILES)
        mapped = {f: at for f, at in options.mapped.items() if f not in DIFFRACTION_NAMES}
        options = dataclasses.replace(options, mapped=mapped)
        return supplemented(contents, None, options, beside)
    found = _found(path, options)
    tree = found if not isinstance(found, Contents) else FlatTree(path, "ptystore", found)
    if isinstance(found, Contents):
        _refuse_dialects(options, _OURS)
        contents = dataclasses.replace(found, understood=_OURS)
    else:
        contents = _understood(found, options)
    return supplemented(contents, tree, options, beside)


def _understood(tree: Tree, options: ReadOptions) -> Contents:
    """What a file of another tool's holds by its dialect, or under its own names."""
    dialect = None if options.dialect == AS_IT_IS else dialect_of(tree, options.dialect)
    if dialect is not None:
        context = Context(options, open_tree)
        read = dialect.read(tree, context)
        context.require_all_asked(dialect.title)
        if tree.container not in _NAMED_BY_READERS:
            read = chosen(read, options)
        is_said = options.dialect is not None
        understood = understood_as(dialect, read.dialect, tree, is_said=is_said)
        remarks = (*read.remarks, *getattr(tree, "remarks", ()))
        return dataclasses.replace(read, understood=understood, remarks=remarks)
    Context(options, open_tree).require_all_asked("arrays under their own names")
    is_flat = all(tree.kind(f"/{name}") in ("array", "text") for name in tree.children())
    is_mapped = bool(options.mapped) and not is_flat
    contents = Contents({}, snapshot=tree.snapshot) if is_mapped else _plain(tree, options)
    there = {*contents.arrays, *options.mapped}
    frames = next((name for name in DIFFRACTION_NAMES if name in there), None)
    understood = understood_as_arrays(tree, frames, is_mapped=is_mapped)
    return dataclasses.replace(contents, understood=understood)


def _refuse_dialects(options: ReadOptions, known: Understood) -> None:
    """Raise `ParameterError` for options of other tools' formats."""
    if options.dialect not in (None, AS_IT_IS):
        reason = f"is for files of other tools: this is read as {known.title}"
        raise ParameterError(reason, member="--dialect")
    Context(options, open_tree).require_all_asked(known.title)


def open_tree(path: Path) -> Tree:
    """A file of another tool's as groups and arrays.

    Raises `InputError` for one that ptystore wrote, and as `open_dataset` does.
    """
    with located(file=path):
        found = _found(path, ReadOptions())
        if isinstance(found, Contents):
            raise InputError("was written by ptystore, where another tool's file is expected")
        return found


def open_any_tree(path: Path) -> Tree:
    """A file as groups and arrays, whoever wrote it. Raises as `open_dataset` does."""
    return _any_tree(ReadOptions(), path)


def _any_tree(options: ReadOptions, path: Path) -> Tree:
    """A file that the caller named as groups and arrays, whoever wrote it. Raises as above."""
    with located(file=path):
        found = _found(path, options)
        return FlatTree(path, "ptystore", found) if isinstance(found, Contents) else found


def _beside(options: ReadOptions) -> ReadOptions:
    """How files are read that the caller names beside a scan."""
    return ReadOptions(missing=options.missing, filters=options.filters, partial=options.partial)


def _found(path: Path, options: ReadOptions) -> Contents | Tree:
    """What ptystore wrote, or a tree."""
    row = format_of_source(path)
    found = row.read(path, options)
    if isinstance(found, Contents) and found.notes is None:
        return FlatTree(path, row.name, found)
    return found


def _plain(tree: Tree, options: ReadOptions) -> Contents:
    """The arrays of a file that no dialect knows, under their own names."""
    try:
        return tree.plain(options)
    except InputError as error:
        in_groups = any(tree.kind(f"/{name}") == "group" for name in tree.children())
        told = (nearest_dialect(tree), told_of_arrays(tree) if in_groups else None, error.advice)
        error.advice = "; ".join(filter(None, told)) or None
        raise


def read_stored(path: Path) -> Dataset:
    """The fields whose values lie in `path`, hidden ones included, virtual ones not."""
    with located(file=path):
        return assemble(open_contents(path, ReadOptions()), ReadOptions(), path)
