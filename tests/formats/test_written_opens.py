"""What was written can be opened: roles and lengths that no reader takes are refused before."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptystore
from ptystore.errors import InputError, PtystoreError
from scans import SUFFIXES, same, scan

SIZES = st.sampled_from([1, 2, 3])
SHAPES = st.lists(SIZES, max_size=4).map(tuple)
PER_FRAME = ("diff3d", "xcoords", "ycoords", "Y", "scan_index", "gain")
NAMES = st.lists(st.sampled_from([*PER_FRAME, "probeGuess"]), max_size=2, unique=True).map(tuple)


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from([*PER_FRAME, "probeGuess"]), SHAPES, min_size=1),
    NAMES,
    NAMES,
    st.sampled_from([None, "nhw", "hwn"]),
    st.sampled_from(SUFFIXES),
)
def test_any_shapes_and_roles(
    shapes: dict[str, tuple[int, ...]],
    per_frame: tuple[str, ...],
    global_: tuple[str, ...],
    axis_order: Any,
    suffix: str,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, written = Path(folder) / "in.npz", Path(folder) / f"out{suffix}"
        np.savez(source, **{name: np.ones(shape) for name, shape in shapes.items()})
        try:
            opened = ptystore.open(
                source, per_frame=per_frame, global_=global_, axis_order=axis_order
            )
            ptystore.write(ptystore.ingest(opened), written)
        except PtystoreError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return
        again = ptystore.open(written)
        for name, field in opened.fields.items():
            assert again[name].frame_axis == field.frame_axis
            assert same(again[name].values(), field.values())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_dataset_put_together_by_hand(suffix: str, tmp_path: Path) -> None:
    whole = ptystore.dataset_of(scan(frames=5))
    for name in ("diff3d", "xcoords", "scan_index"):
        made = dataclasses.replace(whole[name], role="global")
        odd = dataclasses.replace(whole, fields={**whole.fields, name: made})
        with pytest.raises(InputError, match="can't be global") as caught:
            ptystore.write(odd, tmp_path / f"out{suffix}")
        assert caught.value.member == name
    shorter = ptystore.dataset_of(scan(frames=4))["ycoords"]
    with pytest.raises(InputError, match=r"disagree on the number of frames.*ycoords 4"):
        ptystore.write(
            dataclasses.replace(whole, fields={**whole.fields, "ycoords": shorter}),
            tmp_path / f"out{suffix}",
        )
    assert list(tmp_path.iterdir()) == []
