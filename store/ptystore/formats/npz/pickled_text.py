"""Reads a legacy pickled `_metadata` text without unpickling anything.

Legacy tools stored the JSON text of `_metadata` as a 0-d object array, so NumPy pickled it.
A pickle is a program; loading one runs it. Here the few opcodes that NumPy emits for such
an array (protocols 2 to 5, Python 2 included) are followed symbolically: a global becomes
an inert token, REDUCE and BUILD make tuples, nothing is imported or called. The outcome
counts only if it is, node for node, what NumPy writes for one text.

Every value is immutable, so a memo entry can't change after it was stored and no cycle can
be built. That differs from a real unpickler only for programs which alter a shared object
through the memo; what they push on the way stays in the result, which then has another form
than the one accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ptystore.errors import InputError
from ptystore.formats.names import leave_out

__all__ = ["MAX_OPCODES", "MAX_PAYLOAD_BYTES", "read_pickled_text"]

MAX_PAYLOAD_BYTES: Final = 16 * 2**20
MAX_OPCODES: Final = 128

_ADVICE = (
    "open the file with the tool that wrote it and save `_metadata` as plain text, "
    f"np.array(json_text); or {leave_out('_metadata')}"
)


class _Global(NamedTuple):
    """A name that a pickle would import. Never imported here."""

    module: str
    name: str


class _Call(NamedTuple):
    """What a pickle would call. Never called here."""

    function: _Global
    arguments: tuple[object, ...]


class _Built(NamedTuple):
    """An object and the state that a pickle would set on it."""

    target: _Call
    state: Any


class _List(NamedTuple):
    """A list of at most one item: NumPy writes no other for a 0-d array."""

    items: tuple[object, ...]


class _Mark:
    """Where MARK was pushed."""


class _Text:
    """In an expected form: any str."""


_NDARRAY = _Global("numpy", "ndarray")
_DTYPE = _Global("numpy", "dtype")
_ENCODE = _Global("_codecs", "encode")
_RECONSTRUCT = (
    _Global("numpy.core.multiarray", "_reconstruct"),
    _Global("numpy._core.multiarray", "_reconstruct"),
)
_GLOBALS = (_NDARRAY, _DTYPE, _ENCODE, *_RECONSTRUCT)
_CALLABLE = (_DTYPE, _ENCODE, *_RECONSTRUCT)

# The accepted forms. NumPy before 1.17 wrote the two flags of a dtype as integers; Python 2
# and protocol 2 spell the byte string b"b" in their own ways; 32-bit systems write O4.
_TYPE_CODES = ("b", b"b", _Call(_ENCODE, ("b", "latin1")))
_EMPTY_ARRAYS = tuple(
    _Call(function, (_NDARRAY, (0,), code)) for function in _RECONSTRUCT for code in _TYPE_CODES
)
_OBJECT_DTYPES = tuple(
    _Built(_Call(_DTYPE, (kind, *flags)), (3, "|", None, None, None, -1, -1, 63))
    for kind in ("O8", "O4")
    for flags in ((False, True), (0, 1))
)
_ARRAYS = tuple(
    _Built(empty, (1, (), dtype, False, _List((_Text(),))))
    for empty in _EMPTY_ARRAYS
    for dtype in _OBJECT_DTYPES
)


def read_pickled_text(payload: bytes) -> str:
    """The text inside a pickled 0-d object array, read without unpickling.

    Parameters
    ----------
    payload : the bytes after the `.npy` header of a member with dtype `|O` and shape `()`,
        at most 16 MiB.

    Returns
    -------
    The text as it stands, lone surrogates included; nothing says that it is JSON.

    Raises
    ------
    InputError : the payload is anything but NumPy's pickle of exactly one text. Nothing in
        it has been imported, called or executed.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _refused(f"is {len(payload)} bytes long, over the {MAX_PAYLOAD_BYTES} allowed")
    result = _Machine(payload).run()
    if not (isinstance(result, _Built) and any(_has_form(result, form) for form in _ARRAYS)):
        raise _refused("is not one text in a 0-d array")
    text: str = result.state[4].items[0]  # where _ARRAYS has its _Text
    return text


def _refused(what: str) -> InputError:
    return InputError(f"its pickle {what}", member="_metadata", advice=_ADVICE)


def _has_form(value: object, form: object) -> bool:
    """Whether `value` equals `form`, types included: True is not 1, a call is not a tuple.

    Recursion and time are bounded by `form`, whatever a hostile `value` nests or shares.
    """
    if isinstance(form, _Text):
        return isinstance(value, str)
    if type(value) is not type(form):
        return False
    if isinstance(value, tuple) and isinstance(form, tuple):
        return len(value) == len(form) and all(map(_has_form, value, form))
    return value == form


class _Machine:
    """One run over one payload: a position, a stack and a memo of at most 128 entries."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.position = 0
        self.opcode = "the start"
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """Follow the opcodes up to STOP; returns the only value left."""
        for count in range(MAX_OPCODES):
            if self.position == len(self.payload):
                raise _refused("is truncated: it ends without STOP")
            code = self.payload[self.position]
            self.position += 1
            if (count == 0) != (code == _PROTO):
                raise _refused("does not begin with its protocol, once")
            if code == _STOP:
                return self.result()
            if code not in _ACTIONS:
                name = _OTHER_OPCODES.get(code, f"0x{code:02x}")
                raise _refused(f"uses the opcode {name}, which a metadata text never needs")
            self.opcode, action = _ACTIONS[code]
            action(self)
        raise _refused(f"has more than {MAX_OPCODES} opcodes, which a metadata text never needs")

    def result(self) -> object:
        if (left := len(self.payload) - self.position) > 0:
            raise _refused(f"is followed by {left} stray bytes")
        if len(self.stack) != 1:
            raise _refused(f"leaves {len(self.stack)} values, not one")
        return self.stack[0]

    def take(self, count: int) -> bytes:
        left = len(self.payload) - self.position
        if count > left:
            raise _refused(
                f"is truncated: {self.opcode} asks for {count} bytes where {left} are left"
            )
        self.position += count
        return self.payload[self.position - count : self.position]

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        end = self.payload.find(b"\n", self.position)
        if end < 0:
            raise _refused(f"is truncated: {self.opcode} names nothing")
        return self.take(end + 1 - self.position)[:-1].decode("ascii", "backslashreplace")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack or isinstance(self.stack[-1], _Mark):
            raise _refused(f"gives {self.opcode} nothing to work on")
        return self.stack.pop()

    def pop_tuple(self, size: int) -> tuple[object, ...]:
        return tuple(reversed([self.pop() for _ in range(size)]))

    def pop_to_mark(self) -> tuple[object, ...]:
        """Everything above the last MARK, which goes too."""
        values: list[object] = []
        while self.stack:
            value = self.stack.pop()
            if isinstance(value, _Mark):
                return tuple(reversed(values))
            values.append(value)
        raise _refused(f"has a {self.opcode} without its MARK")


def _protocol(machine: _Machine) -> None:
    if (version := machine.number(1)) not in (2, 3, 4, 5):
        raise _refused(f"is of protocol {version}; NumPy writes 2 to 5")


def _frame(machine: _Machine) -> None:
    # A frame only tells how far to read ahead: its length is checked, its content comes next.
    start = machine.position + 8
    machine.take(machine.number(8))
    machine.position = start


def _utf8(machine: _Machine, size: int) -> None:
    try:
        machine.push(machine.take(machine.number(size)).decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        raise _refused("holds a text that is not UTF-8") from None


def _python2_str(machine: _Machine, size: int) -> None:
    try:
        machine.push(machine.take(machine.number(size)).decode("ascii"))
    except UnicodeDecodeError:
        raise _refused("holds a Python 2 byte string that is not ASCII") from None


def _push_global(machine: _Machine, token: _Global) -> None:
    if token not in _GLOBALS:
        shown = f"{token.module}.{token.name}"[:80].encode("unicode_escape").decode("ascii")
        raise _refused(f"names {shown}, which a metadata text never needs")
    machine.push(token)


def _stack_global(machine: _Machine) -> None:
    module, name = machine.pop_tuple(2)
    if not (isinstance(module, str) and isinstance(name, str)):
        raise _refused("has a STACK_GLOBAL whose module and name are not text")
    _push_global(machine, _Global(module, name))


def _reduce(machine: _Machine) -> None:
    function, arguments = machine.pop_tuple(2)
    if not (isinstance(function, _Global) and function in _CALLABLE and type(arguments) is tuple):
        raise _refused("has a REDUCE that does not apply a function of NumPy to a tuple")
    machine.push(_Call(function, arguments))


def _build(machine: _Machine) -> None:
    target, state = machine.pop_tuple(2)
    if not isinstance(target, _Call):
        raise _refused("has a BUILD on something other than a new array or dtype")
    machine.push(_Built(target, state))


def _append(machine: _Machine) -> None:
    target, item = machine.pop_tuple(2)
    if not isinstance(target, _List) or target.items:
        raise _refused("has an APPEND to something other than an empty list")
    machine.push(_List((item,)))


def _remember(machine: _Machine, index: int) -> None:
    machine.push(value := machine.pop())
    machine.memo[index] = value


def _recall(machine: _Machine) -> None:
    if (index := machine.number(1)) not in machine.memo:
        raise _refused(f"has a BINGET of memo entry {index}, which was never stored")
    machine.push(machine.memo[index])


_PROTO, _STOP = 0x80, ord(".")

_ACTIONS: dict[int, tuple[str, Callable[[_Machine], None]]] = {
    _PROTO: ("PROTO", _protocol),
    0x95: ("FRAME", _frame),
    ord("c"): ("GLOBAL", lambda m: _push_global(m, _Global(m.line(), m.line()))),
    0x93: ("STACK_GLOBAL", _stack_global),
    ord("X"): ("BINUNICODE", lambda m: _utf8(m, 4)),
    0x8C: ("SHORT_BINUNICODE", lambda m: _utf8(m, 1)),
    ord("T"): ("BINSTRING", lambda m: _python2_str(m, 4)),
    ord("U"): ("SHORT_BINSTRING", lambda m: _python2_str(m, 1)),
    ord("C"): ("SHORT_BINBYTES", lambda m: m.push(m.take(m.number(1)))),
    ord("K"): ("BININT1", lambda m: m.push(m.number(1))),
    ord("J"): ("BININT", lambda m: m.push(m.number(4, signed=True))),
    ord("N"): ("NONE", lambda m: m.push(None)),
    0x88: ("NEWTRUE", lambda m: m.push(True)),
    0x89: ("NEWFALSE", lambda m: m.push(False)),
    ord("]"): ("EMPTY_LIST", lambda m: m.push(_List(()))),
    ord("a"): ("APPEND", _append),
    ord("("): ("MARK", lambda m: m.push(_Mark())),
    ord("t"): ("TUPLE", lambda m: m.push(m.pop_to_mark())),
    ord(")"): ("EMPTY_TUPLE", lambda m: m.push(())),
    0x85: ("TUPLE1", lambda m: m.push(m.pop_tuple(1))),
    0x86: ("TUPLE2", lambda m: m.push(m.pop_tuple(2))),
    0x87: ("TUPLE3", lambda m: m.push(m.pop_tuple(3))),
    ord("R"): ("REDUCE", _reduce),
    ord("b"): ("BUILD", _build),
    ord("q"): ("BINPUT", lambda m: _remember(m, m.number(1))),
    0x94: ("MEMOIZE", lambda m: _remember(m, len(m.memo))),
    ord("h"): ("BINGET", _recall),
}

# Opcodes that a pickle may have and this text never does: named in the refusal.
_OTHER_OPCODES = {
    ord("i"): "INST", ord("o"): "OBJ", 0x81: "NEWOBJ", 0x92: "NEWOBJ_EX",
    0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", ord("P"): "PERSID", ord("Q"): "BINPERSID",
    0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER", 0x96: "BYTEARRAY8",
    0x8D: "BINUNICODE8", 0x8E: "BINBYTES8", ord("B"): "BINBYTES",
    ord("r"): "LONG_BINPUT", ord("j"): "LONG_BINGET", ord("p"): "PUT", ord("g"): "GET",
    ord("2"): "DUP", ord("0"): "POP", ord("1"): "POP_MARK",
    ord("I"): "INT", ord("L"): "LONG", ord("M"): "BININT2", 0x8A: "LONG1", 0x8B: "LONG4",
    ord("F"): "FLOAT", ord("G"): "BINFLOAT", ord("S"): "STRING", ord("V"): "UNICODE",
    ord("e"): "APPENDS", ord("l"): "LIST", ord("}"): "EMPTY_DICT", ord("d"): "DICT",
    ord("s"): "SETITEM", ord("u"): "SETITEMS", 0x8F: "EMPTY_SET", 0x90: "ADDITEMS",
    0x91: "FROZENSET",
}  # fmt: skip
