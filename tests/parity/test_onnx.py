"""The exported networks in ONNX Runtime against the same weights in Paddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest

from serving.detectors import get_detector
from serving.repository import ROOT, network_file, shipped_detectors
from training.detectors import build_detector
from training.export import export_onnx
from training.weights import load_weights

SHIPPED = [detector.name for detector in shipped_detectors()]


def network(name: str) -> paddle.nn.Layer:
    layer = build_detector(name)
    load_weights(layer, ROOT / "weights" / f"{name}.safetensors")
    layer.eval()
    return layer


@pytest.mark.parametrize("size_hw", [(640, 640), (320, 480), (97, 131)])
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("name", SHIPPED)
def test_onnx_runtime_equals_paddle(name: str, batch: int, size_hw: tuple[int, int]) -> None:
    facts = get_detector(name)
    pictures = np.random.default_rng(batch).integers(0, 256, (batch, *size_hw, 3), np.uint8)
    normalised = (pictures[..., ::-1] - np.float32(facts.mean_rgb)) / np.float32(facts.std_rgb)
    with paddle.no_grad():
        boxes, scores = network(name)(paddle.to_tensor(normalised.transpose(0, 3, 1, 2)))
    session = onnxruntime.InferenceSession(network_file(get_detector(name)), providers=["CPUExecutionProvider"])
    onnx_boxes, onnx_scores = session.run(["boxes", "scores"], {"picture": pictures})
    np.testing.assert_allclose(onnx_boxes, boxes.numpy(), atol=0.01, rtol=0)
    np.testing.assert_allclose(onnx_scores, scores.numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_interface_is_named_and_dynamic(name: str) -> None:
    graph = onnx.load(network_file(get_detector(name))).graph
    interface = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert interface == {"picture": ["N", "H", "W", 3], "boxes": ["N", "A", 4], "scores": ["N", "A"]}
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert not [node.op_type for node in graph.node if "NonMaxSuppression" in node.op_type]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_fresh_export_is_the_committed_file(name: str, tmp_path: Path) -> None:
    export_onnx(network(name), get_detector(name), tmp_path / "model.onnx")
    fresh, committed = onnx.load(tmp_path / "model.onnx"), onnx.load(network_file(get_detector(name)))
    assert [node.op_type for node in fresh.graph.node] == [node.op_type for node in committed.graph.node]
    for new, old in zip(fresh.graph.initializer, committed.graph.initializer):
        np.testing.assert_allclose(
            onnx.numpy_helper.to_array(new), onnx.numpy_helper.to_array(old), rtol=1e-5, atol=1e-7
        )
