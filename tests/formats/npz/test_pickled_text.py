"""Reading a pickled `_metadata` text: all that NumPy wrote is read, all else is refused."""

from __future__ import annotations

import io
import os
import pickle
import random
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ptystore.errors import InputError
from ptystore.formats.npz.pickled_text import MAX_OPCODES, MAX_PAYLOAD_BYTES, read_pickled_text

JSON_TEXT = '{"physics_parameters": {"nphotons": 1000.0, "N": 64}, "note": "Å 10⁹ 𝛙"}'
TEXTS = {
    "empty": "",
    "one": "b",  # the very string that also stands for the dtype of an empty array
    "255 bytes": "x" * 255,
    "256 bytes": "x" * 256,
    "out of frame": "x" * 70_000,  # protocol 4 puts texts over 64 KiB between two frames
    "non-ASCII": JSON_TEXT,
    "lone surrogates": "\udc80 a \ud83d",
}

# As other versions wrote the text {"a": "hé"}, byte for byte.
OLD_STATE = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?t"
OLD_DUMPS = {
    "Python 2.7, NumPy 1.16, np.save": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85"
        b"U\x01b\x87Rq\x03(K\x01)cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|"
        + OLD_STATE
        + b'b\x89]q\x06X\x0c\x00\x00\x00{"a": "h\xc3\xa9"}q\x07atb.'
    ),
    "Python 2.7, NumPy 1.16, pickle": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02"
        b"U\x01bq\x03\x87q\x04Rq\x05(K\x01)cnumpy\ndtype\nq\x06U\x02O8q\x07K\x00K\x01\x87q\x08Rq\t"
        b"(K\x03U\x01|q\n"
        + OLD_STATE
        + b'q\x0bb\x89]q\x0cX\x0c\x00\x00\x00{"a": "h\xc3\xa9"}q\ratq\x0eb.'
    ),
    "Python 3.6, NumPy 1.13, np.save": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02"
        b"c_codecs\nencode\nq\x03X\x01\x00\x00\x00bq\x04X\x06\x00\x00\x00latin1q\x05\x86q\x06Rq\x07"
        b"\x87q\x08Rq\t(K\x01)cnumpy\ndtype\nq\nX\x02\x00\x00\x00O8q\x0bK\x00K\x01\x87q\x0cRq\r(K"
        b"\x03X\x01\x00\x00\x00|q\x0e"
        + OLD_STATE
        + b'q\x0fb\x89]q\x10X\x0c\x00\x00\x00{"a": "h\xc3\xa9"}q\x11atq\x12b.'
    ),
    "Python 3.6, NumPy 1.13, protocol 4": (
        b"\x80\x04\x95\x96\x00\x00\x00\x00\x00\x00\x00\x8c\x15numpy.core.multiarray\x94\x8c\x0c"
        b"_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b"
        b"\x94\x87\x94R\x94(K\x01)h\x03\x8c\x05dtype\x94\x93\x94\x8c\x02O8\x94K\x00K\x01\x87\x94R"
        b"\x94(K\x03\x8c\x01|\x94"
        + OLD_STATE
        + b'\x94b\x89]\x94\x8c\x0c{"a": "h\xc3\xa9"}\x94at\x94b.'
    ),
    "Python 3.10, NumPy 1.26, np.save": (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02"
        b"C\x01bq\x03\x87q\x04Rq\x05(K\x01)cnumpy\ndtype\nq\x06X\x02\x00\x00\x00O8q\x07\x89\x88\x87"
        b"q\x08Rq\t(K\x03X\x01\x00\x00\x00|q\n"
        + OLD_STATE
        + b'q\x0bb\x89]q\x0cX\x0c\x00\x00\x00{"a": "h\xc3\xa9"}q\ratq\x0eb.'
    ),
}
PYTHON2 = OLD_DUMPS["Python 2.7, NumPy 1.16, np.save"]


def dump(value: object, protocol: int = 4) -> bytes:
    array = np.empty((), dtype=object)
    array[()] = value
    return pickle.dumps(array, protocol)


def refusal(payload: bytes) -> str:
    """The reason why `payload` is refused, which must be one line and say what to do."""
    with pytest.raises(InputError) as caught:
        read_pickled_text(payload)
    error = caught.value
    assert error.member == "_metadata"
    assert error.exit_code == 3
    assert error.advice is not None
    assert error.reason.isascii()
    assert "\n" not in error.reason
    assert len(error.reason) < 200
    return error.reason


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_reads_what_numpy_writes(text: str, protocol: int) -> None:
    assert read_pickled_text(dump(text, protocol)) == text


def test_reads_the_member_of_a_saved_file() -> None:
    file = io.BytesIO()
    np.save(file, np.array(JSON_TEXT, dtype=object))
    assert read_pickled_text(file.getvalue().split(b"\n", 1)[1]) == JSON_TEXT


@pytest.mark.parametrize("payload", OLD_DUMPS.values(), ids=OLD_DUMPS)
def test_reads_what_old_versions_wrote(payload: bytes) -> None:
    assert read_pickled_text(payload) == '{"a": "hé"}'


@pytest.mark.parametrize(
    "spelled",
    [b'U\x08{"a": 1}', b'T\x08\x00\x00\x00{"a": 1}'],
    ids=["SHORT_BINSTRING", "BINSTRING"],
)
def test_reads_an_ascii_python2_str(spelled: bytes) -> None:
    start, end = PYTHON2.index(b"X\x0c"), PYTHON2.index(b"q\x07atb.")
    assert read_pickled_text(PYTHON2[:start] + spelled + PYTHON2[end:]) == '{"a": 1}'


def test_reads_both_reference_files(reference_raw: Path, reference_patched: Path) -> None:
    for path in (reference_raw, reference_patched):
        with zipfile.ZipFile(path) as archive:
            payload = archive.read("_metadata.npy").split(b"\n", 1)[1]
        text = read_pickled_text(payload)
        assert text == pickle.loads(payload).item()
        assert text.startswith('{\n  "schema_version": "1.0.0"')


# What a hostile or broken file may hold.
GENUINE = dump("text")
HALF = GENUINE[: GENUINE.index(b"\x94at")]  # up to the text, which is on the stack
MALICE = {
    "GLOBAL": (b"\x80\x02cos\nsystem\nU\x04true\x85R.", r"names os\.system, which"),
    "STACK_GLOBAL": (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"names os\.system, which"),
    "builtins": (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", r"names builtins\.eval, which"),
    "other NumPy": (b"\x80\x02cnumpy\nload\nU\x01x\x85R.", r"names numpy\.load, which"),
    "dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.abc\x93.", r"names numpy\.ndarray\.abc"),
    "odd name": (b"\x80\x04\x8c\x03a\nb\x8c\x04\xed\xa0\x80c\x93.", r"names a\\nb\.\\ud800c"),
    "endless name": (b"\x80\x02c" + b"m" * 10**6 + b"\nx\n.", r"names m{80}, which"),
    "INST": (b"\x80\x02(U\x04trueios\nsystem\n.", "opcode INST"),
    "OBJ": (b"\x80\x02(cnumpy\nndarray\no.", "opcode OBJ"),
    "NEWOBJ": (b"\x80\x02cnumpy\nndarray\n)\x81.", "opcode NEWOBJ,"),
    "EXT1": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "EXT2": (b"\x80\x02\x83\x01\x00.", "opcode EXT2"),
    "EXT4": (b"\x80\x02\x84\x01\x00\x00\x00.", "opcode EXT4"),
    "PERSID": (b"\x80\x02Pid\n.", "opcode PERSID"),
    "BINPERSID": (b"\x80\x02U\x01xQ.", "opcode BINPERSID"),
    "NEXT_BUFFER": (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
    "huge BINUNICODE8": (b"\x80\x04\x8d" + b"\xff" * 8 + b".", "opcode BINUNICODE8"),
    "huge BYTEARRAY8": (b"\x80\x05\x96" + b"\x7f" * 8 + b".", "opcode BYTEARRAY8"),
    "huge memo index": (b"\x80\x02Nr\xff\xff\xff\x0f.", "opcode LONG_BINPUT"),
    "huge LONG4": (b"\x80\x02\x8b\xff\xff\xff\x7f.", "opcode LONG4"),
    "no opcode": (b"\x80\x02\xff.", "opcode 0xff"),
    "huge BINUNICODE": (b"\x80\x02X\xff\xff\xff\xffa.", "BINUNICODE asks for 4294967295 bytes"),
    "huge FRAME": (b"\x80\x04\x95" + b"\xff" * 8 + b".", "FRAME asks for 18446744073709551615"),
    "negative BINSTRING": (b"\x80\x02T\xff\xff\xff\xff.", "BINSTRING asks for 4294967295"),
    "cut length": (b"\x80\x02X\x01\x00", "truncated: BINUNICODE asks for 4 bytes where 2"),
    "cut name": (b"\x80\x02cnumpy\nndarray", "truncated: GLOBAL names nothing"),
    "empty": (b"", "truncated: it ends without STOP"),
    "no STOP": (dump("text", 2)[:-1], "truncated: it ends without STOP"),
    "no protocol": (GENUINE[2:], "does not begin with its protocol"),
    "protocol 1": (b"\x80\x01N.", "is of protocol 1"),
    "protocol 6": (b"\x80\x06N.", "is of protocol 6"),
    "second protocol": (b"\x80\x02\x80\x02N.", "does not begin with its protocol, once"),
    "trailing bytes": (GENUINE + b"more", "followed by 4 stray bytes"),
    "second STOP": (GENUINE + b".", "followed by 1 stray bytes"),
    "second pickle": (GENUINE + GENUINE, "stray bytes"),
    "memo bomb": (b"\x80\x02)q\x00" + b"h\x00\x86q\x00" * 40 + b".", "not one text"),
    "wide memo bomb": (b"\x80\x02)" + b"\x94h\x00h\x00\x87\x94" * 60 + b".", "more than 128"),
    "memo of nothing": (b"\x80\x02q\x00N.", "BINPUT nothing to work on"),
    "memo never stored": (b"\x80\x02h\x07.", "BINGET of memo entry 7"),
    "STOP on nothing": (b"\x80\x02.", "leaves 0 values"),
    "two values": (b"\x80\x02NN.", "leaves 2 values"),
    "no MARK": (b"\x80\x02NNt.", "TUPLE without its MARK"),
    "below a MARK": (b"\x80\x02N(\x85.", "TUPLE1 nothing to work on"),
    "names are numbers": (b"\x80\x04K\x01K\x02\x93.", "STACK_GLOBAL whose module and name"),
    "REDUCE of ndarray": (b"\x80\x02cnumpy\nndarray\nK\x09\x85\x85R.", "REDUCE that does not"),
    "REDUCE of a result": (b"\x80\x02cnumpy\ndtype\n)R)R.", "REDUCE that does not"),
    "REDUCE of a text": (b"\x80\x02U\x01x)R.", "REDUCE that does not"),
    "REDUCE of no tuple": (b"\x80\x02cnumpy\ndtype\nNR.", "REDUCE that does not"),
    "BUILD on a class": (b"\x80\x02cnumpy\nndarray\nNb.", "BUILD on something other"),
    "BUILD on a text": (b"\x80\x02U\x01xNb.", "BUILD on something other"),
    "BUILD twice": (GENUINE[:-1] + b"Nb.", "BUILD on something other"),
    "APPEND to a tuple": (b"\x80\x02)Na.", "APPEND to something other"),
    "APPEND to a list's likeness": (b"\x80\x02)\x85Na.", "APPEND to something other"),
    "APPEND twice": (b"\x80\x02]NaNa.", "APPEND to something other"),
    "not UTF-8": (b"\x80\x02X\x02\x00\x00\x00\xff\xfe.", "a text that is not UTF-8"),
    "Python 2 bytes": (b"\x80\x02U\x02\xc3\xa9.", "byte string that is not ASCII"),
    "only a text": (b"\x80\x02X\x02\x00\x00\x00{}.", "not one text in a 0-d array"),
    "only a dtype": (b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.", "not one text"),
    "bytes": (dump(b"{}"), "not one text in a 0-d array"),
    "number": (dump(7), "not one text in a 0-d array"),
    "nested": (dump(("text",)), "not one text in a 0-d array"),
    "other shape": (pickle.dumps(np.array(["a"], dtype=object), 4), "not one text"),
    "two texts": (pickle.dumps(np.array(["a", "b"], dtype=object), 4), "opcode APPENDS"),
    "NumPy text": (dump(np.str_("a")), r"names numpy\._core\.multiarray\.scalar"),
    "dict": (dump({"a": 1}), "opcode EMPTY_DICT"),
    "other dtype": (GENUINE.replace(b"\x02O8", b"\x02f8"), "not one text in a 0-d array"),
    "other flags": (GENUINE.replace(b"K?t", b"K>t"), "not one text in a 0-d array"),
    "true for one": (dump("text", 3).replace(b"(K\x01)", b"(\x88)"), "not one text in a 0-d array"),
    "Fortran order": (GENUINE.replace(b"b\x89]", b"b\x88]"), "not one text in a 0-d array"),
    "size in an encode": (OLD_DUMPS["Python 3.6, NumPy 1.13, np.save"].replace(
        b"latin1", b"utf-16"), "not one text in a 0-d array"),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "reason"), MALICE.values(), ids=MALICE)
def test_refuses_all_else(payload: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_pickled_text(payload)
    assert refusal(payload).startswith("its pickle ")


def test_runs_nothing(tmp_path: Path) -> None:
    command = f"touch {tmp_path / 'ran'}".encode()
    call = b"cposix\nsystem\nU" + bytes([len(command)]) + command + b"\x85R"
    # Before the text, in its place, and instead of a dtype's arguments.
    whole = b"\x80\x02" + call + b"."
    planted = HALF[: HALF.rindex(b"\x8c")] + call + b"at\x94b."
    for payload in (whole, planted.replace(HALF[2:11], b"")):
        assert "names posix.system" in refusal(payload)
        assert not list(tmp_path.iterdir())
        pickle.loads(payload)  # the payload is live: only the reader keeps it from running
        (tmp_path / "ran").unlink()


def test_size_limits() -> None:
    fits = MAX_PAYLOAD_BYTES - (len(dump("x" * 70_000, 2)) - 70_000)
    assert len(read_pickled_text(dump("x" * fits, 2))) == fits
    assert "16777217 bytes long, over the 16777216" in refusal(dump("x" * (fits + 1), 2))


def test_opcode_limit() -> None:
    # N-1 opcodes and STOP are followed (and refused for what they leave), one more is not.
    nones = MAX_OPCODES - 2
    assert f"leaves {nones} values" in refusal(b"\x80\x02" + b"N" * nones + b".")
    assert "more than 128 opcodes" in refusal(b"\x80\x02" + b"N" * (nones + 1) + b".")


@pytest.mark.parametrize("name", ["memo bomb", "huge BINUNICODE", "huge FRAME", "huge memo index"])
def test_refusing_takes_no_memory(name: str) -> None:
    tracemalloc.start()
    try:
        refusal(MALICE[name][0])
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def mutated(payload: bytes, rng: random.Random) -> bytes:
    """One to three bytes changed, deleted, doubled or inserted."""
    changed = bytearray(payload)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        where = rng.randrange(len(changed))
        match rng.randrange(6):
            case 0:
                del changed[where]
            case 1:
                changed.insert(where, rng.randrange(256))
            case 2:
                changed[where:where] = changed[where : where + rng.randrange(1, 6)]
            case 3:
                changed[where] ^= 1 << rng.randrange(8)
            case _:
                changed[where] = rng.randrange(256)
    return bytes(changed)


def test_mutants_are_read_right_or_refused() -> None:
    """Where a mutant is accepted, a real unpickler must find the same text in it."""
    count = 100_000 if os.environ.get("PTYSTORE_FAULTS_FULL") == "1" else 2_000
    seeds = [dump(text, p) for p in (2, 3, 4, 5) for text in ("", "b", '{"N": 64}', JSON_TEXT)]
    seeds += OLD_DUMPS.values()
    accepted = 0
    for seed in range(count):
        rng = random.Random(seed)
        payload = mutated(rng.choice(seeds), rng)
        try:
            text = read_pickled_text(payload)
        except InputError:
            continue
        accepted += 1
        with warnings.catch_warnings():
            # Newer NumPy objects to the integer flags that older NumPy wrote.
            warnings.simplefilter("ignore", DeprecationWarning)
            array = pickle.loads(payload)
        assert type(array) is np.ndarray
        assert (array.shape, array.dtype) == ((), np.dtype(object))
        assert array.item() == text, f"seed {seed}"
    assert accepted > count // 100
    assert accepted < count // 2
