"""The content digest against its definition, and against what must and must not change it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ptystore
from ptystore.model.content_digest import FieldDigest, combined_digest, leaf_hashes
from ptystore.model.layout import leaf_rows
from scans import DTYPES, plain_digest, scan, values


def test_the_digest_of_a_known_array_never_changes() -> None:
    """Digests are stored and compared for years: a new definition needs a new name."""
    arrays = {
        "diffraction": np.arange(300 * 16 * 16, dtype=np.uint16).reshape(300, 16, 16),
        "note": np.array(["µm", "a"]),
        "dose": np.array(2.5),
    }
    fields, whole = ptystore.digest(ptystore.dataset_of(arrays))
    assert fields == {
        "diffraction": "1e989510639f8cc71d2a93bf45c1f575370b5018cb012f5b7c73625ee5018ead",
        "note": "e39de7578d4023107020d48c5b8b8c566603f3acb3cedb73c2fd89640be6a525",
        "dose": "f577ccd351b459ea11cc3ac43b0c4ec3aef4f5ebe4a16e5252e85f76af781bd6",
    }
    assert whole == "339193fa873d8f2a745eb5fe2a3b90cb0958d58f00f4469b3a1722e2c404d71d"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5, 0, 2), (700, 30), (3, 40, 50, 2)])
def test_agrees_with_the_definition(dtype: str, shape: tuple[int, ...]) -> None:
    value = values(dtype, shape)
    fields, _ = ptystore.digest(ptystore.dataset_of({"a b": value}))
    assert fields["a b"] == plain_digest("a b", value, None)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_several_leaves_blocks_shards_and_workers(jobs: int) -> None:
    frames = values("u2", (2500, 61, 67))  # 8,174 bytes a frame: blocks of 256, shards of 2048
    dataset = ptystore.dataset_of({"diffraction": frames})
    fields, _ = ptystore.digest(dataset, jobs=jobs)
    assert fields["diffraction"] == plain_digest("diffraction", frames, 0)


def test_a_stack_with_frames_last_is_hashed_frame_by_frame() -> None:
    stack = values("u2", (6, 10, 21))
    positions = np.linspace(0, 9, 21)
    dataset = ptystore.dataset_of({"diff3d": stack, "xcoords": positions, "ycoords": positions})
    assert dataset["diff3d"].frame_axis == 2
    fields, _ = ptystore.digest(dataset)
    assert fields["diff3d"] == plain_digest("diff3d", stack, 2)


@given(
    st.integers(1, 200), st.integers(1, 3000), st.lists(st.integers(1, 5), min_size=1, max_size=8)
)
def test_blocks_of_any_number_of_leaves_give_the_same_digest(
    rows: int, row_bytes: int, cuts: list[int]
) -> None:
    value = np.frombuffer(np.random.default_rng(rows).bytes(rows * row_bytes), np.uint8)
    value = value.reshape(rows, row_bytes)
    digest = FieldDigest("a", "global", value.dtype, value.shape, None)
    start, turn = 0, 0
    while start < rows:
        stop = start + cuts[turn % len(cuts)] * leaf_rows(row_bytes)
        digest.add(leaf_hashes(value[start:stop]))
        start, turn = stop, turn + 1
    assert digest.hexdigest() == plain_digest("a", value, None)


def test_byte_order_and_memory_order_do_not_matter() -> None:
    value = values("f8", (50, 30))
    forms = [value, value.astype(">f8"), np.asfortranarray(value), value[::-1].copy()[::-1]]
    digests = {ptystore.digest(ptystore.dataset_of({"a": one}))[1] for one in forms}
    assert len(digests) == 1


def test_name_role_dtype_shape_and_every_value_matter() -> None:
    arrays = scan()
    seen = set()

    def note(changed: dict[str, np.ndarray]) -> None:
        seen.add(ptystore.digest(ptystore.dataset_of(changed))[1])

    note(arrays)
    note({**{k: v for k, v in arrays.items() if k != "diff3d"}, "diffraction": arrays["diff3d"]})
    note({**arrays, "diff3d": arrays["diff3d"].astype(np.int16)})
    note({**arrays, "diff3d": arrays["diff3d"].reshape(21, 10, 6)})
    last = arrays["diff3d"].copy()
    last[-1, -1, -1] += 1
    note({**arrays, "diff3d": last})
    swapped = arrays["diff3d"].copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    note({**arrays, "diff3d": swapped})
    assert len(seen) == 6


def test_role_matters_and_the_order_of_fields_does_not(tmp_path: Path) -> None:
    arrays = {"a": np.arange(21.0), **scan()}
    ptystore.write(ptystore.dataset_of(arrays), tmp_path / "a.npz")
    backwards = dict(reversed(arrays.items()))
    own, whole = ptystore.digest(tmp_path / "a.npz")
    assert ptystore.digest(ptystore.dataset_of(backwards)) == (own, whole)
    as_global, _ = ptystore.digest(ptystore.open(tmp_path / "a.npz", global_=("a",)))
    assert {name for name in own if own[name] != as_global[name]} == {"a"}
    assert as_global["a"] == plain_digest("a", arrays["a"], None)


def test_the_digest_of_the_whole_is_that_of_its_fields() -> None:
    assert combined_digest({"a": "1", "b": "2"}) == combined_digest({"b": "2", "a": "1"})
    assert combined_digest({"a": "1", "b": "2"}) != combined_digest({"a": "2", "b": "1"})
    assert combined_digest({"a": "1"}) != combined_digest({"a": "1", "b": "2"})


def test_many_threads_hash_alike() -> None:
    block = values("f4", (64, 32, 32))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: leaf_hashes(block), range(32)))) == 1
