"""The table of formats: every dialect has a layout, whose words are true of what is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import foreign
import ptystore
from ptystore.formats.dialects.layouts.table import LAYOUTS
from ptystore.formats.dialects.table import DIALECTS, Dialect
from ptystore.formats.table import FORMATS
from ptystore.model.contract import FIELDS
from ptystore.model.geometry import FACTS, RawFrame

ALL = ptystore.list_formats()

#: A file of each fixture, and the dialect that it is.
FIXTURES = {
    "cdtools_cxi_default_basis/scan.cxi": "cxi",
    "fold_slice_dp_para/fly001_roi0_Ndp32_dp.hdf5": "fold-slice",
    "nxcxi_ptycho/scan.cxi": "nxcxi-ptycho",
    "ptychodus_1.7_diffraction_npz/diffraction.npz": "ptychodus-diffraction",
    "ptychodus_1.7_product_npz/product.npz": "ptychodus-product",
    "ptychodus_2025_product_h5/product.h5": "ptychodus-product",
    "ptychoshelves_mat_v73/recons.mat": "ptychoshelves",
    "ptypy_ptyd_append/scan.ptyd": "ptyd",
    "ptypy_ptyr/recon.ptyr": "ptyr",
    "stem4d_hspy/scan.hspy": "hyperspy",
    "tike_npz/scan.npz.bz2": "tike",
}


def test_every_format_and_dialect_is_listed_once() -> None:
    names = [one.name for one in ALL]
    assert len(set(names)) == len(names)
    assert set(names) == {row.name for row in FORMATS} | {row.name for row in DIALECTS} | {"files"}
    for row in FORMATS:
        (one,) = ptystore.list_formats(row.name)
        assert (one.is_ours, one.suffixes) == (True, row.suffixes)
    with pytest.raises(ptystore.ParameterError, match="no format 'mine'; known are npz"):
        ptystore.list_formats("mine")


@pytest.mark.parametrize("row", DIALECTS, ids=lambda row: row.name)
def test_the_keys_of_a_dialect_are_needed_by_its_layout(row: Dialect) -> None:
    items = {item.path: item for item in LAYOUTS[row.name].items}
    assert set(row.keys) <= items.keys()
    may_lack = {"ptychodus-diffraction", "cxi", "nexus", "ptychodus-cxi"}
    if row.name not in may_lack:
        assert all(items[key].required for key in row.keys)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_a_layout_is_sound(one: ptystore.KnownFormat) -> None:
    paths = [item.path for item in one.layout.items]
    assert len(set(paths)) == len(paths)
    assert any(item.required for item in one.layout.items)
    known = FIELDS.keys() | FACTS.keys() | RawFrame.__dataclass_fields__.keys()
    assert set(one.layout.gives) <= known
    for path in paths:
        assert re.fullmatch(r"/|(/[\w<>-]+)*/?(@\w+)?", path), path


@pytest.mark.parametrize(("file", "name"), FIXTURES.items())
def test_what_a_file_gives_is_what_its_layout_says(data_dir: Path, file: str, name: str) -> None:
    path = foreign.fixture(data_dir, file.partition("/")[0]) / file.partition("/")[2]
    scan = ptystore.open(path)
    assert scan.source is not None
    assert scan.source.understood is not None
    assert scan.source.understood.dialect == name
    gives = set(LAYOUTS[name].gives)
    assert scan.fields.keys() <= gives
    read = {key for key, fact in scan.geometry.items() if fact.source != "derived"}
    assert read <= gives


def test_as_plain_values() -> None:
    (one,) = ptystore.list_formats("ptylab")
    told = one.to_dict()
    assert told["reads"][:3] == ["diffraction", "ycoords", "position_y_m"]
    assert told["writes"] == []
    assert told["items"][0] == {
        "path": "/ptychogram",
        "what": "(n, N, N) counts, f4",
        "unit": "",
        "gives": ["diffraction"],
        "required": True,
    }
