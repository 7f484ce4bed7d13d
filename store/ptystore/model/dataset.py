"""Field and Dataset: what every format gives and every transform takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ptystore.errors import InputError, located
from ptystore.model.choices import Role, Shuffle
from ptystore.model.contract import DIFFRACTION_NAMES, RECORD_NAMES, dimension_names
from ptystore.model.geometry import Geometry
from ptystore.model.indexing import read_indexed
from ptystore.model.layout import plan
from ptystore.model.lazy_array import Array, LazyArray, MemoryArray, read_all
from ptystore.model.metadata import Metadata, Transformation
from ptystore.model.source import Source, Storage
from ptystore.pools.threads import ThreadPool

if TYPE_CHECKING:
    import xarray

    from ptystore.loading.batches import Batches

__all__ = ["Check", "Dataset", "Field", "Recipe", "memory_field"]

# Raises where a source is no longer what was opened.
Proof = Callable[[], None]

# Asked around a write: raises what must stop it, yields lines to warn the user with.
Check = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Recipe:
    """How a field is computed from others, for a store that keeps this in place of values.

    `compute` names a function of `ptystore.compute.recipes`, `parameters` are JSON values.
    """

    compute: str
    inputs: tuple[Field, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One named array of a scan, read when asked for.

    `role` says whether it has one entry for each frame (along `frame_axis`) or is one for
    the whole scan. `attrs` are JSON values such as `units`, `signal`, `amplitude_scale`.
    `digest` is the content digest that the source records, not one computed on opening.
    A field with a `recipe` is virtual: a store keeps the recipe, unless it is materialized.
    """

    name: str
    array: LazyArray
    role: Role
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    digest: str | None = None
    storage: Storage | None = None
    recipe: Recipe | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def possible_dtypes(self) -> tuple[np.dtype[Any], ...]:
        """What `dtype` may turn out to be, narrowest first, where telling would mean computing."""
        return self.array.possible_dtypes

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the values uncompressed; a Python int of any size."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def largest_nbytes(self) -> int:
        """`nbytes`, or the most that they can be where `dtype` is not decided yet."""
        return self.possible_dtypes[-1].itemsize * math.prod(self.shape)

    @property
    def shard_shape(self) -> tuple[int, ...]:
        """What is stored in one file, or would be: the piece to read at once in a long pass."""
        if self.storage is not None and self.storage.shard_shape is not None:
            return self.storage.shard_shape
        return plan(self.shape, self.dtype.itemsize, self.array.axis).shard_shape

    @property
    def frame_axis(self) -> int | None:
        """The axis that counts frames, None for a global field."""
        return self.array.axis if self.role == "per_frame" else None

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d field")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Numpy-style indexing that reads only the chunks it needs.

        Slices, integers, integer arrays, boolean masks, `...` and tuples of them mean what
        they mean to numpy; what is asked of the frame axis decides what is read. Indexing
        a deflated NPZ member reads it from its start.
        """
        return read_indexed(self.array, key)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("a Field has no array in memory to share; copy=False is impossible")
        values = self.values()
        return values if dtype is None else values.astype(dtype, copy=False)

    def values(self) -> Array:
        """The whole field in memory."""
        return read_all(self.array)

    def with_array(self, array: LazyArray, **changes: Any) -> Field:
        """The same field with other values: its recorded digest and storage no longer hold."""
        kept = {"digest": None, "storage": None, "recipe": None}
        return dataclasses.replace(self, **(kept | {"array": array} | changes))


def memory_field(
    name: str, values: Any, role: Role, *, axis: int = 0, attrs: Mapping[str, Any] | None = None
) -> Field:
    """A field of values in memory."""
    return Field(name, MemoryArray(np.asarray(values), axis), role, dict(attrs or {}))


@dataclass(frozen=True)
class Dataset(Mapping[str, Field]):
    """An immutable bundle of lazy fields and one metadata document: a scan.

    A mapping from names to fields, in the order of the source. `checks` run before anything
    is written and `remarks` after it; `proofs` in between, when all was read and nothing is
    published yet: each raises where a source is no longer what was opened. `fills_input_digest`
    marks a dataset whose last transformation record names an input with exactly these fields, so
    that the digest computed on writing is the input's.
    """

    fields: Mapping[str, Field]
    metadata: Metadata | None = None
    source: Source | None = None
    checks: tuple[Check, ...] = ()
    remarks: tuple[Check, ...] = ()
    proofs: tuple[Proof, ...] = ()
    fills_input_digest: bool = False

    def __getitem__(self, name: str) -> Field:
        try:
            return self.fields[name]
        except KeyError:
            raise KeyError(f"no field {name!r}; there are {', '.join(self.fields)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    # A Mapping compares by content, which would read every value; identity is what is meant.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        # Looking computes nothing: a dtype that a first pass decides is shown as what it may be.
        parts = (
            f"{field.name} {'|'.join(map(str, field.possible_dtypes))}{list(field.shape)}"
            for field in self.values()
        )
        return f"<Dataset {self.source.path if self.source else 'in memory'}: {', '.join(parts)}>"

    @property
    def file(self) -> str | None:
        """The source's path as text, for messages."""
        return str(self.source.path) if self.source else None

    @property
    def frames(self) -> Field:
        """The diffraction field under whichever of its names.

        Raises `InputError` where the scan has none.
        """
        for name in DIFFRACTION_NAMES:
            if name in self.fields:
                return self.fields[name]
        names = " or ".join(DIFFRACTION_NAMES)
        raise InputError(f"there is no {names}: this scan has no frames", file=self.file)

    @property
    def frame_count(self) -> int | None:
        """The number of frames or scan positions, None where no field is per frame."""
        for field in self.values():
            if field.frame_axis is not None:
                return field.shape[field.frame_axis]
        return None

    @property
    def geometry(self) -> Geometry:
        """What the metadata document says of energies, distances and pixel sizes.

        Raises `InputError` where it says nonsense.
        """
        return Geometry.of(self.metadata)

    @property
    def nbytes(self) -> int:
        """Uncompressed bytes of all fields."""
        return sum(field.nbytes for field in self.values())

    @property
    def largest_nbytes(self) -> int:
        """`nbytes`, or the most that they can be where a dtype is not decided yet."""
        return sum(field.largest_nbytes for field in self.values())

    @property
    def global_bytes(self) -> int:
        """Uncompressed bytes of the global fields, which are held in memory."""
        return sum(field.nbytes for field in self.values() if field.role == "global")

    def dims(self) -> dict[str, tuple[str, ...]]:
        """The names of every field's axes: the contract's where sizes agree."""
        shapes = {field.name: field.shape for field in self.values()}
        return dimension_names(shapes, {field.name: field.frame_axis for field in self.values()})

    def take(self, indices: npt.ArrayLike) -> dict[str, Array]:
        """All per-frame fields at the given frames, read at the same time.

        Each is what indexing that field along its frame axis gives. Up to eight threads read;
        they end with the call. Raises `IndexError` as numpy does.
        """
        wanted = np.asarray(indices, None if np.size(indices) else np.int64)
        fields = [field for field in self.values() if field.role == "per_frame"]
        if not fields:
            return {}
        with ThreadPool(min(8, len(fields)), "ptystore-take") as pool:
            values = pool.map(
                lambda field: field[(*[slice(None)] * field.array.axis, wanted)], fields
            )
            return {field.name: taken for field, taken in zip(fields, values, strict=True)}

    def batches(
        self,
        batch_size: int,
        fields: Iterable[str] | None = None,
        *,
        shuffle: Shuffle = "none",
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        prefetch: int = 2,
        start: int = 0,
        buffer_bytes: int = 32 << 20,
    ) -> Batches:
        """One epoch of the scan in batches: dicts of arrays, read ahead while you compute.

        A batch has the per-frame `fields` (all of them by default), `batch_size` frames along
        each one's frame axis, and under ``"index"`` those frames' indices, int64.

        Parameters
        ----------
        shuffle : ``"none"`` keeps the order of the scan. ``"blocks"`` reads the shards in
            random order, each of them forwards, and permutes the frames within windows of as
            many frames as fit `buffer_bytes`: a frame mixes with those of the few shards that
            share its window (two or three, by default), which are from anywhere in the scan.
            It is nearly as fast as reading in order. ``"full"`` is a random permutation of
            all frames, through random reads.
        seed, epoch : the order depends on these and on the number of frames, for ``"blocks"``
            on the shards' length, `batch_size`, `rank`, `world_size` and `buffer_bytes` too;
            never on `prefetch`, the machine or a library's version.
        rank, world_size : the epoch's order is cut into `world_size` parts that differ by one
            frame at most; this iteration is part `rank`. No frame is in two, none is missing.
        drop_last : leave out what remains after the last full batch of the smallest part, so
            that all batches are full and all ranks have the same number of them. Without it
            the last batch is smaller, and one rank may have a batch more than another.
        prefetch : batches that are ready before they are asked for; with ``"blocks"`` it is
            a window. 0 reads when asked, without a thread.
        start : the batches of this rank to skip, without reading them. The result's
            ``state()`` has the arguments that go on from where it is.
        buffer_bytes : the size of a window of ``"blocks"``, of which there are two in memory.

        Raises `ParameterError` (a `ValueError`) for arguments that make no sense and for
        shuffling a deflated NPZ member, which can only be read forwards.
        """
        from ptystore.loading.batches import BatchOptions, batches_of

        per_frame = {field.name: field for field in self.values() if field.role == "per_frame"}
        options = BatchOptions(
            batch_size=batch_size,
            fields=tuple(per_frame) if fields is None else tuple(fields),
            shuffle=shuffle,
            seed=seed,
            epoch=epoch,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
            prefetch=prefetch,
            start=start,
            buffer_bytes=buffer_bytes,
        )
        with located(file=self.file):
            return batches_of(per_frame, options)

    def to_xarray(self, *, chunked: bool = True) -> xarray.Dataset:
        """The scan as an `xarray.Dataset` that reads when values are asked for.

        Variables have the names of the contract's dimensions and the fields' attributes; the
        metadata document is the attribute ``metadata``. They are dask arrays whose chunks are
        the shards, or, not `chunked`, xarray's own lazy arrays, which need no dask.

        Raises `ImportError` naming the extra to install.
        """
        from ptystore.loading.to_xarray import to_xarray

        document = self.metadata.document if self.metadata else None
        return to_xarray(self.fields, self.dims(), document, chunked)

    def to_dask(self) -> dict[str, Any]:
        """All fields by name as dask arrays whose chunks are the shards, read when computed.

        Raises `ImportError` naming the extra to install.
        """
        from ptystore.loading.to_xarray import to_dask

        return to_dask(self.fields)

    def require(self, name: str, what_for: str) -> Field:
        """The field `name`, or an `InputError` that says what needs it."""
        if name not in self.fields:
            raise InputError(
                f"there is no such field, and {what_for} needs it",
                file=self.file,
                member=name,
                advice=f"the file has {', '.join(self.fields)}",
            )
        return self.fields[name]

    def transformed(
        self,
        fields: Iterable[Field],
        verb: str,
        parameters: Mapping[str, Any],
        *,
        checks: Iterable[Check] = (),
        remarks: Iterable[Check] = (),
    ) -> Dataset:
        """The result of a transform: other fields, and its record at the end of the history.

        `verb` is one of `contract.RECORD_NAMES`.
        """
        inputs = (self.source.as_input(),) if self.source else ()
        record = Transformation(*RECORD_NAMES[verb], parameters=parameters, inputs=inputs)
        metadata = (self.metadata or Metadata.create()).with_record(record)
        # What follows in the same pass no longer has the source's own content as its input.
        source = dataclasses.replace(self.source, digest=None) if self.source else None
        return Dataset(
            {field.name: field for field in fields},
            metadata,
            source,
            (*self.checks, *checks),
            (*self.remarks, *remarks),
            self.proofs,
        )
