"""The exported networks in ONNX Runtime against the same weights in Paddle.

Both compute in float32 with kernels of their own. Measured with MKL's kernels for AVX-512 and for AVX2 in Paddle: boxes
at most 1.8e-4 px apart (a fiftieth of what is allowed), scores 4.5e-6 (a tenth; PicoDet with random weights, 7.7e-7 the
others).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest

from tests.parity.conftest import Exported
from training.onnx_network import export_onnx
from training.paths import shipped_weights

BOXES_PX, SCORES = 0.01, 5e-5
BATCHES = [(1, (320, 320)), (1, (640, 640)), (2, (320, 480)), (3, (320, 320)), (2, (97, 131))]


@pytest.fixture(scope="module")
def session(exported: Exported) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(exported.file, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("batch", "size_hw"), BATCHES)
def test_onnx_runtime_equals_paddle(
    exported: Exported, session: onnxruntime.InferenceSession, batch: int, size_hw: tuple[int, int]
) -> None:
    facts = exported.facts
    if any(side % facts.size_multiple for side in size_hw):
        pytest.skip(f"{facts.name} takes multiples of {facts.size_multiple}")
    pictures = np.random.default_rng(batch).integers(0, 256, (batch, *size_hw, 3), np.uint8)
    normalised = (pictures[..., ::-1] - np.float32(facts.mean_rgb)) / np.float32(facts.std_rgb)
    with paddle.no_grad():
        boxes, scores = exported.network(paddle.to_tensor(normalised.transpose(0, 3, 1, 2)))
    onnx_boxes, onnx_scores = session.run(["boxes", "scores"], {"picture": pictures})
    np.testing.assert_allclose(onnx_boxes, boxes.numpy(), atol=BOXES_PX, rtol=0)
    np.testing.assert_allclose(onnx_scores, scores.numpy(), atol=SCORES, rtol=0)


ANCHORS = {  # per cell, by the strides of the levels
    "BlazeFace": {8: 2, 16: 6},
    "BlazeFace-FPN-SSH": {8: 2, 16: 6},
    "PicoDet_LCNet_x2_5_face": {8: 1, 16: 1, 32: 1, 64: 1},
    "PP-YOLOE_plus-S_face": {8: 1, 16: 1, 32: 1},
}


def test_every_cell_has_its_anchors(exported: Exported, session: onnxruntime.InferenceSession) -> None:
    _, scores = session.run(["boxes", "scores"], {"picture": np.zeros((1, 640, 320, 3), np.uint8)})
    anchors = ANCHORS[exported.facts.name]
    assert scores.shape[1] == sum(640 // stride * (320 // stride) * count for stride, count in anchors.items())


def test_the_interface_is_named_and_dynamic(exported: Exported) -> None:
    graph = onnx.load(exported.file).graph
    interface = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert interface == {"picture": ["N", "H", "W", 3], "boxes": ["N", "A", 4], "scores": ["N", "A"]}
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert not {"NonMaxSuppression", "BatchNormalization"} & {node.op_type for node in graph.node}


def test_a_network_is_no_larger_than_its_weights(exported: Exported) -> None:
    graph_bytes = 1000 * len(onnx.load(exported.file).graph.node)
    assert exported.file.stat().st_size < shipped_weights(exported.facts.name).stat().st_size + graph_bytes


def test_a_fresh_export_is_the_committed_file(exported: Exported, tmp_path: Path) -> None:
    export_onnx(exported.network, exported.facts, tmp_path / "model.onnx")
    fresh, committed = onnx.load(tmp_path / "model.onnx"), onnx.load(exported.file)
    assert [node.op_type for node in fresh.graph.node] == [node.op_type for node in committed.graph.node]
    for new, old in zip(fresh.graph.initializer, committed.graph.initializer, strict=True):
        new_values, old_values = onnx.numpy_helper.to_array(new), onnx.numpy_helper.to_array(old)
        np.testing.assert_allclose(new_values, old_values, rtol=1e-5, atol=1e-7)
