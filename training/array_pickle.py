"""Pickles that hold nothing but arrays, read without running anything that a hostile one may ask for.

Three walls. The opcodes are looked at before anything is unpickled, and only those that pickled arrays need are let
through. Every name in the pickle is answered with a stand-in of this module, never with the real thing, so not even
numpy's own unpickling sees the file. And what the stand-ins build is checked and its bytes are counted.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_OPCODES = 60_000  # our largest detector needs 20 000; hashing tuples nested deeper than this overflows the C stack
MAX_SIDES = 8
MAX_SIDE = 2**31

TEXT_NAMES = """
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
"""
OTHER_NAMES = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
    GLOBAL STACK_GLOBAL REDUCE BUILD
"""
TEXTS = frozenset(TEXT_NAMES.split())
PUTS = frozenset({"BINPUT", "LONG_BINPUT", "MEMOIZE"})
GETS = frozenset({"BINGET", "LONG_BINGET"})
OPCODES = TEXTS.union(PUTS, GETS, OTHER_NAMES.split())
# Containers are not: sharing one would let a small pickle nest 2 to the power of n references in n steps.
MAY_BE_SHARED = TEXTS | {"GLOBAL", "STACK_GLOBAL", "REDUCE"}

DTYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
PLAIN_DTYPE_STATE = (None, None, None, -1, -1, 0)  # no sub-array, no fields, nothing derived


class RefusedError(ValueError):
    """A pickle that asks for more than plain arrays; the message completes "the file is refused: it ..."."""


def load(data: bytes) -> object:
    """What is pickled in `data`, with an `ArrayBox` in place of each array.

    Raises:
        RefusedError: the pickle needs more than plain arrays.
        Exception: whatever `pickle` raises on damaged data.
    """
    check_opcodes(data)
    return ArrayUnpickler(data).load()


def check_opcodes(data: bytes) -> None:
    """Let only opcodes pass that arrays need, in bounded number, with bounded memo and without shared containers."""
    previous, shareable, memo = "", set(), set()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data), 1):
        if opcode.name not in OPCODES:
            raise RefusedError(f"it uses the pickle opcode {opcode.name}, which plain arrays do not need")
        if count > MAX_OPCODES:
            raise RefusedError(f"it has more than {MAX_OPCODES:,} pickle opcodes")
        if opcode.name in PUTS:
            slot = len(memo) if opcode.name == "MEMOIZE" else argument
            if slot > MAX_OPCODES:  # the unpickler would allocate twice as many slots
                raise RefusedError(f"it uses memo slot {slot:,} of the unpickler, the limit is {MAX_OPCODES:,}")
            memo.add(slot)
            (shareable.add if previous in MAY_BE_SHARED else shareable.discard)(slot)
        if opcode.name in GETS and argument not in shareable:
            raise RefusedError("it uses a tuple, list or dict more than once, which plain arrays do not need")
        previous = opcode.name


class StandIn:
    """A callable that a pickle may call but not alter."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("it tries to change a function")


class DtypeBox:
    """What a pickled `numpy.dtype` says; only numbers and truth values are admitted, in either byte order."""

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        if not isinstance(code, str) or code.lstrip("<>|=") not in DTYPES:
            raise RefusedError(f"it holds an array of dtype {code!r:.40}; only plain numbers are admitted")
        self.code, self.order = code.lstrip("<>|="), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, *rest = state
        if order not in ("<", ">", "|") or tuple(rest) != PLAIN_DTYPE_STATE:
            raise RefusedError("it holds an array with a structured dtype; only plain numbers are admitted")
        self.order = order


class ArrayBox:
    """What a pickled `numpy.ndarray` says.

    Attributes:
        array: contiguous, in native byte order; None until the state has come and passed the checks.
    """

    def __init__(self, spend: Callable[[int], None]) -> None:
        self._spend = spend
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_version, shape, dtype, fortran_order, data = state
        self.fill(data, dtype, shape, "F" if fortran_order else "C")

    def fill(self, data: object, dtype: object, shape: object, order: object) -> None:
        """Check the four against each other and make the array."""
        if isinstance(data, str):  # written by Python 2
            data = data.encode("latin1")
        if not isinstance(dtype, DtypeBox) or not isinstance(data, (bytes, bytearray)):
            raise RefusedError("it holds an array of objects; only plain numbers are admitted")
        if not isinstance(shape, tuple) or len(shape) > MAX_SIDES:
            raise RefusedError(f"it holds an array whose shape is not a tuple of at most {MAX_SIDES} sides")
        if not all(isinstance(side, int) and 0 <= side <= MAX_SIDE for side in shape):
            raise RefusedError(f"it holds an array of the impossible shape {shape!r:.100}")
        pickled = np.dtype(dtype.order + dtype.code)
        wanted = math.prod(shape) * pickled.itemsize
        if wanted != len(data):
            raise RefusedError(f"it holds an array of shape {shape} with {len(data):,} bytes instead of {wanted:,}")
        self._spend(wanted)
        values = np.frombuffer(data, pickled).reshape(shape, order="F" if order == "F" else "C")
        self.array = np.array(values, pickled.newbyteorder("="), order="C")


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler to which the world consists of this module's stand-ins."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._unspent_bytes = 2 * len(data)  # protocol 2 makes bytes of a text and then an array of the bytes
        ndarray = object()

        def reconstruct(kind: object, _shape: object, _code: object) -> ArrayBox:
            if kind is not ndarray:
                raise RefusedError("it holds a subclass of numpy.ndarray")
            return ArrayBox(self._spend)

        def from_buffer(data: object, dtype: object, shape: object, order: object) -> ArrayBox:
            box = ArrayBox(self._spend)
            box.fill(data, dtype, shape, order)
            return box

        def encode(text: object, encoding: object) -> bytes:
            if not isinstance(text, str) or encoding != "latin1":
                raise RefusedError("it uses an encoding other than latin1")
            self._spend(len(text))
            return text.encode("latin1")

        names = {"numpy.dtype": DtypeBox, "_codecs.encode": encode, "collections.OrderedDict": lambda: {}}
        names |= {f"numpy.{core}.multiarray._reconstruct": reconstruct for core in ("core", "_core")}
        names |= {f"numpy.{core}.numeric._frombuffer": from_buffer for core in ("core", "_core")}
        names |= {f"{builtins}.tuple": array_of_pair for builtins in ("builtins", "__builtin__")}
        names |= {f"{builtins}.bytes": lambda: b"" for builtins in ("builtins", "__builtin__")}
        self._names = {"numpy.ndarray": ndarray, **{name: StandIn(call) for name, call in names.items()}}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; nothing is imported."""
        try:
            return self._names[f"{module}.{name}"]
        except KeyError:
            asked = f"{module}.{name}"
            raise RefusedError(
                f"it asks for {asked!r:.100}, which plain arrays do not need; do not trust its source"
            ) from None

    def _spend(self, count: int) -> None:
        """Count bytes about to be made: a small pickle may ask for the same large ones again and again."""
        self._unspent_bytes -= count
        if self._unspent_bytes < 0:
            raise RefusedError("it asks for the same bytes again and again, far more memory than its size")


def array_of_pair(pair: object) -> ArrayBox:
    """The array of a pair (name, array), as Paddle reduces a tensor to it."""
    if isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], ArrayBox):
        return pair[1]
    raise RefusedError("it makes a tuple of something other than a name and an array")
