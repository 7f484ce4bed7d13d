"""Checks an HDF5 file: the values as for every format, and what our datasets say of themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ptystore.formats.assemble import Contents, ReadOptions
from ptystore.formats.attributes import geometry_texts
from ptystore.formats.checking import check_contents, unreadable
from ptystore.formats.chunk_codec import crc32c
from ptystore.formats.hdf5.asking import ask
from ptystore.formats.hdf5.described import described
from ptystore.formats.hdf5.places import said_text
from ptystore.formats.hdf5.reader import DAMAGED_ATTRIBUTES, SAID, read_hdf5, read_note
from ptystore.formats.value_check import DAMAGE
from ptystore.model.results import Damage, VerifyReport
from ptystore.storage.local import SourceFile
from ptystore.transfer.options import CheckOptions

__all__ = ["check_hdf5"]

_UNCHECKED = (
    "its attributes, and the names of its dimensions, are unchecked: "
    "the release of ptystore that wrote it kept no checksums of them"
)


def check_hdf5(kind: str, path: Path, options: CheckOptions) -> VerifyReport | None:
    """Compare a file with all that it records of itself; None for another tool's.

    Damage is reported, not raised.
    """
    try:
        contents = read_hdf5(path, ReadOptions(), trusting=True)
        if not isinstance(contents, Contents):
            return None
        report = check_contents(kind, contents, path, options, tables=True)
        damages, remarks = _attributes(SourceFile(path))
        damages += _geometry(SourceFile(path), contents)
        return dataclasses.replace(report, damages=report.damages + damages, remarks=remarks)
    except DAMAGE as error:
        return unreadable(kind, path, error)


def _attributes(source: SourceFile) -> tuple[tuple[Damage, ...], tuple[str, ...]]:
    """What is damaged of what the datasets of a file of ours say, and what can't be checked."""
    recorded = read_note(source, described(source)).get(SAID)
    if recorded is None:
        return (), (_UNCHECKED,)
    said = ask(source, "say")[0]["said"]
    wrong = [
        path
        for path in sorted({*recorded, *said})
        if path not in said or crc32c(said_text(said[path])) != recorded.get(path)
    ]
    return tuple(Damage(path.strip("/"), DAMAGED_ATTRIBUTES) for path in wrong), ()


def _geometry(source: SourceFile, contents: Contents) -> tuple[Damage, ...]:
    """Root attributes that do not say what the document does."""
    attrs = described(source).attrs
    told = {name: attrs[name] for name in ("geometry", "raw_frame") if name in attrs}
    expected = {name: {"text": text} for name, text in geometry_texts(contents.metadata).items()}
    wrong = [name for name in sorted({*told, *expected}) if told.get(name) != expected.get(name)]
    # A release before these attributes wrote none of them.
    wrong = wrong if told else []
    return tuple(Damage(name, "differs from the document's, which counts") for name in wrong)
