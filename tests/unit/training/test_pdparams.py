from __future__ import annotations

import collections
import os
import pickle
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest

from training.detectors import build_detector
from training.pdparams import PdparamsError, read_pdparams
from training.weights import WeightsError

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "reversed": np.arange(4, dtype=np.float32)[::-1],
    "big_endian": np.arange(3, dtype=">f4"),
    "no_numbers": np.zeros((0, 3), np.float32),
    "number": np.array(-5, np.int64),
    "halves": np.ones(2, np.float16),
    "flags": np.array([True, False]),
}


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "weights.pdparams"
    path.write_bytes(data)
    return path


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].flags.c_contiguous


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_no_array(protocol: int, tmp_path: Path) -> None:
    assert read_pdparams(written(tmp_path, pickle.dumps({}, protocol))) == {}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_kind(protocol: int, tmp_path: Path) -> None:
    assert_same(read_pdparams(written(tmp_path, pickle.dumps(ARRAYS, protocol))), ARRAYS)
    ordered = collections.OrderedDict(ARRAYS)
    assert_same(read_pdparams(written(tmp_path, pickle.dumps(ordered, protocol))), ARRAYS)


@pytest.mark.parametrize("protocol", [2, 4])
def test_pairs_shared_arrays_and_the_name_table(protocol: int, tmp_path: Path) -> None:
    array = ARRAYS["matrix"]
    content = {"a": ("conv_0.w", array), "b": array, "StructuredToParameterName@@": {"a": "conv_0.w"}}
    found = read_pdparams(written(tmp_path, pickle.dumps(content, protocol)))
    assert_same(found, {"a": array, "b": array})


def test_numpy_2_names(tmp_path: Path) -> None:
    data = pickle.dumps(ARRAYS, 2).replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    assert_same(read_pdparams(written(tmp_path, data)), ARRAYS)


def test_text_data_of_python_2(tmp_path: Path) -> None:
    dtype = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    data = b"\x80\x02}U\x01a" + array + b"(K\x01K\x01\x85" + dtype + b"\x89U\x04\x00\x00\x80\xbftbs."
    assert_same(read_pdparams(written(tmp_path, data)), {"a": np.float32([-1])})


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_paddle_saves(protocol: int, tmp_path: Path) -> None:
    state = build_detector("BlazeFace").state_dict()
    paddle.save(state, str(tmp_path / "weights.pdparams"), protocol=protocol)
    found = read_pdparams(tmp_path / "weights.pdparams")
    assert_same(found, {name: parameter.numpy() for name, parameter in state.items()})


def test_a_tensor_that_paddle_saves_outside_a_state_dict(tmp_path: Path) -> None:
    tensor = paddle.to_tensor([1.0, 2.0])
    paddle.save({"weights": tensor, "note": [tensor]}, str(tmp_path / "weights.pdparams"))
    with pytest.raises(PdparamsError, match="its entry 'note' is a list instead of an array"):
        read_pdparams(tmp_path / "weights.pdparams")


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __call__(self) -> None:
        """`pickle` insists that what is to be called can be called."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


HOSTILE: dict[str, Callable[[str], object]] = {
    "os.system": lambda marker: Call(os.system, f"touch {marker}"),
    "eval": lambda marker: Call(eval, f"open({marker!r}, 'w')"),
    "exec": lambda marker: Call(exec, f"open({marker!r}, 'w')"),
    "open": lambda marker: Call(open, marker, "w"),
    "subprocess": lambda marker: Call(subprocess.check_call, ["touch", marker]),
    "getattr": lambda marker: Call(Call(getattr, Call(__import__, "os"), "system"), f"touch {marker}"),
    "numpy.load": lambda marker: Call(np.load, "/etc/hostname"),
    "numpy.fromfile": lambda marker: Call(np.fromfile, "/etc/hostname"),
    "numpy.memmap": lambda marker: Call(np.memmap, marker, "u1", "w+", 0, (8,)),
    "numpy.zeros": lambda marker: Call(np.zeros, 2**40),
    "bytearray": lambda marker: Call(bytearray, 2**40),
    "a dtype with fields": lambda marker: np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "objects": lambda marker: np.array([{}, Call(os.system, f"touch {marker}")], object),
    "text": lambda marker: np.array(["a"]),
    "dates": lambda marker: np.array(["2020-01-01"], "datetime64[D]"),
    "a number": lambda marker: np.float32(1),
    "a matrix": lambda marker: np.ma.masked_array([1.0], [True]),
    "a set": lambda marker: {1},
    "an instance": lambda marker: Path(marker),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_pickle_is_refused_and_runs_nothing(what: str, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = {"good": ARRAYS["matrix"], "bad": HOSTILE[what](str(marker))}
    with pytest.raises(PdparamsError, match=r"weights.pdparams is refused: it "):
        read_pdparams(written(tmp_path, pickle.dumps(content, protocol)))
    assert not marker.exists()


def test_the_hostile_pickles_would_run_elsewhere(tmp_path: Path) -> None:
    for i, what in enumerate(["os.system", "eval", "exec", "open", "subprocess", "getattr", "numpy.memmap", "objects"]):
        marker = tmp_path / f"marker{i}"
        subprocess.run(
            [sys.executable, "-c", "import sys, pickle; pickle.load(sys.stdin.buffer)"],
            input=pickle.dumps(HOSTILE[what](str(marker))),
            stderr=subprocess.DEVNULL,
        )
        assert marker.exists(), what


DTYPE = b"cnumpy\ndtype\n"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"
F4 = DTYPE + b"X\x02\x00\x00\x00f4\x85R"


def filled(shape: bytes, data: bytes, dtype: bytes = F4) -> bytes:
    return ARRAY + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + shape + dtype + b"\x89" + data + b"tb"


BY_HAND = {
    "persistent id": (b"Pid\n.", "opcode PERSID"),
    "old instance": (b"(ios\nsystem\n.", "opcode INST"),
    "extension": (b"\x82\x01.", "opcode EXT1"),
    "__new__": (b"cnumpy\nndarray\n)\x81.", "opcode NEWOBJ"),
    "another buffer": (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
    "memo slot": (b"}r" + struct.pack("<I", 2**31) + b".", "memo slot 2,147,483,648"),
    "long bytes": (b"\x8e" + struct.pack("<Q", 2**40) + b"a.", "damaged or not"),
    "long frame": (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"}.", "damaged or not"),
    "many opcodes": (b"}" + b"N" * 60_000 + b".", "more than 60,000 pickle opcodes"),
    "deep key": (b"})" + b"\x85" * 59_000 + b"Ns.", "names an entry with a tuple"),
    "wide key": (b"})" + b"q\x00h\x00\x86" * 100 + b"Ns.", "a tuple, list or dict more than once"),
    "hidden wide key": (b"})" + b"Nbq\x00h\x00\x86" * 100 + b"Ns.", "a tuple, list or dict more than once"),
    "changed function": (ARRAY + b"N}X\x0b\x00\x00\x00__globals__}s\x86b.", "tries to change a function"),
    "changed type": (DTYPE + b"}X\x08\x00\x00\x00__call__Nsb.", "tries to change a function"),
    "changed array": (F4 + b"}X\x04\x00\x00\x00codeNsb.", "damaged or not"),
    "called type": (b"cnumpy\nndarray\nK\x08\x85\x85R.", "damaged or not"),
    "subclass": (ARRAY + b"NNN\x87R.", "a subclass of numpy.ndarray"),
    "dtype of itself": (F4 + b"(K\x03X\x01\x00\x00\x00|NNNK\x01K\x01K\x3ftb.", "structured dtype"),
    "dtype of objects": (DTYPE + b"X\x01\x00\x00\x00O\x85R.", "array of dtype 'O'"),
    "other encoding": (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00idna2\x86R.", "other than latin1"),
    "tuple of text": (b"c__builtin__\ntuple\nX\x01\x00\x00\x00a\x85R.", "tuple of something other"),
    "dtype as data": (filled(b"K\x01\x85", F4) + b".", "array of objects"),
    "shape too large": (filled(b"J\xff\xff\xff\x7f\x85", b"C\x04abcd") + b".", "with 4 bytes instead of 8,589,934,588"),
    "sides too many": (filled(b"(" + b"K\x01" * 9 + b"t", b"C\x04abcd") + b".", "at most 8 sides"),
    "negative side": (filled(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", b"C\x04abcd") + b".", "impossible shape"),
    "unfilled array": (b"}X\x01\x00\x00\x00a" + ARRAY + b"cnumpy\nndarray\nNN\x87Rs.", "is a damaged array"),
    "a list": (b"].", "a list instead of a dict"),
    "not a pickle": (b"GIF89a", "damaged or not"),
    "no byte": (b"", "damaged or not"),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_a_pickle_written_by_hand_is_refused(what: str, tmp_path: Path) -> None:
    data, words = BY_HAND[what]
    with pytest.raises(PdparamsError, match=words) as caught:
        read_pdparams(written(tmp_path, data))
    assert isinstance(caught.value, WeightsError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_tensors_cut_in_pieces_are_refused(tmp_path: Path) -> None:
    content = {"a@@.0": ARRAYS["matrix"], "UnpackBigParamInfor@@": {"a": {"OriginShape": (6,), "slices": ["a@@.0"]}}}
    with pytest.raises(PdparamsError, match="cut in pieces"):
        read_pdparams(written(tmp_path, pickle.dumps(content, 2)))


def test_the_same_bytes_again_and_again_are_refused(tmp_path: Path) -> None:
    text = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x01"
    again = b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PdparamsError, match="again and again"):
        read_pdparams(written(tmp_path, b"(" + text + again * 1000 + b"t."))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


def test_a_large_file_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(PdparamsError, match="more than 100 bytes, the limit"):
        read_pdparams(written(tmp_path, pickle.dumps(ARRAYS)), max_bytes=100)
    with pytest.raises(PdparamsError, match="cannot read weights from"):
        read_pdparams(tmp_path / "none.pdparams")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for protocol in (2, 4):
        data = pickle.dumps({"a": ARRAYS["matrix"]}, protocol)
        for length in range(len(data)):
            with pytest.raises(PdparamsError):
                read_pdparams(written(tmp_path, data[:length]))
