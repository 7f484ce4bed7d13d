"""A scan whose frames lie in many files: a folder, a pattern, or a list of them."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ptystore.errors import InputError, InputMissingError, ParameterError, located
from ptystore.formats.assemble import Contents, RawArray, ReadOptions
from ptystore.formats.dialects.scan import memory_array
from ptystore.formats.dialects.tree import Tree
from ptystore.formats.frame_files_array import FilesArray, FrameReader
from ptystore.formats.frame_files_kinds import FrameShape, Kind, kind_of
from ptystore.formats.frame_names import OrderedNames, ordered_names
from ptystore.formats.litter import is_litter
from ptystore.formats.table import FORMATS
from ptystore.model.contract import DIFFRACTION_NAMES
from ptystore.model.lazy_array import Array, LazyArray, read_all
from ptystore.model.source import Storage
from ptystore.storage.base import Several, Snapshot
from ptystore.storage.local import SourceFile
from ptystore.storage.many_files import ManyFiles

__all__ = ["FRAME_FILES", "is_frame_files", "read_frame_files"]

#: What reports call the format.
FRAME_FILES = "files"

_HEAD_BYTES = 4096
_HDF5 = b"\x89HDF\r\n\x1a\n"
_LIST_BYTES = 64 << 20

# Of what is passed over, so many are named.
_NAMED = 5


def is_frame_files(path: Path, options: ReadOptions | None = None) -> bool:
    """Whether `path` is a folder of files with frames that is no store, or a pattern of names."""
    if options is not None and options.files is not None:
        return True
    if not path.is_dir():
        return glob.has_magic(str(path)) and not path.exists()
    if any(row.recognises(path, b"") for row in FORMATS):
        return False
    files = ManyFiles(path, list(_in_folder(path)))
    return any(_kind(files, number) is not None for number in range(len(files)))


def read_frame_files(
    path: Path, options: ReadOptions, open_tree: Callable[[Path], Tree]
) -> Contents:
    """The frames in order, each file's header read and compared with the first one's.

    Frames are in the order of the numbers in the files' names, which become `frame_index` where
    each file holds one; a list of files decides otherwise. Raises `InputError` naming the file.
    """
    remarks: list[str] = []
    known: Mapping[str, Kind | str] = {}
    if options.files is not None:
        folder = path
        order = OrderedNames(tuple(_listed(options.files, folder)), None, None)
    elif path.is_dir():
        folder = path
        known = _of_one_kind(folder, remarks)
        order = ordered_names(list(known))
    else:
        folder, names = _matching(path)
        order = ordered_names(names)
    files = ManyFiles(folder, order.names)
    kinds = [known.get(name) or _kind(files, at) for at, name in enumerate(files.names)]
    for number, kind in enumerate(kinds):
        if kind is None:
            reason = "is neither .npy, nor TIFF, CBF or EDF, nor HDF5: no frames"
            raise InputError(reason, file=files.path(number))
        if kind != kinds[0]:
            reason = f"is {_named(kind)}, {files.names[0]} {_named(kinds[0])}"
            raise InputError(reason, file=files.path(number))
    if order.gaps is not None:
        remarks.append(order.gaps)
    snapshot: Snapshot = files
    shapes: list[FrameShape]
    reader: FrameReader
    if isinstance(kinds[0], str):
        trees = [open_tree(files.path(number)) for number in range(len(files))]
        shapes, reader = _in_trees(trees, options)
        held = [tree.snapshot for tree in trees if tree.snapshot is not None]
        snapshot = Several(tuple(held))
    else:
        assert kinds[0] is not None
        shapes = [_shape(kinds[0], files, number) for number in range(len(files))]
        reader = _OfKind(kinds[0], files, shapes)
    _require_alike(files, shapes)
    counts = [shape.count for shape in shapes]
    array = FilesArray(files, reader, counts, shapes[0].frame, shapes[0].dtype)
    storage = Storage(FRAME_FILES, sum(files.size(number) for number in range(len(files))))
    arrays = {"diffraction": RawArray(array.shape, array.dtype, lambda axis: array, storage)}
    if order.numbers is not None and set(counts) == {1}:
        arrays["frame_index"] = memory_array(order.numbers)
    return Contents(arrays, snapshot=snapshot, remarks=tuple(remarks), axis_order="nhw")


# Which files


def _in_folder(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.name.startswith(".") or is_litter(entry.name)) and entry.is_file():
                yield entry.name


def _of_one_kind(folder: Path, remarks: list[str]) -> dict[str, Kind | str]:
    """The files of a folder that frames lie in, and their kind; what else is there is named."""
    names = sorted(_in_folder(folder))
    for name in names:
        if name.endswith("_master.h5"):
            raise InputError(
                f"has the master file {name}, which says where its frames are",
                file=folder,
                advice="name the master itself as the source",
            )
    files = ManyFiles(folder, names)
    kinds = [_kind(files, number) for number in range(len(files))]
    taken = {name: kind for name, kind in zip(names, kinds, strict=True) if kind is not None}
    found = dict.fromkeys(_named(kind) for kind in taken.values())
    if len(found) > 1:
        raise InputError(
            f"has {' and '.join(found)} files: nothing says which of them are the frames",
            file=folder,
            advice="name them by a quoted pattern such as 'FOLDER/*.tif'",
        )
    left = [name for name in names if name not in taken]
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        remarks.append(f"passed over in the folder: {', '.join(left[:_NAMED])}{more}")
    return taken


def _matching(pattern: Path) -> tuple[Path, list[str]]:
    """The folder that a pattern begins with, and the files that match, relative to it."""
    fixed = pattern
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    found = [Path(name) for name in sorted(glob.glob(str(pattern)))]
    names = [
        name.relative_to(fixed).as_posix()
        for name in found
        if name.is_file() and not is_litter(name.name)
    ]
    if not names:
        raise InputMissingError("no file matches", file=pattern)
    return fixed, names


def _listed(path: Path, folder: Path) -> list[str]:
    """The files that a list names, one a line, as paths from the folder that they must be in."""
    if not folder.is_dir():
        raise ParameterError(f"names files below a folder, and {folder} is none", member="--files")
    source = SourceFile(path)
    if source.size > _LIST_BYTES:
        raise InputError(f"has {source.size} bytes: too large for a list", file=path)
    try:
        lines = source.read(0, source.size).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError("is no list of names: it is no text", file=path) from None
    given = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    root = Path(os.path.realpath(folder))
    names = []
    for name in given:
        whole = Path(os.path.realpath(folder / name))
        if not whole.is_relative_to(root):
            raise InputError(
                f"names {name}, which is not below {folder}",
                file=path,
                advice="name the folder that all of them are in as the source",
            )
        names.append(whole.relative_to(root).as_posix())
    if not names:
        raise InputError("names no files", file=path)
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"names {name} twice", file=path)
    return names


# What is in them


def _kind(files: ManyFiles, number: int) -> Kind | str | None:
    """The kind of a file by how it begins; a text of one that is opened as a tree."""
    head = files.head(number, _HEAD_BYTES)
    return "HDF5" if head.startswith(_HDF5) else kind_of(head)


def _named(kind: Kind | str | None) -> str:
    return kind if isinstance(kind, str) else kind.name if kind is not None else "unknown"


def _shape(kind: Kind, files: ManyFiles, number: int) -> FrameShape:
    with located(file=files.path(number)):
        return kind.shape(files, number)


def _require_alike(files: ManyFiles, shapes: Sequence[FrameShape]) -> None:
    first = shapes[0]
    for number, shape in enumerate(shapes):
        if (shape.frame, shape.dtype) != (first.frame, first.dtype):
            raise InputError(
                f"has frames of {shape.frame} {shape.dtype}, "
                f"{files.names[0]} of {first.frame} {first.dtype}",
                file=files.path(number),
            )


class _OfKind:
    """Reads the frames of files of one kind."""

    def __init__(self, kind: Kind, files: ManyFiles, shapes: Sequence[FrameShape]) -> None:
        self._kind = kind
        self._files = files
        self._shapes = shapes

    def read(self, number: int, start: int, stop: int) -> Array:
        return self._kind.read(self._files, number, self._shapes[number], start, stop)


# Files that are trees


class _OfTrees:
    """Reads the frames of arrays, (H, W) or (m, H, W), one a file."""

    def __init__(self, arrays: Sequence[LazyArray]) -> None:
        self._arrays = arrays

    def read(self, number: int, start: int, stop: int) -> Array:
        array = self._arrays[number]
        return read_all(array)[None] if len(array.shape) == 2 else array.read(start, stop)


def _in_trees(trees: Sequence[Tree], options: ReadOptions) -> tuple[list[FrameShape], FrameReader]:
    """The array of frames in each file: the one that `--map` names, or the only one there is."""
    member = next((options.mapped[n] for n in DIFFRACTION_NAMES if n in options.mapped), None)
    shapes, arrays = [], []
    for tree in trees:
        with located(file=tree.path):
            path = _only_images(tree) if member is None else f"/{member.strip('/')}"
            if tree.kind(path) is None:
                raise InputError("there is no such array", member=path)
            raw = tree.array(path, "diffraction")
            if len(raw.shape) not in (2, 3) or raw.dtype.kind not in "biuf":
                raise InputError(f"has shape {raw.shape} {raw.dtype}: no frames", member=path)
            count = raw.shape[0] if len(raw.shape) == 3 else 1
            shapes.append(FrameShape(count, (raw.shape[-2], raw.shape[-1]), raw.dtype))
            arrays.append(raw.build(0))
    return shapes, _OfTrees(arrays)


def _only_images(tree: Tree) -> str:
    found = list(_images(tree, "/"))
    if len(found) != 1:
        told = f"has {', '.join(found[:20])}" if found else "has no array of images"
        raise InputError(
            f"{told}: nothing says which of its arrays are the frames",
            advice="--map diffraction=PATH names it, for all files",
        )
    return found[0]


def _images(tree: Tree, group: str) -> Iterator[str]:
    """The paths of all arrays of two or three axes longer than 1."""
    for name in tree.children(group):
        path = f"{group.rstrip('/')}/{name}"
        kind = tree.kind(path)
        if kind == "group":
            yield from _images(tree, path)
        elif kind == "array":
            shape = tree.shape(path)
            if len(shape) in (2, 3) and min(shape[-2:]) > 1:
                yield path
