"""HDF5 files of other tools: what was never written, attributes of every kind, odd members."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ptystore
from ptystore import InputError
from ptystore.formats.foreign import json_attrs
from scans import assert_same, forked, pickled

FRAMES = np.random.default_rng(0).poisson(5, (12, 8, 9)).astype("u2")


def partly_written(path: Path, name: str = "diff3d", **kind: Any) -> Path:
    """A scan of 12 frames of which 0 to 6 and 9 were written."""
    with h5py.File(path, "w") as file:
        made = file.create_dataset(name, FRAMES.shape, "u2", chunks=(1, 8, 9), **kind)
        for at in (*range(7), 9):
            made[at] = FRAMES[at]
        for other in {"xcoords", "ycoords"} - {name}:
            file[other] = np.arange(12.0)
    return path


@pytest.mark.parametrize("kind", [{}, {"compression": "gzip"}, {"scaleoffset": 0}], ids=str)
def test_frames_that_were_never_written_are_named_and_refused(
    tmp_path: Path, kind: dict[str, Any]
) -> None:
    path = partly_written(tmp_path / "a.h5", **kind)
    scan = ptystore.open(path)
    with pytest.raises(InputError, match="diff3d: frames 7 to 8, 10 to 11: never") as caught:
        ptystore.write(ptystore.ingest(scan), tmp_path / "b.zarr")
    assert "--missing fill" in str(caught.value.advice)
    assert not (tmp_path / "b.zarr").exists()
    for key in (7, slice(6, 9), [0, 11]):
        with pytest.raises(InputError, match="never written"):
            scan["diff3d"][key]
    assert_same(scan["diff3d"][[9, 0]], FRAMES[[9, 0]])
    assert ptystore.verify(path).damage == ("diff3d: frames 7 to 8, 10 to 11: never written",)


@pytest.mark.parametrize("fill", [0, 77])
def test_the_fill_value_is_taken_when_asked_for(tmp_path: Path, fill: int) -> None:
    path = partly_written(tmp_path / "a.h5", fillvalue=fill)
    scan = ptystore.open(path, missing="fill")
    wanted = FRAMES.copy()
    wanted[[7, 8, 10, 11]] = fill
    assert_same(scan["diff3d"].values(), wanted)
    assert_same(pickled(scan)["diff3d"][[11, 9]], wanted[[11, 9]])
    report = ptystore.write(ptystore.ingest(scan), tmp_path / "b.npz")
    assert [line for line in report.warnings if "diff3d: frames 7 to 8, 10 to 11" in line]
    written = ptystore.open(tmp_path / "b.npz")
    assert_same(written["diff3d"].values(), wanted)
    assert written.metadata is not None
    first, second = written.metadata.history
    assert first["operation"] == "fill_missing"
    assert first["parameters"] == {"missing_frames": {"diff3d": [[7, 8], [10, 11]]}}
    assert second["operation"] == "ingest"


@pytest.mark.parametrize("chunks", [(5,), None])
def test_positions_that_were_never_written(tmp_path: Path, chunks: tuple[int] | None) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["diff3d"], file["ycoords"] = FRAMES, np.arange(12.0)
        made = file.create_dataset("xcoords", (12,), "f8", chunks=chunks)
        if chunks:
            made[:5] = 1.0
    missing = "5 to 11" if chunks else "0 to 11"
    with pytest.raises(InputError, match=f"xcoords: frames {missing}: never written"):
        ptystore.open(tmp_path / "a.h5")["xcoords"].values()
    filled = ptystore.open(tmp_path / "a.h5", missing="fill")["xcoords"].values()
    assert_same(filled, np.where(np.arange(12) < (5 if chunks else 0), 1.0, 0.0))


def test_other_arrays_have_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("dark", (6, 9), "f4", chunks=(4, 4), fillvalue=2.5)[4:, 4:] = 1
        file.create_dataset("flat", (6, 9), ">i4", fillvalue=-3)
        file.create_dataset("lzf", (6, 9), "i4", chunks=(2, 9), compression="lzf", fillvalue=9)
    scan = ptystore.open(tmp_path / "a.h5")
    wanted = np.full((6, 9), 2.5, "f4")
    wanted[4:, 4:] = 1
    assert_same(scan["dark"].values(), wanted)
    assert_same(scan["flat"].values(), np.full((6, 9), -3, "i4"))
    assert_same(scan["lzf"].values(), np.full((6, 9), 9, "i4"))
    assert ptystore.verify(tmp_path / "a.h5").ok


def test_attributes_of_every_kind_are_kept_or_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["diff3d"], file["xcoords"], file["ycoords"] = FRAMES, np.arange(12.0), np.arange(12.0)
        attrs = file["diff3d"].attrs
        attrs["words"] = ["x", "µ"]
        attrs["fixed"] = np.array([b"on", b"off"])
        attrs["one"] = np.bytes_(b"\xb5m")
        attrs["wave"] = np.complex64(1 - 2j)
        attrs["waves"] = np.array([1j, complex(np.nan, 1)])
        attrs["void"] = h5py.Empty("f4")
        attrs["low"] = -np.inf
        attrs["table"] = np.array([[1.5, np.nan]])
        attrs["flag"] = True
        attrs["half"] = np.float16(0.5)
        attrs["where"] = file["xcoords"].ref
        attrs["pair"] = np.array([(1, 2.0)], "i4,f8")
        file.attrs["nothing"] = np.nan
        file.attrs["here"] = file["xcoords"].regionref[1:2]
    scan = ptystore.open(tmp_path / "a.h5")
    found = dict(scan["diff3d"].attrs)
    assert found["words"] == ["x", "µ"]
    assert found["fixed"] == ["on", "off"]
    assert found["wave"] == {"complex": [1.0, -2.0]}
    assert found["waves"] == {"complex": [[0.0, 1.0], ["NaN", 1.0]]}
    assert found["void"] is None
    assert found["low"] == "-Infinity"
    assert found["table"] == [[1.5, "NaN"]]
    assert found["flag"] is True
    assert found["half"] == 0.5
    assert "where" not in found
    warnings = ptystore.write(ptystore.ingest(scan), tmp_path / "b.zarr").warnings
    (line,) = [line for line in warnings if "attributes" in line]
    assert line.endswith("here, diff3d: where, diff3d: pair") or {"here", "where"} <= {
        word.strip(",") for word in line.replace("diff3d: ", "").split()
    }
    assert scan.metadata is not None
    kept = scan.metadata.document["additional_parameters"]["source_attributes"]
    assert kept == {"nothing": "NaN"}
    for suffix in (".h5", ".npz"):
        ptystore.write(scan, tmp_path / f"c{suffix}")
        again = dict(ptystore.open(tmp_path / f"c{suffix}")["diff3d"].attrs)
        assert {name: again[name] for name in found} == found


def test_attributes_of_other_stores_as_json() -> None:
    left_out: list[str] = []
    attrs = {
        "a": float("nan"),
        "b": [1, float("inf")],
        "c": {"d": 2 + 1j},
        "e": object(),
        "f": b"g",
    }
    assert json_attrs(attrs, left_out, "field") == {
        "a": "NaN",
        "b": [1, "Infinity"],
        "c": {"d": {"complex": [2.0, 1.0]}},
        "f": "g",
    }
    assert left_out == ["field: e"]


def test_a_dimension_scale_of_another_tool_can_be_written_as_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["diff3d"], file["xcoords"], file["ycoords"] = FRAMES, np.arange(12.0), np.arange(12.0)
        file["xcoords"].make_scale("x")
        file["diff3d"].dims[0].attach_scale(file["xcoords"])
    ptystore.write(ptystore.open(tmp_path / "a.h5"), tmp_path / "b.h5")
    assert ptystore.verify(tmp_path / "b.h5").ok
    assert "CLASS" not in ptystore.open(tmp_path / "b.h5")["xcoords"].attrs


@pytest.mark.parametrize("odd", ["named datatype", "group", "no UTF-8", "dangling"])
def test_odd_members_are_refused_in_a_line_or_skipped(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.ones(2)
        if odd == "named datatype":
            file["odd"] = np.dtype([("x", "f8")])
        elif odd == "group":
            file.create_group("odd")
        elif odd == "no UTF-8":
            file[b"od\xff"] = np.ones(2)
        else:
            file["odd"] = h5py.SoftLink("/nowhere")
    with pytest.raises(InputError) as caught:
        ptystore.open(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value.member).startswith("od")
    assert caught.value.advice
    skipped = ptystore.open(path, skip=(str(caught.value.member),))
    assert list(skipped) == ["a"]
    assert ptystore.open(path, skip=(str(caught.value.member),))["a"].values().tolist() == [1, 1]


def test_values_that_only_hdf5_can_convert(tmp_path: Path) -> None:
    """12 of 16 bits, packed by HDF5's own filter, and a float of 24 bits."""
    path = tmp_path / "a.h5"
    values = np.arange(64, dtype="i2").reshape(8, 8)
    with h5py.File(path, "w") as file:
        twelve = h5py.h5t.STD_I16LE.copy()
        twelve.set_precision(12)
        for name, chunks in (("piece", None), ("chunks", (4, 8))):
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            if chunks:
                plan.set_chunk(chunks)
                plan.set_filter(5)
            space = h5py.h5s.create_simple(values.shape)
            made = h5py.h5d.create(file.id, name.encode(), twelve, space, plan)
            h5py.Dataset(made)[...] = values
    scan = ptystore.open(path)
    for field in scan.values():
        assert_same(field.values(), values.astype(field.dtype))
        assert_same(field[3:5], values[3:5].astype(field.dtype))
    forked(lambda: assert_same(scan["chunks"].values(), scan["chunks"].values()))


def test_a_file_left_open_by_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(tmp_path / "w.h5", "w", libver="latest") as file:
        file["a"] = np.ones(2)
        file.swmr_mode = True
        file.flush()
        path.write_bytes((tmp_path / "w.h5").read_bytes())
    with pytest.raises(InputError, match="is being written, or its writer died"):
        ptystore.open(path)
