"""The field table, standard attributes and dimension names."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptystore.model.contract import DIFFRACTION_NAMES, FIELDS, dimension_names, standard_attrs


def test_the_table() -> None:
    assert {name: (spec.dims, spec.dtype, spec.role) for name, spec in FIELDS.items()} == {
        "diffraction": (("scan", "ky", "kx"), "float32", "per_frame"),
        "diff3d": (("scan", "ky", "kx"), "float32", "per_frame"),
        "Y": (("scan", "y", "x"), "complex64", "per_frame"),
        "objectGuess": (("object_y", "object_x"), "complex64", "global"),
        "probeGuess": (("probe_y", "probe_x"), "complex64", "global"),
        "xcoords": (("scan",), "float64", "per_frame"),
        "ycoords": (("scan",), "float64", "per_frame"),
        "xcoords_start": (("scan",), "float64", "per_frame"),
        "ycoords_start": (("scan",), "float64", "per_frame"),
        "scan_index": (("scan",), "int64", "per_frame"),
        "mask": (("ky", "kx"), "uint32", "global"),
        "background": (("ky", "kx"), "float32", "global"),
        "flatfield": (("ky", "kx"), "float32", "global"),
        "frame_index": (("scan",), "int64", "per_frame"),
        "monitor": (("scan",), "float64", "per_frame"),
        "probe_photon_counts": (("scan",), "float64", "per_frame"),
        "exposure": (("scan",), "float64", "per_frame"),
        "position_x_m": (("scan",), "float64", "per_frame"),
        "position_y_m": (("scan",), "float64", "per_frame"),
        "opr_weights": (("scan", "opr"), "float32", "per_frame"),
        "slice_spacing_m": (("slice_gap",), "float64", "global"),
        "loss": (("epoch",), "float64", "global"),
    }
    leading = {name: spec.leading_dims for name, spec in FIELDS.items() if spec.leading_dims}
    assert leading == {"objectGuess": ("slice",), "probeGuess": ("opr", "mode")}
    required = {spec.name for spec in FIELDS.values() if spec.presence == "required"}
    assert required == {"diffraction", "xcoords", "ycoords"}
    reconstruction = {s.name for s in FIELDS.values() if s.presence == "reconstruction"}
    assert reconstruction == {"objectGuess", "probeGuess"}
    assert DIFFRACTION_NAMES == ("diffraction", "diff3d")


@pytest.mark.parametrize(
    ("name", "signal", "units"),
    [
        ("diffraction", "amplitude", "sqrt(counts)"),
        ("diff3d", "counts", "counts"),
        ("xcoords", None, "pixel"),
        ("ycoords_start", None, "pixel"),
        ("Y", None, None),
        ("objectGuess", None, None),
    ],
)
def test_units(name: str, signal: str | None, units: str | None) -> None:
    attrs = standard_attrs(name, signal)
    assert attrs["long_name"]
    assert attrs.get("units") == units
    assert attrs.get("signal") == signal


def test_unknown_names_have_no_attributes() -> None:
    assert standard_attrs("ground_truth_patches") == {}


def test_dimension_names_of_a_canonical_scan() -> None:
    shapes = {
        "diffraction": (9, 64, 64), "Y": (9, 64, 64), "objectGuess": (200, 210),
        "probeGuess": (64, 64), "xcoords": (9,), "extra": (9, 4), "energy": (),
    }  # fmt: skip
    axes = dict.fromkeys(shapes, 0) | dict.fromkeys(("objectGuess", "probeGuess", "energy"), None)
    assert dimension_names(shapes, axes) == {
        "diffraction": ("scan", "ky", "kx"),
        "Y": ("scan", "y", "x"),
        "objectGuess": ("object_y", "object_x"),
        "probeGuess": ("probe_y", "probe_x"),
        "xcoords": ("scan",),
        "extra": ("scan", "extra_1"),
        "energy": (),
    }


def test_dimension_names_of_a_raw_stack_and_modes() -> None:
    shapes = {"diff3d": (64, 48, 9), "probeGuess": (3, 64, 48), "Y": (9, 64, 48, 1)}
    names = dimension_names(shapes, {"diff3d": 2, "probeGuess": None, "Y": 0})
    assert names["diff3d"] == ("ky", "kx", "scan")
    assert names["probeGuess"] == ("mode", "probe_y", "probe_x")
    assert names["Y"][0] == "scan"


SIZES = st.integers(0, 3)


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "scan", "ky", "extra", "extra_0", "extra_1", "mode", "y"]),
        st.lists(SIZES, max_size=4).map(tuple),
    ),
    st.data(),
)
def test_one_name_never_stands_for_two_sizes(
    shapes: dict[str, tuple[int, ...]], data: st.DataObject
) -> None:
    axes = {
        name: data.draw(st.sampled_from([None, *range(len(shape))]))
        for name, shape in shapes.items()
    }
    names = dimension_names(shapes, axes)
    assert list(names) == list(shapes)
    sizes: dict[str, int] = {}
    for name, dims in names.items():
        assert len(dims) == len(shapes[name])
        assert len(set(dims)) == len(dims)
        for dim, size in zip(dims, shapes[name], strict=True):
            assert sizes.setdefault(dim, size) == size
    # xarray takes an array named like a dimension for its coordinate, which must be 1-D of it.
    for name in set(shapes) & set(itertools.chain(*names.values())):
        assert names[name] == (name,)
