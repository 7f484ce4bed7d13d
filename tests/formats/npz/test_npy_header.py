"""The `.npy` header: all that NumPy writes is read alike, all else is refused in good time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npz_files import npy_claiming, npy_head
from ptystore.errors import InputError
from ptystore.formats.npz.npy_header import HEADER_LIMIT, npy_header_bytes, parse_npy_header

DTYPES = [
    "?", "i1", "u1", "<i2", ">u2", "<i4", ">u4", "<i8", ">u8", "<f2", ">f4", "<f8", ">f8",
    "<c8", ">c8", "<c16", ">c16", "<U1", ">U17", "S1", "S9",
]  # fmt: skip
SHAPES = st.lists(st.integers(0, 4), max_size=6).map(tuple)


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


@given(st.sampled_from(DTYPES), SHAPES, st.booleans(), st.sampled_from([(1, 0), (2, 0), (3, 0)]))
def test_reads_what_numpy_writes(
    dtype: str, shape: tuple[int, ...], fortran: bool, version: tuple[int, int]
) -> None:
    array = np.zeros(shape, dtype, order="F" if fortran else "C")
    data = saved(array, version)
    header = parse_npy_header(data)
    assert header.dtype == array.dtype
    assert header.shape == shape
    assert header.nbytes == array.nbytes
    assert header.data_offset + header.nbytes == len(data)
    assert header.fortran_order == (array.flags.fnc)


@given(st.sampled_from(DTYPES), SHAPES, st.booleans())
def test_writes_what_numpy_writes(dtype: str, shape: tuple[int, ...], fortran: bool) -> None:
    array = np.zeros(shape, dtype, order="F" if fortran else "C")
    head = npy_header_bytes(array.dtype, shape, array.flags.fnc)
    assert head + array.tobytes("A") == saved(array, (1, 0))


def test_reads_a_python_2_header() -> None:
    head = npy_claiming("'<u2'", "(3L, 4L)")
    assert parse_npy_header(head).shape == (3, 4)


def test_keys_in_any_order_and_spacing() -> None:
    head = npy_head("{ 'shape':(2,3) , 'descr' : '=f8','fortran_order':True}   \n")
    header = parse_npy_header(head)
    assert (header.shape, header.dtype, header.fortran_order) == ((2, 3), np.float64, True)


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("inner", ["'", '"'])
def test_either_quotes(quote: str, inner: str) -> None:
    q, i = quote, inner
    text = f"{{{q}descr{q}: {i}<i2{i}, {i}shape{i}: (2, 3), {q}fortran_order{q}: False}}\n"
    header = parse_npy_header(npy_head(text))
    assert (header.dtype, header.shape, header.fortran_order) == (np.int16, (2, 3), False)


@pytest.mark.parametrize(
    "text",
    [
        "{\"descr': '<f8', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': \"<f8', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8\", 'fortran_order': False, 'shape': (1,), }",
        "{\"descr\": '<f8', 'descr': '<f8', 'shape': (1,), }",
        "{\"descr\": \"\\x3cf8\", 'fortran_order': False, 'shape': (1,), }",
        "{'''descr''': '<f8', 'fortran_order': False, 'shape': (1,), }",
        "{\"descr\": '<f8' '', 'fortran_order': False, 'shape': (1,), }",
    ],
)
def test_quotes_that_python_would_not_pair_or_would_join(text: str) -> None:
    with pytest.raises(InputError, match="does not write"):
        parse_npy_header(npy_head(text))


@given(st.binary(max_size=10), st.integers(1, 3))
def test_a_beginning_is_cut_short(rest: bytes, version: int) -> None:
    for length in range(10):
        head = (b"\x93NUMPY" + bytes([version, 0]) + b"\x76\x00" + rest)[:length]
        with pytest.raises(InputError, match="cut short"):
            parse_npy_header(head)


def test_objects_have_no_dtype() -> None:
    header = parse_npy_header(saved(np.array(None)))
    assert header.dtype is None
    assert header.shape == ()


REFUSED = {
    "a key twice": ("{'descr': '<f8', 'descr': '<f8', 'shape': (1,), }", "does not write"),
    "a key missing": ("{'descr': '<f8', 'shape': (1,), }", "does not write"),
    "a key more": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}", "does not write"
    ),
    "after the dict": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), } + 1", "does not write"
    ),
    "escapes": (r"{'descr': '\x3cf8', 'fortran_order': False, 'shape': (1,), }", "does not write"),
    "order is a text": (
        "{'descr': '<f8', 'fortran_order': 'no', 'shape': (1,), }", "neither True nor False"
    ),
    "order is a number": ("{'descr': '<f8', 'fortran_order': 1, 'shape': (1,), }", "not write"),
    "descr is a tuple": ("{'descr': (), 'fortran_order': False, 'shape': (1,), }", "dtype"),
    "shape is a list": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': [1], }", "shape is not a tuple"
    ),
    "shape is a text": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': '1', }", "shape is not a tuple"
    ),
    "empty size": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,,2), }", "tuple of sizes"
    ),
    "only a comma": ("{'descr': '<f8', 'fortran_order': False, 'shape': (,), }", "of sizes"),
    "sum of sizes": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1+1,), }", "does not write"
    ),
    "20 digits": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 20 + ",), }", "of sizes"
    ),
    "size of 2 MB": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 3000 + ",), }", "of sizes"
    ),
    "Arabic digits": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (٣,), }", "does not write"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_numpy_does_not_write(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_npy_header(npy_head(text.encode("utf-8"), 3))


@pytest.mark.parametrize(
    "descr",
    ["<f16", "<c32", "<f1", "<i16", "|u3", "<M8[ns]", "<m8[D]", "|V8", "|S0", "S", "S-1", "<U0",
     "U", "<U-1", "<Uu4", "O8", "object", "float64", ">f8;import os", "<U536870912",
     "|S536870912", "<U4294967295"],
)  # fmt: skip
def test_refuses_other_dtypes_by_name(descr: str) -> None:
    with pytest.raises(InputError, match="is not supported") as caught:
        parse_npy_header(npy_claiming(f"'{descr}'", "(1,)"))
    assert repr(descr) in caught.value.reason


def test_the_largest_text_is_one_that_numpy_makes() -> None:
    header = parse_npy_header(npy_claiming("'<U536870911'", "(0,)"))
    assert header.dtype == np.dtype("<U536870911")


@pytest.mark.parametrize("descr", ["|u1", "<c16", "<U900"])
def test_any_accepted_shape_is_one_that_numpy_makes(descr: str) -> None:
    for exponent in range(40, 63):
        head = npy_claiming(f"'{descr}'", f"(0, {2**exponent})")
        try:
            header = parse_npy_header(head)
        except InputError as error:
            assert "impossible shape" in error.reason  # noqa: PT017
            continue
        assert np.empty(header.shape, header.dtype).shape == header.shape


def test_at_most_32_dimensions() -> None:
    assert len(parse_npy_header(npy_claiming("'|u1'", "(" + "1, " * 32 + ")")).shape) == 32
    with pytest.raises(InputError, match="33 dimensions"):
        parse_npy_header(npy_claiming("'|u1'", "(" + "1, " * 33 + ")"))


def test_a_long_structured_dtype_is_cut() -> None:
    fields = ", ".join(f"('f{n}', '<f8')" for n in range(200))
    with pytest.raises(InputError, match="structured dtype") as caught:
        parse_npy_header(npy_claiming(f"[{fields}]", "(1,)"))
    assert len(caught.value.reason) < 150


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': [" + "],'shape': [" * 340,
        "{" + "'descr':[]," * 370,
        "{'descr': '<f8', 'shape': (" + " " * 4000,
        "{" + " " * 4090,
        "{'descr': [" + "(" * 4000,
        "{" + "\"descr\":''," * 340,
        "{" + '"descr":"' + "'" * 4000,
    ],
)
def test_a_hostile_header_takes_no_time(text: str) -> None:
    assert len(text) <= HEADER_LIMIT
    # A pattern that backtracks takes most of a second for one, so minutes for all.
    for _ in range(200):
        with pytest.raises(InputError):
            parse_npy_header(npy_head(text))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for head in (data, b"\x93NUMPY\x01\x00" + data, npy_head(data), npy_head(data, 3)):
        try:
            parse_npy_header(head)
        except InputError as error:
            assert error.reason  # noqa: PT017


@given(st.data())
def test_any_cut_of_a_header_is_refused(data: st.DataObject) -> None:
    whole = saved(np.zeros((3, 4)))
    header = parse_npy_header(whole)
    cut = data.draw(st.integers(0, header.data_offset - 1))
    with pytest.raises(InputError):
        parse_npy_header(whole[:cut])
