"""An exported folder as people bring it: BlazeFace, 640 wide and 320 high, a label and a threshold of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx.helper import make_node

from tests.shipped import network_file

SETTINGS = {
    "Global": {"model_name": "BlazeFace"},
    "Preprocess": [{"type": "Resize", "target_size": [320, 640], "interp": 2, "keep_ratio": False}],
    "NMS": {"score_threshold": 0.01, "nms_threshold": 0.3, "nms_top_k": 5000, "keep_top_k": 750},
    "size_multiple": 1,
    "label_list": ["person"],
    "draw_threshold": 0.7,
}


def make_export(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(network_file(), folder / "model.onnx")
    write_settings(folder)
    return folder


def write_settings(folder: Path, **changes: object) -> None:
    """The settings with some changed; None leaves one out."""
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None}
    (folder / "inference.yml").write_text(yaml.safe_dump(settings))


def write_accuracy(folder: Path, **stated: object) -> None:
    """What a training says of the network that is there."""
    network = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "accuracy.json").write_text(json.dumps({**stated, "network_sha256": network}))


def no_network(file: Path) -> None:
    file.write_bytes(b"no network")


def fails_when_it_runs(file: Path) -> None:
    """Its boxes are reshaped to a shape they do not fit."""
    _append(file, lambda boxes: make_node("Reshape", ["raw", "shape"], [boxes]), shape=np.array([1, 13, -1]))


def one_output_too_flat(file: Path) -> None:
    """Its boxes lack the last axis."""
    _append(file, lambda boxes: make_node("Gather", ["raw", "first"], [boxes], axis=2), first=np.array(0))


def divides_by_zero(file: Path) -> None:
    """Its boxes are infinite, though its weights are not."""
    _append(file, lambda boxes: make_node("Div", ["raw", "zero"], [boxes]), zero=np.float32(0))


def spoil_a_weight(file: Path, value: float) -> str:
    """Put a value into the first weight of the largest tensor; returns the tensor's name."""
    network = onnx.load(file)
    tensor = max(network.graph.initializer, key=lambda each: len(each.raw_data))
    array = onnx.numpy_helper.to_array(tensor).copy()
    array.flat[0] = value
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(network, file)
    return str(tensor.name)


UNUSABLE = [no_network, fails_when_it_runs, one_output_too_flat]


def _append(file: Path, node: Callable[[str], onnx.NodeProto], **constants: np.ndarray) -> None:
    """Put a node behind the network's boxes, which it reads as "raw"."""
    network = onnx.load(file)
    boxes = network.graph.output[0].name
    for existing in network.graph.node:
        existing.output[:] = ["raw" if name == boxes else name for name in existing.output]
        existing.input[:] = ["raw" if name == boxes else name for name in existing.input]
    network.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    network.graph.node.append(node(boxes))
    onnx.save(network, file)
