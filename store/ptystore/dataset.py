"""Field and Dataset: what every format gives and every transform takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ptystore.contract import DIFFRACTION_NAMES
from ptystore.errors import InputError
from ptystore.indexing import read_indexed
from ptystore.lazy_array import Array, Indices, LazyArray, MemoryArray, read_all
from ptystore.metadata import InputRef, Metadata, Transformation

__all__ = ["Check", "Dataset", "Field", "Recipe", "Role", "Source", "Storage", "memory_field"]

Role = Literal["per_frame", "global"]

# Asked around a write: raises what must stop it, yields lines to warn the user with.
Check = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Storage:
    """How a field lies in its file: `stored_bytes` is None where that is not known."""

    codec: str
    stored_bytes: int | None = None
    chunk_shape: tuple[int, ...] | None = None
    shard_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Source:
    """The file a dataset was opened from, and the content digest that it records, if any."""

    path: Path
    digest: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How a field is computed from others, for a store that keeps this in place of values.

    `compute` names a function of `ptystore.recipes`, `parameters` are JSON values.
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
    attrs: Mapping[str, Any] = field(default_factory=dict)
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
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the values uncompressed; a Python int of any size."""
        total = self.dtype.itemsize
        for length in self.shape:
            total *= length
        return total

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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
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
    is written and `remarks` after it. `fills_input_digest` marks a dataset whose last
    transformation record names an input with exactly these fields, so that the digest
    computed on writing is the input's.
    """

    fields: Mapping[str, Field]
    metadata: Metadata | None = None
    source: Source | None = None
    checks: tuple[Check, ...] = ()
    remarks: tuple[Check, ...] = ()
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
        parts = (f"{f.name} {f.dtype}{list(f.shape)}" for f in self.values())
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
        for one in self.values():
            if one.frame_axis is not None:
                return one.shape[one.frame_axis]
        return None

    @property
    def nbytes(self) -> int:
        """Uncompressed bytes of all fields."""
        return sum(one.nbytes for one in self.values())

    def take(self, indices: Indices) -> dict[str, Array]:
        """All per-frame fields at the given frames, as arrays."""
        wanted = np.asarray(indices)
        return {
            one.name: one[(slice(None),) * one.array.axis + (wanted,)]
            for one in self.values()
            if one.role == "per_frame"
        }

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
        *,
        tool: str,
        operation: str,
        parameters: Mapping[str, Any],
        checks: Iterable[Check] = (),
        remarks: Iterable[Check] = (),
    ) -> Dataset:
        """The result of a transform: other fields, and its record at the end of the history."""
        inputs = (InputRef(self.source.path.name, self.source.digest),) if self.source else ()
        record = Transformation(
            tool=tool, operation=operation, parameters=parameters, inputs=inputs
        )
        metadata = (self.metadata or Metadata.create()).with_record(record)
        # What follows in the same pass no longer has the source's own content as its input.
        source = dataclasses.replace(self.source, digest=None) if self.source else None
        return Dataset(
            {one.name: one for one in fields},
            metadata,
            source,
            (*self.checks, *checks),
            (*self.remarks, *remarks),
        )
