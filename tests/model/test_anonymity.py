"""Hosts, users and folders go from a document; what else it says stays as it is."""

from __future__ import annotations

from typing import Any

import pytest

from ptystore.model.anonymity import anonymous_document, wants_anonymity, without_folders


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/ada/scans/run 7.npz", "run 7.npz"),
        ("C:\\Users\\ada\\run7.npz", "run7.npz"),
        ("~/scans/run7.npz", "run7.npz"),
        ("~ada/scans", "scans"),
        ("\\\\server\\share\\run7.h5", "run7.h5"),
        ("file:///data/ada/run7.h5", "run7.h5"),
        ("/gpfs/exp/ada/", "ada"),
        ("python /home/ada/sim.py --in=/data/ada/a.npz 'C:/x/b'", "python sim.py --in=a.npz 'b'"),
        ('File "/opt/venv/lib/a.py", line 3', 'File "a.py", line 3'),
        # No paths, or none that leave this folder.
        ("data/run7.npz", "data/run7.npz"),
        ("counts/s", "counts/s"),
        ("1 / 2 of them", "1 / 2 of them"),
        ("a ~ b, 3:4", "a ~ b, 3:4"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("", ""),
    ],
)
def test_paths_in_text(text: str, kept: str) -> None:
    assert without_folders(text) == kept
    assert without_folders(kept) == kept


def test_a_document() -> None:
    ours = {"tool": "x", "software": "ptystore 1.2", "parameters": {"from": "/entry/data/frames"}}
    theirs = {"tool": "/opt/bin/tool.py", "parameters": {"in": ["/data/a.npz"], "user": "ada"}}
    document: dict[str, Any] = {
        "creation_info": {
            "hostname": "beamline7",
            "software": "ptystore 1.2",
            "script": "/home/ada/make.py",
            "User-Name": "ada",
        },
        "data_transformations": [ours, theirs],
        "additional_parameters": {"Host": "x", "node": 3, "deep": [{"e_mail": "a@b"}, "/a/b"]},
        "physics_parameters": {"N": 64, "nphotons": 1e9, "home": None},
    }
    assert anonymous_document(document) == {
        "creation_info": {
            "hostname": None,
            "software": "ptystore 1.2",
            "script": "make.py",
            "User-Name": None,
        },
        "data_transformations": [
            ours,
            {"tool": "tool.py", "parameters": {"in": ["a.npz"], "user": None}},
        ],
        "additional_parameters": {"Host": None, "node": 3, "deep": [{"e_mail": None}, "b"]},
        "physics_parameters": {"N": 64, "nphotons": 1e9, "home": None},
    }
    assert document["creation_info"]["hostname"] == "beamline7"
    odd = {"data_transformations": {"software": "ptystore", "host": "x"}}
    assert anonymous_document(odd)["data_transformations"]["host"] is None


@pytest.mark.parametrize(("value", "wanted"), [("", False), ("0", False), ("1", True), ("y", True)])
def test_the_environment_decides_where_nobody_else_does(
    monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool
) -> None:
    monkeypatch.setenv("PTYSTORE_ANONYMOUS", value)
    assert wants_anonymity(None) is wanted
    assert wants_anonymity(True)
    assert not wants_anonymity(False)
