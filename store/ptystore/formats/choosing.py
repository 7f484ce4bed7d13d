"""Some fields of a store of ours left out, others under another name."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from ptystore.errors import InputError, ParameterError
from ptystore.formats.assemble import Contents, FieldNotes, ReadOptions
from ptystore.formats.names import METADATA_MEMBER, MemberNames
from ptystore.formats.virtual import Virtual
from ptystore.model.contract import FIELDS, standard_attrs

__all__ = ["chosen", "renamed_notes"]


def chosen(contents: Contents, options: ReadOptions) -> Contents:
    """What is taken of a store's contents.

    Raises `ParameterError` for names that are not there, and for a field to be left out that
    a virtual one is computed from.
    """
    names = options.names()
    if not names:
        return contents
    virtual = contents.virtual
    fields = [*contents.arrays, *(virtual.fields if virtual else ())]
    there = fields if contents.metadata is None else [*fields, METADATA_MEMBER]
    names.require_all_in(there)
    if names.of(METADATA_MEMBER) not in (METADATA_MEMBER, None):
        raise ParameterError("is the metadata document: it can't be renamed to an array")
    taken = Counter(new for name in fields if (new := names.of(name)) is not None)
    for new, count in taken.items():
        if count > 1:
            raise InputError("is there twice", member=new)
    arrays = {
        new: raw for name, raw in contents.arrays.items() if (new := names.of(name)) is not None
    }
    return dataclasses.replace(
        contents,
        arrays=arrays,
        metadata=contents.metadata if names.of(METADATA_MEMBER) else None,
        notes=None if contents.notes is None else renamed_notes(contents.notes, names),
        digest=None,
        virtual=None if virtual is None else _chosen_virtual(virtual, names),
    )


def renamed_notes(notes: Mapping[str, FieldNotes], names: MemberNames) -> dict[str, FieldNotes]:
    """The notes of those fields that are taken; what a new name means is the contract's to say."""
    taken = {}
    for name, entry in notes.items():
        new = names.of(name)
        if new is None:
            continue
        if new != name:
            # The digest covers the name.
            entry = dataclasses.replace(entry, digest=None)
            if new in FIELDS:
                axis = entry.frame_axis or 0 if FIELDS[new].role == "per_frame" else None
                entry = FieldNotes(axis, standard_attrs(new) | dict(entry.attrs))
        taken[new] = entry
    return taken


def _chosen_virtual(virtual: Virtual, names: MemberNames) -> Virtual:
    fields = {}
    for name, note in virtual.fields.items():
        new = names.of(name)
        if new is None:
            continue
        inputs = tuple(_kept(source, names, name) for source in note.inputs)
        fields[new] = dataclasses.replace(note, inputs=inputs)
    order = tuple(new for name in virtual.order if (new := names.of(name)) is not None)
    hidden = frozenset(new for name in virtual.hidden if (new := names.of(name)) is not None)
    return Virtual(fields, hidden, order)


def _kept(name: str, names: MemberNames, needed_by: str) -> str:
    new = names.of(name)
    if new is None:
        raise ParameterError(f"can't be left out: {needed_by} is computed from it", member=name)
    return new
