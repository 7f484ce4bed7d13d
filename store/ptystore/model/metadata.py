"""The metadata document of a scan, and the records of what was done to it.

The document is one JSON object, kept whole and in order, unknown keys included; its
`data_transformations` are the history, oldest first. A text that is not acceptable JSON can
be kept verbatim instead, uninterpreted.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from ptystore.errors import InputError, ParameterError
from ptystore.model.anonymity import wants_anonymity
from ptystore.model.choices import MergeStrategy
from ptystore.model.strict_json import (
    check_size,
    dump,
    is_number,
    normalise,
    parse,
    plain_copy,
    refused,
    show_value,
    values_agree,
)
from ptystore.version import software

__all__ = ["InputRef", "Metadata", "Transformation"]

_SCHEMA_VERSION = "1.0.0"
_HISTORY = "data_transformations"
_PHYSICS = "physics_parameters"
_DOMAINS = ("count_intensity", "normalized_amplitude")


def _utc_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _file_name(file: str | os.PathLike[str]) -> str:
    name = re.split(r"[/\\]", os.fspath(file).rstrip("/\\"))[-1]
    # A name that is not UTF-8 comes with lone surrogates, which JSON does not take.
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class InputRef:
    """An input of a transformation: its file name, never a directory, digest, and dialect if any.

    The digest is None where the input was not wholly read and its own store records none.
    """

    file: str
    digest: str | None = None
    dialect: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", _file_name(self.file))


@dataclass(frozen=True)
class Transformation:
    """One entry of the history.

    `tool` and `operation` are the names that downstream guards look for, `timestamp` is UTC,
    ISO 8601, ending in `Z`, `software` is "ptystore X.Y". Raises InputError, naming the path,
    where `parameters` hold what is not JSON; NumPy values become plain numbers and lists.
    """

    tool: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[InputRef, ...] = ()
    timestamp: str = field(default_factory=_utc_now)
    software: str = field(default_factory=software)

    def __post_init__(self) -> None:
        own_copy = normalise(self.parameters, (_HISTORY, "parameters"))
        object.__setattr__(self, "parameters", own_copy)
        object.__setattr__(self, "inputs", tuple(self.inputs))

    def to_dict(self) -> dict[str, Any]:
        """The record as it stands in a document."""
        return {
            "tool": self.tool,
            "timestamp": self.timestamp,
            "operation": self.operation,
            "parameters": plain_copy(self.parameters),
            "software": self.software,
            "inputs": [
                {key: value for key, value in vars(ref).items() if key != "dialect" or value}
                for ref in self.inputs
            ],
        }


@dataclass(frozen=True, init=False, repr=False)
class Metadata:
    """An immutable metadata document; equal to another with the same content.

    `document` is copied; NumPy scalars and arrays, tuples and paths in it become plain JSON
    values. Raises InputError, the JSON path in its reason, where something in it is not JSON
    (NaN, infinity, complex, bytes, an object).
    """

    _document: dict[str, Any]
    _text: str | None

    #: photons a frame where a document records none: the legacy reader's default
    DEFAULT_NPHOTONS: ClassVar[float] = 1e9

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping):
            raise refused((), "the document is not an object")
        object.__setattr__(self, "_document", normalise(document))
        object.__setattr__(self, "_text", None)

    @classmethod
    def create(
        cls,
        physics: Mapping[str, Any] | None = None,
        *,
        training: Mapping[str, Any] | None = None,
        additional: Mapping[str, Any] | None = None,
        script: str | None = None,
        host: str | None = None,
    ) -> Metadata:
        """A new document with an empty history: `script` made the scan on `host`, or here.

        A `host` that is not given is None with PTYSTORE_ANONYMOUS in the environment. Raises
        InputError as the constructor does.
        """
        if host is None and not wants_anonymity(None):
            host = platform.node()
        return cls(
            {
                "schema_version": _SCHEMA_VERSION,
                "creation_info": {
                    "timestamp": _utc_now(),
                    "script": script,
                    "hostname": host,
                    "software": software(),
                },
                _PHYSICS: physics or {},
                "training_parameters": training or {},
                _HISTORY: [],
                "additional_parameters": additional or {},
            }
        )

    @classmethod
    def from_json(cls, text: str, *, strict: bool = True) -> Metadata:
        """The document in a JSON text.

        Raises InputError, member `_metadata` and the JSON path in its reason, for what
        `strict_json.parse` refuses: malformed JSON, NaN and infinities, duplicate keys, lone
        surrogates, over 64 levels, 16 MiB or 4300 digits. With `strict=False` such a text is
        kept as by `keep_text`, and only its size can be refused.
        """
        try:
            return cls._of(parse(text))
        except InputError:
            if strict:
                raise
            return cls.keep_text(text)

    @classmethod
    def keep_text(cls, text: str) -> Metadata:
        """A text kept verbatim and not interpreted; its document and history are empty.

        Raises InputError where the text is over 16 MiB as UTF-8.
        """
        check_size(text)
        return cls._of({}, text)

    @classmethod
    def _of(cls, document: dict[str, Any], text: str | None = None) -> Metadata:
        """From a document that is plain JSON already and nobody else's."""
        made = cls.__new__(cls)
        object.__setattr__(made, "_document", document)
        object.__setattr__(made, "_text", text)
        return made

    def __repr__(self) -> str:
        if self._text is not None:
            return f"Metadata(kept text of {len(self._text)} characters)"
        return f"Metadata(document of {len(self._document)} keys)"

    @property
    def document(self) -> dict[str, Any]:
        """A copy of the document; {} for a kept text."""
        return plain_copy(self._document)

    @property
    def text(self) -> str | None:
        """The text that `keep_text` keeps; None for a document."""
        return self._text

    def to_json(self) -> str:
        """The document as JSON that `from_json` reads back equal, or the kept text verbatim.

        Raises InputError where it is over 16 MiB: no reader would take it.
        """
        return dump(self._document) if self._text is None else self._text

    @property
    def history(self) -> list[dict[str, Any]]:
        """The transformation records, oldest first; [] where there are none.

        Raises InputError where `data_transformations` is not a list of objects.
        """
        return plain_copy(self._records())

    def _records(self) -> list[dict[str, Any]]:
        records = self._document.get(_HISTORY)
        if records is None:
            return []
        if not isinstance(records, list):
            raise refused((_HISTORY,), "the history is not a list")
        for index, record in enumerate(records):
            if not isinstance(record, dict):
                raise refused((_HISTORY, index), "a record of the history is not an object")
        return records

    def with_record(self, record: Transformation | Mapping[str, Any]) -> Metadata:
        """The same document with `record` at the end of its history.

        A kept text becomes a new document that holds it under
        `additional_parameters.source_metadata_text`, lone surrogates escaped. Raises
        InputError where the record is not JSON or the history not a list of objects.
        """
        document = self._editable()
        records = self.history
        plain = record.to_dict() if isinstance(record, Transformation) else record
        records.append(normalise(plain, (_HISTORY, len(records))))
        return self._of({**document, _HISTORY: records})

    def _editable(self) -> dict[str, Any]:
        if self._text is None:
            return self.document
        # With escapes in place of lone surrogates the result is JSON, and UTF-8, again.
        readable = self._text.encode("utf-8", "backslashreplace").decode("utf-8")
        return self.create(additional={"source_metadata_text": readable})._document

    def with_input_digests(self, digests: Mapping[str, str]) -> Metadata:
        """The same document, null digests of the last record's inputs filled by file name."""
        records = self.history
        if not records:
            return self
        by_name = {_file_name(file): digest for file, digest in digests.items()}
        inputs = records[-1].get("inputs")
        for entry in inputs if isinstance(inputs, list) else []:
            if isinstance(entry, dict) and entry.get("digest") is None:
                entry["digest"] = by_name.get(str(entry.get("file")))
        return self._of({**self.document, _HISTORY: records})

    @property
    def physics(self) -> dict[str, Any]:
        """A copy of `physics_parameters`; {} where there are none.

        Raises InputError where it is not an object.
        """
        physics = self._document.get(_PHYSICS)
        if physics is None:
            return {}
        if not isinstance(physics, dict):
            raise refused((_PHYSICS,), "not an object")
        return plain_copy(physics)

    @property
    def nphotons(self) -> float:
        """Mean photons a frame; `DEFAULT_NPHOTONS` where the document says nothing.

        Raises InputError where it is not a positive number.
        """
        return self._positive("nphotons", self.DEFAULT_NPHOTONS)

    @property
    def gridsize(self) -> int:
        """Frames along one side of a group; 1 where the document says nothing.

        Raises InputError where it is not a positive whole number.
        """
        value = self._positive("gridsize", 1)
        if value != int(value):
            raise refused((_PHYSICS, "gridsize"), f"{show_value(value)} is not a whole number")
        return int(value)

    def _positive(self, name: str, default: float) -> float:
        value = self.physics.get(name)
        if value is None:
            return default
        if not is_number(value) or not 0 < value <= sys.float_info.max:
            raise refused((_PHYSICS, name), f"{show_value(value)} is not a positive number")
        return float(value)

    @property
    def measurement_domain(self) -> str | None:
        """What the frames measure: "count_intensity", "normalized_amplitude" or None.

        Raises InputError for any other value, or where the top level and
        `physics_parameters` contradict each other.
        """
        places = {
            ("measurement_domain",): self._document.get("measurement_domain"),
            (_PHYSICS, "measurement_domain"): self.physics.get("measurement_domain"),
        }
        stated = {path: value for path, value in places.items() if value is not None}
        for path, value in stated.items():
            if value not in _DOMAINS:
                raise refused(path, f"{show_value(value)} is neither {' nor '.join(_DOMAINS)}")
        if len(set(stated.values())) > 1:
            raise refused(("measurement_domain",), f"contradicts that of {_PHYSICS}")
        return next(iter(stated.values()), None)

    def mismatches(self, physics: Mapping[str, Any]) -> list[str]:
        """One line for each given physics parameter that the document lacks or has otherwise.

        Numbers agree within 1e-9 relative; lines are like
        "nphotons: expected 1000, document has 1e9". Raises InputError where `physics` or the
        document's own are not JSON objects.
        """
        mine = self.physics
        lines = []
        for name, expected in normalise(physics).items():
            if name not in mine or not values_agree(expected, mine[name]):
                has = show_value(mine[name]) if name in mine else "none"
                lines.append(f"{name}: expected {show_value(expected)}, document has {has}")
        return lines

    @staticmethod
    def merge(
        documents: Sequence[Metadata],
        strategy: MergeStrategy = "preserve_first",
        files: Sequence[str] | None = None,
    ) -> Metadata:
        """The first document plus `merge_info`: when, how, how many, and from which files.

        "preserve_first" notes under `differences` the physics parameters in which later
        documents differ from the first; "validate_consistent" refuses documents that disagree
        on nphotons, N or gridsize. Of `files`, one for each document, the names are recorded.
        A `merge_info` of the first document stays, under `previous`.

        Raises
        ------
        ParameterError : no documents, an unknown strategy, another number of files.
        InputError : the documents disagree; every parameter that does is listed.
        """
        if not documents:
            raise ParameterError("there are no documents to merge")
        if strategy not in ("preserve_first", "validate_consistent"):
            raise ParameterError(f"unknown merge strategy {strategy!r}")
        if files is not None and len(files) != len(documents):
            raise ParameterError(f"{len(files)} files named for {len(documents)} documents")
        sources = [None] * len(documents) if files is None else [_file_name(f) for f in files]
        counted = {"strategy": strategy, "count": len(documents), "sources": sources}
        info: dict[str, Any] = {"timestamp": _utc_now(), **counted}
        if strategy == "validate_consistent":
            _require_consistent(documents, sources)
        else:
            info["differences"] = _differences(documents)
        document = documents[0]._editable()
        if "merge_info" in document:
            info["previous"] = document["merge_info"]
        return Metadata({**document, "merge_info": info})


def _differences(documents: Sequence[Metadata]) -> list[dict[str, Any]]:
    """For each later document that differs: its index and its own physics parameters."""
    first = documents[0].physics
    found = []
    for index, other in enumerate(documents[1:], start=1):
        own = other.physics
        differing = {k: own[k] for k in own if k not in first or not values_agree(first[k], own[k])}
        if differing:
            found.append({"source": index, _PHYSICS: differing})
    return found


def _require_consistent(documents: Sequence[Metadata], sources: Sequence[str | None]) -> None:
    columns: dict[str, list[Any]] = {
        "nphotons": [document.nphotons for document in documents],
        "N": [document.physics.get("N") for document in documents],
        "gridsize": [document.gridsize for document in documents],
    }
    labels = [source or f"document {i}" for i, source in enumerate(sources, start=1)]
    complaints = []
    for name, values in columns.items():
        if not all(values_agree(values[0], value) for value in values):
            shown = [f"{show_value(v)} in {label}" for v, label in zip(values, labels, strict=True)]
            complaints.append(f"{name}: {', '.join(shown)}")
    if complaints:
        raise InputError(f"the documents disagree: {'; '.join(complaints)}", member="_metadata")
