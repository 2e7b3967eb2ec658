"""Whether a file can be the network that is wanted, told in milliseconds and without a runtime, by its outline."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

LOAD_LATER = "TRITONFACE_LOAD_LATER"
"""Environment variable by which the launcher names a repository whose networks wait until they are asked for."""
VARINT, EIGHT_BYTES, LENGTH_DELIMITED, FOUR_BYTES = 0, 1, 2, 5
FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
MODEL_GRAPH, GRAPH_NODE, GRAPH_OUTPUT, VALUE_NAME = 7, 1, 12, 1  # field numbers of onnx.proto


class NetworkError(ValueError):
    """A file that is no network, or not the one that is wanted."""


def check_outline(file: Path, outputs: Sequence[str]) -> None:
    """NetworkError unless an ONNX file or OpenVINO's .xml with its .bin is whole and has these outputs.

    What only a runtime can tell, an operator that it lacks for example, shows when the network is loaded.
    """
    if file.suffix == ".xml":
        _check_openvino(file)
        return
    try:
        found = list(_onnx_outputs(file))
    except (ValueError, IndexError, OSError) as error:
        raise NetworkError(f"{file} cannot be loaded as an ONNX network: {error}") from error
    check_outputs(file, outputs, found)


def check_outputs(file: Path, wanted: Sequence[str], there: Sequence[str]) -> None:
    """NetworkError unless all outputs that are wanted are there."""
    if not set(wanted) <= set(there):
        raise NetworkError(f"{file} has the outputs {', '.join(there)}; wanted are {', '.join(wanted)}")


def _onnx_outputs(file: Path) -> Iterator[str]:
    """Names of the outputs; ValueError or IndexError where the file's structure is not that of a network."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        graphs = [place for number, place in _fields(data, 0, len(data)) if number == MODEL_GRAPH]
        if len(graphs) != 1:
            raise ValueError("it is no ONNX file, or only a part of one")
        fields = list(_fields(data, *graphs[0]))
        if not any(number == GRAPH_NODE for number, _ in fields):
            raise ValueError("it has no operators")
        for number, place in fields:
            if number == GRAPH_OUTPUT:
                for inner, (begin, end) in _fields(data, *place):
                    if inner == VALUE_NAME:
                        yield data[begin:end].decode()


def _fields(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Numbers of a protobuf message's fields, and where their contents begin and end."""
    while position < end:
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        begin = position
        if kind == VARINT:
            _, position = _varint(data, position)
        elif kind == LENGTH_DELIMITED:
            size, begin = _varint(data, position)
            position = begin + size
        elif kind in FIXED:
            position += FIXED[kind]
        else:
            raise ValueError("it is no ONNX file")
        if position > end:
            raise ValueError("its end is missing")
        yield number, (begin, position)


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    """A number of up to 64 bits, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it is no ONNX file")


def _check_openvino(file: Path) -> None:
    from xml.etree import ElementTree  # as few need it

    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise NetworkError(f"{file} cannot be loaded as a network: {error}") from error
    constants = [data.attrib for data in root.iter("data") if {"offset", "size"} <= data.attrib.keys()]
    needed = max((int(each["offset"]) + int(each["size"]) for each in constants), default=0)
    weights = file.with_suffix(".bin")
    size = weights.stat().st_size if weights.is_file() else 0
    if root.tag != "net" or size < needed:
        raise NetworkError(f"{file} cannot be loaded as a network: {weights.name} has {size:,} of {needed:,} bytes")
