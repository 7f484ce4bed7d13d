"""MATLAB 5 files, written by scipy or byte by byte: values, structs, and what is refused."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

import ptystore
from ptystore import InputError
from ptystore.formats.dialects.tree import Tree, number, text, values
from ptystore.formats.opening import open_tree
from scans import assert_same

RNG = np.random.default_rng(3)
DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]


def saved(path: Path, content: dict[str, Any], **more: Any) -> Path:
    scipy.io.savemat(path, content, **more)
    return path


def put(path: Path, *variables: bytes, order: str = "<", version: int = 0x100) -> Path:
    """A file of variables that are encoded already."""
    mark = b"IM" if order == "<" else b"MI"
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", version) + mark
    path.write_bytes(head + b"".join(variables))
    return path


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}2I", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def array(
    name: str, dims: tuple[int, ...], *body: bytes, code: int = 6, flags: int = 0, order: str = "<"
) -> bytes:
    sizes = struct.pack(f"{order}{len(dims)}i", *dims)
    inner = element(6, struct.pack(f"{order}2I", code | flags, 0), order) + element(5, sizes, order)
    return element(14, inner + element(1, name.encode(), order) + b"".join(body), order)


def packed(variable: bytes) -> bytes:
    data = zlib.compress(variable)
    return struct.pack("<2I", 15, len(data)) + data


def nothing() -> bytes:
    return struct.pack("<2I", 14, 0)


def fields(name: str, content: dict[str, bytes]) -> bytes:
    letters = b"".join(key.encode().ljust(16, b"\0") for key in content)
    size = struct.pack("<2I", 4 << 16 | 5, 16)
    return array(name, (1, 1), size, element(1, letters), *content.values(), code=2)


@pytest.mark.parametrize("compressed", [False, True])
def test_values_of_every_dtype(tmp_path: Path, compressed: bool) -> None:
    wanted: dict[str, Any] = {}
    for dtype in DTYPES:
        for at, shape in enumerate([(3, 5), (2, 3, 4), (1, 7), (1, 1), (0, 3)]):
            found = RNG.integers(0, 100, shape) + (1j * RNG.random(shape) if "c" in dtype else 0)
            wanted[f"{dtype}_{at}"] = found.astype(dtype)
    wanted["truth"] = RNG.random((4, 3)) > 0.5
    path = saved(tmp_path / "a.mat", wanted, do_compression=compressed)
    tree = open_tree(path)
    assert tree.container == "mat"
    assert set(tree.children()) == set(wanted)
    for name, values_ in wanted.items():
        found = values(tree, f"/{name}")
        assert found.shape == values_.shape
        if name != "truth":  # scipy writes no logical arrays
            assert_same(found, values_)
        raw = tree.array(f"/{name}", name)
        assert (raw.shape, raw.dtype) == (found.shape, found.dtype)
        cut = pickle.loads(pickle.dumps(raw.build(1)))
        assert_same(cut.read(1, 3), values_[:, 1:3].astype(found.dtype))


@given(st.data())
def test_what_scipy_writes_is_what_scipy_reads(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 4), min_size=2, max_size=4)))
    dtype = data.draw(st.sampled_from(DTYPES))
    compressed = data.draw(st.booleans())
    content = {"a": np.arange(np.prod(shape)).reshape(shape).astype(dtype)}
    path = saved(tmp_path_factory.mktemp("m") / "a.mat", content, do_compression=compressed)
    assert_same(values(open_tree(path), "/a"), scipy.io.loadmat(path)["a"])


@pytest.mark.parametrize("compressed", [False, True])
def test_structs_are_groups(tmp_path: Path, compressed: bool) -> None:
    inner = {"gap": np.array([[1e-6, np.inf]]), "name": "Ωmega", "none": np.zeros((0, 0))}
    content = {
        "p": {"lambda": 1.5e-10, "inner": inner, "text": "two words", "many": [{"a": 1}, {"a": 2}]},
        "lines": np.array(["ab", "cd"]),
        "cell": np.array([1, "x"], object),
    }
    tree = open_tree(saved(tmp_path / "a.mat", content, do_compression=compressed))
    assert tree.kind("/p") == tree.kind("/p/inner") == "group"
    assert number(tree, "/p/lambda") == (1.5e-10, "/p/lambda")
    assert text(tree, "/p/text") == ("two words", "/p/text")
    assert text(tree, "/p/inner/name") == ("Ωmega", "/p/inner/name")
    assert_same(values(tree, "/p/inner/gap"), inner["gap"])
    assert tree.shape("/p/inner/none") == (0, 0)
    for path, what in (("/p/many", "a cell"), ("/lines", "text of several"), ("/cell", "a cell")):
        assert tree.kind(path) is None
        with pytest.raises(InputError, match=rf"{path}: is {what}.*never taken"):
            tree.array(path, "x")


def test_big_endian_and_narrow_storage(tmp_path: Path) -> None:
    """MATLAB stores whole doubles as the smallest integers that hold them."""
    short = struct.pack(">I", 2 << 16 | 1) + b"\x05\xfe\0\0"
    variables = (
        array("a", (1, 2), short, order=">"),
        array("b", (2, 3), element(3, struct.pack(">6h", *range(-3, 3)), ">"), order=">"),
        array(
            "c", (1, 2), element(2, b"\1\2", ">"), element(2, b"\3\4", ">"), flags=2048, order=">"
        ),
        array("d", (2, 2), element(2, b"\0\1\1\0", ">"), code=9, flags=0x200, order=">"),
        array("e", (1, 2), element(4, "né".encode("utf-16-be"), ">"), code=4, order=">"),
    )
    tree = open_tree(put(tmp_path / "a.mat", *variables, order=">"))
    assert_same(values(tree, "/a"), np.array([[5.0, -2.0]]))
    assert_same(values(tree, "/b"), np.array([[-3.0, -1, 1], [-2, 0, 2]]))
    assert_same(values(tree, "/c"), np.array([[1 + 3j, 2 + 4j]]))
    assert_same(values(tree, "/d"), np.array([[False, True], [True, False]]))
    assert tree.text("/e") == "né"


def opaque(name: str) -> bytes:
    inner = element(6, struct.pack("<2I", 17, 0)) + element(1, name.encode())
    inner += element(1, b"MCOS") + element(1, b"string") + array("", (1, 1), element(9, b"\0" * 8))
    return element(14, inner)


def test_functions_and_objects_are_passed_over(tmp_path: Path) -> None:
    handle = array("f", (1, 1), element(14, b"\xff" * 16), code=16)
    thing = array("o", (1, 1), element(1, b"evil"), code=3)
    inside = {"h": array("", (1, 1), b"\xee" * 24, code=16), "s": opaque(""), "none": nothing()}
    inside["k"] = array("", (1, 1), element(9, struct.pack("<d", 7)))
    workspace = array("", (1, 8), element(2, b"\0" * 8), code=9)
    path = put(
        tmp_path / "a.mat", handle, packed(thing), opaque("q"), fields("p", inside), workspace
    )
    tree = open_tree(path)
    assert set(tree.children()) == {"p"}
    assert set(tree.children("/p")) == {"k", "none"}
    assert number(tree, "/p/k") == (7.0, "/p/k")
    assert tree.shape("/p/none") == (0, 0)
    assert tree.array("/p/none", "none").build(0).read(0, 0).shape == (0, 0)
    with pytest.raises(InputError, match="/f: is a function handle, which is never taken"):
        tree.array("/f", "f")
    with pytest.raises(InputError, match="/p/s: is an object"):
        tree.array("/p/s", "s")
    with pytest.raises(InputError, match=r"a\.mat: p: is a struct") as caught:
        ptystore.open(path)
    assert "--skip p" in str(caught.value.advice)
    with pytest.raises(InputError, match=r"a\.mat: f: is a function handle"):
        ptystore.open(path, skip=["p"])


def test_a_file_of_plain_arrays(tmp_path: Path) -> None:
    """Vectors of MATLAB have two axes; here one. The suffix plays no part."""
    frames = RNG.integers(0, 9, (5, 4, 4)).astype(np.uint16)
    content = {"diffraction": frames, "xcoords": np.arange(5.0)[:, None], "one": 3.0}
    content["ycoords"] = np.arange(5.0)[None]
    scan = ptystore.open(saved(tmp_path / "a.npz", content, appendmat=False))
    assert_same(scan["diffraction"].values(), frames)
    assert_same(scan["diffraction"].array.read(1, 3), frames[1:3])
    assert_same(scan["xcoords"].values(), np.arange(5.0))
    assert_same(scan["ycoords"].array.read(1, 3), np.arange(1.0, 3))
    assert scan["one"].shape == ()
    renamed = ptystore.open(tmp_path / "a.npz", rename={"one": "two"}, skip=["ycoords"])
    assert [*renamed] == ["diffraction", "xcoords", "two"]
    assert ptystore.verify(tmp_path / "a.npz").kind == "mat"
    with pytest.raises(InputError, match="one: is renamed to xcoords, which is there already"):
        ptystore.open(tmp_path / "a.npz", rename={"one": "xcoords"})
    report = ptystore.write(scan, tmp_path / "b.zarr")
    assert_same(ptystore.open(report.path)["diffraction"].values(), frames)
    with pytest.raises(ptystore.DestinationError, match="not written by ptystore"):
        ptystore.write(ptystore.open(tmp_path / "b.zarr"), tmp_path / "a.npz", overwrite=True)


VALUES = element(9, struct.pack("<2d", 1, 2))
A = array("a", (1, 2), VALUES)


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        (A[:-1], "ends before"),
        (A[:4], "ends before"),
        (struct.pack("<2I", 14, 1 << 31) + A[8:], "ends before"),
        (element(9, b"\0" * 8), "no array"),
        (packed(element(9, b"\0" * 8)), "no array"),
        (packed(A)[:8] + b"\0" * 50, "ends before|can't be inflated"),
        (struct.pack("<2I", 15, 40) + b"\1" * 40, "can't be inflated"),
        (packed(struct.pack("<2I", 14, 1 << 31) + A[8:]), "no array"),
        (array("a", (1, 3), VALUES), "16 bytes of values where 3"),
        (array("a", (1 << 30, 1 << 30), VALUES), "bytes of values where"),
        (array("a", (-1, 2), VALUES), "its shape"),
        (array("a", (2,), VALUES), "its shape"),
        (array("a", (1, 2), element(11, b"\0" * 16)), "unknown type 11"),
        (array("a", (1, 2), struct.pack("<2I", 9, 1 << 20)), "bytes of values where"),
        (array("a", (1, 2), struct.pack("<2I", 5 << 16 | 1, 0)), "4 are the most"),
        (array("a", (1, 131072), struct.pack("<2I", 9, 1 << 20)), "ends before"),
        (element(14, element(5, b"\0" * 4)), "does not say what it is"),
        (array("p", (1, 1), code=2), "ends before"),
        (array("p", (1, 1), element(5, b"\0" * 4), element(1, b"x" * 8), code=2), "no length"),
        (array("p", (1, 1), element(5, b"\0" * 4 * 2), code=2), "how long its names"),
        (fields("p", {"x": VALUES}), "no array"),
        (fields("p", {"x": A[:-8]}), "ends before"),
        (fields("p", {"x": array("", (1, 3), VALUES)}), "bytes of values where"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, variable: bytes, reason: str) -> None:
    path = put(tmp_path / "a.mat", array("first", (1, 2), VALUES), variable)
    with pytest.raises(InputError, match=reason):
        open_tree(path)


def test_a_variable_that_is_shorter_than_it_says(tmp_path: Path) -> None:
    """Its beginning is sound: it is refused when its values are read."""
    big = array("a", (1, 4096), element(9, RNG.random(4096).tobytes()))
    stream = zlib.compressobj()
    data = stream.compress(big[:20_000]) + stream.flush()
    tree = open_tree(put(tmp_path / "a.mat", struct.pack("<2I", 15, len(data)) + data))
    with pytest.raises(InputError, match="ends before the data"):
        values(tree, "/a")
    half = element(9, RNG.random(4096).tobytes())
    tree = open_tree(put(tmp_path / "b.mat", array("a", (1, 4096), half, flags=0x800)))
    with pytest.raises(InputError, match="ends before the data"):
        values(tree, "/a")


def test_depth_and_number_are_limited(tmp_path: Path) -> None:
    inner = array("", (1, 1), element(9, b"\0" * 8))
    for _ in range(500):
        inner = fields("", {"x": inner})
    named = fields("p", {"x": inner})
    with pytest.raises(InputError, match="in each other"):
        open_tree(put(tmp_path / "a.mat", named))
    many = fields("p", {f"x{at}": nothing() for at in range(100_001)})
    with pytest.raises(InputError, match="more than 100000 arrays"):
        open_tree(put(tmp_path / "b.mat", packed(many)))


@pytest.mark.parametrize("head", [b"MATLAB 5.0", b"MATLAB 5.0".ljust(124) + b"\0\2IM"])
def test_a_header_that_is_none(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(head)
    with pytest.raises(InputError, match=r"a\.mat: begins as a MATLAB 5 file, but is none"):
        ptystore.open(tmp_path / "a.mat")


@given(st.integers(0, 1 << 30), st.binary(min_size=1, max_size=4))
def test_damage_anywhere_raises_errors_of_ours(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: bytes
) -> None:
    stream = io.BytesIO()
    content = {"p": {"a": 1.0, "b": "text", "c": {"d": np.eye(2)}}, "z": np.ones((2, 2), "c8")}
    scipy.io.savemat(stream, content)
    data = bytearray(stream.getvalue())
    at %= len(data)
    data[at : at + len(change)] = change
    path = tmp_path_factory.mktemp("d") / "a.mat"
    path.write_bytes(bytes(data))
    with contextlib.suppress(ptystore.PtystoreError):
        _read_all(open_tree(path), "/")


def _read_all(tree: Tree, path: str) -> None:
    for name in tree.children(path):
        inner = f"{path.rstrip('/')}/{name}"
        if tree.kind(inner) == "group":
            _read_all(tree, inner)
        else:
            values(tree, inner)
