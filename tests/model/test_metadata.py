"""The metadata document: kept whole, strictly JSON, its history appended to and never lost."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
import socket
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptystore.errors import InputError, ParameterError
from ptystore.model.metadata import InputRef, Metadata, Transformation

UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def refusal(call: Callable[[], object]) -> InputError:
    """The error of a call that must be refused, its message fit for one line of a terminal."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.member == "_metadata"
    assert caught.value.reason.startswith("$")
    assert "\n" not in caught.value.reason
    caught.value.reason.encode("utf-8")
    return caught.value


def scan(**physics: Any) -> Metadata:
    return Metadata({"physics_parameters": physics})


# The document as a value


def test_a_document_is_an_object() -> None:
    assert "not an object" in refusal(lambda: Metadata([1])).reason  # type: ignore[arg-type]


def test_is_immutable_and_owns_its_document() -> None:
    source = {"physics_parameters": {"b": [1]}, "data_transformations": [{"tool": "t"}]}
    metadata = Metadata(source)
    before = copy.deepcopy(source)
    source["physics_parameters"]["b"].append(2)  # type: ignore[call-overload, index]
    metadata.document["physics_parameters"]["b"].append(3)
    metadata.history[0]["tool"] = "other"
    metadata.physics["b"].append(4)
    assert metadata.document == before
    with pytest.raises(AttributeError):
        metadata.document = {}  # type: ignore[misc]


def test_equality_pickling_and_repr() -> None:
    document, kept = scan(nphotons=1e9), Metadata.keep_text("\udc80 not json")
    for one in (document, kept, Metadata({})):
        for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            assert other == one
            assert (other.document, other.text) == (one.document, one.text)
        assert len(repr(one)) < 80
    assert document != scan(nphotons=1e8)
    assert Metadata({}) != Metadata.keep_text("{}")
    assert Metadata.keep_text("a") != Metadata.keep_text("b")


def test_create_follows_the_schema() -> None:
    made = Metadata.create(
        {"nphotons": np.float64(1e6), "N": 64}, training={"nepochs": 50}, script="sim.py", host="h"
    )
    document = made.document
    assert list(document) == [
        "schema_version",
        "creation_info",
        "physics_parameters",
        "training_parameters",
        "data_transformations",
        "additional_parameters",
    ]
    info = document["creation_info"]
    assert document["schema_version"] == "1.0.0"
    assert UTC_TIME.fullmatch(info["timestamp"])
    assert (info["script"], info["hostname"]) == ("sim.py", "h")
    assert document["physics_parameters"] == {"nphotons": 1e6, "N": 64}
    assert document["training_parameters"] == {"nepochs": 50}
    assert (document["data_transformations"], document["additional_parameters"]) == ([], {})
    assert Metadata.create().document["creation_info"]["hostname"] == socket.gethostname()
    error = refusal(lambda: Metadata.create({"nphotons": math.nan}))
    assert error.reason.startswith("$.physics_parameters.nphotons: ")


# What the document says


def test_physics_has_the_legacy_defaults() -> None:
    for metadata in (Metadata({}), Metadata({"physics_parameters": None}), scan(nphotons=None)):
        assert (metadata.nphotons, metadata.gridsize) == (1e9, 1)
    assert Metadata.DEFAULT_NPHOTONS == 1e9
    stated = scan(nphotons=1000, gridsize=2.0)
    assert (stated.nphotons, stated.gridsize) == (1000.0, 2)
    assert (type(stated.nphotons), type(stated.gridsize)) == (float, int)


@pytest.mark.parametrize("value", ["1e9", True, 0, -5, [1], {}, 10**400])
@pytest.mark.parametrize("name", ["nphotons", "gridsize"])
def test_physics_that_is_no_number_is_refused(name: str, value: Any) -> None:
    error = refusal(lambda: getattr(scan(**{name: value}), name))
    assert error.reason.startswith(f"$.physics_parameters.{name}: ")


def test_physics_of_the_wrong_kind_is_refused() -> None:
    assert refusal(lambda: scan(gridsize=1.5).gridsize).reason.endswith("1.5 is not a whole number")
    error = refusal(lambda: Metadata({"physics_parameters": [1]}).nphotons)
    assert error.reason.startswith("$.physics_parameters: ")


def test_measurement_domain() -> None:
    assert Metadata({}).measurement_domain is None
    for domain in ("count_intensity", "normalized_amplitude"):
        top = {"measurement_domain": domain}
        assert Metadata(top).measurement_domain == domain
        assert scan(**top).measurement_domain == domain
        both = Metadata({**top, "physics_parameters": top})
        assert both.measurement_domain == domain
    for wrong in ("counts", 3, ["count_intensity"]):
        reason = refusal(lambda w=wrong: scan(measurement_domain=w).measurement_domain).reason
        assert reason.startswith("$.physics_parameters.measurement_domain: " + json.dumps(wrong))
    torn = Metadata(
        {
            "measurement_domain": "count_intensity",
            "physics_parameters": {"measurement_domain": "normalized_amplitude"},
        }
    )
    assert "contradicts" in refusal(lambda: torn.measurement_domain).reason


def test_mismatches() -> None:
    metadata = scan(nphotons=1e9, N=64, model_type="pinn", shape=[1, 2.0], flag=True, big=10**400)
    agreeing = {"nphotons": 10**9, "N": np.int64(64), "shape": (1.0, 2), "model_type": "pinn"}
    assert metadata.mismatches(agreeing) == []
    assert metadata.mismatches({"nphotons": 1e9 * (1 + 9e-10), "big": 10**400}) == []
    assert metadata.mismatches({}) == []
    assert metadata.mismatches(
        {"nphotons": 1000, "N": 128, "gridsize": 2, "flag": 1, "shape": [1], "big": 0.5}
    ) == [
        "nphotons: expected 1000, document has 1e9",
        "N: expected 128, document has 64",
        "gridsize: expected 2, document has none",
        "flag: expected 1, document has true",
        "shape: expected [1], document has [1, 2.0]",
        "big: expected 0.5, document has 1" + "0" * 76 + "...",
    ]
    (line,) = metadata.mismatches({"nphotons": 1e9 * (1 + 2e-9)})
    assert line == "nphotons: expected 1.000000002e9, document has 1e9"


# History

RECORD = Transformation(
    "ptystore", "ingest", {"jobs": np.int64(2)}, (InputRef("scan.npz"), InputRef("b.npz", "b3:1"))
)


def test_record_has_the_contract_s_form() -> None:
    record = RECORD.to_dict()
    assert list(record) == ["tool", "timestamp", "operation", "parameters", "software", "inputs"]
    assert UTC_TIME.fullmatch(record["timestamp"])
    assert re.fullmatch(r"ptystore \d+\S+", record["software"])
    assert record["parameters"] == {"jobs": 2}
    assert record["inputs"] == [
        {"file": "scan.npz", "digest": None},
        {"file": "b.npz", "digest": "b3:1"},
    ]
    assert pickle.loads(pickle.dumps(RECORD)) == RECORD


def test_record_owns_its_parameters() -> None:
    given_by_caller = {"list": [1]}
    record = Transformation("t", "o", given_by_caller)
    given_by_caller["list"].append(2)
    record.to_dict()["parameters"]["list"].append(3)
    assert record.to_dict()["parameters"] == {"list": [1]}
    error = refusal(lambda: Transformation("t", "o", {"x": 1j}))
    assert ".parameters.x: " in error.reason


@pytest.mark.parametrize("file", ["/data/lab/scan.zarr", "lab/scan.zarr/", r"C:\lab\scan.zarr"])
def test_input_names_no_directory(file: str) -> None:
    assert InputRef(file).file == "scan.zarr"


def test_input_name_that_is_not_utf8_is_escaped() -> None:
    file = "/lab/\udce9t\udce9.npz"  # as Python gives the bytes E9 74 E9 of a Latin-1 name
    record = Transformation("t", "o", {}, (InputRef(file),))
    metadata = Metadata({}).with_record(record).with_input_digests({file: "b3:1"})
    assert metadata.history[0]["inputs"] == [{"file": r"\udce9t\udce9.npz", "digest": "b3:1"}]


def test_records_are_appended_in_place() -> None:
    start = Metadata({"a": 1, "data_transformations": [{"tool": "legacy", "odd": [1]}], "z": 2})
    once = start.with_record(RECORD)
    twice = once.with_record({"tool": "other", "n": np.float32(0.5)})
    assert list(twice.document) == ["a", "data_transformations", "z"]
    assert [record["tool"] for record in twice.history] == ["legacy", "ptystore", "other"]
    assert twice.history[0] == {"tool": "legacy", "odd": [1]}
    assert twice.history[1] == RECORD.to_dict()
    assert twice.history[2] == {"tool": "other", "n": 0.5}
    assert (len(start.history), len(once.history)) == (1, 2)
    for empty in (Metadata({"a": 1}), Metadata({"a": 1, "data_transformations": None})):
        assert empty.history == []
        assert empty.with_record(RECORD).document == {
            "a": 1,
            "data_transformations": [RECORD.to_dict()],
        }
    error = refusal(lambda: once.with_record({"x": math.nan}))
    assert error.reason.startswith("$.data_transformations[2].x: NaN")


def test_history_of_another_kind_is_refused_not_replaced() -> None:
    for history, path in (("none", ""), ({"tool": "t"}, ""), ([{}, "x"], "[1]")):
        metadata = Metadata({"data_transformations": history})
        reason = refusal(partial(metadata.with_record, RECORD)).reason
        assert reason.startswith(f"$.data_transformations{path}: ")
        with pytest.raises(InputError, match="history"):
            _ = metadata.history


def test_record_on_a_kept_text() -> None:
    text = '{"a": NaN, "b": "\udc80é"}\x00'
    made = Metadata.keep_text(text).with_record(RECORD)
    assert made.text is None
    assert made.history == [RECORD.to_dict()]
    source = made.document["additional_parameters"]["source_metadata_text"]
    assert source == '{"a": NaN, "b": "\\udc80é"}\x00'
    assert Metadata.from_json(made.to_json()) == made


def test_input_digests_are_filled_in_the_last_record() -> None:
    metadata = Metadata({}).with_record(RECORD).with_record(RECORD)
    filled = metadata.with_input_digests({"scan.npz": "b3:7", "b.npz": "b3:8", "c": "b3:9"})
    first, last = filled.history
    assert first == RECORD.to_dict()
    assert [entry["digest"] for entry in last["inputs"]] == ["b3:7", "b3:1"]
    assert metadata.with_input_digests({}) == metadata
    for none in (Metadata({"a": 1}), Metadata.keep_text("x"), Metadata({}).with_record({"t": 1})):
        assert none.with_input_digests({"scan.npz": "b3:7"}) == none


# Merging


def test_merge_preserves_the_first() -> None:
    first = Metadata({"x": 1, "physics_parameters": {"nphotons": 1000, "N": 64}})
    same, other = scan(nphotons=1000.0), scan(nphotons=1e9, N=64, extra=[1])
    merged = Metadata.merge([first, same, other], files=["/lab/a.npz", "b.npz", "c.npz"]).document
    info = merged.pop("merge_info")
    assert merged == first.document
    assert UTC_TIME.fullmatch(info.pop("timestamp"))
    assert info == {
        "strategy": "preserve_first",
        "count": 3,
        "sources": ["a.npz", "b.npz", "c.npz"],
        "differences": [{"source": 2, "physics_parameters": {"nphotons": 1e9, "extra": [1]}}],
    }
    again = Metadata.merge([Metadata.merge([first]), first]).document["merge_info"]
    assert again["sources"] == [None, None]
    assert again["previous"]["count"] == 1
    kept = Metadata.merge([Metadata.keep_text("?"), first]).document
    assert kept["additional_parameters"] == {"source_metadata_text": "?"}


def test_merge_can_require_consistency() -> None:
    first = scan(nphotons=1000, N=64, gridsize=1, seed=1)
    merged = Metadata.merge([first, scan(nphotons=1000.0, N=64, seed=2)], "validate_consistent")
    assert merged.physics == first.physics
    with pytest.raises(InputError) as caught:
        Metadata.merge([first, scan(N=128)], "validate_consistent", ["a.npz", "b.npz"])
    assert caught.value.reason == (
        "the documents disagree: nphotons: 1000 in a.npz, 1e9 in b.npz; "
        "N: 64 in a.npz, 128 in b.npz"
    )
    with pytest.raises(InputError, match="gridsize: 1 in document 1, 2 in document 2"):
        Metadata.merge([Metadata({}), scan(gridsize=2)], "validate_consistent")


def test_merge_refuses_calls_without_sense() -> None:
    for call, reason in (
        (lambda: Metadata.merge([]), "no documents"),
        (lambda: Metadata.merge([scan()], "newest"), "unknown merge strategy 'newest'"),  # type: ignore[arg-type]
        (lambda: Metadata.merge([scan()], files=[]), "0 files named for 1 documents"),
    ):
        with pytest.raises(ParameterError, match=reason):
            call()


def test_reference_documents(reference_raw: Path, reference_patched: Path) -> None:
    from ptystore.formats.npz.pickled_text import read_pickled_text

    for path, tools in (
        (reference_raw, []),
        (reference_patched, ["transpose_rename_convert", "generate_patches"]),
    ):
        with zipfile.ZipFile(path) as archive:
            payload = archive.read("_metadata.npy").split(b"\n", 1)[1]
        text = read_pickled_text(payload)
        metadata = Metadata.from_json(text)
        assert metadata.to_json() == text
        assert [record["tool"] for record in metadata.history] == tools
        assert (metadata.nphotons, metadata.gridsize) == (1000.0, 1)
        assert metadata.mismatches({"N": 64, "nphotons": 1e3}) == []
