"""Detectors of two classes: the exported networks against Paddle; a BlazeFace in `tests/functional/L0_classes`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest

from tests.parity.golden import rule
from tests.parity.recorded import network_with_golden_weights
from tests.reference import nms_class_by_class
from training.detectors import get_detector
from training.networks.pictures import as_function
from training.onnx_check import tensorrt_problems
from training.onnx_network import export_onnx
from training.paddlex_folder import export_paddlex

LABELS = ("mask", "no mask")
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
BOXES_PX, SCORES = 0.01, 5e-5  # as in `test_onnx`


@pytest.mark.parametrize("name", ["PicoDet_LCNet_x2_5_face", "PP-YOLOE_plus-S_face"])
def test_onnx_runtime_equals_paddle(name: str, tmp_path: Path) -> None:
    facts, network = replace(get_detector(name), labels=LABELS), network_with_golden_weights(name, 2)
    export_onnx(network, facts, tmp_path / "model.onnx")
    exported = onnx.load(tmp_path / "model.onnx")
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in exported.graph.output
    }
    assert axes == {"boxes": ["N", "A", 4], "scores": ["N", "A*2"]}
    assert tensorrt_problems(exported) == []

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    boxes, scores = as_function(network, facts)(PICTURES)
    onnx_boxes, onnx_scores = session.run(["boxes", "scores"], {"picture": PICTURES})
    assert scores.shape == (2, 2 * boxes.shape[1])
    np.testing.assert_allclose(onnx_boxes, boxes, atol=BOXES_PX, rtol=0)
    np.testing.assert_allclose(onnx_scores, scores, atol=SCORES, rtol=0)
    with paddle.no_grad():
        _, apart = network(paddle.to_tensor(rule.images(name, 64, 96)))
    assert apart.shape == [2, boxes.shape[1], 2]


def test_paddlex_suppresses_each_class(tmp_path: Path) -> None:
    name = "PicoDet_LCNet_x2_5_face"
    network = network_with_golden_weights(name, 2)
    facts = get_detector(name)
    facts = replace(facts, labels=LABELS, nms=replace(facts.nms, keep_top_k=30))
    export_paddlex(network, facts, tmp_path)
    images = rule.images(name, 64, 96)
    scale_yx = np.ones((len(images), 2), np.float32)
    rows, counts = paddle.jit.load(str(tmp_path / "inference"))(*map(paddle.to_tensor, (images, scale_yx)))
    network.eval()
    with paddle.no_grad():
        boxes, scores = (output.numpy() for output in network(paddle.to_tensor(images)))
    first = 0
    for image, count in enumerate(counts.numpy().tolist()):
        kept = nms_class_by_class(boxes[image], scores[image], facts.nms)
        assert count == len(kept) == 30 and {class_id for class_id, _ in kept} == {0, 1}
        expected = [[c, scores[image, i, c], *boxes[image, i]] for c, i in sorted(kept, key=lambda pair: pair[0])]
        found = rows.numpy()[first : first + count]  # Paddle gives one class after the other
        np.testing.assert_allclose(found, np.array(expected), atol=0.01, rtol=1e-5)
        first += count
