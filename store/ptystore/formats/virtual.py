"""Virtual fields in a store: what is kept of them, and how they come back.

A virtual field has no values in the store, only its recipe: the function, the names of the
stored fields that it is computed from, and parameters. An input that is no field of the
scan itself (the raw counts under canonical frames) is stored as a hidden one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptystore.compute.recipes import build
from ptystore.errors import IntegrityError
from ptystore.model.content_digest import dtype_name, recipe_digest
from ptystore.model.dataset import Dataset, Field, Recipe
from ptystore.model.source import Storage

__all__ = ["Virtual", "VirtualNote", "materialized", "restored", "separate"]


@dataclass(frozen=True)
class VirtualNote:
    """What a store keeps of one virtual field."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    attrs: Mapping[str, Any]
    compute: str
    inputs: tuple[str, ...]
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The note as a store's root holds it."""
        return {
            "dtype": dtype_name(self.dtype),
            "shape": list(self.shape),
            "attrs": dict(self.attrs),
            "compute": self.compute,
            "inputs": list(self.inputs),
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> VirtualNote:
        """Parse a note; raises ValueError, TypeError or KeyError for what is none."""
        shape = tuple(note["shape"])
        if not all(type(size) is int and 0 <= size < 1 << 60 for size in shape):
            raise ValueError(f"shape {shape}")
        if not all(type(note[key]) is dict for key in ("attrs", "parameters")):
            raise ValueError("attributes or parameters that are no objects")
        return cls(
            np.dtype(note["dtype"]).newbyteorder("="),
            shape,
            note["attrs"],
            str(note["compute"]),
            tuple(str(name) for name in note["inputs"]),
            note["parameters"],
        )


@dataclass(frozen=True)
class Virtual:
    """The virtual fields of a store, the names it hides, and the order of all that shows."""

    fields: Mapping[str, VirtualNote]
    hidden: frozenset[str]
    order: tuple[str, ...]

    def digests(self, stored: Mapping[str, str]) -> dict[str, str]:
        """A digest for each virtual field: of its recipe and of what it is computed from."""
        return {
            name: recipe_digest(
                name, note.compute, note.parameters, [stored[source] for source in note.inputs]
            )
            for name, note in self.fields.items()
        }

    def to_json(self) -> dict[str, Any]:
        """What the root's note says of them."""
        return {
            "virtual": {name: note.to_json() for name, note in self.fields.items()},
            "hidden": sorted(self.hidden),
            "order": list(self.order),
        }

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> Virtual | None:
        """Parse the root's note; None where it speaks of no virtual fields."""
        if "virtual" not in note:
            return None
        fields = {name: VirtualNote.from_json(entry) for name, entry in note["virtual"].items()}
        return cls(fields, frozenset(note["hidden"]), tuple(note["order"]))


def materialized(dataset: Dataset) -> Dataset:
    """The same scan, whose virtual fields are to be written out as values."""
    fields = {
        name: dataclasses.replace(field, recipe=None) for name, field in dataset.fields.items()
    }
    return dataclasses.replace(dataset, fields=fields)


def separate(dataset: Dataset) -> tuple[Dataset, Virtual | None]:
    """What is to be stored, hidden inputs included, and what is to be noted."""
    stored = {name: field for name, field in dataset.fields.items() if field.recipe is None}
    if len(stored) == len(dataset):
        return dataset, None
    shown = set(stored)
    notes = {}
    for name, field in dataset.fields.items():
        if field.recipe is None:
            continue
        inputs = tuple(_stored_name(name, source, stored) for source in field.recipe.inputs)
        notes[name] = VirtualNote(
            field.dtype,
            field.shape,
            field.attrs,
            field.recipe.compute,
            inputs,
            field.recipe.parameters,
        )
    virtual = Virtual(notes, frozenset(set(stored) - shown), tuple(dataset.fields))
    return dataclasses.replace(dataset, fields=stored), virtual


def _stored_name(name: str, source: Field, stored: dict[str, Field]) -> str:
    """The name under which an input is stored; it is added where it is not yet."""
    for other, field in stored.items():
        if field.array is source.array:
            return other
    # One that was hidden in the store it comes from keeps its name, and so its digest.
    prefix = f"{name}."
    chosen = source.name if source.name.startswith(prefix) else prefix + source.name
    while chosen in stored:
        chosen += "-"
    digest = source.digest if chosen == source.name else None
    stored[chosen] = dataclasses.replace(source, name=chosen, digest=digest, recipe=None)
    return chosen


def restored(stored: Dataset, virtual: Virtual | None) -> Dataset:
    """The scan as it shows: virtual fields added to the stored ones, hidden ones left out.

    Raises `IntegrityError` for recipes that this release can't compute, or that don't fit.
    """
    if virtual is None:
        return stored
    found = dict(stored.fields)
    for name, note in virtual.fields.items():
        try:
            inputs = tuple(stored.fields[source] for source in note.inputs)
            array = build(note.compute, [field.array for field in inputs], note.parameters)
            if array.shape != note.shape or array.dtype != note.dtype:
                raise ValueError(f"gives {array.dtype} {array.shape}")
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"its recipe can't be computed: {error}",
                member=name,
                advice="a newer ptystore may know it: pip install --upgrade ptystore",
            ) from error
        recipe = Recipe(note.compute, inputs, note.parameters)
        storage = Storage(f"virtual: {note.compute}", 0)
        found[name] = Field(name, array, "per_frame", note.attrs, storage=storage, recipe=recipe)
    try:
        shown = {name: found[name] for name in virtual.order if name not in virtual.hidden}
    except KeyError as error:
        raise IntegrityError(f"there is no field {error}") from error
    return dataclasses.replace(stored, fields=shown)
