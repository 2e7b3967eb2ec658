from __future__ import annotations

import numpy as np
import paddle
import pytest

from training.losses import Targets
from training.losses.assignment import assignment_of, mark, one_face_per_anchor
from training.losses.atss import assign_atss
from training.losses.ppyoloe import PPYOLOELoss, distribution_loss
from training.losses.task_aligned import assign_task_aligned
from training.networks.ppyoloe import BINS, Outputs, anchor_points

SIZE_WH = (64, 64)
STRIDES = (32, 16, 8)


def points() -> tuple[paddle.Tensor, paddle.Tensor]:
    return anchor_points([paddle.zeros([1, 1, SIZE_WH[1] // s, SIZE_WH[0] // s]) for s in STRIDES], STRIDES)


def outputs(scores: np.ndarray, boxes_xyxy_px: np.ndarray) -> Outputs:
    """What a detector says that scores and boxes [N, A, 4] are given of."""
    points_xy_cells, strides_px = points()
    logits = paddle.zeros([*scores.shape, 4, BINS])
    logits.stop_gradient = False
    scores_tensor = paddle.to_tensor(scores, dtype="float32", stop_gradient=False)
    boxes = paddle.to_tensor(boxes_xyxy_px, dtype="float32") / strides_px
    return Outputs(scores_tensor, logits, boxes, points_xy_cells * strides_px, strides_px)


def everywhere(box_xyxy_px: list[float], score: float = 0.5, images: int = 1) -> Outputs:
    """The same score and box from every anchor."""
    anchors = sum((SIZE_WH[0] // s) * (SIZE_WH[1] // s) for s in STRIDES)
    return outputs(np.full((images, anchors), score), np.tile(np.float32(box_xyxy_px), (images, anchors, 1)))


def faces(*boxes_per_image: list[list[float]]) -> Targets:
    return Targets.of_faces([np.array(boxes, np.float32).reshape(-1, 4) for boxes in boxes_per_image], SIZE_WH)


def index_of(stride: int, x: float, y: float) -> int:
    """The anchor of this stride with its centre at x, y, in pixels."""
    points_xy_cells, strides_px = points()
    wanted = (strides_px.numpy()[:, 0] == stride) & ((points_xy_cells * strides_px).numpy() == [x, y]).all(axis=1)
    return int(np.flatnonzero(wanted)[0])


@pytest.mark.parametrize("assigner", ["atss", "tal"])
def test_no_face_in_any_image(assigner: str) -> None:
    predicted = everywhere([10, 10, 50, 50], images=2)
    losses = PPYOLOELoss(assigner)(predicted, faces([], []))
    anchors = predicted.scores.shape[1]
    expected = -0.75 * 0.5**2 * np.log(0.5) * 2 * anchors
    assert losses["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert [losses[name].item() for name in ("loss_iou", "loss_dfl", "loss_l1")] == [0, 0, 0]
    losses["loss"].backward()
    assert np.isfinite(predicted.scores.grad.numpy()).all()
    assert not predicted.side_logits.grad.numpy().any()


@pytest.mark.parametrize("assign", [assign_atss, assign_task_aligned])
def test_an_image_without_a_face_beside_one_with_two(assign) -> None:
    assignment = assign(everywhere([0, 0, 24, 24], images=2), faces([], [[0, 0, 24, 24], [30, 30, 60, 60]]))
    is_face = assignment.is_face.numpy()
    assert not is_face[0].any() and is_face[1].any()
    assert not assignment.scores.numpy()[~is_face].any()


def test_atss_takes_the_anchors_above_the_faces_own_threshold() -> None:
    # A face of 40 px in the middle. The anchors of stride 8 are 40 px wide as well: the four nearest, 4 px off in x
    # and y, overlap it by 0.68; all other candidates stay below mean + standard deviation = 0.33 + 0.21.
    assignment = assign_atss(everywhere([12, 12, 52, 32]), faces([[12, 12, 52, 52]]))
    nearest = sorted(index_of(8, x, y) for x in (28, 36) for y in (28, 36))
    assert np.flatnonzero(assignment.is_face.numpy()[0]).tolist() == nearest
    np.testing.assert_allclose(assignment.scores.numpy()[0, nearest], 0.5, rtol=1e-6)  # the IoU of what is predicted
    np.testing.assert_array_equal(assignment.boxes_xyxy_px.numpy()[0, nearest], [[12, 12, 52, 52]] * 4)


def test_task_aligned_scales_score_times_overlap() -> None:
    # Five anchors lie inside the face: four of stride 8, one of stride 16; that of stride 32 lies on its corner.
    face = [0, 0, 16, 16]
    predicted = everywhere(face, score=0.2)
    scores, boxes = predicted.scores.numpy(), (predicted.boxes_xyxy_cells * predicted.strides_px).numpy()
    best, half, quarter = index_of(8, 4, 4), index_of(8, 12, 4), index_of(8, 4, 12)
    others = [index_of(8, 12, 12), index_of(16, 8, 8)]
    scores[0, best] = 0.8
    boxes[0, half] = [0, 0, 16, 8]
    boxes[0, quarter] = [0, 0, 8, 8]
    assignment = assign_task_aligned(outputs(scores, boxes), faces([face]))
    assert np.flatnonzero(assignment.is_face.numpy()[0]).tolist() == sorted([best, half, quarter, *others])
    wanted = [1.0, 0.2 * 0.5**6 / 0.8, 0.2 * 0.25**6 / 0.8, 0.25, 0.25]
    np.testing.assert_allclose(assignment.scores.numpy()[0, [best, half, quarter, *others]], wanted, rtol=1e-5)


def test_task_aligned_takes_no_more_than_thirteen() -> None:
    whole = [0, 0, 64, 64]
    assert assign_task_aligned(everywhere(whole), faces([whole])).is_face.numpy().sum() == 13


def test_task_aligned_gives_a_contested_anchor_to_the_face_it_overlaps_more() -> None:
    first, second = [0, 0, 24, 24], [1, 1, 24, 24]  # the same eleven anchors lie inside both
    assignment = assign_task_aligned(everywhere(second), faces([first, second]))
    is_face = assignment.is_face.numpy()[0]
    assert is_face.sum() == 11
    np.testing.assert_array_equal(assignment.boxes_xyxy_px.numpy()[0, is_face], [second] * 11)


def test_task_aligned_looks_at_the_score_of_the_faces_class() -> None:
    face = [0, 0, 16, 16]
    both = everywhere(face, score=0.2)
    scores = np.stack([both.scores.numpy(), both.scores.numpy()], axis=-1)  # [1, A, 2]
    best_of = {0: index_of(8, 4, 4), 1: index_of(8, 12, 4)}
    for class_id, anchor in best_of.items():
        scores[0, anchor, class_id] = 0.8
    for class_id, anchor in best_of.items():
        labels = [np.array([class_id])]
        targets = Targets.of_classes([np.float32([face])], labels, SIZE_WH)
        assignment = assign_task_aligned(both._replace(scores=paddle.to_tensor(scores)), targets)
        inside = assignment.is_face.numpy()[0]
        assert assignment.scores.numpy()[0].argmax() == anchor
        assert assignment.class_ids.numpy()[0, inside].tolist() == [class_id] * 5


def test_marks() -> None:
    marks = mark(paddle.to_tensor([[[0, 2], [1, 0]]]), 3)
    assert marks.numpy().tolist() == [[[True, False, True], [True, True, False]]]


def test_one_face_per_anchor() -> None:
    claimed = paddle.to_tensor([[[False, True, True], [False, False, True], [False, False, False]]])
    ious = paddle.to_tensor([[[0.9, 0.1, 0.4], [0.0, 0.5, 0.3], [0.0, 0.0, 0.6]]])
    assigned = one_face_per_anchor(claimed, ious)
    assert assigned.numpy()[0].T.tolist() == [[False, False, False], [True, False, False], [False, False, True]]
    boxes = paddle.arange(12, dtype="float32").reshape([1, 3, 4])
    assignment = assignment_of(assigned, Targets(boxes, paddle.to_tensor([[1, 0, 2]]), SIZE_WH), paddle.ones([1, 3]))
    np.testing.assert_array_equal(assignment.boxes_xyxy_px.numpy()[0, 1:], [[0, 1, 2, 3], [8, 9, 10, 11]])
    assert assignment.class_ids.numpy()[0, 1:].tolist() == [1, 2]
    assert assignment.is_face.numpy().tolist() == [[False, True, True]]


@pytest.mark.parametrize(("distance", "left", "right"), [(0.0, 1.0, 0.0), (3.25, 0.75, 0.25), (15.99, 0.01, 0.99)])
def test_distribution_loss(distance: float, left: float, right: float) -> None:
    logits = np.random.default_rng(0).standard_normal((1, 1, BINS)).astype(np.float32)
    log_probabilities = (logits - np.log(np.exp(logits).sum()))[0, 0]
    loss = distribution_loss(paddle.to_tensor(logits), paddle.to_tensor([[distance]])).item()
    bin_left = int(distance)
    expected = -left * log_probabilities[bin_left] - right * log_probabilities[bin_left + 1]
    assert loss == pytest.approx(expected, rel=1e-4)


def test_unknown_assigner() -> None:
    with pytest.raises(ValueError, match="unknown assigner 'simota'; known are: atss, tal"):
        PPYOLOELoss("simota")
