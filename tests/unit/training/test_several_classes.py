"""More than one class in every detector: what its head gives, what its loss asks for, and that both are learned."""

from __future__ import annotations

from functools import partial

import numpy as np
import paddle
import pytest

from training.detectors import DETECTORS, get_detector
from training.losses import Loss, Targets

SIZE_WH = (96, 64)
BOXES = [np.float32([[6, 6, 34, 34], [44, 20, 76, 56]]), np.float32([[20, 10, 60, 50]])]
CLASS_LOGITS = {
    "BlazeFace": "logits",
    "BlazeFace-FPN-SSH": "logits",
    "PicoDet_LCNet_x2_5_face": "class_logits",
    "PP-YOLOE_plus-S_face": "scores",
}
"""Which of a network's outputs its classes are in."""
LOSSES = {
    **{name: get_detector(name).build_loss for name in DETECTORS},
    "PicoDet_LCNet_x2_5_face, crowds": get_detector("PicoDet_LCNet_x2_5_face").crowds.build_loss,
    "PP-YOLOE_plus-S_face, atss": partial(get_detector("PP-YOLOE_plus-S_face").build_loss, assigner="atss"),
}
STEPS = 15
NEVER = -40.0  # a logit whose probability is none


def network_of(name: str, num_classes: int) -> paddle.nn.Layer:
    paddle.seed(0)
    network = get_detector(name).build_network(num_classes)
    network.train()
    return network


def pictures() -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, SIZE_WH[1], SIZE_WH[0])), dtype="float32")


def targets(*labels: list[int]) -> Targets:
    return Targets.of_classes(BOXES, [np.array(ids) for ids in labels], SIZE_WH)


@pytest.mark.parametrize("num_classes", [1, 2, 3])
@pytest.mark.parametrize("name", DETECTORS)
def test_what_a_network_gives(name: str, num_classes: int) -> None:
    network = network_of(name, num_classes)
    network.eval()
    with paddle.no_grad():
        for served in [network, *([network.fused()] if hasattr(network, "fused") else [])]:
            boxes, scores = served(pictures())
            assert boxes.shape == [2, boxes.shape[1], 4]
            assert scores.shape == [2, boxes.shape[1], *([num_classes] if num_classes > 1 else [])]
            assert 0 <= scores.numpy().min() <= scores.numpy().max() <= 1


def outputs_with(name: str, values: np.ndarray, num_classes: int) -> tuple[paddle.Tensor, tuple]:
    """A network's outputs with these class logits [N, A, classes], the background's last in a BlazeFace."""
    outputs = network_of(name, num_classes).outputs(pictures())
    if name.startswith("PP-YOLOE"):  # whose fresh boxes are many times as large as the true ones
        centres, half = outputs.points_xy_px / outputs.strides_px, 16 / outputs.strides_px
        boxes = paddle.concat([centres - half, centres + half], axis=-1).expand([2, -1, 4])
        outputs = outputs._replace(boxes_xyxy_cells=boxes)
    values = 1 / (1 + np.exp(-values)) if CLASS_LOGITS[name] == "scores" else values
    squeezed = values[..., 0] if values.shape[-1] == 1 else values
    leaf = paddle.to_tensor(squeezed, dtype="float32", stop_gradient=False)
    return leaf, outputs._replace(**{CLASS_LOGITS[name]: leaf})


def logits_of(name: str, num_classes: int) -> np.ndarray:
    """Random ones for the classes, [N, A, classes], and the background in a BlazeFace."""
    anchors = network_of(name, 1).outputs(pictures())[1].shape[1]
    count = num_classes + (CLASS_LOGITS[name] == "logits")
    return np.random.default_rng(1).normal(-7, 0.3, (2, anchors, count))


@pytest.mark.parametrize("case", LOSSES)
def test_no_box_at_all(case: str) -> None:
    name = case.partition(",")[0]
    network = network_of(name, 2)
    nothing = [np.empty((0, 4), np.float32)] * 2
    losses = LOSSES[case]()(network.outputs(pictures()), Targets.of_classes(nothing, [np.empty(0, int)] * 2, SIZE_WH))
    assert all(np.isfinite(loss.item()) for loss in losses.values())
    losses["loss"].backward()
    assert all(np.isfinite(weight.grad.numpy()).all() for weight in network.parameters() if weight.grad is not None)


@pytest.mark.parametrize("case", LOSSES)
def test_a_class_that_never_comes_changes_nothing(case: str) -> None:
    """The loss of two classes, one of which has no box and no score, is that of one class, and so are the gradients."""
    name = case.partition(",")[0]
    one = logits_of(name, 1)
    two = np.insert(one, 1, NEVER, axis=-1)
    found = []
    for values, num_classes in ((one, 1), (two, 2)):
        leaf, _ = outputs_with(name, values, num_classes)
        plain = network_of(name, 1).outputs(pictures())  # the same boxes for both
        outputs = plain._replace(**{CLASS_LOGITS[name]: leaf})
        losses = LOSSES[case]()(outputs, targets([0, 0], [0]))
        losses["loss"].backward()
        gradient = leaf.grad.numpy().reshape(2, -1, values.shape[-1])
        found.append(({key: loss.item() for key, loss in losses.items()}, gradient))
    (loss_of_one, of_one), (loss_of_two, of_two) = found
    assert loss_of_two == pytest.approx(loss_of_one, rel=1e-4)
    np.testing.assert_allclose(np.delete(of_two, 1, axis=-1), of_one, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case", LOSSES)
def test_what_the_loss_asks_for_follows_the_labels(case: str) -> None:
    """With other labels the same anchors are asked for the other class: their own up, the rest down."""
    name = case.partition(",")[0]
    values = logits_of(name, 2)
    values[..., 1] = values[..., 0]  # what the network says does not prefer a class
    gradients = []
    for labels in ([[0, 1], [1]], [[1, 0], [0]]):
        leaf, outputs = outputs_with(name, values, 2)
        LOSSES[case]()(outputs, targets(*labels))["loss"].backward()
        gradients.append(leaf.grad.numpy()[..., :2])
    first, second = gradients
    np.testing.assert_allclose(first, second[..., ::-1], rtol=1e-4, atol=1e-7)
    wanted = first < 0  # a step of training raises these
    assert wanted.any(axis=1).tolist() == [[True, True], [False, True]]
    assert not wanted.all(axis=-1).any()


@pytest.mark.parametrize("name", ["PicoDet_LCNet_x2_5_face", "PP-YOLOE_plus-S_face"])
def test_two_classes_are_told_apart(name: str) -> None:
    """Bright and dark squares on noise, from random weights; a BlazeFace learns in `tests/functional/L0_classes`."""
    network = network_of(name, 2)
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.2, (2, 3, SIZE_WH[1], SIZE_WH[0]))
    labels = [[0, 1], [1]]
    for image, boxes, classes in zip(images, BOXES, labels):
        for (x0, y0, x1, y1), class_id in zip(boxes.astype(int), classes):
            image[:, y0:y1, x0:x1] += 2 - 4 * class_id
    images, wanted = paddle.to_tensor(images, dtype="float32"), targets(*labels)
    loss: Loss = get_detector(name).build_loss()
    optimiser = paddle.optimizer.Adam(2e-3, parameters=network.parameters())
    for _ in range(STEPS):
        loss(network.outputs(images), wanted)["loss"].backward()
        optimiser.step()
        optimiser.clear_grad()
    with paddle.no_grad():
        scores = network(images)[1].numpy()  # in training mode: so few steps leave no statistics to go by
    assert scores[0].max(axis=0).min() > 0.3
    assert scores[1, :, 1].max() > 2 * scores[1, :, 0].max()
