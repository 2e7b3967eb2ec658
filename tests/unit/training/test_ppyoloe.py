from __future__ import annotations

import numpy as np
import paddle
import pytest

from tests.parity.golden import rule
from training.detectors import build_detector
from training.networks.csp_resnet import RepVGGBlock
from training.networks.ppyoloe import PPYOLOE
from training.weights import set_weights

NAME = "PP-YOLOE_plus-S_face"


def filled(layer: paddle.nn.Layer) -> paddle.nn.Layer:
    """In eval mode, with weights and statistics that are not those of a fresh layer."""
    set_weights(layer, rule.params({key: value.shape for key, value in layer.state_dict().items()}))
    layer.eval()
    return layer


def test_an_untrained_detector_scores_every_anchor_one_percent() -> None:
    detector = build_detector(NAME)
    detector.eval()
    with paddle.no_grad():
        boxes, scores = detector(paddle.rand([2, 3, 64, 96]))
    anchors = 2 * 3 + 4 * 6 + 8 * 12
    assert (boxes.shape, scores.shape) == ([2, anchors, 4], [2, anchors])
    np.testing.assert_allclose(scores.numpy(), 0.01, rtol=1e-4)
    np.testing.assert_allclose(boxes.numpy()[0, 0], [16 - 8 * 32, 16 - 8 * 32, 16 + 8 * 32, 16 + 8 * 32], rtol=1e-5)


@pytest.mark.parametrize("with_alpha", [False, True])
def test_a_fused_block_equals_its_branches(with_alpha: bool) -> None:
    block = filled(RepVGGBlock(6, with_alpha))
    x = paddle.randn([2, 6, 9, 7])
    with paddle.no_grad():
        expected = block(x)
        block.fuse()
        block.fuse()  # a second time changes nothing
        np.testing.assert_allclose(block(x).numpy(), expected.numpy(), atol=1e-5)
    assert set(block.state_dict()) == {"conv.weight", "conv.bias"}


def test_a_fused_detector_is_a_copy_that_equals_the_original() -> None:
    detector = filled(PPYOLOE())
    names = list(detector.state_dict())
    images = paddle.to_tensor(rule.images(NAME, 96, 64))
    with paddle.no_grad():
        fused = detector.fused()
        for ours, expected, atol in zip(fused(images), detector(images), (2e-4, 1e-6), strict=True):
            np.testing.assert_allclose(ours.numpy(), expected.numpy(), atol=atol, rtol=0)
    assert list(detector.state_dict()) == names
    assert not [name for name in fused.state_dict() if "alpha" in name]


def test_the_projection_is_not_trained_and_batch_norms_do_not_decay() -> None:
    statistics = ("_mean", "_variance")
    parameters = {k: v for k, v in build_detector(NAME).named_parameters() if not k.endswith(statistics)}
    assert [name for name, parameter in parameters.items() if parameter.stop_gradient] == ["yolo_head.proj_conv.weight"]
    without_decay = {name for name, parameter in parameters.items() if parameter.regularizer is not None}
    assert without_decay == {name for name in parameters if ".bn." in name}
