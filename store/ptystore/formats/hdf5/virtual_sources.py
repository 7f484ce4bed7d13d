"""Virtual datasets of another tool's file: every piece is opened and compared before it is read.

HDF5 itself gives the fill value for what is not there, and the last of several pieces that overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ptystore.errors import InputError, InputMissingError
from ptystore.formats.assemble import RawArray
from ptystore.formats.hdf5.described import Stored
from ptystore.formats.hdf5.linked import Files, Found
from ptystore.formats.hdf5.selections import Along, selected
from ptystore.formats.hdf5.stored_arrays import FilledArray
from ptystore.formats.hdf5.virtual_array import MOST_STEPS, Piece, VirtualArray, apart
from ptystore.formats.never_written import in_words
from ptystore.model.lazy_array import LazyArray
from ptystore.model.source import Storage

__all__ = ["Followed", "virtual_array"]

#: Virtual datasets of virtual datasets.
_DEEPEST = 8

#: Pieces of one array, those of its virtual sources counted too.
_MOST_PIECES = 200_000

#: Pairs of pieces that lie close enough to be compared.
_MOST_PAIRS = 1_000_000

#: A row of a source is read whole, and for each row of the array again: so many bytes at most.
_MOST_ROW = 256 << 20

#: Makes an array of what a path leads to: a source of a virtual one.
Reader = Callable[[Found, "Followed"], RawArray]


@dataclass
class Followed:
    """What was followed on the way to an array: where it leads, and how much there was."""

    way: tuple[tuple[str, str], ...] = ()
    count: list[int] = field(default_factory=lambda: [0])

    def into(self, found: Found) -> Followed:
        """One step further. Raises `InputError` where it leads round in a circle, or too far."""
        here = (str(found.file.source.path), found.place.path)
        if here in self.way:
            raise InputError(f"is virtual, and leads back to itself through {here[0]}")
        if len(self.way) >= _DEEPEST:
            raise InputError(f"is virtual, of virtual ones more than {_DEEPEST} deep")
        return Followed((*self.way, here), self.count)

    def add(self, pieces: int) -> None:
        """Raise `InputError` where all pieces together are too many."""
        self.count[0] += pieces
        if self.count[0] > _MOST_PIECES:
            raise InputError(f"is virtual, of more than {_MOST_PIECES} pieces in all")


@dataclass(frozen=True)
class _Made:
    """A piece whose source is not cut yet."""

    place: tuple[Along, ...]
    taken: tuple[Along, ...]
    raw: RawArray


def virtual_array(
    files: Files,
    found: Found,
    stored: Stored,
    fill: bytes | None,
    followed: Followed,
    read: Reader,
) -> RawArray:
    """The array that a virtual dataset is, its sources opened by `read`.

    Where files may be growing, a source may be shorter than declared, or not there yet. Raises
    `InputError` where one is not what the dataset declares, lies where it is not opened, or shares
    values with another one; `InputMissingError` where it is not there.
    """
    said = stored.virtual or {}
    if "refused" in said or stored.shape is None:
        raise InputError(str(said.get("refused", "is virtual, and has no shape")))
    if stored.dtype is None or stored.kind != "plain":
        raise InputError(f"is virtual, of {stored.shown}, where plain numbers can be")
    followed, growing = followed.into(found), files.master.source.growing
    followed.add(len(said["pieces"]))
    sources: dict[tuple[str, str], RawArray] = {}
    pieces = []
    for name, path, place_said, taken_said in said["pieces"]:
        place = selected(place_said, stored.shape)
        with _naming(name, path, place):
            key = (name.replace("%%", "%"), path)  # as HDF5 has it in names
            try:
                if key not in sources:
                    sources[key] = _source(files, found, key, stored, followed, read)
            except InputMissingError:
                if not growing:
                    raise
                continue  # not there yet
            raw = sources[key]
            if growing:
                place, taken_said = _as_far_as_there(place, taken_said, raw)
                if place and not place[0].size:
                    continue
            pieces.append(_made(place, taken_said, raw))
    _require_apart([piece.place for piece in pieces], stored.shape)
    common = {
        "source": found.file.source,
        "name": found.place.path,
        "stored_dtype": stored.dtype,
        "dtype": stored.dtype.newbyteorder("="),
        "fill": fill,
    }
    known = [raw.storage.stored_bytes for raw in sources.values() if raw.storage is not None]
    sizes = [size for size in known if size is not None]
    first = next(iter(sources.values()), None)
    chunk = first.storage.chunk_shape if first is not None and first.storage is not None else None
    if chunk is not None and len(chunk) != len(stored.shape):
        chunk = None
    storage = Storage("hdf5", sum(sizes), chunk)
    build = partial(_built, tuple(pieces), stored.shape, common)
    return RawArray(stored.shape, stored.dtype.newbyteorder("="), build, storage)


@contextmanager
def _naming(name: str, path: str, place: Sequence[Along]) -> Iterator[None]:
    """Say of an error whose frames it is about."""
    try:
        yield
    except InputError as error:
        which = "" if not place else f"frames {in_words([(place[0].start, place[0].end - 1)])} "
        error.reason = f"{which}are {path} of {name}: {error.reason}"
        raise


def _source(
    files: Files,
    found: Found,
    key: tuple[str, str],
    stored: Stored,
    followed: Followed,
    read: Reader,
) -> RawArray:
    name, path = key
    source = files.find(path, files.beside(name, found.file))
    if source is None or source.place.node["kind"] != "dataset":
        raise InputError("it has no such array")
    raw = read(source, followed)
    own = stored.dtype
    assert own is not None
    if raw.dtype != own.newbyteorder("="):
        raise InputError(f"it has dtype {raw.dtype}, declared is {own.newbyteorder('=')}")
    return raw


def _made(place: tuple[Along, ...], said: Any, raw: RawArray) -> _Made:
    """A piece, its part of the source compared with the part that it shall be."""
    taken = selected(said, raw.shape)
    declared, there = (tuple(one.size for one in axes) for axes in (place, taken))
    many, few = (tuple(size for size in shape if size != 1) for shape in (declared, there))
    # Frames on a raster may lie in a row there, but frames stay frames.
    alike = many == few or (min(len(many), len(few)) > 2 and many[-2:] == few[-2:])
    if math.prod(declared) != math.prod(there) or not alike:
        raise InputError(f"it has shape {there} there, declared is {declared}")
    return _Made(place, taken, raw)


def _as_far_as_there(
    place: tuple[Along, ...], said: Any, raw: RawArray
) -> tuple[tuple[Along, ...], Any]:
    """The first of a run of rows, as many as the source has; unchanged where it has them all."""
    if not place or len(raw.shape) != len(place) or place[0].count > 1:
        return place, said
    rows = place[0].size
    start, stride, count, block = (0, rows, 1, rows) if said is None else (one[0] for one in said)
    is_run = count * block == rows and (count == 1 or stride == block)
    there = max(0, raw.shape[0] - start)
    if not is_run or there >= rows:
        return place, said
    place = (Along(place[0].start, there, 1, there), *place[1:])
    if said is not None:
        first = (start, there, 1, there)
        said = [[own, *one[1:]] for own, one in zip(first, said, strict=True)]
    return place, said


def _require_apart(places: Sequence[tuple[Along, ...]], shape: tuple[int, ...]) -> None:
    """Raise `InputError` where two places have values in common."""
    if sum(one.count for place in places for one in place) > MOST_STEPS:
        raise InputError("is virtual, of pieces in more steps than can be followed")
    strides = [math.prod(shape[at + 1 :]) for at in range(len(shape))]

    def first_and_last(place: tuple[Along, ...]) -> tuple[int, int]:
        begin = sum(one.start * step for one, step in zip(place, strides, strict=True))
        end = sum((one.end - 1) * step for one, step in zip(place, strides, strict=True))
        return begin, end

    spans = sorted((*first_and_last(place), at) for at, place in enumerate(places))
    near: list[tuple[int, int]] = []
    pairs = 0
    for begin, end, at in spans:
        near = [(last, other) for last, other in near if last >= begin]
        pairs += len(near)
        if pairs > _MOST_PAIRS:
            raise InputError("is virtual, of pieces that lie between each other in too many ways")
        for _, other in near:
            if all(a.meets(b) for a, b in zip(places[at], places[other], strict=True)):
                both = sorted((at, other))
                raise InputError(f"is virtual, and its pieces {both[0]} and {both[1]} overlap")
        near.append((end, at))


def _built(
    pieces: tuple[_Made, ...], shape: tuple[int, ...], common: Mapping[str, Any], axis: int
) -> LazyArray:
    """The lazy array, cut along its first axis whatever is asked for."""
    if not pieces or 0 in shape or not shape:
        return FilledArray(shape=shape, axis=axis, **common)
    # A source that several pieces are of is built once.
    built = {id(raw): raw.build(0) for raw in {id(one.raw): one.raw for one in pieces}.values()}
    cut = [
        apart(Piece(one.place[0], one.place[1:], built[id(one.raw)], one.taken or (_SCALAR,)))
        for one in pieces
    ]
    for one in cut:
        row = math.prod(one.source.shape[1:]) * one.source.dtype.itemsize
        if row > _MOST_ROW and one.taken_size > one.row_size:
            raise InputError("is virtual, of pieces that can't be read frame by frame")
    return VirtualArray(cut, shape=shape, axis=0, **common)


_SCALAR = Along(0, 1, 1, 1)
