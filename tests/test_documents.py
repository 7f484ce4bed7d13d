"""The documents: the table of formats has every one of them, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ptystore
from ptystore.model.contract import FIELDS
from ptystore.model.geometry import FACTS, RawFrame

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


def test_every_format_has_its_row() -> None:
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)`([^|]*)\|", text, re.MULTILINE)
    names = [name for name, _ in rows]
    assert sorted(names) == sorted(one.name for one in ptystore.list_formats())
    shown = dict(rows)
    for one in ptystore.list_formats():
        if not one.is_ours:
            for container in one.layout.containers:
                assert container.partition(" ")[0].lower() in shown[one.name].lower(), one.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_contract_is_told_whole() -> None:
    text = (ROOT / "docs" / "format.md").read_text("utf-8")
    rows = "\n".join(re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE))
    assert not [name for name in FIELDS if f"`{name}`" not in rows]
    assert not [name for name in (*FACTS, *vars(RawFrame())) if f"`{name}`" not in text]
